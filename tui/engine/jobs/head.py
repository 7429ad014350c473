"""One head: what it attended to, and its QK and OV circuits."""

from __future__ import annotations

from dataclasses import dataclass

from ...results import ModelKey
from .base import Job, OfHead, Run
from .kinds import Baseline, Basis, Form, Normalize, PatternKind, Term, Weights
from .parts import Forward, HeadSum, KeyMoments, OnLayer, StreamMoments, VocabularyKeys


@dataclass(frozen=True)
class Pattern(OnLayer):
    """What one head attended to on the prompt → ``Grid`` [query, key]; masked cells NaN.

    kind: ``pattern`` (after the softmax, the model's own), ``scores`` (before it, as the model scales them),
    ``value-weighted`` (``‖pattern[i, j] · v_j W_O‖``). The header carries both identities of the article.
    """

    head: int
    kind: PatternKind = "pattern"

    def needs(self) -> frozenset[Job]:
        return super().needs() | {HeadSum(self.run, self.layer)}


@dataclass(frozen=True)
class LayerPatterns(OnLayer):
    """All heads' patterns of one layer → ``Gallery``."""

    def needs(self) -> frozenset[Job]:
        return super().needs() | {HeadSum(self.run, self.layer)}


@dataclass(frozen=True)
class QK(OfHead):
    """``x_i W_QK x_jᵀ`` → ``Grid`` [query, key] for chosen tokens (definitions.md, "QK circuit").

    With basis ``prompt``, ``rows`` and ``cols`` are ignored in favour of the run's tokens at their real positions.
    With a position term the axis that reads positions has ``len(rows)`` (or ``len(cols)``) positions from 0.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    weights: Weights = "processed"
    form: Form = "bilinear"
    normalize: Normalize = "none"
    baseline: Baseline = "shown"
    basis: Basis = "embed"
    offset: int = 0
    """Rotary distance query − key ≥ 0. Ignored (and not shown) without rotary positions."""
    term: Term = "token-token"
    run: Run | None = None
    """The forward pass behind basis ``prompt``; None otherwise."""

    def needs(self) -> frozenset[Job]:
        if self.run is not None:
            return frozenset({Forward(self.run), Forward(self.run, self.layer)})
        if self.normalize == "none" or self.baseline == "shown":
            return frozenset()
        keys = VocabularyKeys(self.model, self.layer, self.head, self.weights, self.basis, self.form)
        return frozenset({keys, KeyMoments(keys), StreamMoments(self.model, self.basis)})


@dataclass(frozen=True)
class QKDistance(OfHead):
    """Score of one cell against rotary distance 0 … max → ``Curve``. ``form`` as in QK; rotary models only."""

    row: int
    col: int
    weights: Weights = "processed"
    form: Form = "bilinear"
    basis: Basis = "embed"
    max_offset: int = 64


@dataclass(frozen=True)
class OV(Job):
    """``x_i W_V W_O W_U`` → ``Grid`` [source, output]; ``head`` None: the direct path ``W_E W_U``.

    ``outputs`` None: the whole vocabulary.
    """

    model: ModelKey
    layer: int
    head: int | None
    sources: tuple[int, ...]
    outputs: tuple[int, ...] | None
    weights: Weights = "processed"
    normalize: Normalize = "none"
    baseline: Baseline = "shown"
    basis: Basis = "embed"
    run: Run | None = None
    """The forward pass behind basis ``prompt``; None otherwise. ``sources`` are then the run's tokens."""

    def needs(self) -> frozenset[Job]:
        return frozenset() if self.run is None else frozenset({Forward(self.run)})


@dataclass(frozen=True)
class OVRow(Job):
    """One source token's full-vocabulary OV row → ``Table``: k promoted, k suppressed, each of ``outputs``.

    Columns: part (promoted | suppressed | shown), rank (1 = most promoted; ties share the smaller), token, id, value.
    """

    model: ModelKey
    layer: int
    head: int | None
    source: int
    outputs: tuple[int, ...] = ()
    k: int = 10
    weights: Weights = "processed"
    basis: Basis = "embed"
    run: Run | None = None
    position: int | None = None
    """With basis ``prompt``: which position of the run is read (``source`` is its token)."""

    def needs(self) -> frozenset[Job]:
        return frozenset() if self.run is None else frozenset({Forward(self.run)})
