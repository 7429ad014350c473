"""A value of any type that annotations name, drawn from a seed; and whether two values are the same bit for bit."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from tui.engine.jobs import Prompts
from tui.remote import coding

TEXTS = ("", " France", "\x1b[31m", "東", '{"is": "Open"}', "nan", "\ud83d", "\n")
FLOATS = (0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 1e-308, 0.1)


def a(hint: Any, draw: Random, depth: int = 4) -> Any:
    """A value of this type."""
    origin = get_origin(hint) or hint
    if origin in (Union, types.UnionType):
        return a(draw.choice(get_args(hint)), draw, depth)
    if origin is Literal:
        return draw.choice(get_args(hint))
    if isinstance(origin, type):
        if issubclass(origin, np.ndarray):
            values = np.array(draw.choices(FLOATS, k=6), np.float32).reshape(2, 3)
            values.flags.writeable = False
            return values
        if issubclass(origin, tuple):
            return _tuple(hint, origin, draw, depth)
        if issubclass(origin, frozenset):
            return frozenset(a(get_args(hint)[0], draw, depth - 1) for _ in range(2))
        if issubclass(origin, Mapping):
            return {text: a(get_args(hint)[1], draw, depth - 1) for text in TEXTS[: draw.randrange(3)]}
        if dataclasses.is_dataclass(origin):
            return of_class(origin, draw, depth)
    simple = {int: draw.choice((0, -1, 7, 1 << 40)), float: draw.choice(FLOATS), str: draw.choice(TEXTS),
              bool: draw.random() < 0.5, Path: Path("/a b"), type(None): None, None: None}  # fmt: skip
    return simple[hint]


def of_class(kind: type, draw: Random, depth: int = 4) -> Any:
    """A dataclass of this kind, or of one below it."""
    below = [one for one in coding.known().values() if issubclass(one, kind) and one is not kind]
    if below and not dataclasses.fields(kind):
        kind = draw.choice(below)
    hints = get_type_hints(kind)
    given = {}
    for field in dataclasses.fields(kind):
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.init and not (optional and (depth <= 0 or draw.random() < 0.3)):
            given[field.name] = a(hints[field.name], draw, depth - 1)
    if kind is Prompts:
        given["key"] = str(draw.random())  # the digest of all that follows
    return kind(**given)


def _tuple(hint: Any, origin: type, draw: Random, depth: int) -> Any:
    if hasattr(origin, "_fields"):
        return origin(*(a(of, draw, depth - 1) for of in get_type_hints(origin).values()))
    of = get_args(hint)
    if len(of) == 2 and of[1] is ...:
        return tuple(a(of[0], draw, depth - 1) for _ in range(draw.randrange(3) if depth > 0 else 0))
    return tuple(a(one, draw, depth - 1) for one in of)


def differs(one: Any, other: Any, where: str = "") -> str:
    """Where two values are not the same, bit for bit; empty: nowhere."""
    if isinstance(one, np.generic):
        one = one.item()  # a number is a number
    if type(one) is not type(other):
        return f"{where}: {type(one).__name__} and {type(other).__name__}"
    if isinstance(one, np.ndarray):
        same = (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        return "" if same else f"{where}: arrays"
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return _first((getattr(one, name), getattr(other, name), f"{where}.{name}") for name in names)
    if isinstance(one, Mapping):
        if list(one) != list(other):
            return f"{where}: keys"
        return _first((one[key], other[key], f"{where}[{key!r}]") for key in one)
    if isinstance(one, tuple | list):
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)}"
        return _first((*pair, f"{where}[{at}]") for at, pair in enumerate(zip(one, other, strict=True)))
    return "" if repr(one) == repr(other) else f"{where}: {one!r} and {other!r}"


def _first(pairs: Any) -> str:
    return next(filter(None, (differs(*pair) for pair in pairs)), "")
