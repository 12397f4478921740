"""Pages get their files, and nothing that lies outside of their folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bokeh.embed.bundle import extension_dirs

from bokehmount.assets import _kept, bokehjs_version, read_asset, versioned


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An app's static folder, with secrets around it."""
    folder = tmp_path / "static"
    (folder / "sub").mkdir(parents=True)
    (folder / "style.css").write_text("body {}")
    (folder / "sub" / "module.mjs").write_text("export {}")
    (folder / "data.unknown").write_bytes(b"\0")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "static-too").mkdir()
    (tmp_path / "static-too" / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", folder / "link.txt")
    os.symlink(tmp_path, folder / "up")
    os.symlink(folder / "style.css", folder / "inside.css")
    return folder


OUTSIDE = [
    "../secret.txt",
    "sub/../../secret.txt",
    "..",
    "../static-too/secret.txt",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "%2e%2e%2fsecret.txt",
    "....//secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "link.txt",
    "up/secret.txt",
    "style.css\0",
    "\0",
    "a" * 5000,
    "sub",
    "",
    ".",
    "style.css/",
    "style.css/x",
    "missing.css",
    "..\\secret.txt",
    "file:///etc/passwd",
    "~/.bashrc",
    "\ud800",
]


@pytest.mark.parametrize("path", OUTSIDE, ids=ascii)
def test_nothing_outside_of_an_apps_folder_is_given_out(app: Path, path: str) -> None:
    found = read_asset(path, str(app))
    assert found is None or (path == "style.css/" and found.content == b"body {}")


def test_an_absolute_path_is_none(app: Path) -> None:
    assert read_asset(str(app.parent / "secret.txt"), str(app)) is None
    assert read_asset("/" + str(app / "style.css"), str(app)) is None


@pytest.mark.parametrize(
    "path",
    [
        "../../../LICENSE.txt",
        "js/../../../../__init__.py",
        "/etc/passwd",
        "extensions/../js",
        "extensions/x/y",
        "extensions//../../x",
        "extensions/none/../../../x",
    ],
)
def test_nothing_outside_of_bokehjs_is_given_out(path: str) -> None:
    assert read_asset(path) is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("style.css", "text/css"),
        ("sub/module.mjs", "text/javascript"),
        ("inside.css", "text/css"),
        ("data.unknown", "application/octet-stream"),
    ],
)
def test_an_apps_own_file_is_given_out_with_its_kind(app: Path, path: str, kind: str) -> None:
    asset = read_asset(path, str(app))
    assert asset is not None and asset.content == (app / path).read_bytes()
    assert asset.content_type == kind


def test_a_folder_behind_a_link_is_as_good_as_any(app: Path, tmp_path: Path) -> None:
    os.symlink(app, tmp_path / "linked")
    assert read_asset("style.css", str(tmp_path / "linked")) is not None
    assert read_asset("../secret.txt", str(tmp_path / "linked")) is None


def test_a_file_that_changes_gets_another_version(app: Path) -> None:
    before = read_asset("style.css", str(app))
    (app / "style.css").write_text("body { color: red }")
    os.utime(app / "style.css", ns=(1, 1))
    after = read_asset("style.css", str(app))
    assert before is not None and after is not None
    assert after.content.endswith(b"red }") and before.version != after.version


def test_bokehjs_is_there_and_its_address_names_its_content() -> None:
    asset = read_asset("js/bokeh.min.js")
    assert asset is not None and asset.content_type == "text/javascript" and len(asset.content) > 100_000
    assert versioned("js/bokeh.min.js") == f"js/bokeh.min.js?v={asset.version}"
    assert versioned("js/no-such.js") == "js/no-such.js"
    assert re.fullmatch(r"[0-9a-f]{16}", bokehjs_version())


def test_an_extensions_file_is_found_in_its_folder_only(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extension_dirs, "ours", app)
    asset = read_asset("extensions/ours/style.css")
    assert asset is not None and asset.content == b"body {}"
    assert read_asset("extensions/ours/../secret.txt") is None
    assert read_asset("extensions/ours/link.txt") is None
    assert read_asset("extensions/ours") is None


def test_what_an_app_serves_is_not_kept_in_memory(app: Path) -> None:
    before = _kept.cache_info().currsize
    for name in ("style.css", "sub/module.mjs"):
        assert read_asset(name, str(app)) is not None
    assert _kept.cache_info().currsize == before


COMPONENTS = """\
import sys
from pathlib import Path
from bokeh.document import Document
from panel import state
from panel.custom import JSComponent
from panel.reactive import ReactiveHTML
from panel.template import VanillaTemplate
from bokehmount.assets import read_asset

class Counter(JSComponent):
    _bundle = "counter.bundle.js"
    _stylesheets = ["sub/counter.css", ".a { color: teal }"]

class Page(VanillaTemplate):
    _css = [Path(__file__).parent / "components/page.css"]
    _resources = {"css": {"own": "own.css"}}

class Bare:
    _stylesheets = ["secret.css"]

secret = "secret.css"

def __getattr__(name):
    raise RuntimeError(f"a stranger has asked for {name}")

document = state.curdoc = Document()
state.rel_path = sys.argv[1]
assert state.rel_path == sys.argv[1]
for path in sys.stdin.read().split():
    asset = read_asset(f"components/{path}")
    print(path, None if asset is None else (asset.content.decode(), asset.content_type))
"""

LISTED = {
    "__main__/Counter/_bundle_path/counter.bundle.js": ("of counter.bundle.js", "text/javascript"),
    "__main__/Counter/_stylesheets/sub/counter.css": ("of counter.css", "text/css"),
    "__main__/Page/_css/components/page.css": ("of page.css", "text/css"),
    "__main__/Page/_resources/css/own.css": ("of own.css", "text/css"),
}

UNLISTED = [
    "__main__/Counter/_stylesheets/secret.css",
    "__main__/Counter/_stylesheets/sub/../secret.css",
    "__main__/Counter/_stylesheets/sub/../sub/counter.css",
    "__main__/Counter/_stylesheets//etc/passwd",
    "__main__/Counter/_css/sub/counter.css",
    "__main__/Counter/__doc__/x",
    "__main__/Counter/_stylesheets/",
    "__main__/Counter",
    "__main__/Bare/_stylesheets/secret.css",
    "__main__/secret/secret.css",
    "__main__/Missing/_stylesheets/secret.css",
    "__main__//_stylesheets/secret.css",
    "/Counter/_stylesheets/sub/counter.css",
    "never_imported/Counter/_stylesheets/sub/counter.css",
    "../components.py",
]


@pytest.mark.parametrize("way", ["", "../..", "https://proxy/components"])
def test_of_panels_components_there_are_the_files_that_they_name(tmp_path: Path, way: str) -> None:
    """Whichever way leads to the root from the page of a session that is at work meanwhile."""
    for name in ("counter.bundle.js", "sub/counter.css", "components/page.css", "own.css", "secret.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"of {Path(name).name}")
    script = tmp_path / "components.py"
    script.write_text(COMPONENTS)
    (tmp_path / "never_imported.py").write_text("print('a stranger has imported this')")
    command, paths = [sys.executable, str(script), way], "\n".join([*LISTED, *UNLISTED])
    run = subprocess.run(command, input=paths, capture_output=True, text=True, check=True)
    expected = [*(f"{path} {asset}" for path, asset in LISTED.items()), *(f"{path} None" for path in UNLISTED)]
    assert run.stdout.splitlines() == expected
