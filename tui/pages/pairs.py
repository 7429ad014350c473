"""Pairs: the strongest token pairs of a head's whole QK or OV circuit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Self, get_args

from ..declared import NO_HEAD, Asked, Export, Given, Here, Lookup, Nothing, Panel, Problem, Question, Say, Segments
from ..engine import jobs
from ..page import Page
from ..phrases import STRONG, field, number, waiting
from ..results import Table, head_name
from ..selection import Look, Selection
from ..text import visible
from . import circuit
from .circuit import HALF, SEARCHED_BASIS, CircuitLook, Half
from .panels import partners

NO_FILTER = jobs.TokenFilter()


@dataclass(frozen=True)
class PairsLook(Look):
    """Which tokens are searched, and the row under the cursor."""

    passing: ClassVar[tuple[str, ...]] = ("row",)
    filter: jobs.TokenFilter = NO_FILTER
    filter_text: str = ""
    row: int = 0

    def for_model(self) -> Self:
        return replace(self, row=0)


def parse_filter(text: str) -> jobs.TokenFilter | str:
    """``same`` (also a token with itself), ``3+`` (characters), ``/ing$/``, in any order; or what is wrong with it."""
    made = jobs.TokenFilter()
    pattern = re.search(r"/(.*)/", text)
    if pattern is not None:
        try:
            re.compile(pattern[1])
        except re.error as error:
            return f"/{pattern[1]}/ is no regular expression: {error}"
        made = replace(made, pattern=pattern[1])
        text = text[: pattern.start()] + text[pattern.end() :]
    for word in text.replace(",", " ").split():
        if word == "same":
            made = replace(made, same=False)
        elif match := re.fullmatch(r"(\d{1,3})\+", word):
            made = replace(made, shortest=int(match[1]))
        else:
            return f"“{word}” is no filter. same: also a token with itself; 3+: that long at least; /ing$/: such tokens"
    return made


def _filter_answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    chosen = parse_filter(text)
    return Problem(chosen) if isinstance(chosen, str) else s.put(PairsLook(chosen, text))


FILTER = Question(
    "filter", "Tokens of the search", "3+: that long at least · /ing$/: such ones · same: also with itself · empty: "
                                      "all",
    _filter_answered, lambda s: s.look(PairsLook).filter_text,
)  # fmt: skip


def _partners(here: Here) -> jobs.Job | Nothing:
    """Of the first token of the pair under the cursor."""
    table, row = here.drawn, here.s.look(PairsLook).row
    if not isinstance(table, Table) or not table.rows:
        return Nothing()
    token = table.rows[min(row, len(table.rows) - 1)][table.columns.index("id")]  # of two columns of that name
    return partners(here.s, int(token or 0), "query" if here.s.look(Half).circuit == "qk" else "source")


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    memory = (512 if o.memory is None else o.memory) << 20
    return jobs.TopPairs(ask.model.key, *ask.head, o.circuit or "ov", o.weights, o.basis, ask.offset, ask.filter,
                    o.top or 64, memory)  # fmt: skip


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.TopPairs):
        return None
    return {"head": head_name(job.layer, job.head), "circuit": job.circuit, "basis": job.basis,
            "offset": job.offset or None, "filter": str(job.filter), "top": job.k,
            "weights": job.weights}  # fmt: skip


class PairsPage(Page):
    name = "pairs"
    title = "Pairs"
    key = "V"
    help = "The strongest token pairs of the head's whole QK or OV circuit, exact, found as you watch; esc stops."
    says = ("list", "the strongest token pairs of the whole `d_vocab × d_vocab` circuit of a head, exact; `;` filters "
                    "tokens, esc stops; enter shows the pair in QK or OV")  # fmt: skip
    group = "Find"
    options = (HALF, SEARCHED_BASIS)
    panels = (Panel("its partners", _partners, lambda here: f"{here.s.name}: its partners"),)
    questions = (FILTER,)
    exports = (
        Export("pairs", _exported, ("basis", "offset", "circuit", "top", "filter", "memory"),
               {"circuit": get_args(jobs.Circuit)}, "weights", "needed", gives=_gives),
    )  # fmt: skip
    long = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        if s.head is None or s.key is None:
            return NO_HEAD
        half, basis = s.look(Half).circuit, s.look(CircuitLook).basis
        return jobs.TopPairs(
            s.key, s.layer, s.head, half, s.weights, basis, circuit.offset(s), s.look(PairsLook).filter
        )

    def words(self, s: Selection) -> list[str]:
        text = s.look(PairsLook).filter_text
        chosen = f"filter {text}" if text else ""
        return [s.name, f"strongest {s.look(Half).circuit.upper()} pairs", s.look(CircuitLook).basis, chosen]

    def entered(self, s: Selection) -> Selection:
        return circuit.with_half_drawn(s)

    def cell(self, s: Selection) -> tuple[int, int]:
        return s.look(PairsLook).row, 0

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return s.put(replace(s.look(PairsLook), row=row))

    def line(self, here: Here) -> Segments:
        table = here.drawn
        if not isinstance(table, Table) or not table.rows:
            return waiting(here)
        row = table.rows[min(here.s.look(PairsLook).row, len(table.rows) - 1)]
        names = [visible(cell) for cell in row if isinstance(cell, str)]
        value = number(float(row[table.columns.index("value")] or 0))
        return [(f" {' → '.join(names)} ", STRONG), *field(here.s.look(Half).circuit.upper(), value)]

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        """The two tokens of the pair, in the circuit in which it was found."""
        table = here.drawn
        if not isinstance(table, Table) or not table.rows:
            return Say("nothing is found yet that could be opened")
        ids = dict.fromkeys(
            cell for name, cell in zip(table.columns, table.rows[row], strict=True) if name.endswith("id")
        )
        return replace(circuit.on_words(here.s, ",".join(map(str, ids)), len(ids) - 1), page=here.s.look(Half).circuit)

    def settled(self, s: Selection) -> Selection:
        look = s.look(CircuitLook)  # a search is over the vocabulary
        return s.put(replace(look, basis="embed")) if look.basis == "prompt" else s
