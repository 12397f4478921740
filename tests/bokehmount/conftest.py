"""Settings of the tests that need no server and no kernel."""

from __future__ import annotations

from hypothesis import settings

# how long an example takes depends on who else uses the machine
settings.register_profile("bokehmount", deadline=None, max_examples=60, database=None)
settings.load_profile("bokehmount")
