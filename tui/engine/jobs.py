"""Everything that can be asked: frozen, hashable values, each its own cache key.

Nothing here computes, and nothing of ours is imported but ``results``: a screen, an export or a test builds jobs
without torch. A job names everything its result depends on (token ids, not text; the intervention stack even while
it is empty), so equal jobs have equal results and a cache needs no other key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..results import ModelKey

Weights = Literal["processed", "raw"]
Basis = Literal["embed", "normed", "effective", "prompt"]
Form = Literal["bilinear", "scaled"]
Normalize = Literal["none", "centered", "zscore", "softmax"]
Baseline = Literal["shown", "vocabulary"]
Term = Literal["token-token", "token-position", "position-token", "position-position"]
PatternKind = Literal["pattern", "scores", "value-weighted"]
Measure = Literal["norm", "answer"]
Side = Literal["q", "k", "v"]
Unit = Literal["component", "head"]
ListKind = Literal["either", "words", "ids"]


@dataclass(frozen=True)
class Job:
    """Base of everything that ``Engine.want`` takes."""


@dataclass(frozen=True)
class Run:
    """One forward pass: what the activations of a result were computed from."""

    model: ModelKey
    ids: tuple[int, ...]
    bos: bool
    interventions: tuple[Job, ...] = ()
    """Ablations and patches in force, in order. Empty until interventions are offered."""


@dataclass(frozen=True)
class Open(Job):
    """Find, check and load a model → ``ModelInfo``."""

    source: str = "demo"
    """``demo``, a hub name, or a folder."""
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Tokenize(Job):
    """Prompt text → ``Tokens``. Longer than the context: an error that says by how much, nothing is cut."""

    model: ModelKey
    text: str
    bos: bool


@dataclass(frozen=True)
class Words(Job):
    """``"France, Paris, king"`` → ``Tokens``, one a word: with a leading space if there is such a token, else without.

    ``0:52`` and ``1,2,3`` (digits, commas, colons only) are token ids, ``a:b`` leaving b out. No BOS. ``kind`` leaves
    only one of the two readings: a word may be a number.
    """

    model: ModelKey
    text: str
    kind: ListKind = "either"


@dataclass(frozen=True)
class NextTokens(Job):
    """The k likeliest next tokens after one position → ``Table`` (rank, token, id, probability, logit)."""

    run: Run
    position: int
    k: int = 10


@dataclass(frozen=True)
class Pattern(Job):
    """What one head attended to on the prompt → ``Grid`` [query, key]; masked cells NaN.

    kind: ``pattern`` (after the softmax, the model's own), ``scores`` (before it, as the model scales them),
    ``value-weighted`` (``‖pattern[i, j] · v_j W_O‖``). The header carries both identities of the article.
    """

    run: Run
    layer: int
    head: int
    kind: PatternKind = "pattern"


@dataclass(frozen=True)
class LayerPatterns(Job):
    """All heads' patterns of one layer → ``Gallery``."""

    run: Run
    layer: int


@dataclass(frozen=True)
class QK(Job):
    """``x_i W_QK x_jᵀ`` → ``Grid`` [query, key] for chosen tokens (definitions.md, "QK circuit").

    With basis ``prompt``, ``rows`` and ``cols`` are ignored in favour of the run's tokens at their real positions.
    With a position term the axis that reads positions has ``len(rows)`` (or ``len(cols)``) positions from 0.
    """

    model: ModelKey
    layer: int
    head: int
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


@dataclass(frozen=True)
class QKDistance(Job):
    """Score of one cell against rotary distance 0 … max → ``Curve``. ``form`` as in QK; rotary models only."""

    model: ModelKey
    layer: int
    head: int
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


@dataclass(frozen=True)
class Residual(Job):
    """What each component writes at each position → ``Grid`` [component, position].

    measure ``norm``: L2 norm of the write; ``answer``: dot product with the answer's unembedding direction
    through the final norm's frozen scale, minus the distractor's where one is set.
    """

    run: Run
    weights: Weights = "processed"
    measure: Measure = "norm"
    answer: int | None = None
    distractor: int | None = None
    unit: Unit = "component"
    """``component``: one row for a layer's attention; ``head``: one a head and one for the layer's attention bias."""


@dataclass(frozen=True)
class ResidualParts(Job):
    """The stream at one position as a sum → ``Table`` in model order (embed, pos, heads or layers, biases, MLPs,
    rounding).

    Columns: part, norm, and answer when an answer is set. Its check is the difference between the sum and the stream.
    """

    run: Run
    position: int
    weights: Weights = "processed"
    unit: Unit = "head"
    measure: Measure = "norm"
    answer: int | None = None
    distractor: int | None = None


@dataclass(frozen=True)
class HeadInput(Job):
    """What a head reads at one position: its q, k or v split by earlier components → ``Table`` (part, share).

    share = ``(part's vector) · v / ‖v‖²`` for the head's q, k or v vector v, through the norm's frozen scale:
    shares sum to 1.
    """

    run: Run
    layer: int
    head: int
    position: int
    side: Side
    weights: Weights = "processed"
    unit: Unit = "head"
