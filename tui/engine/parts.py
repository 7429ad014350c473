"""What jobs share on the way to their results: values that only the worker sees, cached like any job.

No torch here: ``needs`` is asked from the thread that the screen lives in.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..results import ModelKey
from .jobs import (
    OV,
    QK,
    Attribution,
    Basis,
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
    Pattern,
    Residual,
    ResidualParts,
    Run,
    ScoreParts,
    SourceRow,
    Sources,
    SourceWrite,
    Stream,
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


@dataclass(frozen=True)
class LensState(Job):
    """The lens at every position of one state → ``Reading`` of circuits/lens.py: all measures at once."""

    run: Run
    state: str
    answers: tuple[int, ...]
    """Tokens whose probabilities and ranks are read as well."""


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
    return frozenset()
