"""What the model says next, beside every page: clean and changed side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from ..declared import NO_TOKENS, Asked, Export, Given, Here, Lookup, Nothing, Panel, Problem, Question, Say
from ..engine import jobs
from ..page import everywhere
from ..phrases import row_of
from ..results import Table
from ..selection import Look, Selection

TOKENS = 20
IN_CHAT = "the prompt is the user's message of a chat, and what the model says is no part of it: :chat leaves the chat"
_HOW = re.compile(
    r"(?P<n>\d{1,4})?(?:(?:^|\s+)(?P<temperature>\d{1,3}(?:\.\d{1,4})?))?(?:(?:^|\s+)seed\s*(?P<seed>\d{1,9}))?"
)


@dataclass(frozen=True)
class ContinueLook(Look):
    """Whether the continuation is asked for, and how it goes on."""

    travels: ClassVar[bool] = False
    on: bool = False
    n: int = TOKENS
    temperature: float = 0.0
    """0: the likeliest token."""
    seed: int = 0

    def for_model(self) -> ContinueLook:
        return replace(self, on=False)

    @property
    def how(self) -> str:
        """``greedy``, or ``T 0.8 seed 3``."""
        return f"T {self.temperature:g} seed {self.seed}" if self.temperature else "greedy"


def _job(here: Here) -> jobs.Continuation | Nothing:
    run = here.s.changed.run  # both models stand side by side, whichever the pictures are of
    look = here.s.look(ContinueLook)
    return NO_TOKENS if run is None else jobs.Continuation(run, look.n, look.temperature, look.seed)


def _shape(here: Here, result: object) -> Table:
    """Both models' words; where there is one model, its words and how likely each was."""
    assert isinstance(result, Table)
    names = {"position": "position", "token": "token", "probability": "probability"}
    if "clean" in result.columns:
        names = {"clean": "clean", "clean probability": "p", "token": "changed", "probability": "p'"}
    at = [result.columns.index(name) for name in names]
    rows = tuple(tuple(row[i] for i in at) for row in result.rows)
    return Table(result.header, tuple(names.values()), rows, bar="probability" if len(names) == 3 else None)


def _opens(here: Here, table: Table, row: int) -> Selection | Say:
    """The prompt with what was said up to there."""
    if here.s.chat:
        return Say(IN_CHAT)
    column = "changed" if "changed" in table.columns else "token"
    said = "".join(str(row_of(table, at)[column]) for at in range(row + 1))
    return replace(here.s, text=here.s.text + said)


def continued(s: Selection) -> Selection | Say:
    """Ask what the model says next, or no longer."""
    if s.model is not None and s.model.capabilities.one_vocabulary:
        return Say(s.model.capabilities.one_vocabulary)
    look = s.look(ContinueLook)
    if look.on and s.panel == PANEL.name:
        return s.put(replace(look, on=False), panel="")
    return _shown(s, look)


def _shown(s: Selection, look: ContinueLook) -> Selection:
    return s.put(replace(look, on=True), panel=PANEL.name, panel_shown="open")


def read(text: str) -> ContinueLook | str:
    """``20 0.8 seed 3``: tokens, temperature, seed; a sentence where it cannot be read."""
    match = _HOW.fullmatch(text.replace("=", " ").strip())
    if match is None:
        return f"“{text}” is no number of tokens, temperature and seed: write 20, or 20 0.8 seed 3"
    n, temperature = int(match["n"] or TOKENS), float(match["temperature"] or 0)
    if not 1 <= n <= jobs.MOST_TOKENS:
        return f"{n} tokens cannot be asked for at once: 1 to {jobs.MOST_TOKENS}"
    if match["seed"] and not temperature:
        return "a seed is for what is drawn, and the likeliest token always is the same: write 20 0.8 seed 3"
    return ContinueLook(True, n, temperature, int(match["seed"] or 0))


def answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    """The continuation as it is asked for."""
    if s.model is not None and s.model.capabilities.one_vocabulary:
        return Problem(s.model.capabilities.one_vocabulary)
    look = read(text)
    return Problem(look) if isinstance(look, str) else _shown(s, look)


def _written(s: Selection) -> str:
    look = s.look(ContinueLook)
    return f"{look.n} {look.temperature:g} seed {look.seed}" if look.temperature else str(look.n)


QUESTION = Question(
    "continue", "What the model says next", "tokens, temperature, seed: 20 0.8 seed 3 · 40: the likeliest ones",
    answered, _written,
)  # fmt: skip


def _title(here: Here) -> str:
    how = here.s.look(ContinueLook).how
    return f"{how}: clean and changed" if here.s.changes else f"{how}: says next"


PANEL = Panel("continuation", _job, _title, _shape, _opens, offered=lambda s: s.look(ContinueLook).on)
everywhere(PANEL)


def _exported(ask: Asked) -> jobs.Continuation:
    o = ask.options
    return jobs.Continuation(ask.run, o.top or TOKENS, o.temperature, o.seed or 0)


def _gives(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.Continuation):
        return None
    return {"run": job.run, "top": job.n, "temperature": job.temperature, "seed": job.seed or None}


EXPORT = Export(
    "continue", _exported, ("top", "temperature", "seed", "stack", "reference"), ignores=("weights",),
    refuses=lambda o: "--seed is for --temperature: the likeliest token is always the same"
    if o.seed is not None and not o.temperature else "", gives=_gives,
)  # fmt: skip
