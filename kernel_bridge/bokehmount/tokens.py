"""Session tokens: what they hold, who made them, until when they open a new session.  No I/O, no clock.

A token is Bokeh's (`bokeh.util.token`), so that stock clients can read it.  A *new* session is opened only with a token
that is not too old; a *living* session accepts its token until it ends.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bokeh.util.token import (
    check_token_signature,
    generate_jwt_token,
    generate_session_id,
    get_session_id,
    get_token_payload,
)

from .errors import TokenError

__all__ = ("SECRET_HEADERS", "RequestInfo", "SessionToken", "Tokens", "without_secrets")

SECRET_HEADERS: Final = re.compile(
    r"authorization|cookie|token|jwt|assertion|oidc-data|xsrf|csrf|secret|passw|credential"
    r"|(api|access|auth|subscription)[-_]?key",
    re.IGNORECASE,
)
"""What is in the names of headers that log somebody in: a browser's, a script's, and those of proxies that know who is
there (X-Forwarded-Access-Token, X-Amzn-Oidc-Data …).  They stay in the server: no token and no page ever holds them,
and an app sees one only where an administrator names it."""

_LONGEST: Final = 64 * 1024

_UNPACKED: Final = 4 * _LONGEST
"""Bytes of what a token holds.  It is made of a request's query and headers, of which Tornado takes 64 KiB."""

_PACKED: Final = "__bk__zlib_"
"""Where Bokeh's tokens hold what is packed."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What an app may know of the request that opened its session.

    Args:
        arguments: the query's values by name, as bytes
        headers: without those that log somebody in, unless an administrator chose otherwise
        cookies: none, unless an administrator chose otherwise
        path: the request's path
        uri: the path, with the query in a stand-alone server only: in a Jupyter server's may be what logs somebody in
        host: the Host header's value
        protocol: "http" or "https"
        remote_ip: the client's address
        user: the name of who is logged in, if anybody is
        absolute_url: the app's URL as a page of another site has it, where that asks for the app's script
    """

    arguments: Mapping[str, list[bytes]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"
    uri: str = "/"
    host: str = ""
    protocol: str = "http"
    remote_ip: str = ""
    user: str | None = None
    absolute_url: str | None = None

    @property
    def method(self) -> str:
        """By what a page, its script and its WebSocket are asked for."""
        return "GET"

    @property
    def query(self) -> str:
        """What follows the ``?`` of the `uri`."""
        return self.uri.partition("?")[2]

    def full_url(self) -> str:
        """The `uri` with protocol and host."""
        return f"{self.protocol}://{self.host}{self.uri}"


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A token that was checked.

    Args:
        text: the token itself
        session_id: the session that it names
        expires: seconds since the epoch, after which it opens no new session
        payload: what else it holds: ``arguments``, ``headers``, ``cookies`` and what the app's handlers added
    """

    text: str
    session_id: str
    expires: float
    payload: Mapping[str, Any]

    def opens_new(self, now: float) -> bool:
        """Whether it still opens a session that does not live yet."""
        return now < self.expires


def without_secrets(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers that do not log somebody in, by their names."""
    return {name: value for name, value in headers if SECRET_HEADERS.search(name) is None}


class Tokens:
    """Makes and checks the tokens of one server.

    Args:
        secret_key: signs them
        signed: whether they are signed and checked
        lifetime: seconds for which a token opens a new session
    """

    def __init__(self, secret_key: bytes | str | None, signed: bool, lifetime: int = 300) -> None:
        if signed and not secret_key:
            raise ValueError("signed sessions need a secret key: pass secret_key or set BOKEH_SECRET_KEY")
        self._secret = secret_key.encode() if isinstance(secret_key, str) else secret_key
        self.signed = signed
        self.lifetime = lifetime

    def new_session_id(self) -> str:
        """A random session id, signed where sessions are."""
        return generate_session_id(secret_key=self._secret, signed=self.signed)

    def make(self, session_id: str, payload: Mapping[str, Any]) -> SessionToken:
        """A token for a session."""
        text = generate_jwt_token(
            session_id,  # type: ignore[arg-type]  # Bokeh's ID is a NewType of str
            secret_key=self._secret,
            signed=self.signed,
            extra_payload=dict(payload),
            expiration=self.lifetime,
        )
        return self._read(text)

    def check(self, text: str | None, *, trust_unsigned: bool = False) -> SessionToken:
        """Read a token that a client sent.

        Args:
            text: the token
            trust_unsigned: take also one without a signature; only for a client that is known in another way

        Raises:
            TokenError: there is none, it is not a token, or its signature is wrong
        """
        if not text:
            raise TokenError("no session token was sent: reload the page")
        if len(text) > _LONGEST:
            raise TokenError(f"the session token is longer than {_LONGEST:,} characters")
        if trust_unsigned and "." not in text and "." not in (token := self._read(text)).session_id:
            return token
        # before it is read: what somebody else made may unpack to a thousand times its size
        try:
            right = check_token_signature(text, secret_key=self._secret, signed=self.signed)
        except Exception:
            right = False
        if not right:
            raise TokenError("the session token was not made by this server: reload the page")
        return self._read(text)

    def _read(self, text: str) -> SessionToken:
        try:
            _check_unpacked(text)
            session_id, payload = get_session_id(text), dict(get_token_payload(text))
            expires = float(payload.pop("session_expiry"))
        except TokenError:
            raise
        except Exception:
            raise TokenError("the session token can't be read: reload the page") from None
        if not isinstance(session_id, str) or not session_id:
            raise TokenError("the session token names no session: reload the page")
        return SessionToken(text, session_id, expires, {**payload, **_request_of(payload)})


def _check_unpacked(text: str) -> None:
    """Where tokens are not signed, 64 kB of anybody's may unpack to 40 MB, which the session would keep."""
    packed = json.loads(_decoded(text.partition(".")[0])).get(_PACKED)
    if packed is not None:
        unpacking = zlib.decompressobj()
        unpacking.decompress(_decoded(packed), _UNPACKED)
        if unpacking.unconsumed_tail:
            raise TokenError(f"the session token holds more than {_UNPACKED:,} bytes")


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _request_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a token says of a request: somebody else may have made it where tokens are not signed."""
    readers: dict[str, Callable[[Any], Any]] = {
        "arguments": lambda values: [_bytes(value) for value in _list(values)],
        "headers": _text,
    }
    try:
        return {
            part: {str(name): read(value) for name, value in payload[part].items()}
            for part, read in readers.items()
            if part in payload
        }
    except (AttributeError, TypeError):
        raise TokenError("the session token's arguments or headers are none: reload the page") from None


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"expected a list, not {values!r}")
    return values


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {value!r}")
    return value
