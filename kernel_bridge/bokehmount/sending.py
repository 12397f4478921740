"""What a session sends: changes and answers, each encoded once, together and in order.  Outlets have the sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent

from . import wire
from .frames import Frames, SentFrames
from .outbox import Outbox
from .wire import Message

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ("Connection", "Outlet", "Sending")


class Outlet(Protocol):
    """Carries messages to one or more of its connections."""

    def deliver(self, connections: Sequence[Any], messages: Sequence[SentFrames]) -> None:
        """Send these whole messages, in this order, to each of these connections.

        It waits only as `is_full` says; what interrupts the wait is raised when they are on their way.  A session calls
        it from its own thread, and where edits are sent from the middle of a cell, from the thread that ``flush_later``
        named.
        """

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that `deliver` lets the session's own thread wait."""


class Connection(Protocol):
    """One browser (or Python client) that looks at a session.  Told apart by identity."""

    def __hash__(self) -> int: ...

    @property
    def outlet(self) -> Outlet:
        """What carries messages to it."""


class Sending:
    """What waits to be sent of one session, and who hears of it.

    Make it on the thread that owns the Document.  All is for that thread, but `flush`.

    Args:
        document: the Document
        flush_later: has a function called soon, on any thread; it sends what nobody gathers
    """

    def __init__(self, document: Document, flush_later: Callable[[Callable[[], None]], object]) -> None:
        self._flush_later = flush_later
        self._thread = threading.get_ident()
        self._outbox = Outbox(document)
        self._answers: list[tuple[Connection, Frames]] = []
        self._listeners: AbstractSet[Connection] = frozenset()  # replaced, never changed: another thread may read it
        self._mutex = threading.Lock()
        self._gathering = 0
        self._flush_is_due = False

    # Who listens -----------------------------------------------------------------------------------------------------

    def add_listener(self, connection: Connection) -> None:
        """It has the whole Document, and hears of each change from now on."""
        self._listeners = self._listeners | {connection}

    def remove_listener(self, connection: Connection) -> None:
        """It hears of nothing any more."""
        self._listeners = self._listeners - {connection}

    def has_listeners_besides(self, connection: Connection | None) -> bool:
        """Whether anybody else hears of a change."""
        listeners = self._listeners
        return bool(listeners) and (connection is None or listeners != {connection})

    # What they hear --------------------------------------------------------------------------------------------------

    def add(self, event: DocumentPatchedEvent, exclude: Connection | None = None) -> None:
        """Encode a change; `go` sends it.

        Args:
            event: a change of the Document
            exclude: who made it, and is not to hear of it

        Raises:
            bokeh.core.serialization.SerializationError: it holds a value that can't be sent
        """
        self._outbox.add(event, exclude)

    def answer(self, connection: Connection, message: Message) -> None:
        """Answer a connection, together with what its request caused, when what is being done is done."""
        frames = wire.encode(message)
        with self._mutex:
            self._answers.append((connection, frames))

    def clear(self) -> None:
        """Forget the changes that wait."""
        self._outbox.clear()

    # When ------------------------------------------------------------------------------------------------------------

    @property
    def is_gathering(self) -> bool:
        """Whether what is added waits for what else belongs to it."""
        return self._gathering > 0

    def gather(self) -> None:
        """From now on what is added leaves together, at the `end_gathering` that belongs to this."""
        self._gathering += 1

    def end_gathering(self) -> None:
        """The outermost one sends what was gathered."""
        self._gathering -= 1
        if not self._gathering:
            self.flush()

    def go(self) -> None:
        """Send what was added: soon, or, where it may have to wait for an outlet, now; not while it is gathering."""
        if self._gathering:
            return
        if any(connection.outlet.is_full for connection in self._listeners):
            self.flush()  # here, where it may wait
        elif not self._flush_is_due:
            self._flush_is_due = True
            try:
                self._flush_later(self.flush)
            except BaseException:  # the user has interrupted the cell
                self._flush_is_due = False
                raise

    def flush(self) -> None:
        """Send what was gathered.  Safe on any thread."""
        if threading.get_ident() == self._thread:
            with self._mutex:  # an interrupt, which may follow upon any call, comes before it is taken or lets it go
                self._send()
        elif self._mutex.acquire(blocking=False):
            try:
                self._send()
            finally:
                self._mutex.release()
        else:
            self._flush_later(self.flush)  # the owner is sending, and perhaps waits for this very thread to write

    def _send(self) -> None:
        self._flush_is_due = False
        patch, answers = self._outbox.take(), self._answers
        if patch is None and not answers:
            return
        self._answers = []
        listeners = self._listeners
        groups: dict[tuple[int, ...], tuple[Outlet, list[Connection], list[SentFrames]]] = {}
        for connection in listeners | {connection for connection, _ in answers}:
            messages: list[SentFrames] = [frames for whom, frames in answers if whom is connection]
            if patch is not None and connection in listeners and (frames := patch.of(connection)) is not None:
                messages.append(frames)
            if messages:
                outlet = connection.outlet
                key = (id(outlet), *map(id, messages))
                groups.setdefault(key, (outlet, [], messages))[1].append(connection)
        interrupted: BaseException | None = None
        for outlet, connections, messages in groups.values():
            try:
                outlet.deliver(connections, messages)
            except BaseException as error:  # who interrupts a wait for one does not want the others' changes lost
                interrupted = interrupted or error
        if interrupted is not None:
            raise interrupted
