"""For all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _what_a_test_drops_is_collected_in_it(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that may drop what warns of that, as a client's socket, leaves none for a later test that may not."""
    yield
    if any("PytestUnraisable" in str(mark.args) for mark in request.node.iter_markers("filterwarnings")):
        gc.collect()
