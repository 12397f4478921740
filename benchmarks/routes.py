"""The ways to serve one app that are compared, each with processes of its own."""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.client import Endpoint
from benchmarks.cores import Cores, Role
from benchmarks.jupyter import Jupyter, Kernel
from benchmarks.processes import Server, descendants, free_port, resident_mb, tree_mb
from benchmarks.variant import Variant

IMPORT_SERVING = "from benchmarks import serving"
OWN_PORT = "http://127.0.0.1:{printed}/{app}"
PROXIED = "{base}proxy/{printed}/{app}"


@dataclass(frozen=True)
class Memory:
    """Resident memory of the processes of a route, in MB; ``kernel`` is 0 where there is none."""

    server: float
    kernel: float

    @property
    def total(self) -> float:
        return self.server + self.kernel


class Route(ABC):
    """One way to serve the app.  ``start`` it, ask for ``endpoint``, ``stop`` it; then it may be started again."""

    #: The kernel whose cells can be run beside the app, where the route has one.
    kernel: Kernel | None = None
    #: Whether each new session starts a kernel, so that workloads ask for few of them.
    kernel_per_session = False
    #: Whether a running cell may change a model; where not, it asks for a next-tick callback.
    cell_may_edit = False
    #: Workloads that the route was never made for, by name, and why; they aren't run on it.
    cannot: Mapping[str, str] = MappingProxyType({})

    def __init__(self, name: str, cores: Cores) -> None:
        self.name = name
        self._cores = cores

    @abstractmethod
    async def start(self, variants: Sequence[Variant]) -> None:
        """Start all processes; raises with what they said if they don't serve."""

    @abstractmethod
    async def stop(self) -> None:
        """End all processes; does nothing if none run."""

    @abstractmethod
    def endpoint(self, variant: Variant) -> Endpoint:
        """Where the app of that size is."""

    @abstractmethod
    def memory(self) -> Memory:
        """What its processes hold now."""


class StandaloneRoute(Route):
    """A server process of its own that holds the Documents."""

    def __init__(self, name: str, cores: Cores, kind: str) -> None:
        super().__init__(name, cores)
        self._kind = kind
        self._server: Server | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def start(self, variants: Sequence[Variant]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bm-")
        port = free_port()
        arguments = ("-m", "benchmarks.serving", self._kind, str(port), *map(str, variants))
        self._server = await Server.start(*arguments, port=port, folder=Path(self._folder.name), environment={})
        self._cores.keep(self._server.pid, Role.APP)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
        if self._folder is not None:
            self._folder.cleanup()
        self._server = self._folder = None

    def endpoint(self, variant: Variant) -> Endpoint:
        assert self._server is not None
        return Endpoint(f"http://127.0.0.1:{self._server.port}/{variant.name}")

    def memory(self) -> Memory:
        assert self._server is not None
        return Memory(resident_mb(self._server.pid), 0.0)


class JupyterRoute(Route):
    """A Jupyter server with some extensions."""

    def __init__(self, name: str, cores: Cores, extensions: Iterable[str]) -> None:
        super().__init__(name, cores)
        self._extensions = tuple(extensions)
        self._jupyter: Jupyter | None = None

    @property
    def jupyter(self) -> Jupyter:
        assert self._jupyter is not None
        return self._jupyter

    async def stop(self) -> None:
        if self._jupyter is not None:
            await self._jupyter.stop()
        self._jupyter = None
        self.kernel = None


class KernelRoute(JupyterRoute):
    """One kernel that holds the Documents and, depending on ``port_template``, opens a port of its own.

    ``setup`` makes the cell that serves the variants; what it prints, stripped, is ``{printed}`` in ``page_template``.
    """

    def __init__(
        self,
        name: str,
        cores: Cores,
        *,
        extensions: Iterable[str],
        setup: Callable[[list[str]], str],
        page_template: str,
        cell_may_edit: bool = False,
    ) -> None:
        super().__init__(name, cores, extensions)
        self._setup = setup
        self._page_template = page_template
        self.cell_may_edit = cell_may_edit
        self._printed = ""

    async def start(self, variants: Sequence[Variant]) -> None:
        self._jupyter = await Jupyter.start(self._extensions, self._cores)
        self.kernel = await self._jupyter.start_kernel()
        self._printed = await self._serve(self.kernel, variants)

    @asynccontextmanager
    async def another_kernel(self, variant: Variant) -> AsyncIterator[Endpoint]:
        """One more kernel of the same Jupyter server that serves the app, for as long as the context lasts."""
        kernel = await self.jupyter.start_kernel()
        try:
            yield self._endpoint(kernel, await self._serve(kernel, [variant]), variant)
        finally:
            await kernel.stop()

    def endpoint(self, variant: Variant) -> Endpoint:
        assert self.kernel is not None
        return self._endpoint(self.kernel, self._printed, variant)

    def memory(self) -> Memory:
        assert self.kernel is not None
        return Memory(resident_mb(self.jupyter.pid), resident_mb(self.kernel.pid))

    async def _serve(self, kernel: Kernel, variants: Sequence[Variant]) -> str:
        cell = self._setup(list(map(str, variants)))
        return (await asyncio.wait_for(kernel.execute(cell), timeout=60)).strip()

    def _endpoint(self, kernel: Kernel, printed: str, variant: Variant) -> Endpoint:
        url = self._page_template.format(
            base=self.jupyter.url, kernel_id=kernel.kernel_id, printed=printed, app=variant.name
        )
        through_jupyter = url.startswith(self.jupyter.url)
        headers = self.jupyter.headers if through_jupyter else {}
        return Endpoint(url, headers, is_proxied_unawares=self._page_template == PROXIED)


class PanelRoute(JupyterRoute):
    """Panel's Jupyter extension: each page starts a kernel that runs a script."""

    kernel_per_session = True
    cannot = dict.fromkeys(
        ("fan_out_20", "slow_reader"), "views of one session take the fragments of its messages from each other"
    )

    def __init__(self, name: str, cores: Cores) -> None:
        super().__init__(name, cores, ["panel.io.jupyter_server_extension"])

    async def start(self, variants: Sequence[Variant]) -> None:
        files = {f"{variant.name}.py": self._script(variant) for variant in variants}
        self._jupyter = await Jupyter.start(self._extensions, self._cores, files)
        self._cores.free(self._jupyter.pid)  # its kernels start with each page, and would all be kept on its core

    def endpoint(self, variant: Variant) -> Endpoint:
        return Endpoint(f"{self.jupyter.url}panel-preview/render/{variant.name}.py", self.jupyter.headers)

    def memory(self) -> Memory:
        server, kernels = resident_mb(self.jupyter.pid), descendants(self.jupyter.pid)
        return Memory(server, tree_mb(self.jupyter.pid) - server if kernels else 0.0)

    @staticmethod
    def _script(variant: Variant) -> str:
        return "\n".join(
            (
                "from bokeh.io import curdoc",
                "from benchmarks.app import build",
                "from benchmarks.variant import Variant",
                f"build(curdoc(), Variant.parse('{variant}'))",
            )
        )


def _stock_cell(*, nodelay: bool) -> Callable[[list[str]], str]:
    def cell(variants: list[str]) -> str:
        return f"{IMPORT_SERVING}\nserver = serving.start_stock({variants}, nodelay={nodelay})\nprint(server.port)"

    return cell


def _our_cell(variants: list[str]) -> str:
    return f"%load_ext bokehmount\n{IMPORT_SERVING}\nhandles = serving.show_ours({variants})"


def _stock_kernel(name: str, cores: Cores, page_template: str, *, nodelay: bool) -> KernelRoute:
    extensions = ["jupyter_server_proxy"] if page_template == PROXIED else []
    return KernelRoute(
        name, cores, extensions=extensions, setup=_stock_cell(nodelay=nodelay), page_template=page_template
    )


def _our_kernel(cores: Cores) -> KernelRoute:
    return KernelRoute(
        "ours-kernel",
        cores,
        extensions=["bokehmount"],
        setup=_our_cell,
        page_template="{base}bokeh/kernels/{kernel_id}/{app}",
        cell_may_edit=True,
    )


ROUTES: dict[str, Callable[[Cores], Route]] = {
    "ours-kernel": _our_kernel,
    "ours-server": lambda cores: StandaloneRoute("ours-server", cores, "ours"),
    "stock-server": lambda cores: StandaloneRoute("stock-server", cores, "stock"),
    "stock-server-nodelay": lambda cores: StandaloneRoute("stock-server-nodelay", cores, "stock-nodelay"),
    "stock-kernel": lambda cores: _stock_kernel("stock-kernel", cores, OWN_PORT, nodelay=False),
    "stock-kernel-nodelay": lambda cores: _stock_kernel("stock-kernel-nodelay", cores, OWN_PORT, nodelay=True),
    "jsp": lambda cores: _stock_kernel("jsp", cores, PROXIED, nodelay=False),
    "jsp-nodelay": lambda cores: _stock_kernel("jsp-nodelay", cores, PROXIED, nodelay=True),
    "panel-ext": lambda cores: PanelRoute("panel-ext", cores),
}
SMOKE_ROUTES = ("ours-kernel", "ours-server", "stock-server")
