"""The carrier that other tests use keeps the contract that the real ones keep."""

from __future__ import annotations

import asyncio

from .carrier_contract import Inbox, JoinedEnd, check_carrier
from .memory_carrier import joined


def test_two_ends_joined_in_memory_are_a_carrier() -> None:
    async def main() -> None:
        ends = []
        for carrier in joined(asyncio.get_running_loop()):
            carrier.receiver = inbox = Inbox()
            ends.append(JoinedEnd(carrier, inbox))
        await check_carrier(*ends)

    asyncio.run(main())
