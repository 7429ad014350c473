"""What has been published of models: plain data that ``circuit-tui verify`` measures anew.

A fact is a set or an order of heads first, values second: values carry the tolerance that other random tokens, another
library or half precision may move them by. All of it is for BOS and processed weights.

* GPT-2 small: the heads of Wang et al. 2022 (arXiv 2211.00593) and the semantic pairs of the article that this program
  follows, with figures measured in float32. Heads that are named without a figure are expected among the strongest; a
  pair that "stands out" is read as two standard deviations over the whole vocabulary. Not here: what an ablation
  leaves, and the mean logit difference (3.56) and accuracy (99.3 %) of indirect object identification, which are means
  over 100,000 prompts that do not come with the program.
* The demo model: its card (assets/demo/README.md, evaluation.json) and the walk-through of the README. Not here:
  accuracies on held-out sentences and what zeroing a head costs; ``make demo-eval`` measures those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BestHeads:
    """These heads have the highest scores, in this order where their values differ by more than the tolerance."""

    score: str
    """``previous token``, ``duplicate token`` or ``induction`` on repeated random tokens, or ``copying``."""
    heads: tuple[tuple[str, float], ...]
    """Name and value, the best first."""
    tolerance: float
    length: int | None = None
    """Tokens that are repeated; None: as many as ``Repeats`` takes."""
    rows: int = 8


@dataclass(frozen=True)
class StrongHeads:
    """Each of these heads is among the strongest of all by a score on repeated random tokens."""

    score: str
    heads: tuple[str, ...]
    among: int
    """How many heads count as the strongest."""
    length: int | None = None
    rows: int = 8


@dataclass(frozen=True)
class Stands:
    """How a pair of words stands in the first one's row of a head, over the whole vocabulary."""

    head: str
    first: str
    second: str
    rank: int | None = None
    """At most this (1 = largest); None: by z alone."""
    z: float = 0.0
    """More than this."""
    above: str = ""
    """A head in which the same pair has a smaller z."""


@dataclass(frozen=True)
class PairHeads:
    """Pairs of words in the QK circuit (query > key) or the OV circuit (source > output), basis ``embed``."""

    circuit: Literal["qk", "ov"]
    stands: tuple[Stands, ...]


@dataclass(frozen=True)
class Effects:
    """These heads have the largest direct effects, of either sign, on a target at the end of a prompt."""

    prompt: str
    target: str
    """As in ``FindTarget``."""
    heads: tuple[tuple[str, float], ...]
    """Name and effect, the largest first."""
    tolerance: float


@dataclass(frozen=True)
class Says:
    """What the model, or the logit lens at a state, says next after a prompt."""

    prompt: str
    token: str
    """The likeliest token's text, with its space."""
    probability: float
    tolerance: float
    state: str = ""
    """``L1.pre``; empty: the model's own output."""


Fact = BestHeads | StrongHeads | PairHeads | Effects | Says


@dataclass(frozen=True)
class Published:
    """One model and its facts."""

    title: str
    names: tuple[str, ...]
    """What it is called on the hub, or ``demo``."""
    sizes: tuple[tuple[str, str | int], ...]
    """Entries of ``config.json`` by which a folder is taken for it."""
    source: str
    """Where the facts come from, in a few words."""
    facts: tuple[Fact, ...]


_SHOPS = "When John and Mary went to the shops, John gave the bag to"
_FRANCE = "The capital of France is"
_STORE = "When Mary and John went to the store, John gave a drink to"
_OUT = 2.0
"""Standard deviations from which a pair stands out: 2 % of a vocabulary with normal scores."""

GPT2_SMALL = Published(
    "GPT-2 small",
    ("gpt2", "openai-community/gpt2"),
    (("model_type", "gpt2"), ("n_layer", 12), ("n_head", 12), ("n_embd", 768), ("vocab_size", 50257)),
    "Wang et al. 2022 (arXiv 2211.00593) and the article, figures in float32",
    (
        BestHeads(
            "induction",
            (("L5H5", 0.93), ("L5H1", 0.91), ("L6H9", 0.91), ("L7H10", 0.91), ("L7H2", 0.83)),
            tolerance=0.05,
        ),
        StrongHeads("previous token", ("L4H11", "L2H2"), among=8),
        StrongHeads("duplicate token", ("L0H1", "L3H0"), among=8),
        PairHeads(
            "qk",
            (
                Stands("L10H2", "France", "Paris", z=_OUT),
                Stands("L10H6", "France", "Paris", z=_OUT, above="L10H2"),
                Stands("L10H2", "king", "queen", z=_OUT),
            ),
        ),
        PairHeads("ov", (Stands("L6H8", "France", "Paris", z=_OUT), Stands("L6H8", "king", "queen", z=_OUT))),
        Effects(
            _SHOPS,
            "Mary - John",
            (
                ("L9H9", 1.96), ("L9H6", 1.63), ("L10H7", -1.43), ("L11H1", -0.91), ("L11H10", -0.90),
                ("L10H0", 0.64), ("L10H10", 0.45), ("L8H10", 0.43),
            ),
            tolerance=0.1,
        ),
    ),
)  # fmt: skip

DEMO = Published(
    "the demo model",
    ("demo",),
    (("model_type", "gpt2"), ("n_layer", 4), ("n_head", 4), ("n_embd", 128), ("vocab_size", 1353)),
    "its card, assets/demo/README.md, and the README's walk-through",
    (
        BestHeads(
            "induction",
            (("L2H2", 0.936), ("L2H3", 0.92), ("L2H0", 0.89), ("L3H3", 0.85)),
            tolerance=0.03, length=15, rows=64,
        ),
        BestHeads("previous token", (("L0H2", 0.989), ("L0H3", 0.99)), tolerance=0.02, length=15, rows=64),
        BestHeads("duplicate token", (("L0H1", 0.968), ("L0H0", 0.94)), tolerance=0.02, length=15, rows=64),
        BestHeads("copying", (("L2H1", 0.90), ("L0H2", 0.87), ("L0H3", 0.86)), tolerance=0.02),
        PairHeads(
            "qk",
            (
                Stands("L0H0", "France", "Paris", rank=2, z=_OUT),
                Stands("L0H0", "king", "queen", rank=2, z=_OUT),
                Stands("L0H0", "queen", "king", rank=2, z=_OUT),
            ),
        ),
        PairHeads(
            "ov",
            (
                Stands("L0H2", "France", "Paris", rank=1),
                Stands("L0H2", "Paris", "France", rank=1),
                Stands("L0H2", "king", "queen", rank=1),
                Stands("L0H2", "hot", "cold", rank=1),
            ),
        ),
        Says(_FRANCE, " Paris", 0.87, tolerance=0.02, state="L1.pre"),
        Says(_FRANCE, " Paris", 0.999, tolerance=0.005),
        Effects(
            _FRANCE,
            "Paris",
            (("L0H2", 4.04), ("L0H3", 2.85), ("L1H2", 1.99), ("L2H2", 1.98)),
            tolerance=0.05,
        ),
        Says(_STORE, " Mary", 0.999, tolerance=0.005),
        Says("The king and the", " queen", 0.99, tolerance=0.01),
        Says("The opposite of hot is", " cold", 0.998, tolerance=0.005),
    ),
)  # fmt: skip

MODELS = (GPT2_SMALL, DEMO)
