"""That the scripts in tools/ run in old shells."""

from __future__ import annotations

import re
from pathlib import Path

TOOLS = Path(__file__).parents[1] / "tools"


def test_no_script_takes_an_empty_array_for_a_set_variable() -> None:
    """So it is since bash 4.4; macOS has 3.2."""
    for script in TOOLS.iterdir():
        assert not re.search(r'(?<!\+)"\$\{\w+\[@\]\}"', script.read_text()), script.name
