"""Results as text: a table for each workload, ratios of our medians to the rivals', and the targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.results import Results
from benchmarks.targets import TARGETS
from benchmarks.workload import Metric, Workload

OURS = ("ours-kernel", "ours-server")
NOTHING = "-"


def number(value: float | None) -> str:
    """Three digits that count, and no exponent."""
    if value is None:
        return NOTHING
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width) for position, (cell, width) in enumerate(pairs)
        )
        for pairs in (zip(row, widths, strict=True) for row in rows)
    )
    return "\n".join(f"  {line}".rstrip() for line in lines)


def metric_table(metric: Metric, results: Results) -> str:
    """One row a route: median, spread, and our medians over this one's."""
    ours = [name for name in OURS if results.summary(metric.name, name)]
    rows = [[metric.name, f"median {metric.unit}", "p10", "p90", "n", *(f"{name} ÷ this" for name in ours)]]
    for route in results.routes(metric.name):
        if summary := results.summary(metric.name, route):
            ratios = ["" if name == route else number(results.ratio(metric.name, name, route)) for name in ours]
            spread = [number(summary.median), number(summary.p10), number(summary.p90), str(summary.count)]
            rows.append([f"  {route}", *spread, *ratios])
    note = (
        f"  {metric.about}; {metric.better.value} is better" if metric.about else f"  {metric.better.value} is better"
    )
    return f"{aligned(rows)}\n{note}"


def targets_table(results: Results) -> str:
    rows = [["target", "ours", "beside", "limit", "measured", ""]]
    for target in TARGETS:
        if target.ours in results.routes(target.metric):
            value, verdict = number(target.value(results)), target.verdict(results).value
            rows.append([target.metric, target.ours, target.rival or NOTHING, target.limit, value, verdict])
    return aligned(rows) if rows[1:] else ""


def sections(workloads: Iterable[Workload], results: Results) -> Iterator[str]:
    for workload in workloads:
        tables = [metric_table(metric, results) for metric in workload.metrics if results.routes(metric.name)]
        if tables:
            yield f"{workload.name}: {workload.about}\n\n" + "\n\n".join(tables)
    if table := targets_table(results):
        yield f"Goals (ratios of medians ours ÷ beside; medians where there is no beside)\n\n{table}"
    if results.stolen:
        yield f"Of the cores' time the host took {sum(results.stolen) / len(results.stolen):.1%}, and " + (
            f"{max(results.stolen):.0%} in the worst of {len(results.stolen)} measurements."
        )
    if results.failures:
        yield "Did not run\n\n" + "\n".join(f"  {failure}" for failure in results.failures)


def text(workloads: Iterable[Workload], results: Results) -> str:
    return "\n\n\n".join(sections(workloads, results)) + "\n"
