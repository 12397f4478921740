"""Settings of the tests that need no server and no kernel."""

from __future__ import annotations

from hypothesis import Phase, settings

# how long an example takes depends on who else uses the machine; explaining a failure takes longer than finding it
settings.register_profile(
    "bokehmount", deadline=None, max_examples=60, database=None, phases=(Phase.explicit, Phase.generate, Phase.shrink)
)
settings.load_profile("bokehmount")
