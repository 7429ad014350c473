"""Finding a text in what is drawn: labels of rows and columns, words of cells and lists, tokens of the prompt. Pure."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from . import pages
from .declared import NO_TOKENS, Here, Say
from .results import Axis, Gallery, Graph, Grid, Table
from .selection import Look, Selection

ACROSS = ","
"""Before a text: it is looked for in the columns alone."""


@dataclass(frozen=True)
class FindLook(Look):
    """What was looked for last."""

    travels: ClassVar[bool] = False
    passing: ClassVar[tuple[str, ...]] = ("text",)
    text: str = ""

    def for_model(self) -> Self:
        return type(self)()


@dataclass(frozen=True)
class Found:
    """Where a text is: cells, in the order in which they are walked; None in a cell: as the cursor has it."""

    what: str
    """``rows``, ``columns``, ``cells``, ``tokens``: where it was found."""
    places: tuple[tuple[int | None, int | None], ...]

    def of(self, at: int | None) -> str:
        """``2 of 5 rows``; ``at``: which of them has the cursor."""
        count = len(self.places)
        what = self.what if count != 1 else self.what.removesuffix("s")
        return f"{count} {what}" if at is None else f"{at + 1} of {count} {what}"


def to_position(s: Selection, index: int | None, col: int | None = None) -> Selection | Say:
    """A position of the page's tokens, and another for the column; None: where it is; negative: from the end."""
    page = pages.of(s)
    tokens = page.tokens(s)
    if tokens is None or not len(tokens):
        return Say(NO_TOKENS.why)
    count = len(tokens)
    for place in (index, col):
        if place is not None and not -count <= place < count:
            return Say(f"there is no position {place}: 0 to {count - 1}, or −1 for the last")
    own = tokens is not s.tokens or page.is_over(s)
    before = page.cell(s) if own else s.prompt_cell
    row, col = (old if new is None else new % count for old, new in zip(before, (index, col), strict=True))
    return page.at(s, row, col) if own else replace(s, row=row, col=col)


def find(here: Here, text: str) -> Found:
    """Where a text is on the page: in the rows; where no row has it, in the columns, then in the cells, then in the
    tokens of the prompt."""
    across, wanted = text.startswith(ACROSS), text.removeprefix(ACROSS)
    for what, places in _looked_at(here, wanted, across) if wanted else ():
        if places:
            return Found(what, tuple(places))
    return Found("places", ())


def _looked_at(here: Here, text: str, across: bool) -> Iterable[tuple[str, list[tuple[int | None, int | None]]]]:
    drawn = here.drawn
    if isinstance(drawn, Grid):
        if not across:
            yield "rows", [(row, None) for row in _in_axis(drawn.rows, text)]
        yield "columns", [(None, col) for col in _in_axis(drawn.cols, text)]
        if drawn.text is not None and not across:
            yield "cells", [(row, col) for row, line in enumerate(drawn.text) for col in in_words(line, text)]
    elif isinstance(drawn, Table):
        yield "rows", [(row, None) for row in in_rows(drawn.rows, text)]
    elif isinstance(drawn, Gallery):
        titles = [grid.header.head or grid.header.quantity for grid in drawn.grids]
        yield "pictures", [(None, col) for col in in_words(titles, text)]
    elif isinstance(drawn, Graph):
        yield "nodes", [(row, None) for row in in_words(drawn.nodes, text)]
    tokens = pages.of(here.s).tokens(here.s)
    if tokens is not None:
        yield "tokens", [(None, at) if across else (at, None) for at in in_tokens(tokens.texts, text)]


def in_rows(rows: Sequence[Sequence[object]], text: str) -> list[int]:
    """Which rows of a list have the text in one of their words."""
    return [at for at, row in enumerate(rows) if in_words([cell for cell in row if isinstance(cell, str)], text)]


def in_words(words: Sequence[str], text: str) -> list[int]:
    """Which of the words have the text, capitals or not."""
    wanted = _plain(text)
    return [at for at, word in enumerate(words) if wanted in word.lower()]


def in_tokens(texts: Sequence[str], text: str) -> list[int]:
    """The tokens where the text begins, in however many tokens it is."""
    ends = list(itertools.accumulate(len(piece) for piece in texts))
    whole = "".join(texts).lower()
    return sorted({bisect.bisect_right(ends, hit.start()) for hit in re.finditer(re.escape(_plain(text)), whole)})


def _in_axis(axis: Axis, text: str) -> list[int]:
    return in_words(axis.labels, text) if axis.ids is None else in_tokens(axis.labels, text)


def _plain(text: str) -> str:
    """``·Paris``, as a token's blank is shown, is `` Paris``."""
    return text.replace("·", " ").lower()


def place(cell: tuple[int, int], found: Found, by: int, stay: bool = False) -> int | None:
    """Which of the places is next (``by`` 1) or before (-1) from a cell, round the end; ``stay``: the cell itself where
    it is one. None where there is none."""
    at = [_cell(cell, spot) for spot in found.places]
    if by > 0:
        further = [i for i, there in enumerate(at) if there > cell or (stay and there == cell)]
        return next(iter(further or range(len(at))), None)
    before = [i for i, there in enumerate(at) if there < cell]
    return next(iter(before[::-1] or range(len(at) - 1, -1, -1)), None)


def _cell(cell: tuple[int, int], spot: tuple[int | None, int | None]) -> tuple[int, int]:
    return (cell[0] if spot[0] is None else spot[0], cell[1] if spot[1] is None else spot[1])


def cursor(here: Here, found: Found) -> tuple[int, int]:
    """The cursor, as the places count it."""
    page = pages.of(here.s)
    return page.token_cell(here.s) if found.what == "tokens" else page.cell(here.s)


def at(here: Here, found: Found, which: int) -> Selection | Say:
    """The cursor on one of the places."""
    spot = found.places[which]
    if found.what == "tokens":
        return to_position(here.s, *spot)
    page = pages.of(here.s)
    return page.at(here.s, *_cell(page.cell(here.s), spot))


def to_match(here: Here, text: str, by: int = 1) -> Selection | Say:
    """The next place that reads so, or the one before; kept for the keys that go on from there."""
    if not text.removeprefix(ACROSS):
        return Say("find what? :find volcano, or :find ,volcano in the columns")
    found = find(here, text)
    which = place(cursor(here, found), found, by)
    if which is None:
        return Say(nowhere(here, text))
    there = at(here, found, which)
    return there if isinstance(there, Say) else there.put(FindLook(text))


def nowhere(here: Here, text: str) -> str:
    """That a text is not there, and what may be."""
    tokens = pages.of(here.s).tokens(here.s)
    among = f"in these {len(tokens)} tokens" if tokens is not None else "here"
    return f"“{text.removeprefix(ACROSS)}” is nowhere {among}: a part of it may be, or another spelling"


def step(here: Here, by: int) -> Selection | Say:
    """The next or previous match of what was looked for, else of the token in the cursor's row."""
    s = here.s
    tokens, text = pages.of(s).tokens(s), s.look(FindLook).text
    if text:
        return to_match(here, text, by)
    if tokens is None or not len(tokens):
        return Say(NO_TOKENS.why)
    token = tokens.texts[pages.of(s).token_cell(s)[0]]
    found = Found("tokens", tuple((place, None) for place in in_tokens(tokens.texts, token)))
    which = place(cursor(here, found), found, by)
    return Say(nowhere(here, token)) if which is None else at(here, found, which)
