"""A TOML file as a person edits it: every error with its line, not the first alone, and where each value stands.

``tomllib`` reads the values; it stops at the first error and does not say where a value stood. So what is broken is
blanked and read again, and each statement is read by itself once more for its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
"""Where a value is: ``("keys", "quit")``."""
MOST = 20
"""Errors that are looked for: a file with more is no config file, and each costs another reading."""
BROKEN = (ValueError, RecursionError)
"""TOMLDecodeError, and what ``tomllib`` raises for a number of too many digits and for too deep brackets."""
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Document:
    """What could be read of a file."""

    values: Mapping[str, Any]
    lines: Mapping[Path, int]
    """The line on which a value's statement begins, counted from 1."""
    errors: tuple[tuple[int, str], ...]
    """Line and what is wrong there; the values are those of the other lines."""

    def line(self, *path: str) -> int:
        """The line of a value, or of the first one below it."""
        below = (line for known, line in self.lines.items() if known[: len(path)] == path)
        return self.lines.get(path) or min(below, default=1)


def read(text: str) -> Document:
    """All that is right in a file, and all that is wrong."""
    rows, errors = text.replace("\r\n", "\n").split("\n"), list[tuple[int, str]]()
    while True:
        try:
            values = tomllib.loads("\n".join(rows))
        except BROKEN as error:
            place = _PLACE.search(str(error))
            what = _PLACE.sub("", str(error) or "nested too deeply")
            last = min(int(place[1]), len(rows)) if place and place[1] else len(rows)
            start = _end_of_sound(rows, last - 1)
            end = last if place and place[1] else start + 1
            errors.append((end, what + (f", column {place[2]}" if place and place[2] else "")))
            if len(errors) == MOST:
                end = len(rows)
            rows[start:end] = [""] * (end - start)
        else:
            return Document(values, _lines(rows), tuple(errors))


def _end_of_sound(rows: Sequence[str], last: int) -> int:
    """The index of the first line, ``last`` at most, that is neither blank nor readable together with all before it."""
    sound = next(n for n in range(last, -1, -1) if _parsed("\n".join(rows[:n])) is not None)
    return next(n for n in range(sound, last + 1) if rows[n].strip(" \t") or n == last)


def _lines(rows: Sequence[str]) -> dict[Path, int]:
    out: dict[Path, int] = {}
    start, table = 0, Path()
    for end in range(1, len(rows) + 1):
        values = _parsed("\n".join(rows[start:end]))
        if values is None:
            continue  # a value of several lines
        if values:
            first = next(n for n in range(start, end) if rows[n].strip() and not rows[n].lstrip().startswith("#"))
            if rows[first].lstrip().startswith("["):
                table = next(_leaves(values))
            for path in _leaves(values):
                out.setdefault(path if path == table else (*table, *path), first + 1)
        start = end
    return out


def _leaves(values: Mapping[str, Any]) -> Iterator[Path]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from ((name, *rest) for rest in _leaves(value))
        else:
            yield (name,)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except BROKEN:
        return None


def quoted(text: str) -> str:
    """A string as TOML writes it, in characters that no terminal obeys."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if 0xD800 <= code < 0xE000:
        return "\N{REPLACEMENT CHARACTER}"  # a byte of a path that is no text, which TOML cannot hold
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
