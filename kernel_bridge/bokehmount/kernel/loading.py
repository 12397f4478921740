"""What ``%load_ext bokehmount`` does at once: little.

Bokeh's models take long to import; they, and all of ours that stands on them, come when the first app does.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from .cell import cell_of
from .magics import BokehMountMagics

if TYPE_CHECKING:
    from .bridge import Bridge

__all__ = ("current", "load", "unload")

_USES_BOKEH: Final = re.compile(r"\bbokeh\s*\.\s*\w|\bfrom\s+bokeh\s+import\b")
"""In the text of a cell; ``import bokeh`` alone imports none of its modules."""

_loaded: Loaded | None = None


def load(shell: Any) -> None:
    """Let this kernel host apps.  Doing it again does nothing."""
    global _loaded
    if _loaded is None:
        _loaded = Loaded(shell)
        _loaded.open()


def unload(shell: Any) -> None:
    """End this kernel's apps and links, and undo all that `load` did."""
    global _loaded
    loaded, _loaded = _loaded, None
    if loaded is not None:
        loaded.close()


def current() -> Bridge:
    """The bridge of this process; loaded where ``%load_ext bokehmount`` was not called yet.

    Raises:
        RuntimeError: this is no IPython
    """
    if _loaded is None:
        from IPython.core.getipython import get_ipython

        shell: Any = get_ipython()
        if shell is None:
            raise RuntimeError("show() needs a notebook or IPython; a script can use bokehmount_server.server.Server")
        shell.extension_manager.load_extension("bokehmount")  # as %load_ext does, so that %unload_ext knows of it
    assert _loaded is not None, "load() makes it"
    return _loaded.bridge()


class Loaded:
    """The extension in one IPython.

    Args:
        shell: the interactive shell
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._bridge: Bridge | None = None

    def bridge(self) -> Bridge:
        """The bridge, made when first asked for."""
        if self._bridge is None:
            from .bridge import Bridge

            self._bridge = Bridge(self._shell)
            self._bridge.open()
        return self._bridge

    def open(self) -> None:
        """Take part in IPython."""
        self._shell.register_magics(BokehMountMagics(self._shell, self.bridge))
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._watch_for_bokeh(_source_of_running_cell(self._shell))

    def close(self) -> None:
        """Undo that, and end all apps and links."""
        self._shell.magics_manager.magics["line"].pop("bokehmount", None)
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        if self._bridge is not None:
            self._bridge.close()

    def _before_cell(self, info: Any) -> None:
        self._watch_for_bokeh(info.raw_cell or "")

    def _watch_for_bokeh(self, source: str) -> None:
        """Be there in time for stock ``show(app)`` of `bokeh.io`, which our hook takes over."""
        if self._bridge is None and ("bokeh.io" in sys.modules or _USES_BOKEH.search(source)):
            self.bridge()


def _source_of_running_cell(shell: Any) -> str:
    return str(cell_of(shell).get("content", {}).get("code", ""))
