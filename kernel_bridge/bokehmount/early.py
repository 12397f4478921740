"""What a connection sends before its session is there: it waits, within a bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from .frames import Frames, kept_by
from .link.messages import RawFrames

__all__ = ("Early",)

F = TypeVar("F", Frames, RawFrames)

_MOST: Final = 1 << 20
"""Bytes of messages that may wait, before what more the connection sends is left to it."""


@dataclass(slots=True)
class Early(Generic[F]):
    """Messages that wait for a session that is being made."""

    messages: list[F] = field(default_factory=list)
    _size: int = 0

    def keep(self, frames: F) -> None:
        """Let one more wait."""
        self.messages.append(frames)
        self._size += kept_by(frames)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that no more is to be read for now."""
        return self._size > _MOST
