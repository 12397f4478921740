"""Runs functions beside the loop, on threads or on whatever executor is given, such as a Dask cluster's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

__all__ = ("Background",)

T = TypeVar("T")


class Background:
    """Where long work goes.  `close` it when the server stops.

    Args:
        executor: any of `concurrent.futures`, or ``distributed.Client.get_executor()``; threads of our own where None.
            One that is given is not shut down here.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._given = executor
        self._own: ThreadPoolExecutor | None = None

    @property
    def executor(self) -> Executor:
        """What runs the functions."""
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = ThreadPoolExecutor(thread_name_prefix="bokehmount-background")
        return self._own

    @executor.setter
    def executor(self, executor: Executor | None) -> None:
        self.close(wait=False)
        self._given = executor

    def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
        """Start a function; await what is returned for its result.  Call it on the loop."""
        # a Dask executor takes keyword arguments for itself
        work = partial(function, **kwargs) if kwargs else function
        return asyncio.wrap_future(self.executor.submit(work, *args))

    def close(self, *, wait: bool) -> None:
        """End our own threads when they are done; what has not begun does not begin any more."""
        if self._own is not None:
            self._own.shutdown(wait=wait, cancel_futures=True)
            self._own = None
