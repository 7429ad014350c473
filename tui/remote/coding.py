"""Jobs and results as what goes into a frame: plain values and arrays.

A job that was told once is named by a number afterwards, and so is what many jobs share (a forward pass, a file of
prompts), since the wish list is said anew with every key. Both sides know which numbers are in use: the side that tells
says what may be forgotten.
"""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .. import label, results
from ..engine import jobs
from ..engine.jobs.base import Job, Run
from ..engine.jobs.many import Prompts
from ..plain import Others, classes_in, from_plain, to_plain
from ..results import ModelKey
from . import talk

if TYPE_CHECKING:
    import numpy as np
else:
    from ..later import numpy as np

SHARED: Mapping[type, tuple[type, ...]] = {
    Job: (Prompts, Run, ModelKey), Run: (Prompts, ModelKey), Prompts: (ModelKey,), ModelKey: (),
}  # fmt: skip
"""What has numbers of its own in a job, and in that again; the thousand runs of a file have none."""
REMEMBERED = 100
"""Wish lists for which a number that was not used stays known."""


@cache
def known() -> dict[str, type]:
    """Every dataclass that may come over the line, by name."""
    subjects = [import_module(f"{jobs.__name__}.{module.name}") for module in pkgutil.iter_modules(jobs.__path__)]
    return classes_in(results, label, talk, *subjects)


@cache
def schema() -> str:
    """Digest of those classes: two sides whose classes differ could misread each other."""
    digest = hashlib.sha256()
    for name, made in sorted(known().items()):
        digest.update(f"{name}({', '.join(f'{field.name}: {field.type}' for field in fields(made))})\n".encode())
    return digest.hexdigest()[:16]


def encode(message: talk.Message) -> tuple[dict[str, Any], list[np.ndarray]]:
    """A message as header and arrays of a frame. TypeError for a result of a kind that cannot be sent."""
    arrays: list[np.ndarray] = []

    def add(array: np.ndarray) -> dict[str, int]:
        arrays.append(array)
        return {"array": len(arrays) - 1}

    others: Others = {np.ndarray: (add, _never), np.generic: (lambda one: to_plain(one.item()), _never)}
    return {"says": to_plain(message, others)}, arrays


def decode(header: dict[str, Any], arrays: Sequence[np.ndarray]) -> talk.Message:
    """The message of a frame; ValueError where it is none."""

    def take(data: Any) -> np.ndarray:
        index = data.get("array") if isinstance(data, dict) else None
        if type(index) is not int or not 0 <= index < len(arrays):
            raise ValueError("found no array of the frame")
        return arrays[index]

    message: talk.Message = from_plain(header.get("says"), talk.Message, known(), {np.ndarray: (_never, take)}, "says")
    return message


class Told:
    """The numbers of what this side has told."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[type, Any], int] = {}
        self._values: dict[int, Any] = {}
        self._used: dict[int, int] = {}
        self._next = self._round = 0
        self._learn: list[list[Any]] = []

    def wish(self, wanted: Iterable[Job]) -> tuple[list[int], dict[str, Any]]:
        """The numbers of these jobs, and what the other side has to learn and may forget for it."""
        self._round += 1
        numbers = [self._number(job) for job in wanted]
        old = [number for number, used in self._used.items() if self._round - used > REMEMBERED]
        for number in old:
            value = self._values.pop(number)
            del self._used[number], self._numbers[type(value), value]
        learn, self._learn = self._learn, []
        return numbers, {"learn": learn, "forget": old}

    def value(self, number: int) -> Any | None:
        """What has this number; None: nothing, any more."""
        return self._values.get(number)

    def number(self, value: Any) -> int | None:
        """The number of what was told; None: it was not."""
        return self._numbers.get((type(value), value))

    def _number(self, value: Any) -> int:
        number = self._numbers.get((type(value), value))
        if number is None:
            # What it is made of first: the other side learns one after the other.
            data = to_plain(value, dict.fromkeys(_shared_in(type(value)), (self._numbered, _never)))
            number, self._next = self._next, self._next + 1
            self._numbers[type(value), value] = number
            self._values[number] = value
            self._learn.append([number, data])
        self._used[number] = self._round
        return number

    def _numbered(self, part: Any) -> dict[str, int]:
        return {"number": self._number(part)}


class Heard:
    """What the other side has told, by its numbers."""

    def __init__(self) -> None:
        self._values: dict[int, Any] = {}

    def learn(self, header: dict[str, Any]) -> None:
        """Take what a wish list brings; ValueError where it cannot be."""

        def take(data: Any) -> Any:
            return self._value(data.get("number") if isinstance(data, dict) else None)

        for entry in _list(header, "learn"):
            if not isinstance(entry, list) or len(entry) != 2 or type(entry[0]) is not int:
                raise ValueError("found no number and value in learn")
            number, data = entry
            made = known().get(str(data.get("is"))) if isinstance(data, dict) else None
            inner = dict.fromkeys(() if made is None else _shared_in(made), (_never, take))
            self._values[number] = from_plain(data, object, known(), inner, f"learn[{number}]")
        for number in _list(header, "forget"):
            self._values.pop(number, None)

    def job(self, number: int) -> Job:
        """The job with this number; ValueError: there is none."""
        value = self._value(number)
        if not isinstance(value, Job):
            raise ValueError(f"found {type(value).__name__}, wanted a job")
        return value

    def _value(self, number: Any) -> Any:
        if type(number) is not int or number not in self._values:
            raise ValueError(f"there is nothing with the number {number!r}")
        return self._values[number]


def _shared_in(made: type) -> tuple[type, ...]:
    return next((inner for kind, inner in SHARED.items() if issubclass(made, kind)), ())


def _list(header: dict[str, Any], key: str) -> list[Any]:
    value = header.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{key} is no list")
    return value


def _never(value: Any) -> Any:
    raise ValueError("this way round there is nothing to read")
