"""The small values that jobs are made of and pages choose between: known before any job is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weights = Literal["processed", "raw"]
Basis = Literal["embed", "normed", "effective", "prompt"]
Unit = Literal["component", "head"]
StreamUnit = Literal["component", "head", "expert"]
Form = Literal["bilinear", "scaled"]
Opening = Literal["load", "first", "weights", "stream"]
ListKind = Literal["either", "words", "ids"]
PartnerSide = Literal["query", "key", "source", "output"]
Normalize = Literal["none", "centered", "zscore", "softmax"]
Baseline = Literal["shown", "vocabulary"]
Term = Literal["token-token", "token-position", "position-token", "position-position"]
PatternKind = Literal["pattern", "scores", "value-weighted"]
Measure = Literal["norm", "answer"]
LensMeasure = Literal["probability", "answer", "rank", "entropy", "kl"]
ExpertMeasure = Literal["router", "norm", "answer"]
StreamMeasure = Literal["norm", "final"]
Side = Literal["q", "k", "v"]
Grain = Literal["head", "component", "neuron"]
Circuit = Literal["qk", "ov"]
Ends = Literal["embedding", "unembedding"]
Composed = Literal["q", "k", "v"]
Direction = Literal["from", "into"]
How = Literal["zero", "zero, value biases folded", "mean", "resample", "noise", "scale"]
Cut = Literal["knockout", "drop"]
Metric = Literal["logit difference", "log-probability", "probability", "rank", "KL", "loss"]
METRICS: tuple[Metric, ...] = ("logit difference", "log-probability", "probability", "rank", "KL")
"""Those of one position; a loss is of a text."""
METRIC_WORDS = (*(name.replace(" ", "-") for name in METRICS), METRICS[0])
"""As they are written in a command line."""
Site = Literal["resid_pre", "resid_mid", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern", "neuron"]
By = Literal["head", "position", "head-position", "neuron"]
Toward = Literal["denoise", "noise"]
Variant = Literal["direct", "ioi"]
HeadAt = tuple[int, int]
"""Layer and head."""
Span = tuple[int, ...] | None
"""Positions; None: all of them."""


@dataclass(frozen=True)
class TokenFilter:
    """Which tokens a search leaves out."""

    same: bool = True
    """Leave out pairs of a token with itself."""
    shortest: int = 0
    """Characters that a token has at least, blanks around it not counted."""
    pattern: str = ""
    """Regular expression that a token's text must contain; empty: any."""

    def __str__(self) -> str:
        """As it is typed: ``same 3+ /ing$/``."""
        words = ("" if self.same else "same", f"{self.shortest}+" if self.shortest else "")
        return " ".join(filter(None, (*words, f"/{self.pattern}/" if self.pattern else "")))


@dataclass(frozen=True)
class Repeats:
    """Rows of repeated random tokens, ``[BOS?] r_1 … r_L r_1 … r_L``: what pattern scores are read from by default."""

    seed: int = 0
    rows: int = 8
    length: int | None = None
    """L; None: ``min(50, (n_ctx − bos) // 2)``."""
    bos: bool = True


ANY_TOKEN, EVERY_PAIR = TokenFilter(), TokenFilter(same=False)


def metric_named(word: str | None) -> Metric:
    """``logit-difference`` → the metric; None: the first."""
    every: tuple[Metric, ...] = (*METRICS, "loss")
    return next(name for name in every if word is None or name.replace(" ", "-") == word.replace(" ", "-"))
