"""Work that is done again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

__all__ = ("forever",)

log = logging.getLogger(__name__)


async def forever(work: Callable[[], Any], seconds: float) -> None:
    """Call a function, which may be async, so many seconds after each time that it has ended, until cancelled.

    What it raises is logged and stops nothing.
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            result = work()
            if asyncio.iscoroutine(result):
                await result
        except Exception:
            log.exception("bokehmount: what is done again and again has failed; it goes on")
