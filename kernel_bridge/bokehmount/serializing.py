"""Encodes models and arrays as Bokeh does, without the work that changes nothing.  No I/O.

What Bokeh's own `Serializer` does that this one need not:

- for each model it computes the value of every property, defaults included, to then leave out the defaults.  That is
  most of what ``Document.to_json`` costs;
- for each array it looks for dates, masks and integers that JavaScript can't hold, and asks the environment how ids
  are made.

What it gives is the state at that moment: arrays in it are copies.
"""

from __future__ import annotations

import itertools
import sys
from functools import cache
from typing import Any, Final, NamedTuple

import bokeh
import numpy as np
from bokeh.core.has_props import HasProps, is_DataModel
from bokeh.core.property.descriptors import PropertyDescriptor
from bokeh.core.property.singletons import Undefined
from bokeh.core.property.wrappers import PropertyValueContainer
from bokeh.core.serialization import Buffer, Serialized, Serializer
from bokeh.document import Document
from bokeh.document.json import DocJson
from bokeh.model import Model
from bokeh.settings import settings
from bokeh.util.serialization import BINARY_ARRAY_TYPES

from .copies import Copies

__all__ = ("ModelSerializer", "serialized")

_AS_THEY_ARE: Final = {dtype: dtype.name for dtype in BINARY_ARRAY_TYPES}
"""The types of arrays whose bytes BokehJS takes without any conversion, and their names."""

_PARTS: Final = {"version", "title", "config", "defs", "roots", "callbacks"}

_count: Final = itertools.count(1)

_copies: Final = Copies()


class _Plan(NamedTuple):
    """How the models of one class are encoded: their properties that are sent at all, in Bokeh's order."""

    descriptors: dict[str, PropertyDescriptor[Any]]
    required: frozenset[str]
    """Those without a default: who asks for one that is not set gets the error that Bokeh has for it."""


@cache
def _plan(cls: type[Model]) -> _Plan | None:
    """None where the class has a way of its own to be encoded."""
    own_ways = ("to_serializable", "properties_with_values", "query_properties_with_values")
    if any(getattr(cls, way) is not getattr(Model, way) for way in own_ways):
        return None
    sent = {descriptor.name: descriptor for descriptor in cls.descriptors() if descriptor.serialized}
    required = (
        name for name, descriptor in sent.items() if descriptor.property._raw_default(no_eval=True) is Undefined
    )
    return _Plan(sent, frozenset(required))


class ModelSerializer(Serializer):
    """Bokeh's serializer, with less work for models and arrays and the same result."""

    def _encode(self, obj: Any) -> Any:
        if (
            isinstance(obj, Model)
            and (plan := _plan(type(obj))) is not None
            and not settings.serialize_include_defaults()
        ):
            return self._encode_model(obj, plan)
        if type(obj) is np.ndarray and obj.shape and obj.flags.c_contiguous and (name := _AS_THEY_ARE.get(obj.dtype)):
            return self._encode_plain_array(obj, name)
        return super()._encode(obj)

    def _encode_model(self, model: Model, plan: _Plan) -> dict[str, Any]:
        self.add_ref(model, model.ref)
        themed = model.themed_values() or {}
        made = model._unstable_default_values  # defaults that Bokeh has made for this model, such as an axis's ticker
        chosen = {*model._property_values, *made, *themed}
        for name in plan.required - chosen:
            plan.descriptors[name].get_value(model)
        attributes = {}
        for name, descriptor in plan.descriptors.items():
            if name not in chosen:
                continue
            value = descriptor.get_value(model)
            if name in made and name not in themed and isinstance(value, PropertyValueContainer):
                continue  # an empty list, say, that nobody has touched
            attributes[name] = self.encode(value)
        encoded: dict[str, Any] = {"type": "object", "name": model.__qualified_model__, "id": model.id}
        if attributes:
            encoded["attributes"] = attributes
        return encoded

    def _encode_bytes(self, obj: bytes | memoryview) -> Any:
        """Copies an array: it may be the user's own, who fills it anew for the next event."""
        data = obj if isinstance(obj, bytes) else _copies.of(obj)
        buffer = Buffer(f"b{next(_count)}", data)  # type: ignore[arg-type]  # Bokeh's ID is a NewType
        self._buffers.append(buffer)
        return {"type": "bytes", "data": buffer}

    def _encode_plain_array(self, array: Any, dtype: str) -> dict[str, Any]:
        return {
            "type": "ndarray",
            "array": self._encode_bytes(array.data),
            "shape": list(array.shape),
            "dtype": dtype,
            "order": sys.byteorder,
        }


def serialized(document: Document) -> Serialized[Any]:
    """What ``document.to_json()`` gives, made with a `ModelSerializer`; its models count as sent from now on."""
    parts_there_are = set(DocJson.__annotations__)
    if not parts_there_are <= _PARTS:
        return document.to_json()  # this Bokeh's Documents have parts that we don't know
    serializer = ModelSerializer()
    known = HasProps.model_class_reverse_map.values()
    own_classes = [cls for cls in known if getattr(cls, "__data_model__", False) and is_DataModel(cls)]
    callbacks = _js_event_callbacks(document)
    parts: dict[str, Any] = {"version": bokeh.__version__, "title": document.title}
    if own_classes:  # BokehJS has to know a class before it meets a model of it, so they are encoded first
        parts["defs"] = serializer.encode(own_classes)
    if "config" in parts_there_are:  # since Bokeh 3.8
        parts["config"] = serializer.encode(document.config)
    parts["roots"] = serializer.encode(document.roots)
    if callbacks:
        parts["callbacks"] = serializer.encode(callbacks)
    document.models.flush_synced()
    return Serialized(parts, serializer.buffers)


def _js_event_callbacks(document: Document) -> Any:
    callbacks = document.callbacks
    try:
        return callbacks.js_event_callbacks
    except AttributeError:  # before Bokeh 3.9
        return vars(callbacks)["_js_event_callbacks"]
