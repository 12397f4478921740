"""What the scripts in tools/ say where something is missing, and that old shells run them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def program(path: Path, does: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a script of tools/ in a folder where no programs are but those in its bin/ and a few of the system's."""
    for name in ("bash", "sh", "cat", "ln", "mkdir", "rm"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return subprocess.run(
        ["bash", TOOLS / command[0], *command[1:]],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        timeout=20,
    )


def build(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run `tools/labextension lint` where these programs say this."""
    (folder / "labextension").mkdir()
    for name, says in programs.items():
        program(folder / "bin" / name, f"echo {says}")
    return run(folder, "labextension", "lint")


@pytest.mark.parametrize("version", ["20.19.0", "20.20.2", "22.12.0", "23.0.1", "24.1.0"])
def test_the_front_end_is_built_with_a_node_that_its_bundler_takes(version: str, tmp_path: Path) -> None:
    built = build(tmp_path, node=version, npm="10", jlpm='"$@"')
    assert (built.stdout, built.stderr) == ("lint\n", "")


@pytest.mark.parametrize("version", ["12.22.9", "18.20.4", "20.18.3", "21.7.3", "22.11.0"])
def test_a_node_that_is_too_old_is_named_before_anything_is_built(version: str, tmp_path: Path) -> None:
    built = build(tmp_path, node=version, npm="10", jlpm="built")
    assert built.returncode == 1 and built.stdout == ""
    assert (
        f"Found here: Node.js {version}, " in built.stderr and "20.19" in built.stderr and "nodejs.org" in built.stderr
    )


def test_a_machine_without_node_or_npm_is_told_how_to_get_them(tmp_path: Path) -> None:
    for name, programs in (("node", {"npm": "10"}), ("npm", {"node": "24.1.0"})):
        (tmp_path / name).mkdir()
        built = build(tmp_path / name, jlpm="built", **programs)
        assert built.returncode == 1 and "none" in built.stderr and "brew install node" in built.stderr


def test_the_newest_bokeh_is_tried_where_tests_run_anyway_if_their_python_takes_it(tmp_path: Path) -> None:
    program(tmp_path / ".venv/bin/python", "exit 0")
    program(tmp_path / "bin/python3.13", "exit 0")
    assert run(tmp_path, "newest").returncode == 0
    assert (tmp_path / ".tools/newest").samefile(tmp_path / ".venv")


def test_the_newest_bokeh_is_tried_with_a_newer_python_that_is_there(tmp_path: Path) -> None:
    program(tmp_path / ".venv/bin/python", "exit 1")
    program(tmp_path / "bin/python3.13", "exit 127")  # as pyenv's is for a version that is not chosen
    program(tmp_path / "bin/python3.12", 'if [ "$1" = -m ]; then mkdir -p "$3"; fi')
    program(tmp_path / "tools/install", 'echo "$VENV gets $1"')
    made = run(tmp_path, "newest")
    assert (made.returncode, made.stdout) == (0, ".tools/newest gets test\n")
    assert (tmp_path / ".tools/newest").is_dir()


def test_a_machine_with_no_python_for_the_newest_bokeh_is_told_how_to_get_one(tmp_path: Path) -> None:
    program(tmp_path / ".venv/bin/python", "exit 1")
    (tmp_path / "bin").mkdir()
    tried = run(tmp_path, "newest")
    assert tried.returncode == 1 and "3.12 or newer" in tried.stderr and "pyenv install" in tried.stderr


def test_no_script_takes_an_empty_array_for_a_set_variable() -> None:
    """So it is since bash 4.4; macOS has 3.2."""
    for script in TOOLS.iterdir():
        assert not re.search(r'(?<!\+)"\$\{\w+\[@\]\}"', script.read_text()), script.name
