"""What a user gets from one ``pip install``: both packages, the server extension and the front end, all enabled."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SERVER_CONFIG = "etc/jupyter/jupyter_server_config.d/bokehmount.json"
FRONT_END = "share/jupyter/labextensions/bokehmount"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fresh_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but our wheel, which borrows the dependencies of the one that tests run in."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    # Python doesn't follow the .pth files of a borrowed folder, so an editable bokehmount there stays out of sight.
    own = run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(own) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_wheel_holds_both_packages_and_the_front_end_and_nothing_else(wheel: Path) -> None:
    data = f"bokehmount-{version_of_front_end()}.data/data"
    metadata = f"bokehmount-{version_of_front_end()}.dist-info"
    front_end = ROOT / "labextension/dist"
    expected = {
        *files_below(ROOT / "extension", "bokehmount_server"),
        *files_below(ROOT / "kernel_bridge", "bokehmount"),
        *(f"{data}/{FRONT_END}/{name}" for name in files_below(front_end, ".")),
        f"{data}/{FRONT_END}/install.json",
        f"{data}/{SERVER_CONFIG}",
        f"{metadata}/METADATA",
        f"{metadata}/RECORD",
        f"{metadata}/WHEEL",
        f"{metadata}/entry_points.txt",
        f"{metadata}/licenses/LICENSE",
    }

    assert names_in(wheel) == expected


def test_the_wheel_holds_a_release_build_of_the_front_end(wheel: Path) -> None:
    names = [name.split(f"{FRONT_END}/")[1] for name in names_in(wheel) if f"{FRONT_END}/" in name]

    assert {"package.json", "install.json", "static/style.js"} < set(names)
    assert sum(bool(re.fullmatch(r"static/remoteEntry\.\w+\.js", name)) for name in names) == 1
    assert not [name for name in names if name.endswith(".map") or "build_log" in name]


def test_the_wheel_has_the_version_of_the_front_end(wheel: Path) -> None:
    assert wheel.name == f"bokehmount-{version_of_front_end()}-py3-none-any.whl"


def test_the_sources_hold_all_that_the_makefile_and_the_tests_need(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path), cwd=ROOT)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    needed = {"Makefile", "tools/venv", "labextension/src/index.ts", "labextension/dist/package.json"}
    modules = [name for folder in ("benchmarks", "extension", "kernel_bridge", "tests") for name in modules_in(folder)]
    assert needed.union(modules) <= names
    assert not [name for name in names if name.startswith((".ci/", "benchmarks/out/"))]


def test_one_install_enables_the_server_extension(fresh_environment: Path) -> None:
    listed = ask(fresh_environment, "-m", "jupyter_server.extension.serverextension", "list")

    assert re.search(r"bokehmount \S*enabled", listed)
    assert re.search(rf"bokehmount {re.escape(version_of_front_end())} \S*OK", listed)


def test_one_install_enables_the_front_end(fresh_environment: Path) -> None:
    listed = ask(fresh_environment, "-m", "jupyterlab.labextensions", "list")

    version = re.escape(version_of_front_end())
    assert str(fresh_environment / "share/jupyter/labextensions") in listed
    assert re.search(rf"bokehmount v{version} \S*enabled\S* \S*OK\S* \(python, bokehmount\)", listed)


def test_an_administrator_sets_things_for_all_users_in_the_environment(fresh_environment: Path) -> None:
    settings = fresh_environment / "etc/jupyter/jupyter_server_config.py"
    settings.write_text("c.BokehMount.linger = 77\n")
    shown = ask(fresh_environment, "-m", "jupyter_server", "--allow-root", "--show-config-json")
    settings.unlink()

    assert '"linger": 77' in shown


def test_the_folders_of_the_repository_do_not_become_packages(fresh_environment: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('extension', 'kernel_bridge') if u.find_spec(n)])"

    assert ask(fresh_environment, "-c", code).strip() == "[]"


def ask(environment: Path, *arguments: str) -> str:
    """The output of that environment's Python, which reads no configuration but its own."""
    home = environment / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    return run(str(environment / "bin/python"), *arguments, cwd=home, env={**kept, "HOME": str(home), "NO_COLOR": "1"})


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}"
    return done.stdout


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files_below(root: Path, folder: str) -> list[str]:
    found = (path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [path.relative_to(root).as_posix() for path in found]


def modules_in(folder: str) -> list[str]:
    return [name for name in files_below(ROOT, folder) if name.endswith(".py") and "/out/" not in name]


def version_of_front_end() -> str:
    version = json.loads((ROOT / "labextension/package.json").read_text())["version"]
    assert isinstance(version, str)
    return version


def test_the_oldest_versions_that_are_tested_are_those_that_are_taken() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    taken = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    lines = (ROOT / "tests/oldest.txt").read_text().splitlines()
    tested = [Requirement(line) for line in lines if "==" in line]
    oldest = [
        wanted for wanted in tested if wanted.marker is None or wanted.marker.evaluate({"python_version": "3.11"})
    ]
    for wanted in oldest:
        version = str(wanted.specifier).removeprefix("==")
        assert any(re.match(rf"{wanted.name}>={re.escape(version)}(,|$)", wish) for wish in taken), wanted
    assert len(oldest) == len(project["dependencies"]) + 1  # and ipykernel
    for python in ("3.12", "3.13", "3.14"):  # the same packages, built for it
        chosen = [
            wanted for wanted in tested if not wanted.marker or wanted.marker.evaluate({"python_version": python})
        ]
        assert [wanted.name for wanted in chosen] == [wanted.name for wanted in oldest]
