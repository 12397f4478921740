"""Wrong requests, wrong tokens, wrong messages: each has a clear answer at once and touches nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tornado.websocket import WebSocketClosedError

from .client import AppView, BokehSocket, Browser, JupyterServer, Notebook, WebSocketRefused
from .conftest import SIZE_LIMIT, Neighbour, shown

pytestmark = pytest.mark.usefixtures("neighbour")

NOBODY = str(uuid.UUID(int=7))

SOON = 12.0
"""Seconds in which also a hopeless request is answered: a kernel without bokehmount is given 10 to speak."""


@pytest.fixture(autouse=True)
def each_answer_is_soon() -> Iterator[None]:
    """No request hangs."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 2 * SOON


async def closes_with(browser: Browser, path: str, subprotocols: list[str] | None) -> tuple[int | None, str]:
    """How a WebSocket that is opened like this is closed."""
    socket = BokehSocket(await browser.socket(path, subprotocols))
    return await socket.closed(SOON)


@asynccontextmanager
async def connected(browser: Browser, notebook: Notebook) -> AsyncIterator[AppView]:
    async with shown(browser, notebook, "show(sliders, name='app')") as view:
        yield view


# What is not there


async def test_an_unknown_kernel(browser: Browser, notebook: Notebook) -> None:
    page = await browser.page(f"bokeh/kernels/{NOBODY}/app")
    assert page.status == 404 and "kernel has ended" in page.data("text")
    for path in ("app/autoload.js?bokeh-autoload-element=e", "app/metadata", "static/js/bokeh.min.js"):
        response = await browser.fetch(f"bokeh/kernels/{NOBODY}/{path}")
        assert response.code == 404, path
    assert (await browser.delete(f"bokeh/api/kernels/{NOBODY}/apps/app")).code == 404
    async with connected(browser, notebook) as view:
        code, reason = await closes_with(browser, f"bokeh/kernels/{NOBODY}/app", ["bokeh", view.page.token])
    assert code == 4404 and "kernel has ended" in reason


async def test_an_unknown_app(browser: Browser, notebook: Notebook) -> None:
    path = f"bokeh/kernels/{notebook.kernel_id}/nothing"
    page = await browser.final_page(path)
    assert page.status == 404 and "nothing" in page.data("text")
    assert (await browser.fetch(f"{path}/autoload.js?bokeh-autoload-element=e")).code == 404
    assert (await browser.fetch(f"{path}/metadata")).code == 404
    async with connected(browser, notebook) as view:
        code, reason = await closes_with(browser, path, ["bokeh", view.page.token])
        assert code == 4404 and "nothing" in reason
    assert (await browser.delete(f"bokeh/api/kernels/{notebook.kernel_id}/apps/nothing")).code == 404


async def test_names_that_are_no_apps(browser: Browser, notebook: Notebook) -> None:
    for path in ("a%20b", "..", "%2e%2e/x", "app//ws", "", "%00", "a;b", "x" * 5000):
        response = await browser.fetch(f"bokeh/kernels/{notebook.kernel_id}/{path}")
        assert response.code in (302, 400, 404), path
    for kernel_id in ("nobody", "%2e%2e", "'"):
        assert (await browser.fetch(f"bokeh/kernels/{kernel_id}/app")).code == 404, kernel_id


async def test_an_app_that_was_closed(browser: Browser, notebook: Notebook) -> None:
    async with connected(browser, notebook) as view:
        await notebook.run("%bokehmount close app")
        assert (await view.socket.closed())[0] == 4410
        code, reason = await closes_with(browser, view.path, ["bokeh", view.page.token])
        assert code == 4404 and reason


async def test_a_kernel_that_has_not_loaded_bokehmount(
    browser: Browser, server: JupyterServer, notebook: Notebook, own_kernel: str
) -> None:
    page = await browser.final_page(f"bokeh/kernels/{own_kernel}/app")
    assert page.status == 503 and "%load_ext bokehmount" in page.data("text")
    async with connected(browser, notebook) as view:
        code, reason = await closes_with(browser, f"bokeh/kernels/{own_kernel}/app", ["bokeh", view.page.token])
    assert code == 4503 and "%load_ext bokehmount" in reason
    other = await Notebook(server, own_kernel).open()
    await other.run("x = 1\ndef app(doc): doc.title = 'here now'\nimport bokehmount\nbokehmount.show(app, name='app')")
    async with browser.view(f"bokeh/kernels/{own_kernel}/app") as view:
        assert view.document.title == "here now"
    await other.close()


# Who asks


async def test_nobody_who_is_not_logged_in_gets_anything(
    server: JupyterServer, browser: Browser, notebook: Notebook
) -> None:
    stranger = Browser(server)
    async with connected(browser, notebook) as view:
        for path in (view.path, f"{view.path}/autoload.js?bokeh-autoload-element=e", f"{view.path}/metadata",
                     "bokeh/api/apps", "bokeh/view/view.js", view.page.scripts[1]):  # fmt: skip
            response = await stranger.fetch(path)
            assert response.code in (302, 403), path
            if response.code == 302:
                assert "/login?next=" in response.headers["Location"]
        response = await stranger.fetch(f"bokeh/api/kernels/{notebook.kernel_id}/apps/app", "DELETE")
        assert response.code in (302, 403)
        for subprotocol in ("bokeh", "bokehmount"):
            with pytest.raises(WebSocketRefused) as refused:
                await stranger.socket(view.path, [subprotocol, view.page.token])
            assert refused.value.status == 403
        assert (await view.set("slider", "value", 2)).kind == "OK"


async def test_a_foreign_page_opens_no_websocket(browser: Browser, notebook: Notebook) -> None:
    async with connected(browser, notebook) as view:
        for subprotocol in ("bokeh", "bokehmount"):
            for origin in ("http://evil.example", "null", "http://[", browser.server.origin + ".evil.example"):
                with pytest.raises(WebSocketRefused) as refused:
                    await browser.socket(view.path, [subprotocol, view.page.token], {"Origin": origin})
                assert refused.value.status == 403, origin


# Tokens


async def test_tokens_that_are_not_ours(browser: Browser, notebook: Notebook) -> None:
    async with connected(browser, notebook) as view:
        good = view.page.token
        payload, dot, signature = good.rpartition(".")
        unsigned = "eyJzZXNzaW9uX2lkIjogIm1pbmUiLCAic2Vzc2lvbl9leHBpcnkiOiA5OTk5OTk5OTk5fQ"
        wrong = ["x", "a.b", payload, payload + dot + signature[::-1], good + "x", unsigned, unsigned + ".x", "é" * 3]
        for token in wrong[:-1]:
            code, reason = await closes_with(browser, view.path, ["bokeh", token])
            assert code == 4401 and "token" in reason, (token, code, reason)
            code, _ = await closes_with(browser, view.path, ["bokehmount", token])
            assert code == 4401, token
        for token in (*wrong[:-1], "%C3%A9", "%ff"):
            page = await browser.page(f"{view.path}?bokeh-token={token}")
            assert page.status in (400, 403) and page.data("text"), (token, page.status)
        page = await browser.page(f"{view.path}?bokeh-session-id=mine")
        assert page.status == 403
        page = await browser.page(f"{view.path}?bokeh-session-id=mine&bokeh-token={good}")
        assert page.status == 400 and "more than once" in page.data("text")
        assert (await view.set("slider", "value", 2)).kind == "OK"


async def test_a_token_of_another_app_never_shows_that_apps_session(browser: Browser, notebook: Notebook) -> None:
    await notebook.run(
        "from bokeh.models import Div\ndef secret(doc): doc.add_root(Div(text='secret', name='secret'))\n"
        "def plain(doc): doc.add_root(Div(text='plain', name='plain'))\n"
        "show(secret, name='secret')\nshow(plain, name='plain')"
    )
    root = f"bokeh/kernels/{notebook.kernel_id}"
    async with browser.view(f"{root}/secret") as view:
        async with browser.view(f"{root}/plain?bokeh-token={view.page.token}") as other:
            assert other["plain"].text == "plain"
            assert other.document.get_model_by_name("secret") is None
        assert view.socket.is_open


async def test_no_subprotocol_or_a_wrong_one(browser: Browser, notebook: Notebook) -> None:
    async with connected(browser, notebook) as view:
        for subprotocols in (None, ["bokeh"], ["other", view.page.token], ["bokeh", view.page.token, "more"]):
            code, reason = await closes_with(browser, view.path, subprotocols)
            assert code == 4400 and "subprotocol" in reason, (subprotocols, code, reason)
        assert (await browser.fetch(f"{view.path}/ws")).code in (400, 426)


# Messages


@pytest.mark.parametrize(
    ("fragments", "says"),
    [
        (["garbage"], "JSON"),
        (["[]"], "object"),
        (["{}"], "msgid"),
        ([json.dumps({"msgid": "1", "msgtype": "PULL-DOC-REQ", "num_buffers": -1})], "num_buffers"),
        ([json.dumps({"msgid": "1", "msgtype": "PULL-DOC-REQ", "num_buffers": 10**9})], "num_buffers"),
        ([b"binary"], "binary"),
        ([json.dumps({"msgid": "1", "msgtype": "PULL-DOC-REQ"}), b"binary"], "binary"),
        (
            [json.dumps({"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": 1}), "{}", "{}", '{"id": "1"}', "text"],
            "text",
        ),
        ([json.dumps({"msgid": "1", "msgtype": "NO-SUCH"}), "{}", "{}"], "NO-SUCH"),
        ([json.dumps({"msgid": "1", "msgtype": "ACK"}), "{}", "{}"], "ACK"),
        ([json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"}), "{}", "no JSON"], "JSON"),
        ([json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"}), "[]", "{}"], "object"),
        ([json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"}), "{}", "[]"], "object"),
        ([json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"}), "{}", "null"], "object"),
    ],
)
async def test_messages_that_are_not_bokehs_protocol(
    browser: Browser, notebook: Notebook, neighbour: Neighbour, fragments: list[str | bytes], says: str
) -> None:
    async with connected(browser, notebook) as view:
        for fragment in fragments:
            await view.socket.connection.write_message(fragment, binary=isinstance(fragment, bytes))
        code, reason = await view.socket.closed(SOON)
        assert code == 4400 and says in reason, (code, reason)
        await neighbour()
        await view.connect()
        assert (await view.set("slider", "value", 3)).kind == "OK"


@pytest.mark.parametrize(
    "mask", [b"\x81\x80\0\0", b"\x82\xfe\0\0", b"\x01\xff\0\0", b"\x88\x80\0\0", b"\x89\x8a\0\0", bytes(4)]
)
async def test_masks_that_look_like_the_head_of_a_frame(
    browser: Browser, notebook: Notebook, monkeypatch: pytest.MonkeyPatch, mask: bytes
) -> None:
    random = os.urandom
    async with connected(browser, notebook) as view:
        monkeypatch.setattr(os, "urandom", lambda size: mask if size == 4 else random(size))
        for _ in range(3):
            await view.socket.close()
            await view.connect()
            for value in (3, 4):
                assert (await view.set("slider", "value", value)).kind == "OK"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"events": 5},
        {"events": [{"kind": "NoSuchKind"}]},
        {"events": [{"kind": "ModelChanged", "model": {"id": "p999999"}, "attr": "value", "new": 1}]},
        {"events": [{"kind": "ModelChanged", "model": {"id": "SLIDER"}, "attr": "value", "new": "high"}]},
        {"events": [{"kind": "ModelChanged", "model": {"id": "SLIDER"}, "attr": "value", "new": {"type": "bytes"}}]},
        {"events": [{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": {"type": "event", "name": "none"}}]},
    ],
)
async def test_patches_that_can_not_be_carried_out_are_refused_in_words(
    browser: Browser, notebook: Notebook, neighbour: Neighbour, content: object
) -> None:
    async with connected(browser, notebook) as view:
        text = json.dumps(content).replace("SLIDER", view["slider"].id)
        reply = await view.socket.ask("PATCH-DOC", json.loads(text))
        assert reply.kind == "ERROR" and reply.content["text"], reply
        assert "Traceback" not in json.dumps(reply.content)
        assert (await view.set("slider", "value", 3)).kind == "OK"
        await neighbour()


async def test_a_message_over_the_limit(browser: Browser, notebook: Notebook, neighbour: Neighbour) -> None:
    async with connected(browser, notebook) as view:
        with contextlib.suppress(WebSocketClosedError):  # it may close before we have sent all
            await view.socket.send("PATCH-DOC", {"events": [], "padding": "x" * (SIZE_LIMIT + 1)})
        code, _ = await view.socket.closed(SOON)
        assert code == 1009
        await view.connect()
        head = json.dumps({"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": 4})
        for fragment in (head, "{}", "{}"):
            await view.socket.connection.write_message(fragment)
        with contextlib.suppress(WebSocketClosedError):  # as above
            for _ in range(4):
                await view.socket.connection.write_message('{"id": "1"}')
                await view.socket.connection.write_message(b"x" * (SIZE_LIMIT // 3), binary=True)
        code, reason = await view.socket.closed(SOON)
        assert code == 1009 and "limit" in reason
        await neighbour()
        await view.connect()
        reply = await view.socket.ask("PATCH-DOC", {"events": [], "padding": "x" * (SIZE_LIMIT // 2)})
        assert reply.kind == "OK"


async def test_a_broken_fragment_stream_from_many_clients_hurts_nobody(
    browser: Browser, notebook: Notebook, neighbour: Neighbour
) -> None:
    async with connected(browser, notebook) as view:
        for _ in range(20):
            socket = BokehSocket(await browser.socket(view.path, ["bokeh", view.page.token]))
            await socket.connection.write_message(json.dumps({"msgid": "1", "msgtype": "PATCH-DOC"}))
            await socket.cut()
        await neighbour()
        assert (await view.set("slider", "value", 3)).kind == "OK"


# Apps that raise


async def test_an_app_that_raises_twice_and_is_then_mended(
    browser: Browser, notebook: Notebook, neighbour: Neighbour
) -> None:
    broken = "def app(doc):\n    sliders(doc)\n    raise LookupError('where is the data?')\nshow(app)"
    cell = await notebook.run(broken, "cell-1")
    path = notebook.path_of(cell.view)
    for _ in range(2):
        page = await browser.page(path)
        if page.is_shell:
            async with browser.status(path, page.token) as status:
                told = await status.told("raised")
                assert "LookupError" in told["text"] and "where is the data?" in told["detail"]
        else:
            assert page.status == 500 and page.data("state") == "raised"
            assert "LookupError: where is the data?" in page.data("text")
            assert "raise LookupError" in page.data("detail")
            assert "bokehmount" not in page.data("detail"), "our own frames do not help a user"
        script = await browser.fetch(f"{path}/autoload.js?bokeh-autoload-element=e")
        assert script.code == 500
    assert "where is the data?" in cell.text
    async with connected(browser, notebook) as view:
        code, reason = await closes_with(browser, path, ["bokeh", view.page.token])
        assert code == 4500 and "LookupError" in reason
    await neighbour()
    mended = await notebook.run(broken.replace("    raise", "    return; raise"), "cell-1")
    assert notebook.path_of(mended.view) == path
    async with browser.view(path) as view:
        assert (await view.set("slider", "value", 3)).kind == "OK"


async def test_all_who_wait_for_an_app_that_raises_hear_of_it(browser: Browser, notebook: Notebook) -> None:
    cell = await notebook.run("def app(doc):\n    raise LookupError('no')\nshow(app)")
    path = notebook.path_of(cell.view)
    await notebook.start("import time\ntime.sleep(1)")
    page = await browser.page(path)
    assert page.is_shell
    token = page.token
    again = await browser.page(f"{path}?bokeh-token={token}")
    assert again.is_shell and again.token == token
    async with browser.status(path, token) as status:
        told = await status.told("raised")
        assert "LookupError: no" in told["text"]
    code, _ = await closes_with(browser, path, ["bokeh", token])
    assert code == 4500


async def test_an_app_that_exits_does_not_end_the_kernel(
    browser: Browser, notebook: Notebook, neighbour: Neighbour
) -> None:
    cell = await notebook.run("import sys\ndef app(doc):\n    sys.exit(3)\nshow(app)")
    page = await browser.final_page(notebook.path_of(cell.view))
    assert page.status == 500 and "SystemExit" in page.data("text")
    code = (
        "def app(doc):\n    sliders(doc)\n"
        "    doc.get_model_by_name('slider').on_change('value', lambda attr, old, new: sys.exit(4))"
    )
    async with shown(browser, notebook, f"{code}\nshow(app)") as view:
        assert (await view.set("slider", "value", 3)).kind == "OK"
        assert (await view.set("slider", "value", 4)).kind == "OK"
    await neighbour()
