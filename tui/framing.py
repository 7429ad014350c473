"""How a figure is made: its ground, its size, numbers in its cells, and the heads that stand side by side in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from .declared import Lookup, Problem, Question
from .names import HeadAt, head_at
from .results import head_name
from .selection import Look, Selection

Ground = Literal["white", "dark"]
Numbers = Literal["auto", "numbers", "plain"]
FORMS = ("svg", "png", "pdf")
"""What a figure is written as."""
SMALLEST, LARGEST = 3.0, 60.0
"""Centimetres of a side."""
MOST_HEADS = 12
FORM = "write white 12x9 cm numbers, or dark 16x6 L0H1, L0H2, L2H2"
_SIZE = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*[x×]\s*(\d{1,3}(?:\.\d{1,2})?)(?:\s*cm)?", re.IGNORECASE)
_HEAD = re.compile(r"L\d{1,6}H\d{1,6}", re.IGNORECASE)


@dataclass(frozen=True)
class FigureLook(Look):
    """What is chosen for figures; it is kept from one to the next."""

    travels: ClassVar[bool] = False
    ground: Ground = "white"
    width: float = 12.0
    """Centimetres, as is ``height``."""
    height: float = 9.0
    numbers: Numbers = "auto"
    """Values in the cells: where there is room, wherever they are legible at all, or nowhere."""
    heads: tuple[HeadAt, ...] = ()
    """Heads in a row on one colour scale; empty: what is shown."""

    def for_model(self) -> Self:
        return replace(self, heads=())

    def __str__(self) -> str:
        """As it is typed: ``white 12x9 cm``."""
        numbers = "" if self.numbers == "auto" else f" {self.numbers}"
        heads = ", ".join(head_name(*at) for at in self.heads)
        return f"{self.ground} {self.width:g}x{self.height:g} cm{numbers} {heads}".rstrip()


def read(text: str, before: FigureLook | None = None) -> FigureLook | str:
    """``dark 16x6 L0H1, L0H2`` → that; a sentence where it cannot be read. What is not named is as ``before``, but for
    the heads: without any it is what is shown."""
    look = replace(before or FigureLook(), heads=())
    rest = text
    if size := _SIZE.search(rest):
        width, height = float(size[1]), float(size[2])
        if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
            return f"{size[0]}: a side is {SMALLEST:g} to {LARGEST:g} cm long"
        look, rest = replace(look, width=width, height=height), rest[: size.start()] + " " + rest[size.end() :]
    heads = [head_at(name) for name in _HEAD.findall(rest)]
    look = replace(look, heads=tuple(dict.fromkeys(at for at in heads if at is not None)))
    if len(look.heads) > MOST_HEADS:
        return f"{len(look.heads)} heads do not fit into one row: {MOST_HEADS} at most"
    for word in _HEAD.sub("", rest).replace(",", " ").lower().split():
        if word in ("white", "dark"):
            look = replace(look, ground=word)  # type: ignore[arg-type]
        elif word in ("auto", "numbers", "plain"):
            look = replace(look, numbers=word)  # type: ignore[arg-type]
        else:
            return f"“{word}” says nothing of a figure: {FORM}"
    return look


def outside(look: FigureLook, n_layers: int, n_heads: int) -> str:
    """Why one of its heads is not in the model; "" where all are."""
    for layer, head in look.heads:
        if layer >= n_layers or head >= n_heads:
            return f"there is no {head_name(layer, head)}: layers 0 to {n_layers - 1}, heads 0 to {n_heads - 1}"
    return ""


def _answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    look = read(text, s.look(FigureLook))
    if isinstance(look, str):
        return Problem(look)
    if s.model is not None and (why := outside(look, s.model.n_layers, s.model.n_heads)):
        return Problem(why)
    return s.put(look)


QUESTION = Question(
    "figure", "Figures", "white or dark · 12x9 cm · numbers or plain (no values in the cells) · L0H1, L0H2: these "
    "heads in a row on one colour scale", _answered, lambda s: str(s.look(FigureLook)),
)  # fmt: skip
