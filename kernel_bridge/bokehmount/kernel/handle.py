"""What `show` gives back."""

from __future__ import annotations

from collections.abc import Callable

from bokeh.document import Document

from ..session import ServerSession

__all__ = ("Handle",)


class Handle:
    """An app that is shown.

    Args:
        path: the app's path in its kernel
        url: where it is, relative to the Jupyter server's base URL; None where there is no server
        sessions: gives its living sessions
        close: ends it
    """

    def __init__(
        self, path: str, url: str | None, sessions: Callable[[], list[ServerSession]], close: Callable[[], None]
    ) -> None:
        self._path = path
        self._url = url
        self._sessions = sessions
        self._close = close

    @property
    def name(self) -> str:
        """The app's name, as ``%bokehmount`` lists it."""
        return self._path.strip("/")

    @property
    def url(self) -> str | None:
        """Where it is, relative to the Jupyter server's base URL; None where no server runs this kernel."""
        return self._url

    @property
    def sessions(self) -> list[ServerSession]:
        """The sessions that live now: one for each view of an app, one for all views of a model."""
        return self._sessions()

    @property
    def documents(self) -> list[Document]:
        """The Documents of these sessions."""
        return [session.document for session in self.sessions]

    def close(self) -> None:
        """End the app and all its sessions; its views say so.  Doing it again does nothing."""
        self._close()

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.sessions)} session(s) at {self.url or 'no server'}>"

    def _ipython_display_(self) -> None:
        """Nothing: the view is displayed already when this stands at the end of a cell."""
