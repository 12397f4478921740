"""``%bokehmount``: which apps run and how this kernel is linked, and the ending of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

__all__ = ("BokehMountMagics",)


class _Bridge(Protocol):
    def status(self) -> str: ...
    def listing(self) -> list[dict[str, Any]]: ...
    def close_app(self, path: str) -> None: ...


@magics_class
class BokehMountMagics(Magics):
    """The line magic.

    Args:
        shell: the interactive shell
        bridge: gives this kernel's bridge
    """

    def __init__(self, shell: Any, bridge: Callable[[], _Bridge]) -> None:
        super().__init__(shell)
        self._bridge = bridge

    @line_magic("bokehmount")  # type: ignore[arg-type]  # the decorator is typed for no name
    def bokehmount(self, line: str) -> None:
        """List the running apps, or end one: ``%bokehmount``, ``%bokehmount close NAME``."""
        match line.split():
            case []:
                print(self._bridge().status())
            case ["close", name]:
                path = "/" + name.strip("/")
                known = [app["app"] for app in self._bridge().listing()]
                if path not in known:
                    names = ", ".join(app.strip("/") for app in known) or "none"
                    raise UsageError(f"%bokehmount close: no app is called {name!r}; running now: {names}")
                self._bridge().close_app(path)
                print(f"closed {path.strip('/')}")
            case _:
                raise UsageError("usage: %bokehmount, or %bokehmount close NAME")
