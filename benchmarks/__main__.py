"""Run it: ``python -m benchmarks``; a short look: ``--smoke``; how cost grows: ``--curves``.

The exit code is 1 when a workload did not run on one of our routes or on Bokeh's own server, whatever the times were;
a rival that breaks under a workload is a result and is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from benchmarks import curves, machine, plot, report
from benchmarks.cores import Cores, Role
from benchmarks.results import Results
from benchmarks.routes import ROUTES, SMOKE_ROUTES
from benchmarks.runner import Runner
from benchmarks.variant import STANDARD
from benchmarks.workload import FULL, SMOKE, Scale, Workload
from benchmarks.workloads import WORKLOADS

EVERYTHING = "all routes"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny counts, few routes: only whether everything runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help="these workloads: " + " ".join(names))
    parser.add_argument("--routes", nargs="+", metavar="NAME", choices=list(ROUTES), help="these: " + " ".join(ROUTES))
    parser.add_argument("--rounds", type=int, help="how often every route gets its turn (5; with --smoke 1)")
    parser.add_argument("--curves", action="store_true", help="growth curves instead of the workloads")
    parser.add_argument(
        "--wander", action="store_true", help="let processes change cores instead of keeping each on one"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="folder of results.json and the plot")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace, results: Results) -> None:
    """Measure what was asked for; a SIGTERM or Ctrl-C ends it early, with all processes ended and results kept."""
    measuring = asyncio.current_task()
    assert measuring is not None

    def end() -> None:
        if not measuring.cancelling():  # who asks twice still wants the processes ended
            measuring.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    scale: Scale = SMOKE if options.smoke else FULL
    rounds = options.rounds or (1 if options.smoke else 5)
    names = options.routes or (SMOKE_ROUTES if options.smoke else ROUTES)
    variants = curves.VARIANTS if options.curves else STANDARD
    cores = Cores(keep=not options.wander)
    cores.keep(os.getpid(), Role.CLIENT)
    runner = Runner([ROUTES[name](cores) for name in names], variants, results, restarts=not options.smoke)
    try:
        await runner.start()
        for workload in chosen(options):
            print(f"{workload.name}: {workload.about}", flush=True)
            await runner.measure(workload, rounds, scale)
    except asyncio.CancelledError:
        results.fail(EVERYTHING, "the rest", "interrupted")
    finally:
        await runner.stop()


def chosen(options: argparse.Namespace) -> list[Workload]:
    if options.curves:
        return list(curves.WORKLOADS)
    return [workload for workload in WORKLOADS if not options.only or workload.name in options.only]


def write(options: argparse.Namespace, results: Results, started: str, before: dict[str, object]) -> None:
    workloads = chosen(options)
    name = "curves" if options.curves else "results"
    options.out.mkdir(parents=True, exist_ok=True)
    about = {"started": started, "arguments": sys.argv[1:], "machine": before, "load_after": machine.describe()["load"]}
    metrics = [metric for workload in workloads for metric in workload.metrics]
    units = {
        metric.name: {"unit": metric.unit, "better": metric.better.value, "about": metric.about} for metric in metrics
    }
    document = {**about, "metrics": units, **results.as_json()}
    (options.out / f"{name}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    table = report.text(workloads, results)
    (options.out / f"{name}.txt").write_text(table)
    drawing = (
        plot.curves_svg([growth.curve(results) for growth in curves.GROWTHS])
        if options.curves
        else plot.metrics_svg(metrics, results)
    )
    (options.out / f"{name}.svg").write_text(drawing)
    print(f"\n{table}\nwritten: {options.out}/{name}.json, .txt and .svg")


def main() -> int:
    options = parse()
    started, clock, before = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic(), machine.describe()
    results = Results()
    asyncio.run(run(options, results))
    write(options, results, started, before)
    print(f"{time.monotonic() - clock:.0f} s; {len(results.failures)} did not run")
    return 1 if any(failure.route in (*SMOKE_ROUTES, EVERYTHING) for failure in results.failures) else 0


if __name__ == "__main__":
    sys.exit(main())
