"""Called when the server and its sessions come and go, and with each request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def note(word: str) -> None:
    if "HOOKS_FILE" in os.environ:
        with Path(os.environ["HOOKS_FILE"]).open("a") as file:
            file.write(word + "\n")


def on_server_loaded(server_context: Any) -> None:
    note("loaded")


def on_server_unloaded(server_context: Any) -> None:
    note("unloaded")


def on_session_created(session_context: Any) -> None:
    note("created")


def on_session_destroyed(session_context: Any) -> None:
    note("destroyed")


def process_request(request: Any) -> dict[str, Any]:
    return {"fruit": "kiwi"}
