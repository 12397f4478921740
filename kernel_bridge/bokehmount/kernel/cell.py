"""Which cell runs now, as output is told.  Imports nothing: ``%load_ext`` asks."""

from __future__ import annotations

from typing import Any

__all__ = ("cell_of", "set_cell")


def cell_of(shell: Any) -> dict[str, Any]:
    """The request of the cell that runs now; empty outside of a kernel, and where work belongs to no cell."""
    get_parent = getattr(shell, "get_parent", None)
    try:
        parent = get_parent() if get_parent is not None else None
    except LookupError:  # ipykernel 7.0 has no answer for work that belongs to no cell
        parent = None
    return dict(parent) if parent else {}


def set_cell(shell: Any, request: dict[str, Any]) -> None:
    """Have output go to the cell of this request; but ``%%capture`` keeps what it has."""
    if hasattr(shell.display_pub, "set_parent"):
        shell.set_parent(request)
