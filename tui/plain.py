"""Frozen dataclasses to plain JSON values and back, every value checked against the type hints.

``{"is": "Ablation", "part": "L1H3"}`` is ``Ablation("L1H3")``: the class by its name, then the fields that are not at
their default. Classes come from the mapping that the caller gives and from nowhere else: nothing is imported by name,
nothing is called but the classes in it. Tuples, frozen sets and named tuples are lists; which of them a list is says
the hint. What JSON has no number for is ``{"is": "float", "value": "nan"}``, so that no text is ever taken for it.
Arrays and the like are the caller's own matter (``others``).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

Others = Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]
"""A type → what makes a plain value of one of its values, and the way back (ValueError: it is none)."""
Classes = Mapping[str, type]
"""Name → the dataclass of that name."""

KIND = "is"
"""The key that names a dataclass."""
DEEPEST = 64
"""Values within values that are followed."""
LARGEST = 1 << 63
"""Whole numbers stay below it."""
_FLOAT = "float"
_NO_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_NONE: Mapping[Any, Any] = types.MappingProxyType({})


class Trouble(ValueError):
    """A value that cannot be. ``str`` of it: where, what was found, what was wanted."""

    def __init__(self, where: str, sentence: str) -> None:
        super().__init__(f"{where}: {sentence}" if where else sentence)
        self.where = where


class _Reading(NamedTuple):
    """What does not change on the way down."""

    known: Classes
    others: Others


def classes_in(*modules: types.ModuleType) -> dict[str, type]:
    """The dataclasses that these modules define, by name. ValueError where two have one name."""
    out: dict[str, type] = {}
    for name, made in ((module.__name__, made) for module in modules for made in vars(module).values()):
        defined = isinstance(made, type) and dataclasses.is_dataclass(made) and made.__module__ == name
        if defined and out.setdefault(made.__name__, made) is not made:
            raise ValueError(f"two dataclasses are called {made.__name__}")
    return out


def to_plain(value: Any, others: Others = _NONE) -> Any:
    """A value as JSON has it. TypeError for what is neither plain, a dataclass nor one of ``others``; ValueError for
    what is nested deeper than ``DEEPEST``."""
    return _plain(value, others, DEEPEST)


def _plain(value: Any, others: Others, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {KIND: _FLOAT, "value": str(value)}
    if not depth:
        raise ValueError(f"nested deeper than {DEEPEST}")
    for kind, (write, _) in others.items():
        if isinstance(value, kind):
            return write(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(one, others, depth - 1) for one in value]
    if isinstance(value, frozenset):
        return sorted((_plain(one, others, depth - 1) for one in value), key=lambda one: json.dumps(one))
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(one, others, depth - 1) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        written = ((field, getattr(value, field.name)) for field in dataclasses.fields(value) if field.init)
        return {KIND: type(value).__name__} | {
            field.name: _plain(one, others, depth - 1) for field, one in written if not _is_default(field, one)
        }
    raise TypeError(f"{type(value).__name__} is no plain value")


def from_plain(data: Any, hint: Any, known: Classes, others: Others = _NONE, where: str = "") -> Any:
    """The value that ``to_plain`` wrote, of the type that ``hint`` says: a class, or what annotations are made of
    (Literal, unions, ``tuple[X, ...]``, ``Mapping[str, X]``, named tuples). ``known``: the dataclasses there may be, by
    name. ``where``: what the value is called in messages.

    Trouble, a ValueError, says where and what was found, such as ``stack[2].head: found "x", wanted a whole number``:
    other types, names and fields that are unknown, fields that are missing, numbers of 64 bits or more, and what is
    nested deeper than ``DEEPEST``.
    """
    return _read(data, hint, _Reading(known, others), where, DEEPEST)


def _read(data: Any, hint: Any, reading: _Reading, where: str, depth: int) -> Any:
    if not depth:
        raise Trouble(where, f"nested deeper than {DEEPEST}")
    origin = get_origin(hint) or hint
    if origin in reading.others:
        try:
            return reading.others[origin][1](data)
        except ValueError as error:
            raise Trouble(where, str(error)) from None
    if origin in (Union, types.UnionType):
        return _one_of(data, get_args(hint), reading, where, depth)
    if origin is Literal:
        return _literal(data, get_args(hint), where)
    if hint in (Any, object):
        return _anything(data, reading, where, depth)
    if isinstance(origin, type):
        if issubclass(origin, tuple):
            return _tuple(data, hint, origin, reading, where, depth)
        if issubclass(origin, frozenset | list | Sequence) and not issubclass(origin, str):
            items = _list(data, where)
            made = _each(items, (*get_args(hint), Any)[:1] * len(items), reading, where, depth)
            return frozenset(made) if issubclass(origin, frozenset) else made
        if issubclass(origin, Mapping):
            if not isinstance(data, dict):
                raise _wanted(data, "a table", where)
            of = (*get_args(hint), Any, Any)[1]
            return {key: _read(one, of, reading, _in(where, key), depth - 1) for key, one in data.items()}
        if dataclasses.is_dataclass(origin):
            return _object(data, origin, reading, where, depth)
    return _scalar(data, hint, where)


def _scalar(data: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(data, dict) and data.keys() == {KIND, "value"} and data[KIND] == _FLOAT:
        if data["value"] not in ("nan", "inf", "-inf"):
            raise _wanted(data["value"], "nan, inf or -inf", where)
        return _NO_NUMBERS[data["value"]]
    if hint is float and type(data) in (int, float) and abs(data) < (LARGEST if type(data) is int else math.inf):
        return float(data)
    if hint is int and type(data) is int and abs(data) >= LARGEST:
        raise Trouble(where, "found a number of 64 bits or more")
    if hint in (None, type(None)) and data is None:
        return None
    if hint is Path and isinstance(data, str):
        return Path(data)
    if hint in (int, bool, str) and type(data) is hint:
        return data
    raise _wanted(data, _called(hint), where)


def _literal(data: Any, values: tuple[Any, ...], where: str) -> Any:
    if not any(type(data) is type(value) and data == value for value in values):
        raise _wanted(data, " or ".join(", ".join(map(_shown, values)).rsplit(", ", 1)), where)
    return data


def _one_of(data: Any, hints: tuple[Any, ...], reading: _Reading, where: str, depth: int) -> Any:
    """The first type that the value fits, one that it is exactly before one that it can be made."""
    if type(data) in hints and not isinstance(data, dict | list):
        return _read(data, type(data), reading, where, depth)
    troubles = []
    for hint in hints:
        try:
            return _read(data, hint, reading, where, depth)
        except Trouble as trouble:
            troubles.append(trouble)
    # What came furthest is what was meant: a broken field says more than "neither this nor that".
    furthest = max(troubles, key=lambda trouble: len(trouble.where))
    others = [hint for hint in hints if hint is not type(None)]
    alone = others[0] if len(others) == 1 else None
    if len(furthest.where) > len(where) or (alone and (isinstance(data, dict) or alone in reading.others)):
        raise next((trouble for trouble in troubles if trouble.where == furthest.where), furthest)
    raise _wanted(data, " or ".join(map(_called, hints)), where)


def _anything(data: Any, reading: _Reading, where: str, depth: int) -> Any:
    """Where the hint leaves it open: lists are tuples, tables with a name are dataclasses."""
    if isinstance(data, list):
        return tuple(_each(data, [Any] * len(data), reading, where, depth))
    if isinstance(data, dict):
        return _read(data, float if data.get(KIND) == _FLOAT else _Named, reading, where, depth - 1)
    if data is None or isinstance(data, bool | int | float | str):
        return _scalar(data, type(data), where)
    raise _wanted(data, "a plain value", where)


@dataclasses.dataclass(frozen=True)
class _Named:
    """Stands for any dataclass that is known."""


def _object(data: Any, kind: type, reading: _Reading, where: str, depth: int) -> Any:
    if not isinstance(data, dict):
        raise _wanted(data, _called(kind), where)
    name = data.get(KIND)
    made = reading.known.get(name) if isinstance(name, str) else None
    if made is None:
        what = f"there is no {_shown(name)}" if KIND in data else f'"{KIND}" is missing, which says what this is'
        raise Trouble(where, what)
    if kind is not _Named and not issubclass(made, kind):
        raise Trouble(where, f"found {name}, wanted {_called(kind)}")
    hints, fields = _hints(made), {field.name: field for field in dataclasses.fields(made) if field.init}
    for key in data:
        if key != KIND and key not in fields:
            raise Trouble(_in(where, key), f"{name} has no such field")
    for key, field in fields.items():
        if key not in data and field.default is field.default_factory is dataclasses.MISSING:
            raise Trouble(where, f"{name} without “{key}”")
    given = {
        key: _read(data[key], hints[key], reading, _in(where, key), depth - 1) for key in fields if key in data
    }
    try:
        return made(**given)
    except (TypeError, ValueError) as error:
        raise Trouble(where, str(error)) from None


def _tuple(data: Any, hint: Any, kind: type, reading: _Reading, where: str, depth: int) -> Any:
    items = _list(data, where)
    if hasattr(kind, "_fields"):  # a named tuple
        hints = tuple(_hints(kind).values())
    else:
        hints = get_args(hint) or (Any, ...)
        if len(hints) == 2 and hints[1] is ...:
            hints = hints[:1] * len(items)
        hints = () if hints == ((),) else hints
    if len(items) != len(hints):
        raise Trouble(where, f"found {len(items)} values, wanted {len(hints)}")
    made = _each(items, hints, reading, where, depth)
    return kind(*made) if hasattr(kind, "_fields") else tuple(made)


def _each(items: list[Any], hints: Sequence[Any], reading: _Reading, where: str, depth: int) -> list[Any]:
    pairs = zip(items, hints, strict=True)
    return [_read(one, hint, reading, f"{where}[{at}]", depth - 1) for at, (one, hint) in enumerate(pairs)]


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise _wanted(data, "a list", where)
    return data


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """Name → type of a class's fields."""
    return get_type_hints(kind)


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    elif field.default is not dataclasses.MISSING:
        default = field.default
    else:
        return False
    # 1, 1.0 and True are equal, as are 0.0 and −0.0.
    return type(value) is type(default) and bool(value == default) and (value != 0 or repr(value) == repr(default))


def _in(where: str, key: str) -> str:
    return f"{where}.{key[:40]}" if where else key[:40]


def _shown(data: Any) -> str:
    """What was found, in a few words and in printable characters."""
    if isinstance(data, dict):
        name = data.get(KIND)
        return name[:40] if isinstance(name, str) and name.isidentifier() else "a table"
    if isinstance(data, list):
        return "a list"
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        return type(data).__name__
    return text if len(text) <= 60 else f"{text[:57]}…"


def _wanted(data: Any, wanted: str, where: str) -> Trouble:
    return Trouble(where, f"found {_shown(data)}, wanted {wanted}")


def _called(hint: Any) -> str:
    """A type as a person calls it."""
    if get_origin(hint) is Literal:
        return " or ".join(map(_shown, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_called, get_args(hint)))
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, tuple | frozenset | list):
        return "a list"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "nothing",
             None: "nothing", Path: "a path"}  # fmt: skip
    return words.get(kind) or str(getattr(kind, "__name__", kind)).lstrip("_")
