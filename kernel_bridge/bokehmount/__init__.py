"""Live Bokeh apps in Jupyter, served by the Jupyter server itself.

``%load_ext bokehmount`` in a notebook, then ``show(app)``.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .kernel.handle import Handle
    from .kernel.show import show

__all__ = ("Handle", "__version__", "load_ipython_extension", "show", "unload_ipython_extension")

__version__ = version("bokehmount")


def __getattr__(name: str) -> Any:
    # the server imports this package too and needs none of the kernel's side
    if name == "show":
        from .kernel.show import show

        return show
    if name == "Handle":
        from .kernel.handle import Handle

        return Handle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext bokehmount``: let this kernel host Bokeh apps."""
    from .kernel.loading import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext bokehmount``: end this kernel's apps and undo what loading did."""
    from .kernel.loading import unload

    unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from bokehmount_server.app import BokehMount

    return [{"module": "bokehmount", "app": BokehMount}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "../../labextension/dist", "dest": "bokehmount"}]
