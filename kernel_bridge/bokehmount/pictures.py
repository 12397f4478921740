"""Has browsers name no files for pictures: Bokeh would read them where the app runs, and send them to every view.

A property of Bokeh's kind ``Image``, such as the icon of a tool, takes the name of a file.  That is meant for the app's
own code, and any message from a browser could have it too.  No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

from bokeh.core.enums import ToolIcon
from bokeh.core.has_props import HasProps
from bokeh.core.property import visual
from bokeh.core.property.bases import Property

from .errors import ProtocolError

__all__ = ("check_pictures",)

_IMAGE: Final[Any] = visual.Image

_NO_FILE: Final = re.compile(r"(data|https?):.*|--[\w-]+|\.[A-Za-z_][\w-]*", re.DOTALL)
"""URLs, and the CSS variables and classes that an icon may be."""


def check_pictures(nodes: Iterable[dict[Any, Any]], class_of: Callable[[Any], type[HasProps] | None]) -> None:
    """Look through what a browser has sent.

    Args:
        nodes: each JSON object in it
        class_of: the class of the model that has an id, if there is one

    Raises:
        ProtocolError: it has a file's name for a picture
    """
    for node in nodes:
        match node:
            case {"type": "object", "name": str(name), "attributes": dict(attributes)}:
                cls = HasProps.model_class_reverse_map.get(name)
            case {"kind": "ModelChanged", "model": {"id": str(identity)}, "attr": str(attr), "new": value}:
                cls, attributes = class_of(identity), {attr: value}
            case _:
                continue
        if cls is not None:
            for attr in attributes.keys() & _pictures(cls):
                _check(f"{cls.__name__}.{attr}", attributes[attr])


def _check(what: str, value: Any) -> None:
    for text in _texts(value):
        if text not in ToolIcon and not _NO_FILE.fullmatch(text):
            raise ProtocolError(
                f"{what} = {text[:200]!r}: only the app itself may name a file; from elsewhere a picture is a data: or "
                "http: URL, or an icon's name, CSS class or variable"
            )


@cache
def _pictures(cls: type[HasProps]) -> frozenset[str]:
    """The properties that may be pictures, and other names of these."""
    kinds = {descriptor.name: descriptor.property for descriptor in cls.descriptors()}
    names = {name for name, kind in kinds.items() if _may_be_picture(kind)}
    return frozenset(name for name, kind in kinds.items() if {name, getattr(kind, "aliased_name", name)} & names)


def _may_be_picture(kind: Property[Any]) -> bool:
    return isinstance(kind, _IMAGE) or any(map(_may_be_picture, getattr(kind, "type_params", ())))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from _texts([*value.values()])
        case list():
            for item in value:
                yield from _texts(item)
