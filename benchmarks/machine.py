"""On what, and with which versions, a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.processes import REPOSITORY

PACKAGES = ("bokehmount", "bokeh", "panel", "jupyter_server", "jupyter_server_proxy", "ipykernel", "tornado", "pyzmq")


TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds: what the system counts times in."""


def stolen_seconds() -> float:
    """What the host of this virtual machine has given to others of the time that the cores had work; 0 on no host."""
    first, *_ = Path("/proc/stat").read_text().splitlines()  # of all cores; see proc_stat(5)
    return TICK * int(first.split()[8])


def describe() -> dict[str, object]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in (*PACKAGES, "numpy", "orjson")},
        "commit": _commit(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
