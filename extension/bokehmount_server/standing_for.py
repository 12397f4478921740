"""Classes that stand for Bokeh's own, whose values a Document makes."""

from __future__ import annotations

__all__ = ("StandsForBokehs",)


class StandsForBokehs(type):
    """A value of Bokeh's class counts as one of ours, which is below it; a class below ours is like any other."""

    def __instancecheck__(cls, instance: object) -> bool:
        if super().__instancecheck__(instance):
            return True
        is_ours = cls.__module__.startswith(f"{__package__}.")
        return is_ours and isinstance(
            instance, next(base for base in cls.__mro__ if base.__module__.startswith("bokeh."))
        )
