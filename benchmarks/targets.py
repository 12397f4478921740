"""The goals, as data: a ratio of medians, or a median, and its limit.  Shown, never enforced."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmarks.results import Results


class Verdict(Enum):
    """How a target stands."""

    MET = "met"
    MISSED = "missed"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Target:
    """``rival`` None means that the median itself has the limit."""

    metric: str
    ours: str
    rival: str | None
    at_most: float | None = None
    at_least: float | None = None

    def value(self, results: Results) -> float | None:
        if self.rival is not None:
            return results.ratio(self.metric, self.ours, self.rival)
        summary = results.summary(self.metric, self.ours)
        return summary.median if summary else None

    def verdict(self, results: Results) -> Verdict:
        value = self.value(results)
        if value is None:
            return Verdict.UNKNOWN
        low_enough = self.at_most is None or value <= self.at_most
        high_enough = self.at_least is None or value >= self.at_least
        return Verdict.MET if low_enough and high_enough else Verdict.MISSED

    @property
    def limit(self) -> str:
        limits = (("≤", self.at_most), ("≥", self.at_least))
        return " and ".join(f"{sign} {limit:.3g}" for sign, limit in limits if limit is not None)


KERNEL, KERNEL_RIVAL = "ours-kernel", "stock-kernel-nodelay"
SERVER, SERVER_RIVAL = "ours-server", "stock-server-nodelay"

TARGETS = (
    Target("round_trip", KERNEL, KERNEL_RIVAL, at_most=0.8),
    Target("round_trip", KERNEL, "jsp", at_most=1 / 50),
    Target("round_trip_1000_models", KERNEL, KERNEL_RIVAL, at_most=0.3),
    Target("round_trip_100k_points", KERNEL, KERNEL_RIVAL, at_most=0.65),
    Target("round_trip", SERVER, SERVER_RIVAL, at_most=0.55),
    Target("round_trip_1000_models", SERVER, SERVER_RIVAL, at_most=0.25),
    Target("round_trip_100k_points", SERVER, SERVER_RIVAL, at_most=0.4),
    Target("stream_rows_per_s", KERNEL, KERNEL_RIVAL, at_least=10),
    Target("stream_rows_per_s", SERVER, SERVER_RIVAL, at_least=10),
    Target("stream_rows_lost", KERNEL, None, at_most=0),
    Target("stream_rows_misplaced", KERNEL, None, at_most=0),
    Target("cell_rows_per_s", KERNEL, KERNEL_RIVAL, at_least=10),
    Target("cell_rows_lost", KERNEL, None, at_most=0),
    Target("cell_rows_misplaced", KERNEL, None, at_most=0),
    Target("arrays_mb_per_s", KERNEL, KERNEL_RIVAL, at_least=2.3),
    Target("arrays_mb_per_s", SERVER, SERVER_RIVAL, at_least=2.3),
    Target("fan_out_patches_per_s", KERNEL, KERNEL_RIVAL, at_least=5),
    Target("fan_out_patches_per_s", SERVER, SERVER_RIVAL, at_least=9),
    Target("sessions_per_s", KERNEL, KERNEL_RIVAL, at_least=1.3),
    Target("sessions_at_once_per_s", KERNEL, KERNEL_RIVAL, at_least=1.3),
    Target("sessions_per_s", SERVER, SERVER_RIVAL, at_least=1.3),
    Target("sessions_at_once_per_s", SERVER, SERVER_RIVAL, at_least=1.3),
    Target("memory_per_session", KERNEL, KERNEL_RIVAL, at_most=1),
    Target("memory_per_session", SERVER, SERVER_RIVAL, at_most=1),
    Target("page_idle", KERNEL, KERNEL_RIVAL, at_most=1),
    Target("busy_ping", KERNEL, None, at_most=10),
    Target("busy_static", KERNEL, None, at_most=20),
    Target("busy_page", KERNEL, None, at_most=100),
    Target("busy_clicks", KERNEL, None, at_least=1, at_most=1),
    Target("slow_reader_others_kept", KERNEL, None, at_least=90),
    Target("slow_reader_others_kept", SERVER, None, at_least=90),
    Target("slow_reader_equal", KERNEL, None, at_least=100),
    Target("slow_reader_equal", SERVER, None, at_least=100),
    Target("import_bokehmount", KERNEL, None, at_most=50),
    Target("load_ext", KERNEL, None, at_most=30),
)
