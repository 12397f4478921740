"""What can go wrong between a view and its session, and the close code that says so.

Each error carries its own words: they are shown to a person, so they say what to do.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = (
    "AppError",
    "AppNotFound",
    "BokehMountError",
    "CloseCode",
    "KernelLost",
    "ProtocolError",
    "SessionEnded",
    "TokenError",
)


class CloseCode(IntEnum):
    """Why a WebSocket was closed.  4xxx is the range RFC 6455 leaves to applications; they echo the HTTP status."""

    GOING_AWAY = 1001
    TOO_BIG = 1009
    SERVER_FAILED = 1011
    TRY_AGAIN = 1013
    PROTOCOL = 4400
    TOKEN = 4401
    NOT_FOUND = 4404
    TOO_SLOW = 4408
    ENDED = 4410
    APP_RAISED = 4500
    KERNEL_LOST = 4503


class BokehMountError(Exception):
    """The root of the tree.  ``close_code`` and ``http_status`` say how to tell a browser."""

    close_code = CloseCode.SERVER_FAILED
    http_status = 500


class ProtocolError(BokehMountError):
    """The peer sent something that is not Bokeh's protocol."""

    close_code = CloseCode.PROTOCOL
    http_status = 400


class TokenError(BokehMountError):
    """The session token is missing, was not made here, or is for another app."""

    close_code = CloseCode.TOKEN
    http_status = 403


class AppNotFound(BokehMountError):
    """No app has this path."""

    close_code = CloseCode.NOT_FOUND
    http_status = 404


class SessionEnded(BokehMountError):
    """The session is over; looking at it again would mean to run the app anew."""

    close_code = CloseCode.ENDED
    http_status = 410


class AppError(BokehMountError):
    """The user's app raised while its Document was built.

    Args:
        text: one line, the exception as Python would print it
        traceback: the user's traceback, for the user's own eyes
    """

    close_code = CloseCode.APP_RAISED
    http_status = 500

    def __init__(self, text: str, traceback: str = "") -> None:
        super().__init__(text)
        self.traceback = traceback


class KernelLost(BokehMountError):
    """The kernel is gone, was restarted, or has not loaded bokehmount."""

    close_code = CloseCode.KERNEL_LOST
    http_status = 503
