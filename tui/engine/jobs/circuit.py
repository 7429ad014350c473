"""How much of a model a circuit is."""

from __future__ import annotations

from dataclasses import dataclass

from ...results import ModelKey
from .base import Job
from .changes import ReferenceMoments
from .kinds import Metric
from .many import Prompts
from .paths import OfPair


@dataclass(frozen=True)
class CircuitScores(Job):
    """A circuit's F beside that of the whole model and of nothing, its faithfulness, completeness and minimality →
    ``Table`` (score, circuit, random mean, random min, random max, at): every score beside that of ten random circuits
    with as many heads and MLPs. F: the mean logit difference over the prompts, everything outside at its mean. Where
    edges are named F and faithfulness are there by edges too, beside ten random sets of as many of each kind."""

    model: ModelKey
    prompts: Prompts
    """With the answers that F is of."""
    nodes: tuple[str, ...]
    """Heads and MLPs: ``L1H3``, ``L1.mlp``."""
    reference: Prompts
    """What the means are over."""
    seed: int = 0
    """Of the random circuits."""
    memory: int = 1024
    """Megabytes beside the model."""
    edges: tuple[tuple[str, str], ...] = ()
    """Sender and receiver: ``("L0H2", "L2H2.k")``, ``("embed", "L0.mlp")``, ``("L3.mlp", "logits")``."""

    def moments(self, length: int, point: str) -> ReferenceMoments:
        """The means that prompts of a length read."""
        whole = length if self.reference.all_of(length) else 0
        return ReferenceMoments(self.model, self.reference, whole, point)

    def needs(self) -> frozenset[Job]:
        lengths = {len(run.ids) for run in self.prompts.runs}
        return frozenset(self.moments(length, point) for length in lengths for point in ("z", "mlp_out"))


@dataclass(frozen=True)
class CircuitPaths(OfPair):
    """The edges of a circuit, or where it has none all between its parts, the embedding and the logits → ``Table``
    (sender, receiver, recovered), the strongest first: each as a ``direct`` path of ``PathGrid``."""

    parts: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    metric: Metric = "logit difference"
    memory: int = 1 << 30
    """Bytes that a batch of runs may take beside the model."""


@dataclass(frozen=True)
class CircuitComposition(Job):
    """The edges of a circuit, or where it has none all between its heads → ``Table`` (sender, receiver, z), the
    strongest first: how far the composition of two heads is above that of random rotations; None where the sender or
    the receiver is no head."""

    model: ModelKey
    parts: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
