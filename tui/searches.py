"""What Heads, Compose, the vocabulary searches and a head's card need: pure functions from a selection to jobs."""

from __future__ import annotations

from dataclasses import replace

from .engine.jobs import (
    Composition,
    CopyingScores,
    HeadScores,
    Job,
    Nearest,
    PairSearch,
    Partners,
    PartnerSide,
    Pattern,
    Repeats,
    SingularTokens,
    Spectrum,
    TopPairs,
    VirtualOV,
    VirtualQK,
)
from .finding import PAIRS, PATTERN_SCORES, others, path
from .results import Table
from .state import Selection, run_of

CARD_PAIRS = 5
"""Pairs of each circuit on a head's card."""
PANELS: dict[str, tuple[str, ...]] = {
    "qk": ("seeks", "sought by", "nearest in W_E", "nearest in W_U"),
    "ov": ("written by", "nearest in W_E", "nearest in W_U"),
}
"""Side panels of QK and OV that search the vocabulary."""


def shown(s: Selection) -> Job | None:
    """What Heads, Compose, Pairs and SVD draw."""
    if s.key is None:
        return None
    if s.view == "heads":
        return scores(s, s.finding.score)
    if s.head is None:
        return None
    at = s.layer, s.head
    if s.view == "pairs":
        return TopPairs(s.key, *at, s.finding.circuit, s.weights, s.basis, _offset(s), s.finding.filter)
    if s.view == "svd":
        return Spectrum(s.key, *at, s.finding.circuit, s.weights)
    return _virtual(s) if s.virtual else Composition(s.key, *at, s.finding.kind, s.finding.direction)


def scores(s: Selection, name: str) -> Job | None:
    """The job that holds a score of all heads."""
    f = s.finding
    if s.key is None:
        return None
    if name in PAIRS:
        pairs = f.pairs.ids if f.pairs else ()
        return PairSearch(s.key, pairs, PAIRS[name], s.weights, s.basis, _offset(s)) if pairs else None
    if name not in PATTERN_SCORES:
        return CopyingScores(s.key, s.weights, f.sample)
    if f.on == "file" and s.file is not None and s.file.prepared is not None:
        return HeadScores(s.key, s.file.prepared)
    run = run_of(s)
    if f.on == "prompt":
        return HeadScores(s.key, run) if run is not None else None
    return labels(s)


def labels(s: Selection) -> HeadScores | None:
    """The scores that label the heads of the tree: those on repeated random tokens."""
    return HeadScores(s.key, repeats(s)) if s.key else None


def repeats(s: Selection) -> Repeats:
    """As set by the user, with a BOS if the prompt has one."""
    return replace(s.finding.repeats, bos=s.with_bos)


def _offset(s: Selection) -> int:
    return s.offset if s.model is not None and s.model.positions == "rotary" else 0


def _virtual(s: Selection) -> Job | None:
    tokens = s.shown_tokens
    assert s.key is not None
    assert s.head is not None
    if tokens is None or s.model is None or s.finding.other[0] not in others(s.finding, s.layer, s.model.n_layers):
        return None
    both, ids = path(s.finding, (s.layer, s.head)), tokens.ids
    if s.finding.kind == "v":
        return VirtualOV(s.key, both, ids, ids, s.weights)
    return VirtualQK(s.key, both, s.finding.kind, ids, ids, s.weights)


def panel_job(s: Selection, name: str, drawn: Table | None) -> Job | None:
    """The job behind a side panel of a search; ``drawn``: the list that the view shows."""
    tokens = s.shown_tokens
    if s.key is None or s.head is None:
        return None
    if name == "singular directions":
        return SingularTokens(s.key, s.layer, s.head, s.finding.circuit, s.finding.singular, s.weights)
    if name == "its partners":
        if drawn is None or not drawn.rows:
            return None
        token = drawn.rows[min(s.finding.pair_row, len(drawn.rows) - 1)][drawn.columns.index("id")]
        return _partners(s, int(token or 0), "query" if s.finding.circuit == "qk" else "source")
    if tokens is None or not len(tokens):
        return None
    row, col = (tokens.ids[i] for i in s.cell)
    if name.startswith("nearest"):
        return Nearest(s.key, row, "embedding" if name.endswith("W_E") else "unembedding")
    side: PartnerSide = "query" if name == "seeks" else "key" if name == "sought by" else "output"
    return _partners(s, row if side == "query" else col, side)


def _partners(s: Selection, token: int, side: PartnerSide) -> Job | None:
    assert s.key is not None
    assert s.head is not None
    if s.basis == "prompt":
        return None
    return Partners(s.key, s.layer, s.head, token, side, s.weights, s.basis, _offset(s))


def card(s: Selection) -> dict[str, Job]:
    """What a head's card is made of: name of a section → its job, the quick ones first."""
    run = run_of(s)
    if s.key is None or s.head is None or s.model is None or run is None:
        return {}
    at = s.layer, s.head
    jobs: dict[str, Job] = {"pattern": Pattern(run, *at), "scores": HeadScores(s.key, repeats(s))}
    for kind in ("q", "k", "v"):
        if s.layer > 0:
            jobs[f"fed by ({kind.upper()})"] = Composition(s.key, *at, kind, "from")
        if s.layer < s.model.n_layers - 1:
            jobs[f"feeds ({kind.upper()})"] = Composition(s.key, *at, kind, "into")
    for circuit in ("ov", "qk"):
        jobs[f"{circuit.upper()} pairs"] = TopPairs(s.key, *at, circuit, s.weights, k=CARD_PAIRS)
    jobs["copying"] = CopyingScores(s.key, s.weights, s.finding.sample)
    return jobs
