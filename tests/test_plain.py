"""Frozen dataclasses as plain JSON and back: every job, the selection, looks and stacks, and what is no such value."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import pkgutil
import random
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest

import tui.engine.jobs
import tui.pages
from tui import moves, results, scale, selection, stack, tree
from tui.engine import jobs
from tui.plain import DEEPEST, classes_in, from_plain, to_plain

JOBS = [importlib.import_module(f"tui.engine.jobs.{m.name}") for m in pkgutil.iter_modules(tui.engine.jobs.__path__)]
PAGES = [importlib.import_module(f"tui.pages.{m.name}") for m in pkgutil.iter_modules(tui.pages.__path__)
         if m.name != "__main__"]  # fmt: skip
LOOKS = classes_in(*PAGES, moves, scale, stack, tree)
KNOWN = classes_in(*JOBS) | classes_in(selection, results) | LOOKS
TEXTS = ("", "nan", "is", " Paris", "“…”", "\x1b[2J", "\ud800", "L1H3")


class Drawn:
    """Values of every type that fields have, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, hint: Any, depth: int = 0) -> Any:
        origin = get_origin(hint) or hint
        if origin in (Union, types.UnionType):
            options = [one for one in get_args(hint) if depth < 5 or one is type(None)] or get_args(hint)
            return self.of(self.random.choice(options), depth)
        if origin is Literal:
            return self.random.choice(get_args(hint))
        if isinstance(origin, type) and issubclass(origin, tuple):
            return self.tuple(hint, origin, depth)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {text: self.of(get_args(hint)[1], depth + 1) for text in self.random.sample(TEXTS, 2)}
        if isinstance(origin, type) and dataclasses.is_dataclass(origin):
            kinds = [kind for kind in KNOWN.values() if issubclass(kind, origin)]
            return self.instance(min(kinds, key=size) if depth > 3 else self.random.choice(kinds), depth)
        if origin is frozenset:
            return frozenset(self.of(get_args(hint)[0], depth + 1) for _ in range(2))
        return {
            int: lambda: self.random.randint(-(2**62), 2**62),
            float: lambda: self.random.choice([0.0, -0.0, 1.0, -2.5e-300, math.inf, -math.inf, math.nan]),
            bool: lambda: self.random.random() < 0.5,
            str: lambda: self.random.choice(TEXTS),
            type(None): lambda: None,
        }[hint]()

    def tuple(self, hint: Any, kind: type, depth: int) -> Any:
        if hasattr(kind, "_fields"):
            return kind(*(self.of(one, depth + 1) for one in get_type_hints(kind).values()))
        hints = get_args(hint)
        if len(hints) == 2 and hints[1] is ...:
            hints = hints[:1] * self.random.randint(0, 2 if depth < 3 else 0)
        return tuple(self.of(one, depth + 1) for one in hints)

    def instance(self, kind: type, depth: int = 0) -> Any:
        hints = get_type_hints(kind)
        given = {}
        for field in dataclasses.fields(kind):
            needed = field.default is field.default_factory is dataclasses.MISSING
            if needed or (depth < 4 and self.random.random() < 0.7):
                given[field.name] = self.of(hints[field.name], depth + 1)
        return kind(**given)


def size(kind: type) -> int:
    return sum(field.default is field.default_factory is dataclasses.MISSING for field in dataclasses.fields(kind))


def back(value: Any, hint: Any) -> Any:
    return from_plain(json.loads(json.dumps(to_plain(value))), hint, KNOWN)


def same(a: Any, b: Any) -> bool:
    """Equal in every field, those that equality leaves out and the sign of zero included."""
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return repr(a) == repr(b) if isinstance(a, float) else bool(a == b)


WITHOUT_ARRAYS = {name: kind for name, kind in KNOWN.items() if name not in ("Grid", "Gallery", "Curve")}


@pytest.mark.parametrize("name", sorted(WITHOUT_ARRAYS))
def test_what_is_written_is_read_back(name: str) -> None:
    kind = WITHOUT_ARRAYS[name]
    for seed in range(12):
        value = Drawn(seed).instance(kind)
        assert same(back(value, kind), value)


def test_every_job_look_and_part_of_a_selection_is_among_them() -> None:
    assert len([kind for kind in KNOWN.values() if issubclass(kind, jobs.Job)]) > 60
    assert len([kind for kind in LOOKS.values() if issubclass(kind, selection.Look)]) > 20
    assert {"Selection", "Entry", "Ablation", "File", "Pair", "Answer", "Tokens"} <= KNOWN.keys()


def test_fields_at_their_default_are_left_out() -> None:
    assert to_plain(jobs.Ablation("L1H3")) == {"is": "Ablation", "part": "L1H3"}
    assert to_plain(jobs.Ablation("L1H3", amount=2.0))["amount"] == 2.0
    assert to_plain(selection.Selection()) == {"is": "Selection"}


def test_numbers_that_json_has_not_are_no_texts() -> None:
    table = results.Table(results.Header("v", "q", "f"), ("a", "b"), ((math.nan, "nan"), (-math.inf, "inf")))
    assert same(back(table, results.Table), table)


def test_other_types_are_the_caller_s() -> None:
    others = {complex: (lambda z: [z.real, z.imag], lambda data: complex(*data))}
    assert from_plain(to_plain(1 + 2j, others), complex, {}, others) == 1 + 2j
    with pytest.raises(TypeError, match="complex is no plain value"):
        to_plain(1 + 2j)


ENTRY: dict[str, Any] = {"is": "Entry", "change": {"is": "Ablation", "part": "L1H3"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "found a list, wanted Selection"),
        ({}, '"is" is missing, which says what this is'),
        ({"is": "Sel"}, 'there is no "Sel"'),
        ({"is": ["Selection"]}, "there is no a list"),
        ({"is": "Run"}, "found Run, wanted Selection"),
        ({"is": "Selection", "hed": 1}, "hed: Selection has no such field"),
        ({"is": "Selection", "head": "x"}, 'head: found "x", wanted a whole number or nothing'),
        ({"is": "Selection", "head": True}, "head: found true, wanted a whole number or nothing"),
        ({"is": "Selection", "head": 1.0}, "head: found 1.0, wanted a whole number or nothing"),
        ({"is": "Selection", "layer": 10**30}, "layer: found a number of 64 bits or more"),
        ({"is": "Selection", "steps": [1]}, "steps: found 1 values, wanted 2"),
        ({"is": "Selection", "contrast": "x"},
         'contrast: found "x", wanted "changed" or "clean" or "difference" or "base"'),
        ({"is": "Selection", "stack": [ENTRY, ENTRY, {"is": "Entry", "change": {"is": "Ablation", "part": 3}}]},
         "stack[2].change.part: found 3, wanted a text"),
        ({"is": "Selection", "stack": [{"is": "Entry"}]}, "stack[0]: Entry without “change”"),
        ({"is": "Selection", "stack": [{"is": "Entry", "change": {"is": "Run"}}]},
         "stack[0].change: found Run, wanted Change"),
        ({"is": "Selection", "looks": [{"is": "Run"}]}, "looks[0]: found Run, wanted Look"),
        ({"is": "Selection", "looks": {"is": "StackLook"}}, "looks: found StackLook, wanted a list"),
        ({"is": "Selection", "file": {"is": "File", "path": "a", "rows": [{"is": "PromptRow", "text": None}]}},
         "file.rows[0].text: found null, wanted a text"),
    ],
)  # fmt: skip
def test_what_is_no_such_value_is_said_with_its_place(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        from_plain(data, selection.Selection, KNOWN)
    assert str(caught.value) == message


def test_nothing_is_followed_without_end() -> None:
    data: Any = {"is": "File", "path": "a", "rows": []}
    for _ in range(DEEPEST + 1):
        data = {"is": "File", "path": "a", "rows": [], "before": data}
    with pytest.raises(ValueError, match=f"nested deeper than {DEEPEST}"):
        from_plain(data, selection.File, KNOWN)
    deep: Any = ()
    for _ in range(100_000):
        deep = (deep,)
    with pytest.raises(ValueError, match="nested deeper"):
        to_plain(deep)


def test_classes_that_share_a_name_are_refused() -> None:
    class Part(NamedTuple):
        x: int

    first, second = types.ModuleType("first"), types.ModuleType("second")
    for module in (first, second):
        made = dataclasses.make_dataclass("Twin", ["x"], frozen=True)
        made.__module__ = module.__name__
        module.Twin, module.Part = made, Part  # type: ignore[attr-defined]
    assert list(classes_in(first)) == ["Twin"]
    with pytest.raises(ValueError, match="two dataclasses are called Twin"):
        classes_in(first, second)


def test_broken_values_of_every_kind_end_in_a_sentence() -> None:
    """One value in a written selection replaced by another one: read, or refused; nothing else."""
    junk: list[Any] = [None, True, -1, 1e400, "x", [], {}, {"is": "Selection"}, {"is": "float", "value": "x"}, [[[]]]]
    said: list[str] = []
    read = 0
    for seed in range(300):
        drawn = Drawn(seed)
        data = json.loads(json.dumps(to_plain(drawn.instance(selection.Selection))))
        at, key = data, drawn.random.choice(list(data))
        while isinstance(at[key], dict | list) and at[key] and drawn.random.random() < 0.7:
            at = at[key]
            key = drawn.random.choice(list(at)) if isinstance(at, dict) else drawn.random.randrange(len(at))
        at[key] = drawn.random.choice(junk)
        try:
            from_plain(data, selection.Selection, KNOWN)
            read += 1
        except ValueError as error:
            said.append(str(error))
    assert read
    assert said
    assert all(map(str.isprintable, said))


def test_it_needs_nothing_heavy() -> None:
    code = "import sys, tui.plain; assert not {'torch', 'textual', 'numpy', 'rich'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], timeout=60).returncode == 0
