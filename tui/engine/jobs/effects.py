"""What ablations do to an answer: every part alone, or chosen parts over one prompt or a file of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...results import ModelKey
from .base import Job, Target
from .changes import Ablation
from .kinds import How, Metric, Weights
from .many import Prompts
from .parts import Forward, OnRun


@dataclass(frozen=True)
class Effects(OnRun):
    """Every head and every MLP knocked out by itself, at all positions → ``Grid`` [part, (metrics, loss, predicted,
    scale)].

    A metric's column: its change at the position, changed − clean (KL: of the clean run to the changed). ``predicted``:
    the change of the logit difference if only what the part itself writes at the position were another, through the
    final norm's frozen scale. ``scale``: how much of the measured change is that scale's.
    """

    position: int
    target: Target
    how: How = "zero"
    amount: float = 1.0
    seed: int = 0
    reference: Prompts | None = None
    weights: Weights = "processed"
    memory: int = 1024
    """Megabytes beside the model."""
    continuation: tuple[int, ...] = ()
    """Tokens after the prompt; the change of their mean ``−log p`` is a column ``loss``."""

    @property
    def longer(self) -> Effects:
        """The same on the prompt with the continuation, read where its first token is predicted."""
        ids = (*self.run.ids, *self.continuation)
        return replace(self, run=replace(self.run, ids=ids), position=len(self.run.ids) - 1, continuation=())

    def of_layer(self, layer: int) -> Ablation:
        """All parts of a layer, changed as each is by itself."""
        return Ablation(f"L{layer}", self.how, None, self.amount, self.seed, self.reference, self.weights)

    def needs(self) -> frozenset[Job]:
        own = frozenset({Forward(self.run), Forward(self.run.clean)}) | self.of_layer(0).needs(self.run)
        return own | self.longer.needs() if self.continuation else own


@dataclass(frozen=True)
class AblationTable(Job):
    """Ablations together and, with ``each``, one by one → ``Table`` (part, metrics, change): a row for the clean run,
    one for all together, one a part; means over the prompts. change: of ``metric``."""

    model: ModelKey
    prompts: Prompts
    changes: tuple[Ablation, ...]
    each: bool = False
    metric: Metric = "logit difference"
    position: int = -1
    memory: int = 1024
    """Megabytes beside the model."""
    continuation: tuple[int, ...] = ()
    """Tokens after each prompt whose mean ``−log p`` is a column ``loss``."""
