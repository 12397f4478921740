"""What a link runs over.  Whoever fulfils this contract can carry a link; one test holds all carriers to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .messages import Part

__all__ = ("Carrier", "Receiver")


class Receiver(Protocol):
    """An end of a link, as its carrier sees it.  Called on the thread that reads: one message at a time."""

    def received(self, parts: Sequence[Part]) -> None:
        """A message came, whole; messages come in the order in which they were sent."""

    def lost(self, why: str) -> None:
        """Nothing will come any more, and nothing can be sent; called once, not after `Carrier.close`."""


class Carrier(Protocol):
    """Carries the messages of one link between its two ends, whole and in order."""

    @property
    def name(self) -> str:
        """What a person may read: "control" or "socket"."""

    def send(self, parts: Sequence[Part]) -> None:
        """Send a message, which a lost carrier drops.

        In the kernel safe on any thread; the main thread waits there while the other end falls behind.  In the server
        on the loop's thread, and it does not wait.
        """

    def close(self) -> None:
        """Stop carrying.  Safe on any thread; doing it again does nothing."""
