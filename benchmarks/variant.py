"""Which app is served: how many models its Document holds and how many points its line has.  No imports of Bokeh."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Variant:
    """One size of the benchmark's app.  ``str()`` and ``parse`` carry it through command lines and cells."""

    models: int = 57
    points: int = 200

    @property
    def name(self) -> str:
        """The app's name in URLs."""
        return "bench" if self == BASE else f"bench-{self.models}-models-{self.points}-points"

    def __str__(self) -> str:
        return f"{self.models}x{self.points}"

    @classmethod
    def parse(cls, text: str) -> Variant:
        models, points = text.split("x")
        return cls(int(models), int(points))


BASE = Variant()
MODELS_1000 = Variant(models=1_057)
POINTS_100K = Variant(points=100_000)
STANDARD = (BASE, MODELS_1000, POINTS_100K)
