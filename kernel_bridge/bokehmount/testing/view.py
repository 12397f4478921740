"""A view of a running app, as a browser has one, but with a Document in place of a page."""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any, Final, cast
from urllib.parse import urlencode

from bokeh.core.serialization import Serializer
from bokeh.document import Document
from bokeh.document.events import DocumentChangedEvent, DocumentPatchedEvent
from bokeh.events import ButtonClick, Event
from bokeh.model import Model
from bokeh.models.widgets.buttons import AbstractButton

from .. import wire
from ..frames import Assembler
from ..wire import Message, MessageType
from .visitor import MOST, Closed, Socket, Visitor

__all__ = ("View", "ViewClosed", "WaitedInVain")

_TOKEN: Final = re.compile(r'data-bokehmount-token="([^"]*)"')
_FILES: Final = re.compile(r'<(?:script|link)\b[^>]*\b(?:src|href)="([^"]+)"')


class WaitedInVain(AssertionError):
    """Something did not happen in time; the message tells what."""


class ViewClosed(AssertionError):
    """The server refused or ended the view.

    Args:
        sentence: what a user would read
        code: the WebSocket's close code, or the page's HTTP status
    """

    def __init__(self, sentence: str, code: int | None) -> None:
        super().__init__(f"{sentence} (code {code})")
        self.code = code


class View:
    """One view.  Use it as a context manager, or `close` it.

    What the app changes reaches `document` when you look at it or wait; nothing changes behind your back.
    No JavaScript runs: for what happens in the browser alone, drive a browser.

    Args:
        visitor: who looks
        path: the app's path below the server's base URL, such as ``bokeh/kernels/…/waves``
        timeout: seconds that each step and each wait may take, unless it says otherwise
        token: opens a session that lives already; a new one where None
    """

    def __init__(self, visitor: Visitor, path: str, timeout: float = 10.0, token: str | None = None) -> None:
        self.timeout = timeout
        self.printed = ""
        self._visitor = visitor
        self._path = path
        self._opened: list[Socket] = []
        self._page, self.token = self._open_page(token)
        self._status = self._open_socket("bokehmount", self.token)
        try:
            self._load_files()
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def document(self) -> Document:
        """The session's Document as this view knows it now.  What you change in it goes to the app."""
        while self._take(0):
            pass
        return self._document

    @property
    def page(self) -> str:
        """The HTML that the view began with."""
        return self._page

    def __getitem__(self, name: str) -> Any:
        """The model with a name."""
        model = self.document.get_model_by_name(name)
        if model is None:
            names = ", ".join(sorted(model.name for model in self._document.models if model.name)) or "none"
            raise KeyError(f"no model of this app is named {name!r}; named are: {names}")
        return model

    def set(self, model: Model | str, **values: Any) -> None:
        """Change properties as a user does, and wait until the app's callbacks for them have run.

        Args:
            model: the model or its name
            values: the properties' new values
        """
        target = self[model] if isinstance(model, str) else model
        target.update(**values)
        self._wait_for_ok(
            f"the app to take {_name(target)}: {', '.join(f'{key}={value!r}' for key, value in values.items())}"
        )

    def click(self, model: Model | str) -> None:
        """Click a button, and wait until the app's callbacks for it have run."""
        self.send_event(ButtonClick(cast(AbstractButton, self[model] if isinstance(model, str) else model)))

    def send_event(self, event: Event) -> None:
        """Send a Bokeh event, and wait until the app's callbacks for it have run."""
        encoded = Serializer(references=self.document.models.synced_references).encode(event)
        self._send([{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": encoded}])
        self._wait_for_ok(f"the app to take the event {event.event_name}")

    def wait_until(self, condition: Callable[[Document], Any], what: str = "", timeout: float | None = None) -> Any:
        """Wait until something holds of the Document.

        Args:
            condition: called with the Document whenever it has changed
            what: what is waited for, in words for the message; the condition's source where empty
            timeout: seconds

        Returns:
            what the condition gave

        Raises:
            WaitedInVain: it did not come
            ViewClosed: the app ended
        """
        return self._wait(lambda: condition(self.document), what or _source(condition), timeout)

    def wait_for_change(self, model: Model | str, attr: str, timeout: float | None = None) -> Any:
        """Wait until the app changes a property; changes that have come already do not count.

        Returns:
            its new value
        """
        target = self[model] if isinstance(model, str) else model
        count = self._changes.get((target.id, attr), 0)
        value = f"{getattr(target, attr)!r}"
        self.wait_until(
            lambda _: self._changes.get((target.id, attr), 0) > count,
            f"{_name(target)}.{attr} to change from {value if len(value) < 80 else value[:80] + '…'}",
            timeout,
        )
        return getattr(target, attr)

    def round_trip(self) -> None:
        """Wait until the app has handled all that was sent, and all that it did about it is here."""
        self._reply_to(wire.server_info(), "the app to answer")

    def close(self) -> None:
        """Leave, as a browser does."""
        for socket in self._opened:
            socket.close()

    def drop(self) -> None:
        """Lose the connection, as a browser does whose proxy restarts; `reconnect` comes back."""
        self._socket.drop()

    def reconnect(self) -> None:
        """Come back to the same session, as BokehJS does: the whole Document is read anew."""
        self._begin()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # The page ---------------------------------------------------------------------------------------------------------

    def _open_page(self, token: str | None) -> tuple[str, str]:
        """As `view.js` does: a shell says when the page is there."""
        response = self._visitor.get(_with(self._path, token), _NAVIGATION)
        page = response.body.decode()
        if response.code == 202:
            token = _token(page)
            self._wait_for_ready(token)
            response = self._visitor.get(_with(self._path, token), _NAVIGATION)
            page = response.body.decode()
        if response.code != 200:
            raise ViewClosed(_sentence(page) or response.reason, response.code)
        return page, _token(page)

    def _wait_for_ready(self, token: str) -> None:
        status = self._open_socket("bokehmount", token)
        deadline = time.monotonic() + self.timeout
        told = "nothing"
        while (frame := status.receive(deadline - time.monotonic())) is not None:
            if isinstance(frame, Closed):
                raise ViewClosed(frame.reason, frame.code)
            message = json.loads(frame)
            told = f"{message['state']}: {message['text']}"
            if message["state"] == "ready":
                status.close()
                return
            if message["state"] not in ("busy", "starting"):
                status.close()
                raise ViewClosed(f"{message['text']}\n{message.get('detail', '')}".strip(), None)
        status.close()
        raise WaitedInVain(f"waited {self.timeout:g} s for the app's page; the server said {told}")

    def _load_files(self) -> None:
        for url in _FILES.findall(self._page):
            if not url.startswith(("http://", "https://", "//")):
                response = self._visitor.get(unescape(url), _SCRIPT)
                if response.code != 200:
                    raise ViewClosed(
                        f"the page's file {unescape(url)} could not be loaded: {response.reason}", response.code
                    )

    def _open_socket(self, subprotocol: str, token: str) -> Socket:
        self._opened.append(self._visitor.open(f"{self._path.partition('?')[0]}/ws", [subprotocol, token]))
        return self._opened[-1]

    # The connection ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._assembler = Assembler(MOST)
        self._unanswered: set[str] = set()
        self._replies: dict[str, Message] = {}
        self._changes: dict[tuple[str, str], int] = {}
        self._acknowledged = False
        self._socket = self._open_socket("bokeh", self.token)
        self._document = Document()
        self._wait(lambda: self._acknowledged, "the app's server to answer")
        reply = self._reply_to(wire.pull_doc(), "the app's Document")
        try:
            self._document = Document.from_json(reply.content["doc"])
        except Exception as error:
            raise ValueError(
                f"this app's Document can't be read here: {error}. Import what defines its models in your test."
            ) from error
        self._document.on_change(self._changed)

    def _changed(self, event: DocumentChangedEvent) -> None:
        if isinstance(event, DocumentPatchedEvent):
            if event.setter is not cast(Any, self):
                self._send_changes(event)
            elif (model := getattr(event, "model", None)) is not None:
                key = (model.id, str(getattr(event, "attr", "")))
                self._changes[key] = self._changes.get(key, 0) + 1

    def _send_changes(self, event: DocumentPatchedEvent) -> None:
        models = self._document.models
        serializer = Serializer(references=models.synced_references)
        events = serializer.encode([event])
        models.flush_synced(lambda model: not serializer.has_ref(model))
        self._send(events, tuple(serializer.buffers))

    def _send(self, events: list[Any], buffers: tuple[Any, ...] = ()) -> None:
        self._status.send("used")  # as our page says of its user
        self._write(Message(MessageType.PATCH_DOC, {"events": events}, buffers=buffers))

    def _write(self, message: Message) -> None:
        self._unanswered.add(message.msgid)
        self._socket.send(*wire.encode(message))

    def _wait_for_ok(self, what: str) -> None:
        self._wait(lambda: not self._unanswered, what)
        for reply in self._replies.values():
            if reply.msgtype is MessageType.ERROR:
                self._replies.clear()
                raise ValueError(f"the app refused: {reply.content['text']}")
        self._replies.clear()
        self.round_trip()  # what the callbacks changed comes after the app's OK

    def _reply_to(self, message: Message, what: str) -> Message:
        self._write(message)
        self._wait(lambda: message.msgid in self._replies, what)
        return self._replies.pop(message.msgid)

    def _wait(self, condition: Callable[[], Any], what: str, timeout: float | None = None) -> Any:
        patience = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        while not (held := condition()):
            if not self._take(deadline - time.monotonic()) and time.monotonic() >= deadline:
                raise WaitedInVain(self._in_vain(what, patience))
        return held

    def _take(self, timeout: float) -> bool:
        """Take in one message, if one comes in time."""
        self._hear()
        frame = self._socket.receive(timeout)
        if frame is None:
            return False
        if isinstance(frame, Closed):
            raise ViewClosed(frame.reason or "the connection was closed", frame.code)
        frames = self._assembler.feed(frame)
        if frames is not None:
            self._handle(wire.decode(frames))
        return True

    def _handle(self, message: Message) -> None:
        match message.msgtype:
            case MessageType.PATCH_DOC:
                self._document.apply_json_patch(message.payload, setter=self)  # type: ignore[arg-type]
            case MessageType.PUSH_DOC:
                self._document.replace_with_json(message.payload)
            case MessageType.ACK:
                self._acknowledged = True
            case _ if message.reqid is not None:
                self._unanswered.discard(message.reqid)
                self._replies[message.reqid] = message

    def _hear(self) -> None:
        while isinstance(frame := self._status.receive(0), str):
            message = json.loads(frame)
            if message["state"] == "output":
                self.printed += message["text"]

    def _in_vain(self, what: str, patience: float) -> str:
        self._hear()
        printed = f"\nMeanwhile the app printed:\n{self.printed}" if self.printed else ""
        return f"waited {patience:g} s for {what}{printed}"


_NAVIGATION: Final = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"}
_SCRIPT: Final = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script", "Sec-Fetch-Site": "same-origin"}


def _with(path: str, token: str | None) -> str:
    if token is None:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode({'bokeh-token': token})}"


def _token(page: str) -> str:
    found = _TOKEN.search(page)
    if found is None:
        raise ViewClosed("this is no page of an app", 200)
    return unescape(found[1])


def _sentence(page: str) -> str:
    texts = [re.search(rf'data-bokehmount-{name}="([^"]*)"', page) for name in ("text", "detail")]
    return "\n".join(unescape(text[1]) for text in texts if text is not None and text[1])


def _name(model: Model) -> str:
    return repr(model.name) if model.name else str(model)


def _source(condition: Callable[..., Any]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except OSError:
        return "a condition"
