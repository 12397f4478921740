"""Has Python collect what ended sessions leave: once for all that end together, and seldom where that takes long.

Bokeh collects for each Document that is destroyed, and searches for what refers to a script's module.  Both go through
all objects of the process, so sixteen sessions which ended together beside some hundreds held a kernel up for ten
seconds, and in a kernel with much data of its user's each page that is closed would be felt.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from bokeh.document import Document
from bokeh.document import document as _document

__all__ = ("Collector", "collector", "empty_modules", "uncollected")

PAUSE: Final = 1.0
"""Seconds for which others that end are waited for."""

SHARE: Final = 100
"""After a collection there is none for so many times what it took, so that it costs a hundredth of the time."""

EXPECTED: Final = 3
"""References to a script's module when its Document is destroyed: of `sys.modules`, the Document and their count."""

_bokehs: Final[Any] = _document
_LATER: Final = SimpleNamespace(collect=lambda: 0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Documents that are destroyed meanwhile are not collected by Bokeh."""
    before, _bokehs.gc = getattr(_bokehs, "gc", gc), _LATER
    try:
        yield
    finally:
        _bokehs.gc = before


def empty_modules(document: Document) -> None:
    """Empty the modules of a script's Document; from the first on to which something else refers they are left.

    Those are left to Bokeh, which searches for what it is and warns of it.
    """
    modules = document.modules._modules
    while modules and sys.getrefcount(modules[-1]) <= EXPECTED:
        module = modules.pop()
        sys.modules.pop(module.__name__, None)
        vars(module).clear()


class Collector:
    """Collects for all sessions of a process."""

    def __init__(self) -> None:
        self._due = self._not_before = 0.0

    def soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Collect on this loop in a while; what is asked for before that is done with it."""
        now = time.monotonic()
        if now < self._due or loop.is_closed():
            return
        self._due = max(now + PAUSE, self._not_before)
        loop.call_later(self._due - now, self._collect)

    def _collect(self) -> None:
        began = time.monotonic()
        gc.collect()
        ended = time.monotonic()
        self._not_before = ended + SHARE * (ended - began)


collector: Final = Collector()
