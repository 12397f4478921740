"""Behind a real JupyterHub: URLs, logins, tokens, who may see what, activity, and proxies that cut connections."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from tornado.httpclient import HTTPClientError

from bokehmount.testing import RunningNotebook, View, ViewClosed, Visitor

from ..waves import SETUP, notebook
from .conftest import ODD_NAMES
from .hub import Hub, HubUser, Login, Wire

pytestmark = pytest.mark.timeout(240)

CORS = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}


def app_path(running: RunningNotebook) -> str:
    return f"bokeh/kernels/{running.kernel_id}/waves"


def refusal(visitor: Visitor, path: str, *subprotocols: str) -> HTTPClientError:
    """What the server says to a WebSocket that it does not want."""
    with pytest.raises(HTTPClientError) as caught:
        visitor.open(path, subprotocols)
    return caught.value


def test_a_logged_in_browser_sees_the_app_through_the_proxy(alice: HubUser, waves: RunningNotebook) -> None:
    assert urlsplit(alice.url).path == "/hub-prefix/user/alice/"
    with waves.open() as view:
        view.set("slider", value=3)
        np.testing.assert_allclose(view["source"].data["y"], np.sin(3 * np.linspace(0, 10, 200)))
        files = [word for word in view.page.split('"') if "?v=" in word]
        assert files and all(file.startswith("/hub-prefix/user/alice/bokeh/") for file in files), files


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_user_name_that_is_encoded_in_the_url(people: dict[str, HubUser], name: str) -> None:
    user = people[name]
    assert urlsplit(user.url).path.startswith("/hub-prefix/user/")
    with RunningNotebook.run(user, notebook(SETUP)) as running, running.open() as view:
        view.set("slider", value=2)
        np.testing.assert_allclose(view["source"].data["y"][1], np.sin(2 * 10 / 199))
        assert [app["app"] for app in json.loads(user.script().get("bokeh/api/apps").body)["apps"]] == ["/waves"]
        user.api("GET", "status")
        running.execute("handle.close()")


def test_a_script_logs_in_with_a_token_in_a_header(alice: HubUser, waves: RunningNotebook) -> None:
    with waves.open(visitor=alice.script()) as view:
        view.set("slider", value=5)
        assert view["slider"].value == 5
    nobody = Visitor(alice.background, alice.url)
    said = refusal(nobody, f"{app_path(waves)}/ws?token={alice.token}", "bokeh", view.token)
    assert said.code == 403
    assert said.message == "The token in the URL was not accepted: send it in a header, as Authorization: token ..."


def test_the_hub_refuses_requests_of_scripts_in_pages_without_an_xsrf_token(
    alice: HubUser, waves: RunningNotebook
) -> None:
    """The rule that our pages live with: what they need comes by navigation, script elements and WebSockets."""
    visitor = alice.visitor()
    assert visitor.get("bokeh/api/apps").code == 200
    assert visitor.get(app_path(waves), CORS).code in (302, 403)
    assert visitor.get("bokeh/api/apps", CORS).code in (302, 403)


def test_modules_and_fonts_of_packages_need_a_login_and_no_xsrf_token(
    alice: HubUser, bob: HubUser, waves: RunningNotebook
) -> None:
    """A browser asks for what a module imports as it does for what a script reads, and nothing can add a token."""
    kernel = f"bokeh/kernels/{waves.kernel_id}"
    refused = (302, 403)
    for owner, other, site, app in ((alice, bob, kernel, f"{kernel}/waves"), (bob, alice, "bokeh", "bokeh/hosted")):
        login, his = Login(owner), Visitor(owner.background, owner.url, Login(other).visitor().headers)

        def asked(path: str, headers: Mapping[str, str], login: Login = login) -> int:
            return int(login.visitor().get(path, headers).code)  # which has no cookies yet of an earlier refusal

        module = {**CORS, "Sec-Fetch-Dest": "script"}
        file = f"{site}/static/js/bokeh.min.js"
        assert asked(file, module) == asked(file, {}) == 200
        assert asked(file, {**module, "Sec-Fetch-Site": "same-site"}) in refused, "another user's domain"
        assert asked(file, {**module, "Sec-Fetch-Site": "cross-site"}) in refused
        assert his.get(file, module).code in refused
        assert Visitor(owner.background, owner.url).get(file, module).code in refused
        assert login.visitor().ask("POST", file, headers=module).code in (*refused, 405)
        assert asked(app, module) in refused
        for own in (f"{app}/static/notes.js", f"{site}/components/mine/Own/_bundle_path/own.js"):
            assert asked(own, {}) in (200, 404)
            assert asked(own, module) in refused, "what may be a user's own code"
        assert asked(f"{site}/static/components/mine/Own/_bundle_path/own.js", module) in refused


def test_what_needs_no_xsrf_token_never_names_the_servers_own_token(
    alice: HubUser, bob: HubUser, waves: RunningNotebook
) -> None:
    """Jupyter's error page does, for its scripts; and users share an origin, so that others' pages could read it."""
    kernel = f"bokeh/kernels/{waves.kernel_id}"
    for owner, site in ((alice, kernel), (bob, "bokeh"), (alice, "bokeh/kernels/none-such")):
        login = Login(owner)
        for none_such in ("js/none.js", "extensions/none/none.js", "js/..%2f..%2fnone.js", "js"):
            for headers in (CORS, {}):
                said = login.visitor().get(f"{site}/static/{none_such}", headers)
                assert said.code == 404 and said.body.startswith(b"404: ")
                assert b"api-token" not in said.body
        assert b"api-token" in login.visitor().get("bokeh/none-such").body, "which is why"
        assert b"api-token" not in login.visitor().get("bokeh/none-such", CORS).body


def test_nobody_reaches_somebody_elses_app(alice: HubUser, bob: HubUser, waves: RunningNotebook) -> None:
    with waves.open() as view:
        session_id = waves.execute("print(handle.sessions[-1].id)").strip()
        static = next(word for word in view.page.split('"') if "/static/js/bokeh.min.js" in word)
        path = app_path(waves)
        at_alice = Login(bob, at=alice)
        assert at_alice.landed.status_code == 403, "the hub itself says no"
        intruders = {
            "his cookies": Visitor(alice.background, alice.url, at_alice.visitor().headers),
            "his own server's cookies": Visitor(alice.background, alice.url, Login(bob).visitor().headers),
            "his token": Visitor(alice.background, alice.url, {"Authorization": f"token {bob.token}"}),
            "nothing": Visitor(alice.background, alice.url),
        }
        waves.execute("before = len(calls), {session.id for session in handle.sessions}")
        for who, intruder in intruders.items():
            asked = [
                path,
                f"{path}?{urlencode({'bokeh-token': view.token})}",
                f"{path}?{urlencode({'bokeh-session-id': session_id})}",
                f"{path}/autoload.js?bokeh-autoload-element=x",
                f"{path}/metadata",
                static,
                "bokeh/view/view.js",
                "bokeh/api/apps",
            ]
            for url in asked:
                answer = intruder.get(url)
                assert answer.code in (302, 403), f"{who}: {url}: {answer.code}"
                assert b"docs_json" not in answer.body and session_id.encode() not in answer.body
            ended = intruder.ask("DELETE", f"bokeh/api/kernels/{waves.kernel_id}/apps/waves")
            assert ended.code in (302, 403), f"{who}: {ended.code}"
            for subprotocol in ("bokeh", "bokehmount"):
                assert refusal(intruder, f"{path}/ws", subprotocol, view.token).code == 403, who
        made = "len(calls) - before[0], {session.id for session in handle.sessions} - before[1]"
        assert waves.execute(f"print({made})").strip() == "0 set()", "sessions of tests before may end meanwhile"

        # alice's session token opens nothing on bob's own server, where he is somebody
        on_his_own = bob.script()
        alice.hub.until(lambda: on_his_own.get("bokeh/api/apps").code == 200, "the hub to know bob's token")
        assert on_his_own.get(f"{path}?{urlencode({'bokeh-token': view.token})}").code == 404
        socket = on_his_own.open(f"{path}/ws", ["bokeh", view.token])
        assert getattr(socket.receive(10), "code", None) in (4401, 4404)
        view.round_trip()


def test_an_app_may_stand_in_a_frame_of_who_knows_the_xsrf_token(
    alice: HubUser, bob: HubUser, waves: RunningNotebook
) -> None:
    """The hub's servers forbid all frames, as users share an origin; a cell's view is one."""
    login = Login(alice)
    visitor, path, known = login.visitor(), app_path(waves), login.xsrf

    def policy(url: str, headers: Mapping[str, str] = {}, who: Visitor = visitor) -> str:
        return who.get(url, headers).headers["Content-Security-Policy"]

    for page in (path, path.replace("waves", "nothing")):
        assert "frame-ancestors 'self'" in policy(f"{page}?{urlencode({'_xsrf': known})}"), page
    for referer in (f"{alice.url}lab/tree/waves.ipynb", f"{bob.url}lab", ""):  # any page can change its address
        assert "frame-ancestors 'none'" in policy(path, {"Referer": referer}), referer
    for wrong in ("", "x", "2|00000000||0", "2|", known[:-1], Login(bob).xsrf, Login(alice).xsrf):
        assert "frame-ancestors 'none'" in policy(f"{path}?{urlencode({'_xsrf': wrong})}"), wrong
    # nor does a cookie prove anything that somebody else put there
    forged = {"Cookie": f"{visitor.headers['Cookie'].replace(known, 'x')}"}
    assert "frame-ancestors 'none'" in policy(f"{path}?_xsrf=x", forged)
    for url in (path, f"{path}?_xsrf=x"):
        assert "frame-ancestors 'none'" in policy(url, who=alice.script()), "an API token is not asked for it"
    for other in ("bokeh", "bokeh/api/apps", f"{path}/metadata", f"bokeh/kernels/{waves.kernel_id}/static/js/bokeh.js"):
        assert "frame-ancestors 'none'" in policy(f"{other}?{urlencode({'_xsrf': known})}"), other


def test_a_page_of_another_origin_opens_no_websocket(alice: HubUser, waves: RunningNotebook) -> None:
    visitor = alice.visitor()
    with waves.open() as view, pytest.raises(HTTPClientError) as caught:
        visitor.open(f"{app_path(waves)}/ws", ["bokeh", view.token], {"Origin": "http://evil.example"})
    assert caught.value.code == 403


def test_logged_out_is_out(alice: HubUser, waves: RunningNotebook) -> None:
    login = Login(alice)
    with waves.open(visitor=login.visitor()) as view:
        login.logout()
        after = login.visitor()
        assert after.get(app_path(waves)).code == 302
        for subprotocol in ("bokeh", "bokehmount"):
            assert refusal(after, f"{app_path(waves)}/ws", subprotocol, view.token).code == 403


def test_a_proxy_that_cuts_idle_connections_keeps_the_session(alice: HubUser, waves: RunningNotebook, hub: Hub) -> None:
    """Its limit is far below our 25 s between pings here, so that it does cut; those of 60 s see a ping in time."""
    with Wire(hub.port, idle=4.0) as wire:
        near = alice.url.replace(str(hub.port), str(wire.port))
        visitor = Visitor(alice.background, near, {"Authorization": f"token {alice.token}"})
        with View(visitor, app_path(waves)) as view:
            calls = waves.execute("len(calls)")
            waves.execute("handle.documents[-1].get_model_by_name('slider').value = 4")
            # nothing is said for longer than the proxy bears; whoever is cut comes back
            time.sleep(5.5)
            assert wire.cuts
            with pytest.raises(ViewClosed):
                view.round_trip()
            view.reconnect()
            assert view["slider"].value == 4
            assert waves.execute("len(calls)") == calls


def test_a_dropped_connection_finds_its_session_with_what_happened_meanwhile(
    alice: HubUser, waves: RunningNotebook, hub: Hub
) -> None:
    with Wire(hub.port) as wire:
        near = alice.url.replace(str(hub.port), str(wire.port))
        visitor = Visitor(alice.background, near, {"Authorization": f"token {alice.token}"})
        with View(visitor, app_path(waves)) as view:
            view.set("slider", value=6)
            calls = waves.execute("len(calls)")
            wire.cut()
            with pytest.raises(ViewClosed):
                view.round_trip()
            waves.execute(
                "source = handle.documents[-1].get_model_by_name('source')\n"
                "source.data = {'x': np.arange(1000.0), 'y': np.arange(1000.0) ** 2}"
            )
            view.reconnect()
            assert view["slider"].value == 6
            np.testing.assert_array_equal(view["source"].data["y"], np.arange(1000.0) ** 2)
            assert waves.execute("len(calls)") == calls, "the app did not run again"
