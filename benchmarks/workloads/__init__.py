"""All workloads, in the order in which they run: those that need fresh processes last."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import busy, imports, memory, round_trip, sessions, sharing, streaming

WORKLOADS: tuple[Workload, ...] = (
    *round_trip.WORKLOADS,
    *streaming.WORKLOADS,
    sharing.FAN_OUT,
    *sessions.WORKLOADS,
    busy.BUSY_KERNEL,
    imports.IMPORT_TIME,
    sharing.SLOW_READER,
    memory.MEMORY_PER_SESSION,
)
