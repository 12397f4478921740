"""What the scripts in tools/ say where something is missing, and that old shells run them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def build(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run `tools/labextension lint` where these programs say this, and no others are but the system's."""
    (folder / "labextension").mkdir()
    (folder / "bin").mkdir()
    for name, says in programs.items():
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\necho {says}\n")
        program.chmod(0o755)
    for name in ("bash", "sh"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return subprocess.run(
        ["bash", TOOLS / "labextension", "lint"],
        cwd=folder,
        env={"PATH": str(folder / "bin")},
        capture_output=True,
        text=True,
        timeout=20,
    )


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


def test_no_script_takes_an_empty_array_for_a_set_variable() -> None:
    """So it is since bash 4.4; macOS has 3.2."""
    for script in TOOLS.iterdir():
        assert not re.search(r'(?<!\+)"\$\{\w+\[@\]\}"', script.read_text()), script.name
