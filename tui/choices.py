"""What of a selection the user chose, apart from what the worker found: what undo brings back, sessions keep and the
log tells."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from .engine.jobs import Open
from .selection import File, Look, Pair, Selection

SETTINGS = ("open", "file", "text", "bos", "pair", "answer", "weights", "stack", "contrast")
"""What all pages share and no move changes."""
PLACE = ("page", "layer", "head", "row", "col", "panel", "panel_shown")
"""Where the user is."""

Choice = str | tuple[type[Look], str]
"""A field of the selection, or one of a page's choices."""


def bare(s: Selection) -> Selection:
    """With nothing in it that the worker found. What is named by token id stays."""
    looks = (_without_found(look) for look in s.looks)
    s = replace(s, opened=None, model=None, tokens=None, tokens_of=None, arriving=None, likeliest=None, steps=(0, 0),
                open=Open(s.open.source), file=_bare_file(s.file), pair=_bare_pair(s.pair), looks=())  # fmt: skip
    return s.put(*looks)


def _without_found(look: Look) -> Look:
    fresh = type(look)()
    return replace(look, **{name: getattr(fresh, name) for name in look.found})


def _bare_file(file: File | None) -> File | None:
    return file and replace(file, prepared=None, prepared_of=None, before=None, notes=(), pair=_bare_pair(file.pair))


def _bare_pair(pair: Pair | None) -> Pair | None:
    return pair and Pair(pair.text, answer=pair.answer)


def differing(a: Selection, b: Selection, places: bool = False) -> tuple[Choice, ...]:
    """The choices in which two selections differ; ``places``: also where the user is."""
    out: list[Choice] = [name for name in SETTINGS if not _same(a, b, name)]
    if places:
        out += [name for name in PLACE if getattr(a, name) != getattr(b, name)]
    for kind in dict.fromkeys(type(look) for look in (*a.looks, *b.looks)):
        left_out = kind.found if places else kind.passing
        one, other = a.look(kind), b.look(kind)
        out += [(kind, field.name) for field in fields(one)
                if field.name not in left_out and getattr(one, field.name) != getattr(other, field.name)]  # fmt: skip
    return tuple(out)


def _same(a: Selection, b: Selection, name: str) -> bool:
    one, other = getattr(a, name), getattr(b, name)
    if name == "file":
        return _bare_file(one) == _bare_file(other)
    if name == "pair":
        return _bare_pair(one) == _bare_pair(other)
    return bool(one == other)


def put(here: Selection, source: Selection, choices: tuple[Choice, ...]) -> Selection:
    """A selection with some of its choices as they are in another one."""
    shared: dict[str, Any] = {name: getattr(source, name) for name in choices if isinstance(name, str)}
    if "file" in shared and here.answer is not None and here.answer.of_file:
        shared.setdefault("answer", source.answer)
    if "text" in shared and source.text != here.text:
        shared["arriving"] = (source.row, source.col)
    looks: dict[type[Look], Look] = {}
    for choice in choices:
        if not isinstance(choice, str):
            kind, name = choice
            looks[kind] = replace(looks.get(kind) or here.look(kind), **{name: getattr(source.look(kind), name)})
    return here.put(*looks.values(), **shared)


def carried(s: Selection, choices: tuple[Choice, ...]) -> Selection:
    """As much of a selection as ``put`` takes from it for these choices, for what is kept for long: no tokens of the
    prompt, no looks besides. With another model goes all that was chosen on this one."""
    if "open" in choices:
        return replace(bare(s), open=s.open, model=s.model)
    return replace(put(Selection(), s, choices), row=s.row, col=s.col, answer=s.answer)


def graft(here: Selection, wanted: Selection) -> Selection:
    """All that was chosen in ``wanted``, on the model that is open, with what the worker found already."""
    file, pair = wanted.file, wanted.pair
    if file is not None and here.file is not None and file.rows == here.file.rows:
        file = replace(here.file, at=file.at, over=file.over, typed=file.typed, pair=file.pair)
    if pair is not None and here.pair is not None and pair.text == here.pair.text:
        pair = replace(here.pair, answer=pair.answer)
    known = here.tokens is not None and here.text == wanted.text and here.bos == wanted.bos
    looks = [replace(look, **{name: getattr(here.look(type(look)), name) for name in look.found})
             for look in wanted.looks]  # fmt: skip
    there = replace(
        wanted, open=here.open, opened=here.opened, model=here.model, tokens=here.tokens, tokens_of=here.tokens_of,
        likeliest=here.likeliest, file=file, pair=pair, arriving=None if known else (wanted.row, wanted.col), looks=(),
    )  # fmt: skip
    return there.put(*looks)
