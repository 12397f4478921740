"""Results as SVG: a panel for each metric with a dot at the median and a bar from p10 to p90, and growth curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.report import OURS, number
from benchmarks.results import Results, Summary
from benchmarks.workload import Metric

WIDTH, LABELS, VALUES, ROW, HEAD, GAP = 860, 190, 90, 20, 40, 24
OUR_COLOUR, RIVAL_COLOUR, INK, FAINT = "#b5312c", "#44678c", "#222222", "#dddddd"
CURVE_COLOURS = ("#b5312c", "#44678c", "#3f7f4f", "#8b6bb0", "#c08a2d", "#5b5b5b", "#2a9d9d", "#a8577e", "#7a7a2a")
CURVE_HEIGHT = 260


def document(body: Iterable[str], height: float) -> str:
    style = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" {style}>'
    return "\n".join((head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>\n"))


def label(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def dot(x: float, y: float, colour: str, radius: float = 4.5) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def log_scale(values: Iterable[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """From a value to its place between start and end (px), and the powers of ten between."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high = max(high, low + 1)

    def place(value: float) -> float:
        exponent = math.log10(value) if value > 0 else low
        return start + (exponent - low) / (high - low) * (end - start)

    return place, [10.0**exponent for exponent in range(low, high + 1)]


def metric_panel(metric: Metric, summaries: dict[str, Summary], top: float) -> list[str]:
    left, right = LABELS + 10, WIDTH - VALUES
    place, ticks = log_scale((v for s in summaries.values() for v in (s.p10, s.median, s.p90)), left, right)
    bottom = top + HEAD + ROW * len(summaries)
    title = f"{metric.name} ({metric.unit}, {metric.better.value} is better)"
    parts = [label(10, top + 14, title, bold=True), label(10, top + 29, metric.about, colour="#666666")]
    for tick in ticks:
        parts.append(line(place(tick), top + HEAD - 4, place(tick), bottom, FAINT))
        parts.append(label(place(tick), bottom + 11, number(tick), anchor="middle", colour="#888888"))
    for row, (route, summary) in enumerate(summaries.items()):
        y = top + HEAD + ROW * (row + 0.5)
        colour = OUR_COLOUR if route in OURS else RIVAL_COLOUR
        parts.append(label(LABELS, y + 4, route, anchor="end", colour=colour))
        parts.append(line(place(summary.p10), y, place(summary.p90), y, colour, 3))
        parts.append(dot(place(summary.median), y, colour))
        parts.append(label(WIDTH - VALUES + 12, y + 4, number(summary.median), colour=colour))
    return parts


def metrics_svg(metrics: Sequence[Metric], results: Results) -> str:
    body: list[str] = []
    top = 10.0
    for metric in metrics:
        found = {
            route: summary for route in results.routes(metric.name) if (summary := results.summary(metric.name, route))
        }
        if any(summary.median for summary in found.values()):  # all zero, such as lost rows, says it in the table
            body.extend(metric_panel(metric, found, top))
            top += HEAD + ROW * len(found) + GAP
    return document(body, top)


@dataclass(frozen=True)
class Curve:
    """How one metric grows along one axis: by route, (position, median) pairs."""

    title: str
    axis: str
    unit: str
    lines: dict[str, list[tuple[float, float]]]


def curve_panel(curve: Curve, top: float, colours: dict[str, str]) -> list[str]:
    left, right, high, low = 60.0, WIDTH - LABELS - 10.0, top + 30, top + CURVE_HEIGHT - 40
    points = [point for line_points in curve.lines.values() for point in line_points]
    place_x, ticks_x = log_scale((x for x, _ in points), left, right)
    place_y, ticks_y = log_scale((y for _, y in points), low, high)
    parts = [label(10, top + 14, f"{curve.title} ({curve.unit}) against {curve.axis}", bold=True)]
    for tick in ticks_x:
        parts.append(line(place_x(tick), high, place_x(tick), low, FAINT))
        parts.append(label(place_x(tick), low + 14, number(tick), anchor="middle", colour="#888888"))
    for tick in ticks_y:
        parts.append(line(left, place_y(tick), right, place_y(tick), FAINT))
        parts.append(label(left - 6, place_y(tick) + 4, number(tick), anchor="end", colour="#888888"))
    for position, (route, line_points) in enumerate(curve.lines.items()):
        colour = colours[route]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in line_points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(dot(place_x(x), place_y(y), colour, 3) for x, y in line_points)
        parts.append(label(right + 16, high + 10 + 17 * position, route, colour=colour))
    return parts


def curves_svg(curves: Sequence[Curve]) -> str:
    routes = dict.fromkeys(route for curve in curves for route in curve.lines)
    colours = dict(zip(routes, itertools.cycle(CURVE_COLOURS), strict=False))
    body = [
        part
        for position, curve in enumerate(curves)
        for part in curve_panel(curve, 10.0 + CURVE_HEIGHT * position, colours)
    ]
    return document(body, 10.0 + CURVE_HEIGHT * len(curves))
