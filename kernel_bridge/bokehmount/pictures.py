"""Has browsers name no files for pictures: Bokeh would read them where the app runs, and send them to every view.

A property of Bokeh's kind ``Image``, such as the icon of a tool, takes the name of a file.  That is meant for the app's
own code, and any message from a browser could have it too.  What a message defines is looked at before it is decoded,
since decoding sets it, and what it changes afterwards, since a change can be written in several ways.  No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from bokeh.core.enums import ToolIcon
from bokeh.core.has_props import HasProps
from bokeh.core.property import visual
from bokeh.core.property.bases import Property

from .errors import ProtocolError

__all__ = ("check_change", "check_definitions")

_IMAGE: Final[Any] = visual.Image

_NO_FILE: Final = re.compile(r"(data:|https?://).*|--[\w-]+", re.DOTALL)
"""URLs, and the CSS variables that an icon may be; a CSS class, ``.name``, is spelled as some files are."""


def check_definitions(nodes: Iterable[dict[Any, Any]]) -> None:
    """Look at the models that a message brings.

    Args:
        nodes: each JSON object in it

    Raises:
        ProtocolError: one has a file's name for a picture
    """
    for node in nodes:
        match node:
            case {"type": "object", "name": str(name), "attributes": dict(attributes)}:
                cls = HasProps.model_class_reverse_map.get(name)
                for attr in attributes.keys() & _pictures(cls):
                    _check(cls, attr, attributes[attr])


def check_change(event: Any) -> None:
    """Look at a decoded event; raises as `check_definitions` does."""
    match event:
        case {"model": HasProps() as model, "attr": str(attr)} if attr in _pictures(type(model)):
            _check(type(model), attr, [event.get("new"), event.get("data")])


def _check(cls: type[HasProps] | None, attr: str, value: Any) -> None:
    todo = [value]
    while todo:
        match todo.pop():
            case str(text) if text not in ToolIcon and not _NO_FILE.fullmatch(text):
                raise ProtocolError(
                    f"{cls and cls.__name__}.{attr} = {text[:200]!r}: only the app itself may name a file or a CSS "
                    "class; from elsewhere a picture is a data:, http: or https: URL, or an icon's name or CSS variable"
                )
            case dict(inner):
                todo.extend(inner.values())
            case list(inner):
                todo.extend(inner)


@cache
def _pictures(cls: type[HasProps] | None) -> frozenset[str]:
    """The properties that may be pictures, and other names of these."""
    if cls is None:
        return frozenset()
    kinds = {descriptor.name: descriptor.property for descriptor in cls.descriptors()}
    names = {name for name, kind in kinds.items() if _may_be_picture(kind)}
    return frozenset(name for name, kind in kinds.items() if getattr(kind, "aliased_name", name) in names)


def _may_be_picture(kind: Property[Any]) -> bool:
    return isinstance(kind, _IMAGE) or any(map(_may_be_picture, getattr(kind, "type_params", ())))
