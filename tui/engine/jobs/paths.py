"""Path patching: what one part sends to one other part alone, between the runs of two prompts.

Formulas and names: definitions.md, "Interventions". ``direct``: clean into corrupted through the frozen norm; ``ioi``:
corrupted into clean with MLPs and norms computed again. Both give
``(metric − metric corrupted) / (metric clean − metric corrupted)``: 0 is no effect of ``direct``, 1 of ``ioi``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...results import ModelKey
from .base import Job, Run, Target
from .kinds import Metric, Variant
from .patching import Patching, Recorded


@dataclass(frozen=True)
class OfPair(Job):
    """Base of what is asked of paths between two runs."""

    clean: Run
    corrupted: Run
    target: Target

    @property
    def model(self) -> ModelKey:
        return self.clean.model

    def needs(self) -> frozenset[Job]:
        return frozenset({Recorded(self.clean), Recorded(self.corrupted)})


@dataclass(frozen=True)
class PathGrid(OfPair):
    """The path of every sender to one receiver, patched alone → ``Grid`` [sender, recovered]; NaN for parts that do not
    come before the receiver."""

    receiver: str = "logits"
    """``L2H1.q``, ``L2H1.k``, ``L2H1.v``, ``L2.mlp`` or ``logits``."""
    variant: Variant = "direct"
    metric: Metric = "logit difference"
    memory: int = 1 << 30
    """Bytes that a batch of runs may take beside the model."""

    @property
    def patching(self) -> Patching:
        """The pair with its metric, in the direction of the variant."""
        toward = {"direct": "denoise", "ioi": "noise"}[self.variant]
        return Patching(
            self.clean, self.corrupted, self.target, metric=self.metric, toward=toward, memory=self.memory  # type: ignore[arg-type]
        )  # fmt: skip


@dataclass(frozen=True)
class PathEstimate(OfPair):
    """As ``PathGrid`` of the ``direct`` variant, estimated from one backward pass → ``Grid`` [sender, estimate]."""

    receiver: str = "logits"
    metric: Metric = "logit difference"


@dataclass(frozen=True)
class PathEdges(OfPair):
    """Every edge of the model estimated from one backward pass → ``Table`` (sender, receiver, estimate): the strongest,
    as ``direct`` paths."""

    metric: Metric = "logit difference"
    top: int = 200
