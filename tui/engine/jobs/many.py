"""Many prompts at once: a file of them, and mean and spread over it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from ...results import ModelKey
from .base import Change, Job, Run, Target
from .kinds import Unit


@dataclass(frozen=True)
class PromptRow:
    """One line of a file of prompts."""

    text: str
    answer: str = ""
    """As in ``FindTarget``; empty: the model's top next token."""
    distractor: str = ""
    corrupted: str = ""
    """The other prompt of a pair; then the one above is the clean one."""


@dataclass(frozen=True)
class PreparePrompts(Job):
    """The rows of a file → ``Prompts``: each tokenized and its target found; a row that cannot be is an error that
    names it. ``target``: of rows that have no answer of their own (None: the model's top next token)."""

    model: ModelKey
    name: str
    """The file's name, for titles."""
    rows: tuple[PromptRow, ...] = field(hash=False, repr=False)
    """Compared, but not hashed: a hundred thousand rows take 14 ms each time."""
    bos: bool
    target: Target | None = None
    chat: bool = False
    """Each prompt is a user's message in the model's chat template."""


@dataclass(frozen=True)
class Prompts:
    """Tokenized prompts and their targets: result of ``PreparePrompts``, and a part of other jobs' keys."""

    key: str
    """Digest of everything below but the changes: what equality and hashing look at beside them, so that a thousand
    prompts are a cheap key."""
    name: str = field(compare=False)
    runs: tuple[Run, ...] = field(compare=False, repr=False)
    targets: tuple[Target | None, ...] = field(compare=False, repr=False)
    """None: the model's top next token of that prompt."""
    texts: tuple[str, ...] = field(compare=False, repr=False)
    labels: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """The targets in words, as in ``Found.label``; "" where there is none."""
    with_own_bos: int = field(default=0, compare=False, repr=False)
    """Prompts that bring a BOS themselves: they have no second."""
    changes: tuple[Change, ...] = ()
    """What is changed in the model on every prompt; ``run`` puts it in, ``runs`` are clean."""
    corrupted: tuple[Run, ...] = field(default=(), compare=False, repr=False)
    """The other prompts, where all of them are pairs."""

    def run(self, index: int) -> Run:
        """The forward pass on a prompt, changes included."""
        return replace(self.runs[index], interventions=self.changes)

    def __len__(self) -> int:
        return len(self.runs)

    def all_of(self, length: int) -> bool:
        """Whether every prompt has that many tokens."""
        return self._lengths == {length}

    @cached_property
    def _lengths(self) -> set[int]:
        return {len(run.ids) for run in self.runs}


def interventions_of(job: Any) -> tuple[Change, ...]:
    """What is changed in the model whose numbers a job gives, on one prompt or on many."""
    run, prompts = getattr(job, "run", None), getattr(job, "prompts", None)
    if run is None and prompts is None:
        return getattr(job, "interventions", ())
    return prompts.changes if run is None else run.interventions  # type: ignore[no-any-return, union-attr]


@dataclass(frozen=True)
class OverPrompts(Job):
    """Base of what is asked of every prompt of a file."""

    model: ModelKey
    prompts: Prompts


@dataclass(frozen=True)
class ReadPrompts(Job):
    """What a job reads of some prompts by themselves → tuple, one a prompt. One forward pass, so that a sweep over a
    file goes on where it was stopped."""

    of: OverPrompts
    which: tuple[int, ...]

    @property
    def model(self) -> ModelKey:
        return self.of.model


@dataclass(frozen=True)
class AttributionOver(OverPrompts):
    """``Attribution`` at the last position of every prompt → ``Grid`` [part, (mean, spread)]; spread: population
    standard deviation over the prompts."""

    unit: Unit = "head"


@dataclass(frozen=True)
class LensOver(OverPrompts):
    """The lens at the last position of every prompt → ``Table``: state, then mean and spread of the answer's
    probability, its rank, the entropy and KL(final ‖ lens)."""

    mids: bool = False


@dataclass(frozen=True)
class PatternOver(OverPrompts):
    """One head's attention pattern over the prompts → ``Grid`` [query, key]: the mean or the spread at each cell.

    Prompts of one length: position by position. Else the last positions of each, as many as the shortest has: said.
    """

    layer: int
    head: int
    statistic: Literal["mean", "spread"] = "mean"


@dataclass(frozen=True)
class Contexts(OverPrompts):
    """Where in the prompts a head attends most to a token → ``Table`` (attention, prompt, query position, key position,
    query, context), strongest first; prompts and positions count from 0."""

    layer: int
    head: int
    token: int
    k: int = 20
