"""The circuit that is put together, beside every page: its heads and MLPs, and how much of the model they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..engine import jobs
from ..names import in_order, is_node, part_at
from ..page import Asked, Export, Here, Nothing, Panel, Say, everywhere
from ..phrases import row_of
from ..results import Result, Table
from ..selection import Look, Selection
from .going import to_part

MINIMALITY = "minimality of "
NAME = "circuit"


@dataclass(frozen=True)
class ChosenLook(Look):
    """The circuit's parts, in the model's order."""

    travels: ClassVar[bool] = False
    parts: tuple[str, ...] = ()

    def for_model(self) -> ChosenLook:
        return ChosenLook()


def chosen(s: Selection, name: str) -> Selection | Say:
    """Put a head or an MLP into the circuit, or take it out."""
    if not is_node(name):
        return Say("no head and no MLP is under the cursor here")
    parts = s.look(ChosenLook).parts
    rest = tuple(part for part in parts if part != name)
    there = s.put(ChosenLook(rest if name in parts else in_order((*parts, name))))
    return there if parts else replace(there, panel=NAME)


def of_model(s: Selection, parts: tuple[str, ...]) -> Selection:
    """With a circuit that was kept, as far as the model has its parts."""
    model = s.model
    if model is None:
        return s
    known = [(name, part_at(name)) for name in parts]
    there = tuple(
        name for name, part in known if part is not None and part.layer < model.n_layers
        and (model.has_mlp if part.head is None else part.head < model.n_heads)
    )  # fmt: skip
    return s.put(ChosenLook(there))


def _job(here: Here) -> jobs.Job | Nothing:
    s = here.s
    parts = s.look(ChosenLook).parts
    if s.key is None:
        return Nothing()
    if s.file is None:
        return Nothing(f"{', '.join(parts)} · scores are over a file of prompts with answers: O opens one, such as "
                       "induction")
    if s.file.prepared is None:
        return Nothing()
    if None in s.file.prepared.targets:
        at = s.file.prepared.targets.index(None) + 1
        return Nothing(f"{', '.join(parts)} · prompt {at} of {s.file.name} has no answer: scores are of answers")
    return jobs.CircuitScores(s.key, s.file.prepared, parts, s.file.prepared)


def _shape(here: Here, result: Result) -> Result:
    """Each score beside the mean and the span of random circuits' in one column: there is little room."""
    if not isinstance(result, Table):
        return result
    rows = []
    for row in range(len(result.rows)):
        named = row_of(result, row)
        low, high = named["random min"], named["random max"]
        span = f"{low:.2f} … {high:.2f}".replace("-", "−") if isinstance(low, float) else ""
        rows.append((str(named["score"]).removeprefix(MINIMALITY), named["circuit"], span))
    return Table(result.header, ("score", NAME, "random"), tuple(rows))


def _opens(here: Here, table: Table, row: int) -> Selection | Say:
    """The part that a row is about."""
    name = str(row_of(table, row)["score"])
    return to_part(here.s, name) if is_node(name) else Say("enter on a part of the circuit shows it; c takes it out")


def _title(here: Here) -> str:
    count = len(here.s.look(ChosenLook).parts)
    over = f" over {here.s.file.name}" if here.s.file is not None else ""
    return f"circuit of {count} part{'s' if count != 1 else ''}{over}"


PANEL = Panel(NAME, _job, _title, _shape, _opens, offered=lambda s: bool(s.look(ChosenLook).parts))
everywhere(PANEL)


def _exported(ask: Asked) -> jobs.Job:
    o = ask.options
    return jobs.CircuitScores(
        ask.model.key, ask.prompts(), ask.circuit(), ask.reference(), o.seed or 0, o.memory or 1024
    )


EXPORT = Export(
    NAME, _exported, ("prompts", "reference", "seed", "memory", "answer", "distractor"), reads="prompts",
    ignores=("weights",), file="one head or MLP a line, # before comments",
)  # fmt: skip
