"""What jobs share on the way to their results: values that only the worker sees, cached like any job.

No torch here: ``needs`` is asked from the thread that the screen lives in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ..results import ModelKey
from .jobs import (
    OV,
    QK,
    Attribution,
    Basis,
    CopyingScores,
    Directions,
    Form,
    HeadInput,
    Job,
    LayerPatterns,
    Lens,
    LensCurve,
    LensTop,
    Neurons,
    NextTokens,
    OVRow,
    Partners,
    PartnerSide,
    Pattern,
    Residual,
    ResidualParts,
    Run,
    ScoreParts,
    SourceRow,
    Sources,
    SourceWrite,
    Stream,
    TopPairs,
    Weights,
    WriteCosines,
)


@dataclass(frozen=True)
class Forward(Job):
    """One forward pass → ``Trace``.

    ``layer`` None: with every layer's pattern where they are small together (``KEPT`` bytes in opened.py), else with
    none, and then the views of one layer ask for ``Forward(run, layer)``.
    """

    run: Run
    layer: int | None = None


@dataclass(frozen=True)
class HeadSum(Job):
    """``max |concat(z) W_O − Σ z_h W_O^h|`` of a layer, and the sum against attention's own output → two floats."""

    run: Run
    layer: int


@dataclass(frozen=True)
class Rank(Job):
    """Numerical rank of one head's ``W_QK`` or ``W_OV`` → int."""

    model: ModelKey
    layer: int
    head: int
    weights: Weights
    circuit: str
    """``QK`` or ``OV``."""


@dataclass(frozen=True)
class StreamMoments(Job):
    """Mean and covariance over the vocabulary of a basis before any head's weights → ``Moments`` over d_model."""

    model: ModelKey
    basis: Basis


@dataclass(frozen=True)
class VocabularyKeys(Job):
    """One head's keys of the whole vocabulary at position 0 → tensor ``[d_vocab, d_head]``."""

    model: ModelKey
    layer: int
    head: int
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
class LensState(Job):
    """The lens at every position of one state → ``Reading`` of circuits/lens.py: all measures at once."""

    run: Run
    state: str
    answers: tuple[int, ...]
    """Tokens whose probabilities and ranks are read as well."""


@dataclass(frozen=True)
class VocabularySide(Job):
    """One side of a head's QK or OV circuit over the whole vocabulary → tensor ``[d_vocab, d_head]``: queries at
    ``offset``, sources ``x W_V`` or outputs ``(W_O W_U)ᵀ``. Keys are ``VocabularyKeys``, shared with their moments."""

    model: ModelKey
    layer: int
    head: int
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


def side_of(job: Partners | TopPairs, side: PartnerSide) -> VocabularyKeys | VocabularySide:
    """The part that is one side of the job's head; outputs are the same in every basis."""
    if side == "key":
        return VocabularyKeys(job.model, job.layer, job.head, job.weights, job.basis, "bilinear")
    basis: Basis = "embed" if side == "output" else job.basis
    offset = job.offset if side == "query" else 0
    return VocabularySide(job.model, job.layer, job.head, job.weights, basis, side, offset)


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
class HeadCopying(Job):
    """One row of ``CopyingScores`` → three floats."""

    model: ModelKey
    layer: int
    head: int
    weights: Weights
    sample: int | None
    seed: int


_ONE_FORWARD = (
    NextTokens, Residual, ResidualParts, HeadInput, Attribution, Lens, LensTop, LensCurve, Stream, WriteCosines,
    Neurons, Directions,
)  # fmt: skip


def needs(job: Job) -> frozenset[Job]:
    """The parts that a job may ask for and shares with other jobs: a superset, since sizes decide which are used."""
    if isinstance(job, Pattern | LayerPatterns):
        return frozenset({Forward(job.run), Forward(job.run, job.layer), HeadSum(job.run, job.layer)})
    if isinstance(job, Sources | SourceRow | ScoreParts):
        return frozenset({Forward(job.run), Forward(job.run, job.layer)})
    if isinstance(job, Directions) and isinstance(job.vector, SourceWrite):
        return frozenset({Forward(job.run), Forward(job.run, job.vector.layer)})
    if isinstance(job, _ONE_FORWARD):
        return frozenset({Forward(job.run)})
    if isinstance(job, QK) and job.run is not None:
        return frozenset({Forward(job.run), Forward(job.run, job.layer)})
    if isinstance(job, QK) and job.normalize != "none" and job.baseline == "vocabulary":
        keys = VocabularyKeys(job.model, job.layer, job.head, job.weights, job.basis, job.form)
        return frozenset({keys, KeyMoments(keys), StreamMoments(job.model, job.basis)})
    if isinstance(job, OV | OVRow) and job.run is not None:
        return frozenset({Forward(job.run)})
    if isinstance(job, CopyingScores):
        return frozenset({EndsProduct(job.model, job.weights)})
    if isinstance(job, Partners | TopPairs):
        allowed = AllowedTokens(job.model, job.filter.shortest, job.filter.pattern)
        return frozenset({allowed, *(side_of(job, side) for side in get_args(PartnerSide))})
    return frozenset()
