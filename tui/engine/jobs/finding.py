"""Finding heads and tokens: scores of all heads, searches over a vocabulary, spectra, composition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...results import ModelKey
from .base import Change, Job, OfHead, Run
from .kinds import (
    ANY_TOKEN,
    EVERY_PAIR,
    Basis,
    Circuit,
    Composed,
    Direction,
    Ends,
    HeadAt,
    PartnerSide,
    Repeats,
    TokenFilter,
    Weights,
)
from .many import Prompts
from .parts import AllowedTokens, EndsProduct, VocabularyKeys, VocabularySide


@dataclass(frozen=True)
class HeadScores(Job):
    """Pattern scores of every head → ``Grid`` [head, score], rows ``L0H0`` …, columns ``previous token``,
    ``duplicate token``, ``induction``, ``first token``, ``entropy`` (definitions.md, "Head scores").

    ``on``: repeated random tokens, one prompt, or a file of prompts. On text of one's own, ``duplicate token`` is the
    mean attention from a token that has come before to its earlier occurrences, ``induction`` that to the tokens after
    them; NaN where no token repeats. Patterns are reduced as they are computed, never all kept.
    """

    model: ModelKey
    on: Repeats | Run | Prompts
    changes: tuple[Change, ...] = ()
    """What is changed in the model on repeated tokens; a prompt and a file bring their own."""

    @property
    def interventions(self) -> tuple[Change, ...]:
        """What is changed in the model whose scores these are."""
        if isinstance(self.on, Run):
            return self.on.interventions
        return self.on.changes if isinstance(self.on, Prompts) else self.changes


@dataclass(frozen=True)
class CopyingScores(Job):
    """Weight scores of every head → ``Grid`` [head, score], columns ``copying`` (``Σ Re λ / Σ |λ|`` of the full OV),
    ``OV top 1``, ``OV top 5``: share of tokens whose OV row has the token itself in its top k.

    Streamed head by head, partial results shown. ``sample``: that many tokens drawn with ``seed``; None: all.
    """

    model: ModelKey
    weights: Weights = "processed"
    sample: int | None = 1000
    seed: int = 0

    def needs(self) -> frozenset[Job]:
        return frozenset({EndsProduct(self.model, self.weights)})


@dataclass(frozen=True)
class FindPairs(Job):
    """``"France>Paris, king>queen"`` → ``Pairs``; a word of several tokens or a pair without ``>`` is an error that
    says which and what to write. Words resolve as in ``Words``; ``#17`` is a token id."""

    model: ModelKey
    text: str


@dataclass(frozen=True)
class PairSearch(Job):
    """Which heads tie these pairs together → ``Grid`` [head, column], best mean z first.

    Columns ``mean z``, ``worst z``, ``mean rank``, then for each pair ``z France→Paris``, ``rank France→Paris`` and the
    same of its reverse. QK: the row of the query over all keys of the vocabulary; OV: the row of the source over all
    outputs. z is the row's z-score, rank 1 the largest (ties share the smaller). Partial results as blocks arrive.
    """

    model: ModelKey
    pairs: tuple[tuple[int, int], ...]
    circuit: Circuit = "qk"
    weights: Weights = "processed"
    basis: Basis = "embed"
    offset: int = 0
    """QK of rotary models: distance query − key."""


@dataclass(frozen=True)
class PairRows(Job):
    """The rows of some heads that a search for pairs holds the vocabulary against → ``Lanes`` of engine/search.py."""

    of: PairSearch
    heads: tuple[HeadAt, ...]

    @property
    def model(self) -> ModelKey:
        return self.of.model


@dataclass(frozen=True)
class PairBlock(Job):
    """These rows against the tokens ``start`` to ``stop`` → of each lane what ``Block`` of circuits/search.py has, in
    numpy: blocks that are done stay when the search is stopped."""

    of: PairSearch
    heads: tuple[HeadAt, ...]
    start: int
    stop: int

    @property
    def model(self) -> ModelKey:
        return self.of.model


@dataclass(frozen=True)
class Partners(OfHead):
    """The best partners of one token in one head, over the whole vocabulary → ``Table`` (rank, token, id, value, z).

    side ``query``: the keys that the token, as query, seeks most; ``key``: the queries that seek it; ``source``: the
    outputs that it promotes; ``output``: the sources that promote it.
    """

    token: int
    side: PartnerSide
    weights: Weights = "processed"
    basis: Basis = "embed"
    offset: int = 0
    filter: TokenFilter = EVERY_PAIR
    k: int = 20

    def needs(self) -> frozenset[Job]:
        return _both_sides(self)


@dataclass(frozen=True)
class TopPairs(OfHead):
    """The strongest token pairs of a head's whole ``d_vocab × d_vocab`` circuit, exact → ``Table`` (rank, query|source,
    id, key|output, id, value). Tiles that cannot hold a better pair are skipped by norms; partial results are shown.
    Details say how many products were made of all."""

    circuit: Circuit = "qk"
    weights: Weights = "processed"
    basis: Basis = "embed"
    offset: int = 0
    filter: TokenFilter = ANY_TOKEN
    k: int = 64
    memory: int = 512 << 20
    """Bytes that the search may take beside the model."""

    def needs(self) -> frozenset[Job]:
        return _both_sides(self)


def side_of(job: Partners | TopPairs, side: PartnerSide) -> VocabularyKeys | VocabularySide:
    """The part that is one side of the job's head; outputs are the same in every basis."""
    if side == "key":
        return VocabularyKeys(job.model, job.layer, job.head, job.weights, job.basis, "bilinear")
    basis: Basis = "embed" if side == "output" else job.basis
    offset = job.offset if side == "query" else 0
    return VocabularySide(job.model, job.layer, job.head, job.weights, basis, side, offset)


def _both_sides(job: Partners | TopPairs) -> frozenset[Job]:
    allowed = AllowedTokens(job.model, job.filter.shortest, job.filter.pattern)
    return frozenset({allowed, *(side_of(job, side) for side in get_args(PartnerSide))})


@dataclass(frozen=True)
class Nearest(Job):
    """Tokens with the most similar row of ``W_E`` or column of ``W_U`` → ``Table`` (rank, token, id, cosine)."""

    model: ModelKey
    token: int
    where: Ends = "embedding"
    k: int = 20


@dataclass(frozen=True)
class Spectrum(OfHead):
    """Singular values of a head's ``W_QK`` or ``W_OV`` → ``Curve``."""

    circuit: Circuit = "ov"
    weights: Weights = "processed"


@dataclass(frozen=True)
class SingularTokens(OfHead):
    """One pair of singular directions read out as tokens → ``Table`` (side, rank, token, id, value).

    QK: ``query`` and ``key`` through ``W_E``; OV: ``source`` through ``W_E``, ``output`` through ``W_U``. The sign of a
    pair is free: it is chosen so that the largest entry of the left side is positive.
    """

    circuit: Circuit = "ov"
    index: int = 0
    weights: Weights = "processed"
    k: int = 10


@dataclass(frozen=True)
class Composition(OfHead):
    """How much the heads of earlier layers feed one head's Q, K or V (``from``), or this one feeds those of later
    layers (``into``) → ``Grid`` [head, (score, z)], rows of those layers only.

    score: Frobenius norm of the product over the product of the norms; z: its square against random rotations between
    the same factors, whose mean and variance are exact. Folded weights; rotary: offset 0.
    """

    kind: Composed = "k"
    direction: Direction = "from"


@dataclass(frozen=True)
class AllComposition(Job):
    """Every pair's composition → ``Grid`` [head 1, head 2] of scores; NaN where head 1 is not in an earlier layer."""

    model: ModelKey
    kind: Composed = "k"


@dataclass(frozen=True)
class VirtualOV(Job):
    """``W_E W_OV1 W_OV2 W_U`` of a path of two heads → ``Grid`` [source, output] for chosen tokens."""

    model: ModelKey
    path: tuple[HeadAt, HeadAt]
    sources: tuple[int, ...]
    outputs: tuple[int, ...]
    weights: Weights = "processed"


@dataclass(frozen=True)
class VirtualQK(Job):
    """The QK circuit of the path's second head whose key side (``k``: ``W_E W_QK2 (W_E W_OV1)ᵀ``) or query side (``q``:
    ``(W_E W_OV1) W_QK2 W_Eᵀ``) passes through the first head's OV → ``Grid`` [query, key] for chosen tokens."""

    model: ModelKey
    path: tuple[HeadAt, HeadAt]
    side: Literal["k", "q"]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    weights: Weights = "processed"
