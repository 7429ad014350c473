"""Activation patching: an activation of one prompt's run in the run of another.

Formulas and names: definitions.md, "Interventions". ``denoise``: clean into corrupted, is it sufficient; ``noise``:
corrupted into clean, is it necessary. Both give ``(metric − metric corrupted) / (metric clean − metric corrupted)``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ...results import ModelKey
from .base import Job, Run, Target
from .kinds import METRICS, By, Metric, Site, Toward
from .many import Prompts

Cells = tuple[tuple[int, int | None, int | None], ...]
"""Layer, head or neuron, position: see ``circuits.patching.Cell``."""


@dataclass(frozen=True)
class Patching(Job):
    """What is patched, from where, and what is measured of it.

    by: ``head`` (layer × head), ``position`` (layer × position), ``head-position``, ``neuron`` (of one layer).
    """

    clean: Run
    corrupted: Run
    target: Target
    site: Site = "z"
    by: By = "head"
    metric: Metric = "logit difference"
    toward: Toward = "denoise"
    position: int | None = None
    """Where heads and neurons are patched; None: everywhere at once."""
    layer: int | None = None
    """Whose neurons."""
    memory: int = 1 << 30
    """Bytes that a batch of runs may take beside the model."""
    continuation: tuple[int, ...] = ()
    """Tokens that both runs end with, after the prompts: what the loss is of. Empty: there is none."""

    @property
    def length(self) -> int:
        """Tokens of a prompt."""
        return len(self.clean.ids) - len(self.continuation)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured of every cell."""
        return (*METRICS, "loss") if self.continuation else METRICS

    @property
    def model(self) -> ModelKey:
        return self.clean.model

    @property
    def base(self) -> Run:
        """The run that is changed."""
        return self.corrupted if self.toward == "denoise" else self.clean

    @property
    def other(self) -> Run:
        """The run that activations are taken from."""
        return self.clean if self.toward == "denoise" else self.corrupted

    @property
    def unmeasured(self) -> Patching:
        """The same whatever is measured: what ``PatchedCells`` are of, since they have every metric."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(Patching)}
        return Patching(**values | {"metric": METRICS[0]})

    def needs(self) -> frozenset[Job]:
        return frozenset({Recorded(self.clean), Recorded(self.corrupted)})


@dataclass(frozen=True)
class PatchingEstimate(Patching):
    """Every cell estimated from one backward pass → ``Grid``."""


@dataclass(frozen=True)
class PatchingGrid(Patching):
    """Every cell exactly → ``Grid``; on the way there the whole grid as ``PatchingEstimate`` has it, with exact values
    where they are known already, the strongest estimates first. Its text layer marks what is an estimate; beside it are
    the other metrics that both prompts tell apart, where cells are exact."""

    @property
    def estimate(self) -> PatchingEstimate:
        """The same grid, estimated."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return PatchingEstimate(**values)

    def needs(self) -> frozenset[Job]:
        return super().needs() | {self.estimate}


@dataclass(frozen=True)
class PatchedCells(Job):
    """Some cells exactly → every metric of each, as it is. One batch, so that a sweep goes on where it was stopped."""

    of: Patching
    cells: Cells

    @property
    def model(self) -> ModelKey:
        return self.of.model

    def needs(self) -> frozenset[Job]:
        return self.of.needs()


@dataclass(frozen=True)
class Recorded(Job):
    """One run from plain tensors with all its activations → ``Tape`` of circuits/forward.py."""

    run: Run


@dataclass(frozen=True)
class PatchingOver(Job):
    """Heads or layers patched in every pair of a file → ``Grid`` [node, (ratio of means, spread, same sign)]: the mean
    effect over the mean difference between the prompts, the standard deviation of the effects over the same, and the
    share of pairs whose effect has the sign of the mean. ``estimate``: by the backward pass alone."""

    model: ModelKey
    pairs: Prompts
    site: Site = "z"
    metric: Metric = "logit difference"
    toward: Toward = "denoise"
    estimate: bool = False
    memory: int = 1 << 30


@dataclass(frozen=True)
class PatchedPair(Job):
    """One pair of a file → floats: the metric's difference between its prompts, then what each node's patch changes. A
    job of its own, so that a file goes on where it was stopped."""

    of: PatchingOver
    index: int

    @property
    def model(self) -> ModelKey:
        return self.of.model
