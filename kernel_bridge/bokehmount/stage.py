"""What surrounds the callbacks of a session, and who hears when one raises.

A server writes to its log; a kernel routes prints and tracebacks to the cell that showed the app, and to its views.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ("LogStage", "Stage")

log = logging.getLogger("bokehmount")


class Stage(Protocol):
    """Where a session's user code runs."""

    def entered(self) -> AbstractContextManager[object]:
        """A context around each run of user code."""

    def raised(self, error: BaseException, where: str) -> None:
        """User code raised; ``where`` is what ran, in words."""


class LogStage:
    """Errors go to the log with their traceback."""

    def entered(self) -> AbstractContextManager[object]:
        return nullcontext()

    def raised(self, error: BaseException, where: str) -> None:
        log.error("error in %s: %r", where, error, exc_info=error)
