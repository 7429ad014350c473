"""What jobs share on the way to their results: values that only the worker sees, cached like any job; and the bases of
jobs that share a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from ...results import ModelKey
from .base import Job, OfHead, Run
from .kinds import Basis, Form, PartnerSide, Weights


@dataclass(frozen=True)
class Forward(Job):
    """One forward pass → ``Trace``.

    ``layer`` None: with every layer's pattern where they are small together (``KEPT`` bytes in opened.py), else with
    none, and then the views of one layer ask for ``Forward(run, layer)``: the same pass, and that layer's attention
    run again, so that there is one pass whatever layer is looked at.
    """

    run: Run
    layer: int | None = None

    def needs(self) -> frozenset[Job]:
        read = (change.needs(self.run) for change in self.run.interventions)
        clean = {Forward(self.run.clean), Forward(self.run.clean, self.layer)} if self.run.interventions else set()
        return frozenset(clean if self.layer is None else {*clean, Forward(self.run)}).union(*read)


@dataclass(frozen=True)
class OnRun(Job):
    """Base of what is asked of one forward pass."""

    run: Run

    def needs(self) -> frozenset[Job]:
        return frozenset({Forward(self.run)})


@dataclass(frozen=True)
class OnLayer(OnRun):
    """Base of what is asked of one layer's attention in a forward pass."""

    layer: int

    def needs(self) -> frozenset[Job]:
        return super().needs() | {Forward(self.run, self.layer)}


@dataclass(frozen=True)
class HeadSum(OnLayer):
    """``max |concat(z) W_O − Σ z_h W_O^h|`` of a layer, and the sum against attention's own output → two floats."""


@dataclass(frozen=True)
class Rank(OfHead):
    """Numerical rank of one head's ``W_QK`` or ``W_OV`` → int."""

    weights: Weights
    circuit: str
    """``QK`` or ``OV``."""


@dataclass(frozen=True)
class StreamMoments(Job):
    """Mean and covariance over the vocabulary of a basis before any head's weights → ``Moments`` over d_model."""

    model: ModelKey
    basis: Basis


@dataclass(frozen=True)
class MomentsBlock(Job):
    """Of the tokens ``start`` to ``stop``, what ``StreamMoments`` is merged from → ``BlockMoments``: blocks that are
    done stay when it is stopped, so that it needs no time in one piece."""

    model: ModelKey
    basis: Basis
    start: int
    stop: int


@dataclass(frozen=True)
class VocabularyKeys(OfHead):
    """One head's keys of the whole vocabulary at position 0 → tensor ``[d_vocab, d_head]``."""

    weights: Weights
    basis: Basis
    form: Form


@dataclass(frozen=True)
class KeyMoments(Job):
    """Mean and covariance of ``VocabularyKeys`` → ``Moments``."""

    keys: VocabularyKeys

    @property
    def model(self) -> ModelKey:
        return self.keys.model


@dataclass(frozen=True)
class LensState(OnRun):
    """The lens at every position of one state → ``Reading`` of circuits/lens.py: all measures at once."""

    state: str
    answers: tuple[int, ...]
    """Tokens whose probabilities and ranks are read as well."""


@dataclass(frozen=True)
class VocabularySide(OfHead):
    """One side of a head's QK or OV circuit over the whole vocabulary → tensor ``[d_vocab, d_head]``: queries at
    ``offset``, sources ``x W_V`` or outputs ``(W_O W_U)ᵀ``. Keys are ``VocabularyKeys``, shared with their moments."""

    weights: Weights
    basis: Basis
    side: PartnerSide
    offset: int


@dataclass(frozen=True)
class AllowedTokens(Job):
    """Which tokens a filter on their texts lets pass → array ``[d_vocab]`` of bool."""

    model: ModelKey
    shortest: int
    pattern: str


@dataclass(frozen=True)
class PatternSums(Job):
    """Pattern scores of rows of tokens that share a forward pass: all of one length, all with a BOS or none → sums over
    destinations ``[n_layers, n_heads, score]`` and counts of destinations ``[score]``, float64."""

    model: ModelKey
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class EndsProduct(Job):
    """``W_U W_E [d_model, d_model]`` over the whole vocabulary → tensor."""

    model: ModelKey
    weights: Weights


@dataclass(frozen=True)
class HeadCopying(OfHead):
    """One row of ``CopyingScores`` → three floats."""

    weights: Weights
    sample: int | None
    seed: int
