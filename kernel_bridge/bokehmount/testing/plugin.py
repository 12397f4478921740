"""The fixtures.  pytest loads this module in every run, so it imports nothing but pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .notebook import RunningNotebook
    from .server import JupyterServer


@pytest.fixture(scope="session")
def bokehmount_server_args() -> list[str]:
    """More command line arguments for the Jupyter server; override it in your conftest.py."""
    return []


@pytest.fixture(scope="session")
def bokehmount_server(
    bokehmount_server_args: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """A real Jupyter server with bokehmount, started when the first test asks for it; all tests share it."""
    from .server import JupyterServer

    with JupyterServer(tmp_path_factory.mktemp("jupyter"), bokehmount_server_args) as server:
        yield server


@pytest.fixture
def run_notebook(
    bokehmount_server: JupyterServer, request: pytest.FixtureRequest
) -> Iterator[Callable[..., RunningNotebook]]:
    """Runs a notebook on a kernel of the server: ``run_notebook("waves.ipynb")``; the kernel ends with the test.

    A path is relative to the test's own folder.  Other arguments are those of `RunningNotebook.run`.
    """
    from .notebook import RunningNotebook

    with ExitStack() as kernels:

        def run(notebook: Any, **options: Any) -> RunningNotebook:
            if isinstance(notebook, str | Path):
                notebook = request.path.parent / notebook
            return kernels.enter_context(RunningNotebook.run(bokehmount_server, notebook, **options))

        yield run
