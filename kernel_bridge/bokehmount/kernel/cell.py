"""Which cell runs now.  Imports nothing: ``%load_ext`` asks."""

from __future__ import annotations

from typing import Any

__all__ = ("cell_of",)


def cell_of(shell: Any) -> dict[str, Any]:
    """The request of the cell that runs now; empty outside of a kernel, and where work belongs to no cell."""
    get_parent = getattr(shell, "get_parent", None)
    try:
        parent = get_parent() if get_parent is not None else None
    except LookupError:  # ipykernel 7.0 has no answer for work that belongs to no cell
        parent = None
    return dict(parent) if parent else {}
