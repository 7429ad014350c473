"""What the model says next, beside every page: clean and changed side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..engine import jobs
from ..page import NO_TOKENS, Asked, Export, Here, Nothing, Panel, Say, everywhere
from ..phrases import row_of
from ..results import Table
from ..selection import Look, Selection

TOKENS = 20


@dataclass(frozen=True)
class ContinueLook(Look):
    """Whether the continuation is asked for."""

    travels: ClassVar[bool] = False
    on: bool = False

    def for_model(self) -> ContinueLook:
        return ContinueLook()


def _job(here: Here) -> jobs.Continuation | Nothing:
    run = here.s.changed.run  # both models stand side by side, whichever the pictures are of
    return NO_TOKENS if run is None else jobs.Continuation(run, TOKENS)


def _shape(here: Here, result: object) -> Table:
    """Both models' words; where there is one model, its words and how likely each was."""
    assert isinstance(result, Table)
    if "clean" not in result.columns:
        at = [result.columns.index(name) for name in ("position", "token", "probability")]
        names = ("position", "token", "probability")
    else:
        at = [result.columns.index(name) for name in ("position", "clean", "token", "probability")]
        names = ("position", "clean", "changed", "probability")  # type: ignore[assignment]
    rows = tuple(tuple(row[i] for i in at) for row in result.rows)
    return Table(result.header, names, rows, bar="probability" if len(names) == 3 else None)


def _opens(here: Here, table: Table, row: int) -> Selection | Say:
    """The prompt with what was said up to there."""
    column = "changed" if "changed" in table.columns else "token"
    said = "".join(str(row_of(table, at)[column]) for at in range(row + 1))
    return replace(here.s, text=here.s.text + said)


def continued(s: Selection) -> Selection | Say:
    """Ask what the model says next, or no longer."""
    if s.model is not None and s.model.capabilities.one_vocabulary:
        return Say(s.model.capabilities.one_vocabulary)
    if s.look(ContinueLook).on and s.panel == PANEL.name:
        return s.put(ContinueLook(), panel="")
    return s.put(ContinueLook(True), panel=PANEL.name, panel_shown="open")


def _title(here: Here) -> str:
    return "says next, clean and changed" if here.s.changes else "says next"


PANEL = Panel("continuation", _job, _title, _shape, _opens, offered=lambda s: s.look(ContinueLook).on)
everywhere(PANEL)


def _exported(ask: Asked) -> jobs.Continuation:
    o = ask.options
    return jobs.Continuation(ask.run, o.top or TOKENS, o.temperature, o.seed or 0)


EXPORT = Export(
    "continue", _exported, ("top", "temperature", "seed", "stack", "reference"), ignores=("weights",),
    refuses=lambda o: "--seed is for --temperature: the likeliest token is always the same"
    if o.seed is not None and not o.temperature else "",
)  # fmt: skip
