"""From an HTTP request to what it brings to see a session.  No I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tornado.httputil import HTTPServerRequest

from bokehmount.apphost import Opening
from bokehmount.errors import ProtocolError, TokenError
from bokehmount.tokens import RequestInfo, SessionToken, Tokens, without_secrets

__all__ = ("TokenPolicy", "opening_of", "request_info", "token_of")


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """How this server treats session tokens.

    Args:
        tokens: makes and checks them
        generate_session_ids: whether a request without a session gets a new one
    """

    tokens: Tokens
    generate_session_ids: bool = True


def request_info(request: HTTPServerRequest, user: str | None = None) -> RequestInfo:
    """What an app may know of a request."""
    arguments = {
        name: list(values)
        for name, values in request.arguments.items()
        if not name.startswith("bokeh-") and name != "token"
    }
    return RequestInfo(
        arguments=arguments,
        headers=without_secrets(request.headers.get_all()),
        path=request.path,
        uri=request.path,
        host=request.host,
        protocol=request.protocol,
        remote_ip=request.remote_ip or "",
        user=user,
    )


def token_of(
    policy: TokenPolicy, request: HTTPServerRequest, payload: dict[str, Any], *, trusted: bool
) -> SessionToken:
    """The token that a request brings, or a new one for the session that it names, or for a new session.

    Args:
        policy: how tokens are treated
        request: the request
        payload: what a new token holds
        trusted: whether a session id without a signature may be named

    Raises:
        ProtocolError: it names its session twice
        TokenError: the token or the session id is wrong, or there is none and none may be made
    """
    text = _argument(request, "bokeh-token")
    session_id = _argument(request, "bokeh-session-id")
    header = request.headers.get("Bokeh-Session-Id")
    if sum(value is not None for value in (text, session_id, header)) > 1:
        raise ProtocolError(
            "the session is named more than once: send one of bokeh-token, bokeh-session-id or the header"
        )
    session_id = session_id or header
    if text is not None:
        return policy.tokens.check(text, trust_unsigned=trusted)
    if session_id is None:
        if not policy.generate_session_ids:
            raise TokenError("no bokeh-session-id was sent, and this server makes none")
        return policy.tokens.make(policy.tokens.new_session_id(), payload)
    token = policy.tokens.make(session_id, payload)
    return policy.tokens.check(token.text, trust_unsigned=trusted)


def opening_of(token: SessionToken, request: RequestInfo) -> Opening:
    """What a client with this token may see."""
    return Opening(token.session_id, token.text, token.opens_new(time.time()), request)


def _argument(request: HTTPServerRequest, name: str) -> str | None:
    values = request.arguments.get(name)
    if not values:
        return None
    try:
        return values[-1].decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{name} is not UTF-8") from None
