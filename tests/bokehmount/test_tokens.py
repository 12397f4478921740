"""Who may open a session, until when, and what never gets into a token."""

from __future__ import annotations

import base64
import json
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from bokeh.core.types import ID
from bokeh.util.token import check_session_id_signature, generate_jwt_token, get_session_id, get_token_payload

from bokehmount.errors import CloseCode, TokenError
from bokehmount.tokens import Tokens, without_secrets

SIGNED = Tokens("s3cret", signed=True)
OTHERS = Tokens(b"another", signed=True)
UNSIGNED = Tokens(None, signed=False)


def encoded(payload: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")


@pytest.mark.parametrize("tokens", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
def test_a_token_of_ours_is_taken_with_all_that_it_holds(tokens: Tokens) -> None:
    session_id = tokens.new_session_id()
    made = tokens.make(session_id, {"arguments": {"a": [b"\xff1"]}, "headers": {"Host": "x"}})
    back = tokens.check(made.text)
    assert back == made
    assert (back.session_id, back.payload) == (session_id, {"arguments": {"a": [b"\xff1"]}, "headers": {"Host": "x"}})


def test_stock_bokeh_reads_it() -> None:
    token = SIGNED.make(SIGNED.new_session_id(), {"arguments": {}})
    assert get_session_id(token.text) == token.session_id
    assert get_token_payload(token.text)["arguments"] == {}
    assert check_session_id_signature(token.session_id, secret_key=b"s3cret", signed=True)


def test_each_session_id_is_its_own() -> None:
    assert len({UNSIGNED.new_session_id() for _ in range(50)}) == 50


def test_an_expired_token_is_read_but_opens_no_new_session() -> None:
    old = Tokens("s3cret", signed=True, lifetime=-10).make(SIGNED.new_session_id(), {})
    token = SIGNED.check(old.text)
    assert token.session_id == old.session_id, "a living session takes it until it ends"
    assert not token.opens_new(time.time())


def test_a_token_opens_a_session_until_its_lifetime_is_over() -> None:
    token = Tokens("s3cret", signed=True, lifetime=300).make(SIGNED.new_session_id(), {})
    assert token.opens_new(time.time() + 290)
    assert not token.opens_new(time.time() + 301)


def changed_payload(text: str, **changes: Any) -> str:
    payload, _, signature = text.partition(".")
    held = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{encoded({**held, **changes})}.{signature}"


def good() -> str:
    return SIGNED.make(SIGNED.new_session_id(), {}).text


FORGED = {
    "nothing": "",
    "not base64": "!!!.???",
    "not ascii": "é" * 20,
    "not json": base64.urlsafe_b64encode(b"{").decode(),
    "a list": encoded([]),
    "no session": encoded({"session_expiry": 2**40}),
    "an empty session": encoded({"session_id": "", "session_expiry": 2**40}),
    "a number for a session": encoded({"session_id": 5, "session_expiry": 2**40}),
    "no expiry": encoded({"session_id": "x"}),
    "a word for an expiry": encoded({"session_id": "x", "session_expiry": "never"}),
    "a broken payload": encoded({"session_id": "x", "session_expiry": 2**40, "__bk__zlib_": "AAAA"}),
    "of another server": OTHERS.make(OTHERS.new_session_id(), {}).text,
    "unsigned": UNSIGNED.make("guessed", {}).text,
    "without its signature": good().partition(".")[0],
    "with an empty signature": good().partition(".")[0] + ".",
    "with a later expiry": changed_payload(good(), session_expiry=2**40),
    "for another session": changed_payload(good(), session_id=SIGNED.new_session_id()),
    "signed, for a session that is not": generate_jwt_token(ID("guessed"), b"s3cret", signed=True),
    "too long": good() + "x" * 100_000,
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str) -> None:
    with pytest.raises(TokenError) as refused:
        SIGNED.check(FORGED[name])
    assert refused.value.close_code is CloseCode.TOKEN and refused.value.http_status == 403


@pytest.mark.parametrize(
    "payload",
    [
        {"arguments": 5},
        {"arguments": []},
        {"arguments": {"n": "5"}},
        {"arguments": {"n": [5]}},
        {"arguments": {"n": None}},
        {"headers": "Host"},
        {"headers": {"Host": ["x"]}},
        {"headers": {"Host": None}},
    ],
)
def test_a_request_that_is_none_is_refused_in_words(payload: dict[str, Any]) -> None:
    with pytest.raises(TokenError, match="arguments or headers"):
        UNSIGNED.check(generate_jwt_token(ID("s"), extra_payload=payload))


def test_arguments_that_a_client_wrote_as_text_are_bytes() -> None:
    text = generate_jwt_token(ID("s"), extra_payload={"arguments": {"n": ["ü", b"\xff"]}})
    assert UNSIGNED.check(text).payload["arguments"] == {"n": ["ü".encode(), b"\xff"]}


def test_no_token_is_refused_in_words() -> None:
    with pytest.raises(TokenError, match="reload the page"):
        SIGNED.check(None)


def test_a_trusted_client_may_name_a_session_without_a_signature() -> None:
    text = UNSIGNED.make("my-session", {}).text
    assert SIGNED.check(text, trust_unsigned=True).session_id == "my-session"


@pytest.mark.parametrize("name", ["of another server", "with an empty signature", "with a later expiry", "not json"])
def test_a_wrong_signature_is_refused_of_a_trusted_client_too(name: str) -> None:
    with pytest.raises(TokenError):
        SIGNED.check(FORGED[name], trust_unsigned=True)


def test_a_server_without_signatures_takes_any_well_formed_token() -> None:
    assert UNSIGNED.check(UNSIGNED.make("chosen", {}).text).session_id == "chosen"
    with pytest.raises(TokenError):
        UNSIGNED.check(FORGED["an empty session"])


def test_signing_needs_a_key() -> None:
    for nothing in (None, "", b""):
        with pytest.raises(ValueError, match="BOKEH_SECRET_KEY"):
            Tokens(nothing, signed=True)


def test_a_forged_token_is_not_unpacked() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b"[" + b" " * 30_000_000 + b"]", 9)).decode().rstrip("=")
    forged = encoded({"session_id": "x", "session_expiry": 2**40, "__bk__zlib_": bomb}) + ".AAAA"
    assert len(forged) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(TokenError, match="not made by this server"):
            SIGNED.check(forged)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("signature", ["", ".AAAA"])
def test_a_token_that_unpacks_to_much_more_is_refused_where_none_are_signed(signature: str) -> None:
    text = generate_jwt_token(ID("x"), extra_payload={"arguments": {"n": ["5" * 30_000_000]}}) + signature
    assert len(text) < 64 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(TokenError, match="more than 262,144 bytes"):
            UNSIGNED.check(text)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


def test_a_token_may_hold_all_that_a_request_may_bring() -> None:
    values = [base64.b85encode(str(number).encode() * 5).decode() for number in range(2000)]
    held = {"arguments": {"n": [value.encode() for value in values]}}
    made = UNSIGNED.make("long", held)
    assert sum(map(len, values)) > 40_000 and UNSIGNED.check(made.text).payload == held


@pytest.mark.parametrize(
    "name",
    [
        "Cookie",
        "AUTHORIZATION",
        "Proxy-Authorization",
        "X-XSRFToken",
        "X-CSRF-Token",
        "X-Forwarded-Access-Token",
        "X-Forwarded-Id-Token",
        "X-Auth-Request-Access-Token",
        "Cf-Access-Jwt-Assertion",
        "X-Goog-Iap-Jwt-Assertion",
        "X-Ms-Token-Aad-Id-Token",
        "X-Amzn-Oidc-Data",
        "X-Amzn-Oidc-Accesstoken",
        "OIDC_access_token",
        "X-Api-Key",
        "apikey",
        "Ocp-Apim-Subscription-Key",
        "X-Vault-Secret",
    ],
)
def test_what_logs_somebody_in_is_not_shown_to_apps(name: str) -> None:
    assert without_secrets([("Host", "h"), (name, "hush")]) == {"Host": "h"}


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Accept-Language",
        "User-Agent",
        "Referer",
        "Upgrade-Insecure-Requests",
        "Sec-WebSocket-Key",
        "Bokeh-Session-Id",
        "X-Forwarded-For",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Goog-Authenticated-User-Email",
        "X-Amzn-Oidc-Identity",
        "X-Request-Id",
    ],
)
def test_who_is_there_and_all_else_is_shown_to_apps(name: str) -> None:
    assert without_secrets([(name, "x")]) == {name: "x"}
