"""What a session sends, whatever interrupts it."""

from __future__ import annotations

import signal

import pytest
from bokeh.document import Document

from bokehmount.sending import Sending


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such clock")
def test_an_interrupt_at_any_moment_lets_later_changes_be_sent() -> None:
    sending = Sending(Document(), lambda flush: None)
    armed = False

    def interrupt(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    def is_interrupted_after(seconds: float) -> None:
        nonlocal armed
        with pytest.raises(KeyboardInterrupt):
            armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            while True:
                sending.flush()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for moment in range(100):
            is_interrupted_after(1e-4 + moment * 1e-6)
            assert not sending._mutex.locked(), "the next change would wait for ever"
    finally:
        signal.signal(signal.SIGALRM, before)
