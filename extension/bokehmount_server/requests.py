"""From an HTTP request to what it brings to see a session."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tornado.httputil import HTTPServerRequest

from bokehmount.apphost import Opening
from bokehmount.errors import ProtocolError, TokenError
from bokehmount.tokens import RequestInfo, SessionToken, Tokens, without_secrets

if TYPE_CHECKING:
    from bokehmount.contexts import ApplicationContext

__all__ = (
    "APP",
    "NOTHING_MORE",
    "TokenPolicy",
    "Visible",
    "check_app",
    "opening_of",
    "request_info",
    "session_token",
    "token_of",
    "token_payload",
)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """How this server treats session tokens.

    Args:
        tokens: makes and checks them
        generate_session_ids: whether a request without a session gets a new one
        server: the name of this run of the server, of whose tokens only its own open new sessions: what a page showed
            before a restart is lost, which its user has to be told; None where several processes serve the same pages
    """

    tokens: Tokens
    generate_session_ids: bool = True
    server: str | None = None

    def make(self, session_id: str, payload: dict[str, Any]) -> SessionToken:
        """A token for a session."""
        return self.tokens.make(session_id, payload if self.server is None else {**payload, SERVER: self.server})

    def opens_new(self, token: SessionToken) -> bool:
        """Whether a token opens a session that does not live yet."""
        return token.opens_new(time.time()) and self.server in (None, token.payload.get(SERVER, self.server))


@dataclass(frozen=True, slots=True)
class Visible:
    """What of a request an app may see.  Headers that log somebody in only where ``include_headers`` names them.

    Args:
        include_headers: only these headers; all that do not log somebody in where None
        exclude_headers: of those all but these
        include_cookies: only these cookies; all where None
        exclude_cookies: all but these
        logins: arguments of a query that log somebody in, which are not seen, nor the rest of the ``uri`` they are in
    """

    include_headers: Collection[str] | None = None
    exclude_headers: Collection[str] = ()
    include_cookies: Collection[str] | None = None
    exclude_cookies: Collection[str] = ()
    logins: Collection[str] = ()

    def headers(self, request: HTTPServerRequest) -> dict[str, str]:
        """The headers that may be seen."""
        if self.include_headers is not None:
            wanted = {name.lower() for name in self.include_headers}
            return {name: value for name, value in request.headers.get_all() if name.lower() in wanted}
        unwanted = {name.lower() for name in self.exclude_headers}
        seen = _readable(request.headers.get_all())
        return {name: value for name, value in seen.items() if name.lower() not in unwanted}

    def cookies(self, request: HTTPServerRequest) -> dict[str, str]:
        """The cookies that may be seen."""
        wanted, unwanted = self.include_cookies, self.exclude_cookies
        return {
            name: cookie.value
            for name, cookie in request.cookies.items()
            if (name in wanted if wanted is not None else name not in unwanted)
        }


APP: Final = "bokehmount_app"
"""Where a token that a page is given names the app's path."""

SERVER: Final = "bokehmount_server"
"""Where it names the run of the server that made it."""

NOTHING_MORE: Final = Visible(include_cookies=(), logins=("token", "_xsrf"))
"""In a Jupyter server, where cookies are the login's, as are these arguments."""


def request_info(request: HTTPServerRequest, user: str | None = None, visible: Visible = NOTHING_MORE) -> RequestInfo:
    """What an app may know of a request."""
    return RequestInfo(
        arguments={
            name: list(values)
            for name, values in request.arguments.items()
            if not name.startswith("bokeh-") and name not in visible.logins
        },
        headers=visible.headers(request),
        cookies=visible.cookies(request),
        path=request.path,
        uri=request.path if visible.logins else request.uri or request.path,
        host=request.host,
        protocol=request.protocol,
        remote_ip=request.remote_ip or "",
        user=user,
    )


def token_payload(info: RequestInfo) -> dict[str, Any]:
    """What a token tells of the request that it was made for: it travels, so it holds nothing that logs somebody in."""
    return {"arguments": dict(info.arguments), "headers": _readable(info.headers.items()), "cookies": {}}


def token_of(
    policy: TokenPolicy, request: HTTPServerRequest, payload: dict[str, Any], *, trusted: bool
) -> SessionToken:
    """The token that a request brings, or a new one for the session that it names, or for a new session.

    Args:
        policy: how tokens are treated
        request: the request
        payload: what a new token holds
        trusted: whether a token without a signature is taken, also where tokens are signed; a session id by itself
            must be signed there in any case, since it becomes a token that others may be given

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
        return policy.make(policy.tokens.new_session_id(), payload)
    token = policy.make(session_id, payload)
    return policy.tokens.check(token.text, trust_unsigned=trusted)


def check_app(token: SessionToken, path: str) -> SessionToken:
    """The token, if it is for the app at this path or was made by a client, which names no app.

    Raises:
        TokenError: it was made for another app of this server
    """
    if token.payload.get(APP, path) != path:
        raise TokenError("the session token was made for another app of this server: reload the page")
    return token


def session_token(
    policy: TokenPolicy,
    context: ApplicationContext,
    request: HTTPServerRequest,
    info: RequestInfo,
    *,
    trusted: bool = False,
) -> SessionToken:
    """The token that a request for an app brings, or a new one; raises as `token_of` and `check_app` do."""
    path = context.url or "/"
    more = context.application.process_request(request)
    payload = {**token_payload(info), **more, APP: path}
    return check_app(token_of(policy, request, payload, trusted=trusted), path)


def opening_of(policy: TokenPolicy, token: SessionToken, request: RequestInfo) -> Opening:
    """What a client with this token may see.

    A session that is opened by a WebSocket was asked for by an earlier request: its arguments and headers are in the
    token.
    """
    arguments, headers = token.payload.get("arguments"), token.payload.get("headers")
    if arguments:
        request = replace(request, arguments=arguments)
    if headers:
        request = replace(request, headers={**request.headers, **headers})
    return Opening(token.session_id, token.text, policy.opens_new(token), request)


def _readable(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers without what logs somebody in, which the query of the page that a link was on may do as well."""
    return {
        name: value.partition("?")[0] if name.lower() == "referer" else value
        for name, value in without_secrets(headers).items()
    }


def _argument(request: HTTPServerRequest, name: str) -> str | None:
    values = request.arguments.get(name)
    if not values:
        return None
    try:
        return values[-1].decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{name} is not UTF-8") from None
