"""What the user did, as lines that can be done again: ``page qk``, ``L1H3``, ``prompt The capital of France is``,
``change L2.mlp mean``, ``set qk.normalize "centered"``.

A line says what one choice has become, never which key was pressed, so that a script of lines leads to the same view
whatever keys there are. A choice of a page is ``set PAGE.NAME VALUE`` where it is one of the page's options, else
``set CLASS.FIELD VALUE``, the value as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from . import needs, notation, pages, questions
from .choices import differing, put
from .declared import Problem
from .engine import jobs
from .names import head_at
from .results import Found, ModelKey, Split
from .selection import Answer, Contrast, Entry, Look, Pair, PanelShown, Selection, at_prompt, with_file
from .spelling import Spelling, known

Get = Callable[[jobs.Job], Any]
"""Whoever computes jobs."""
_NOBODY = ModelKey("", "", "", "")
_BLANK = "\r\n \t"
_BOS: Mapping[str, bool | None] = {"auto": None, "on": True, "off": False}


@dataclass(frozen=True)
class Word:
    """What one kind of line begins with."""

    tell: Callable[[Selection, Selection], Iterator[tuple[str, Selection]]]
    """From one selection to another: what each line says, and what it makes of the first."""
    do: Callable[[Selection, str, Get], Selection]
    """What a line makes of a selection. ValueError says what is wrong with it."""


def described(before: Selection, after: Selection) -> list[str]:
    """The lines that lead from one selection to another."""
    out, s = [], before
    for name, word in WORDS.items():
        for text, there in word.tell(s, after):
            out.append(f"{name} {text}".strip())
            s = there
    for choice in differing(s, after, places=True):
        if not isinstance(choice, str):
            kind, name = choice
            value = _spelled(after, getattr(after.look(kind), name))
            out.append(f"set {_called(after, kind, name)}.{name} {value}")
    return [_head(line) for line in out]


def done(s: Selection, line: str, get: Get) -> Selection:
    """The selection after one line; an empty one and a comment change nothing. ValueError says what is wrong with it.
    ``get`` computes what has to be looked up: the tokens of an answer."""
    if not is_step(line):
        return s
    line = line.strip(_BLANK)
    if (at := head_at(line)) is not None:
        return replace(s, layer=at[0], head=at[1])
    name, _, text = line.partition(" ")
    if name == "set":
        return _set(s, text.strip())
    if name not in WORDS:
        raise ValueError(f"“{name[:40]}” is no step: {', '.join(WORDS)}, set and L1H3 are")
    return WORDS[name].do(s, text.strip(), get)


def is_step(line: str) -> bool:
    """Whether a line is neither empty nor a comment."""
    return bool(line.strip(_BLANK)) and not line.strip(_BLANK).startswith("#")


def _head(line: str) -> str:
    """A head by its own name, as it is typed."""
    return line.removeprefix("head ") if head_at(line.removeprefix("head ")) is not None else line


# --- texts and values ----------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    """A text as it is, or in quotes where it could be taken for something else."""
    plain = text and text.isprintable() and text == text.strip() and text[0] not in '"{[#'
    return text if plain else json.dumps(text)


def _text(text: str) -> str:
    if not text.startswith('"'):
        return text
    value = _json(text)
    if not isinstance(value, str):
        raise ValueError(f"{text[:40]} is no text")
    return value


def _spelled(s: Selection, value: Any) -> str:
    made = Spelling(s.key or _NOBODY, inline=True).write(value)
    text = json.dumps(made, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(made)


def _valued(s: Selection, text: str, hint: Any, where: str) -> Any:
    return Spelling(s.key or _NOBODY, inline=True).read(where, _json(text), hint)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{text[:40]} is no JSON") from None


def _one_of(values: tuple[str, ...], text: str) -> str:
    if text not in values:
        raise ValueError(f"“{text[:40]}” is none of {', '.join(values)}")
    return text


def _number(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise ValueError(f"“{text[:40]}” is no number")
    return int(text)


# --- a page's choices ----------------------------------------------------------------------------------------------


def _called(s: Selection, kind: type[Look], name: str) -> str:
    """The page that has a choice among its options, the shown one first; else the choice's class."""
    for page in (pages.of(s), *pages.every()):
        if [option.look for option in page.options if option.name == name] == [kind]:
            return page.name
    return kind.__name__


def _set(s: Selection, text: str) -> Selection:
    where, _, value = text.partition(" ")
    owner, _, name = where.partition(".")
    page = next((page for page in pages.every() if page.name == owner), None)
    kinds = {option.look for option in page.options if option.name == name} if page is not None else set()
    kind = kinds.pop() if len(kinds) == 1 else known().get(owner)
    if kind is None or not issubclass(kind, Look) or name not in {field.name for field in fields(kind)}:
        raise ValueError(f"there is no {where[:60]} to set")
    made = _valued(s, value, get_type_hints(kind)[name], where)
    return s.put(replace(s.look(kind), **{name: made}))


# --- what all pages share ------------------------------------------------------------------------------------------

Tell = Callable[[Selection, Selection], Iterator[tuple[str, Selection]]]


def _field(name: str, write: Callable[[Any], str]) -> Tell:
    def tell(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
        if getattr(s, name) != getattr(after, name):
            yield write(getattr(after, name)), replace(s, **{name: getattr(after, name)})

    return tell


def _tell_model(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    if s.open.source != after.open.source:
        yield _quoted(after.open.source), replace(s, open=after.open)


def _tell_file(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    file = after.file
    if file is None:
        if s.file is not None:
            there = questions.prompt_file(s, "")
            assert isinstance(there, Selection)
            yield "", there
    elif s.file is None or (s.file.rows is not file.rows and s.file.rows != file.rows):
        path = f"{file.path} --fields {file.fields}" if file.fields else file.path
        yield _quoted(path), with_file(s, replace(file, at=0, over=True))


def _do_file(s: Selection, text: str, get: Get) -> Selection:
    there = questions.prompt_file(s, _text(text))
    if isinstance(there, Problem):
        raise ValueError(there.sentence)
    return there


def _tell_row(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    if s.file is not None and after.file is not None and s.file.at != after.file.at:
        yield str(after.file.at), at_prompt(s, after.file.at)


def _do_row(s: Selection, text: str, get: Get) -> Selection:
    if s.file is None or not 0 <= _number(text) < len(s.file.rows):
        raise ValueError(f"there is no prompt {text[:20]} of a file")
    return at_prompt(s, _number(text))


def _tell_over(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    if s.file is not None and after.file is not None and s.file.over != after.file.over:
        yield "on" if after.file.over else "off", replace(s, file=replace(s.file, over=after.file.over))


def _do_over(s: Selection, text: str, get: Get) -> Selection:
    if s.file is None:
        raise ValueError("no file of prompts is open")
    return replace(s, file=replace(s.file, over=_one_of(("on", "off"), text) == "on"))


def _tell_pair(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    if "pair" in differing(s, after):
        there, pair = put(s, after, ("pair",)), after.pair
        yield "" if pair is None else _quoted(pair.text) if pair.answer is None else _spelled(
            after, Pair(pair.text, answer=pair.answer)), there  # fmt: skip


def _do_pair(s: Selection, text: str, get: Get) -> Selection:
    if text.startswith("{"):
        return replace(s, pair=_valued(s, text, Pair, "pair"))
    return replace(s, pair=Pair(_text(text)) if text else None)


def _tell_answer(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    answer = after.answer
    if s.answer == answer or (answer is not None and answer.of_file):
        return  # of a file: it comes with the prompt
    there = replace(s, answer=answer)
    if answer is None:
        yield "", there
    else:
        plain = answer.sides == ("", "") and answer.text.isprintable() and answer.text[:1] not in ("", "{")
        yield answer.text if plain else _spelled(after, answer), there


def _do_answer(s: Selection, text: str, get: Get) -> Selection:
    if not text:
        return replace(s, answer=None)
    if text.startswith("{"):
        return replace(s, answer=_valued(s, text, Answer, "answer"))
    if s.key is None:
        raise ValueError("no model is there yet")
    found = get(jobs.FindTarget(s.key, text))
    if isinstance(found, Split):
        raise ValueError(" ".join(found.problem))
    assert isinstance(found, Found)
    target = jobs.Target(found.answers.ids, found.distractors.ids)
    return replace(s, answer=Answer(target, text, found.label))


def _tell_added(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    """Changes behind those that are there, and all of them anew where it is something else."""
    entries = s.stack
    if after.stack[: len(entries)] == entries and all(entry.on for entry in after.stack[len(entries) :]):
        for entry in after.stack[len(entries) :]:
            s = replace(s, stack=(*s.stack, entry))
            yield _change(after, entry.change), s


def _change(s: Selection, change: jobs.Change) -> str:
    """As it is written where that says all of it, else as JSON."""
    text = notation.written(change)
    return text if text and _read(s, text) == change else _spelled(s, change)


def _read(s: Selection, text: str) -> jobs.Change | str:
    return notation.read(text, s.file.prepared if s.file is not None else None, s.weights, s.corrupted)


def _do_change(s: Selection, text: str, get: Get) -> Selection:
    change = _valued(s, text, jobs.Change, "change") if text.startswith("{") else _read(s, text)
    if isinstance(change, str):
        raise ValueError(change)
    return replace(s, stack=(*s.stack, Entry(change)))


def _tell_dropped(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    for at in range(len(s.stack)):
        rest = (*s.stack[:at], *s.stack[at + 1 :])
        if rest == after.stack:
            yield str(at + 1), replace(s, stack=rest)
            return


def _do_dropped(s: Selection, text: str, get: Get) -> Selection:
    at = _number(text) - 1
    if not 0 <= at < len(s.stack):
        raise ValueError(f"there is no change {at + 1}")
    return replace(s, stack=(*s.stack[:at], *s.stack[at + 1 :]))


def _tell_stack(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    if s.stack != after.stack:
        yield _spelled(after, after.stack), replace(s, stack=after.stack)


def _do_head(s: Selection, text: str, get: Get) -> Selection:
    if text.startswith("none"):
        return replace(s, layer=_number(text.removeprefix("none").strip() or "0"), head=None)
    raise ValueError(f"“{text[:40]}” is no head such as L1H3")


def _tell_head(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    if (s.layer, s.head) != (after.layer, after.head):
        text = f"none {after.layer}" if after.head is None else after.name
        yield text, replace(s, layer=after.layer, head=after.head)


def _tell_cursor(s: Selection, after: Selection) -> Iterator[tuple[str, Selection]]:
    """Other tokens have the cursor at their end, unless something is to arrive elsewhere."""
    wanted = needs.tokenizing(after)
    on_its_way = after.tokens is not None and after.tokens_of != wanted
    there = (after.arriving or (-1, -1)) if on_its_way else (after.row, after.col)
    here = (-1, -1) if s.tokens is not None and s.tokens_of != wanted else (s.row, s.col)
    if here != there:
        yield f"{there[0]} {there[1]}", replace(s, row=there[0], col=there[1])


def _do_cursor(s: Selection, text: str, get: Get) -> Selection:
    row, _, col = text.partition(" ")
    return replace(s, row=_number(row), col=_number(col.strip()))


def _do_page(s: Selection, text: str, get: Get) -> Selection:
    return replace(s, page=_one_of(tuple(page.name for page in pages.every()), text))


WORDS: Mapping[str, Word] = {
    "model": Word(_tell_model, lambda s, text, get: replace(s, open=replace(s.open, source=_text(text)))),
    "prompts": Word(_tell_file, _do_file),
    "row": Word(_tell_row, _do_row),
    "over": Word(_tell_over, _do_over),
    "prompt": Word(_field("text", _quoted), lambda s, text, get: replace(s, text=_text(text))),
    "bos": Word(_field("bos", lambda value: next(name for name, bos in _BOS.items() if bos is value)),
                lambda s, text, get: replace(s, bos=_BOS[_one_of(tuple(_BOS), text)])),
    "pair": Word(_tell_pair, _do_pair),
    "answer": Word(_tell_answer, _do_answer),
    "weights": Word(_field("weights", str), lambda s, text, get: replace(
        s, weights=_one_of(get_args(jobs.Weights), text))),  # type: ignore[arg-type]
    "drop": Word(_tell_dropped, _do_dropped),
    "change": Word(_tell_added, _do_change),
    "stack": Word(_tell_stack, lambda s, text, get: replace(s, stack=_valued(s, text, tuple[Entry, ...], "stack"))),
    "contrast": Word(_field("contrast", str), lambda s, text, get: replace(
        s, contrast=_one_of(get_args(Contrast), text))),  # type: ignore[arg-type]
    "page": Word(_field("page", str), _do_page),
    "head": Word(_tell_head, _do_head),
    "panel": Word(_field("panel", _quoted), lambda s, text, get: replace(s, panel=_text(text))),
    "side": Word(_field("panel_shown", str), lambda s, text, get: replace(
        s, panel_shown=_one_of(get_args(PanelShown), text))),  # type: ignore[arg-type]
    "cursor": Word(_tell_cursor, _do_cursor),
}  # fmt: skip
"""What a line may begin with, in the order in which lines of one step are told: a later one stands on those before."""
