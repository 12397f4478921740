"""What a test takes a value for, so that a wrong one fails where it comes from."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def the(kind: type[T], value: object) -> T:
    """The value, which must be of this kind."""
    assert isinstance(value, kind), f"{value!r} is no {kind.__name__}"
    return value
