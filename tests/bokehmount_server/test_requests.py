"""What a request brings to see a session, and what of it an app may know."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from bokehmount.errors import ProtocolError, TokenError
from bokehmount.tokens import RequestInfo, Tokens
from bokehmount_server.requests import (
    NOTHING_MORE,
    TokenPolicy,
    Visible,
    opening_of,
    request_info,
    token_of,
    token_payload,
)

SIGNED = Tokens("s3cret", signed=True)
UNSIGNED = Tokens(None, signed=False)
OLD = Tokens("s3cret", signed=True, lifetime=-10)


class Connection:
    """What tornado asks of a connection to make a request."""

    class context:
        remote_ip, protocol = "10.0.0.1", "https"


def request(headers: dict[str, str] | None = None, path: str = "/app", **arguments: Any) -> HTTPServerRequest:
    query = urlencode({name.replace("_", "-"): value for name, value in arguments.items()}, doseq=True)
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", f"{path}?{query}", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "hub.example", **(headers or {})}),
        connection=Connection(),  # type: ignore[arg-type]
    )


def token(policy: TokenPolicy, made: HTTPServerRequest, *, trusted: bool = False, **payload: Any) -> Any:
    return token_of(policy, made, payload, trusted=trusted)


def test_an_app_knows_what_its_user_asked_and_no_secret() -> None:
    secrets = {"Cookie": "login=1", "Authorization": "token x", "X-XSRFToken": "y", "Accept": "text/html"}
    info = request_info(request(secrets, n=["5", "6"], token="jupyter's", bokeh_session_id="s1"), user="ada")
    assert info.arguments == {"n": [b"5", b"6"]}
    assert dict(info.headers) == {"Host": "hub.example", "Accept": "text/html"} and not info.cookies
    assert (info.path, info.host, info.protocol, info.remote_ip, info.user) == (
        "/app",
        "hub.example",
        "https",
        "10.0.0.1",
        "ada",
    )
    assert "jupyter's" not in info.uri, "a Jupyter token in the query stays in the server"


def test_what_logs_somebody_in_from_the_address_of_a_page_or_link_is_not_seen() -> None:
    made = request({"Referer": "https://hub.example/bokeh/?token=hush&x=1"}, token="hush")
    made.arguments["_xsrf"] = [b"hush"]
    info = request_info(made)
    assert not info.arguments and info.headers["Referer"] == "https://hub.example/bokeh/"
    assert "hush" not in info.uri
    named = request_info(made, visible=replace(NOTHING_MORE, include_headers=["Referer"]))
    assert "hush" in named.headers["Referer"], "an administrator chose so"
    assert "hush" not in str(token_payload(named))


def test_an_administrator_may_choose_what_is_seen() -> None:
    made = request({"Cookie": "a=1; b=2", "X-One": "1", "X-Two": "2"})
    everything = Visible()
    assert everything.cookies(made) == {"a": "1", "b": "2"}
    assert "Cookie" not in everything.headers(made) and everything.headers(made)["X-One"] == "1"
    assert Visible(include_headers=["x-one", "COOKIE"]).headers(made) == {"X-One": "1", "Cookie": "a=1; b=2"}
    assert "X-Two" not in Visible(exclude_headers=["x-two"]).headers(made)
    proxied = request({"X-Forwarded-Access-Token": "hush"})
    named = request_info(proxied, visible=Visible(include_headers=["x-forwarded-access-token"]))
    assert named.headers == {"X-Forwarded-Access-Token": "hush"} and "hush" not in str(token_payload(named))
    assert "hush" not in str(request_info(proxied, visible=Visible(exclude_headers=["x-two"])))
    assert Visible(include_cookies=["a"]).cookies(made) == {"a": "1"}
    assert Visible(exclude_cookies=["a"]).cookies(made) == {"b": "2"}


def test_a_token_never_holds_what_logs_somebody_in() -> None:
    info = RequestInfo(arguments={"n": [b"5"]}, headers={"Host": "h", "cookie": "c"}, cookies={"login": "1"})
    assert token_payload(info) == {"arguments": {"n": [b"5"]}, "headers": {"Host": "h"}, "cookies": {}}


@pytest.mark.parametrize("tokens", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
def test_a_request_without_a_session_gets_a_new_one(tokens: Tokens) -> None:
    first, second = (token(TokenPolicy(tokens), request(), more=1) for _ in range(2))
    assert first.session_id != second.session_id and first.payload == {"more": 1}
    assert tokens.check(first.text) == first


def test_a_server_may_make_no_sessions_by_itself() -> None:
    with pytest.raises(TokenError, match="makes none"):
        token(TokenPolicy(UNSIGNED, generate_session_ids=False), request())
    assert token(TokenPolicy(UNSIGNED, generate_session_ids=False), request(bokeh_session_id="s1")).session_id == "s1"


@pytest.mark.parametrize("way", ["token", "argument", "header"])
def test_a_session_may_be_named_in_three_ways(way: str) -> None:
    session_id = SIGNED.new_session_id()
    made = {
        "token": lambda: request(bokeh_token=SIGNED.make(session_id, {}).text),
        "argument": lambda: request(bokeh_session_id=session_id),
        "header": lambda: request({"Bokeh-Session-Id": session_id}),
    }[way]()
    assert token(TokenPolicy(SIGNED), made).session_id == session_id


def test_a_session_that_is_named_twice_is_refused() -> None:
    session_id = SIGNED.new_session_id()
    text = SIGNED.make(session_id, {}).text
    for made in (
        request(bokeh_session_id=session_id, bokeh_token=text),
        request({"Bokeh-Session-Id": session_id}, bokeh_session_id=session_id),
        request({"Bokeh-Session-Id": session_id}, bokeh_token=text),
    ):
        with pytest.raises(ProtocolError, match="more than once"):
            token(TokenPolicy(SIGNED), made)


GUESSED = {"word": "guessed", "false signature": "guessed.AAAA", "unsigned": UNSIGNED.make("guessed", {}).text}


@pytest.mark.parametrize("name", ["bokeh_token", "bokeh_session_id"])
@pytest.mark.parametrize("kind", GUESSED)
def test_a_guessed_session_is_refused(name: str, kind: str) -> None:
    named: dict[str, Any] = {name: GUESSED[kind]}
    with pytest.raises(TokenError):
        token(TokenPolicy(SIGNED), request(**named))


def test_an_empty_token_is_refused() -> None:
    made = request()
    made.arguments["bokeh-token"] = [b""]
    with pytest.raises(TokenError):
        token(TokenPolicy(SIGNED), made)


def test_a_trusted_client_may_choose_a_session_and_is_given_a_good_token_for_it() -> None:
    session_id = SIGNED.new_session_id()
    made = token(TokenPolicy(SIGNED), request(bokeh_session_id=session_id), trusted=True)
    assert made.session_id == session_id and SIGNED.check(made.text) == made
    with pytest.raises(TokenError):
        token(TokenPolicy(SIGNED), request(bokeh_session_id="guessed"), trusted=True)
    unsigned = request(bokeh_token=GUESSED["unsigned"])
    assert token(TokenPolicy(SIGNED), unsigned, trusted=True).session_id == "guessed"


@pytest.mark.parametrize("name", ["bokeh-token", "bokeh-session-id"])
def test_an_argument_that_is_not_text_is_refused(name: str) -> None:
    made = request()
    made.arguments[name] = [b"\xff"]
    with pytest.raises(ProtocolError, match=f"{name} is not UTF-8"):
        token(TokenPolicy(SIGNED), made)


def test_an_old_token_sees_a_living_session_but_opens_none() -> None:
    old = OLD.make(SIGNED.new_session_id(), {})
    policy = TokenPolicy(SIGNED)
    opening = opening_of(policy, token(policy, request(bokeh_token=old.text)), RequestInfo())
    assert (opening.session_id, opening.token, opening.may_create) == (old.session_id, old.text, False)
    new = SIGNED.make(SIGNED.new_session_id(), {})
    assert opening_of(policy, new, RequestInfo()).may_create and new.expires > time.time()


def test_a_token_of_a_server_that_was_started_again_opens_no_session() -> None:
    first, again = TokenPolicy(SIGNED, server="first"), TokenPolicy(SIGNED, server="again")
    made = token(first, request())
    assert opening_of(first, made, RequestInfo()).may_create
    assert not opening_of(again, made, RequestInfo()).may_create
    of_a_client = SIGNED.make(SIGNED.new_session_id(), {})
    assert opening_of(again, of_a_client, RequestInfo()).may_create, "no run of the server made it"
    assert opening_of(TokenPolicy(SIGNED), made, RequestInfo()).may_create, "one of several that serve the same pages"


def test_a_session_that_a_websocket_opens_knows_the_request_for_its_page() -> None:
    page = RequestInfo(arguments={"n": [b"5"]}, headers={"Referer": "r", "Host": "h"})
    made = SIGNED.make(SIGNED.new_session_id(), token_payload(page))
    seen = opening_of(TokenPolicy(SIGNED), made, RequestInfo(headers={"Upgrade": "websocket"}, user="ada")).request
    assert seen.arguments == {"n": [b"5"]} and seen.user == "ada"
    assert dict(seen.headers) == {"Upgrade": "websocket", "Referer": "r", "Host": "h"}
