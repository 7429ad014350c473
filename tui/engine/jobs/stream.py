"""The residual stream of one prompt: its parts, its states, and what reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...results import ModelKey
from .base import Job, Target
from .kinds import ExpertMeasure, Grain, LensMeasure, Measure, Side, StreamMeasure, StreamUnit, Unit, Weights
from .parts import Forward, OnLayer, OnRun


@dataclass(frozen=True)
class NextTokens(OnRun):
    """The k likeliest next tokens after one position → ``Table`` (rank, token, id, probability, logit)."""

    position: int
    k: int = 10


@dataclass(frozen=True)
class Residual(OnRun):
    """What each component writes at each position → ``Grid`` [component, position].

    measure ``norm``: L2 norm of the write; ``answer``: dot product with the target's unembedding direction through the
    final norm's frozen scale.
    """

    weights: Weights = "processed"
    measure: Measure = "norm"
    target: Target | None = None
    unit: StreamUnit = "component"
    """``component``: one row for a layer's attention; ``head``: one a head and one for the layer's attention bias;
    ``expert``: also one for each expert of the layer's MLP."""


@dataclass(frozen=True)
class ResidualParts(OnRun):
    """The stream at one position as a sum → ``Table`` in model order (embed, pos, heads or layers, biases, MLPs,
    rounding).

    Columns: part, norm, and answer when a target is set. Its check is the difference between the sum and the stream.
    """

    position: int
    weights: Weights = "processed"
    unit: StreamUnit = "head"
    measure: Measure = "norm"
    target: Target | None = None


@dataclass(frozen=True)
class HeadInput(OnRun):
    """What a head reads at one position: its q, k or v split by earlier components → ``Table`` (part, share).

    share = ``(part's vector) · v / ‖v‖²`` for the head's q, k or v vector v, through the norm's frozen scale:
    shares sum to 1.
    """

    layer: int
    head: int
    position: int
    side: Side
    weights: Weights = "processed"
    unit: Unit = "head"


@dataclass(frozen=True)
class Lens(OnRun):
    """The logit lens → ``Grid`` [state, position] with the top token of each cell as its text.

    Rows are ``L0.pre``, ``L1.pre``, …, ``L11.post``, with ``mids`` also the states between attention and MLP
    (``L0.mid``). Each state goes through the final norm with statistics of its own, the unembedding and the soft cap.
    measure: ``probability`` of the top token; ``answer``: the answer's probability; ``rank`` of the answer (1 = top);
    ``entropy`` (nats); ``kl``: KL(final ‖ lens) in nats. Computed from the last row up, shown as rows arrive.
    """

    measure: LensMeasure = "probability"
    target: Target | None = None
    """Needed by ``answer`` and ``rank``; None in the others, so that they are computed once."""
    mids: bool = False


@dataclass(frozen=True)
class LensTop(OnRun):
    """The k likeliest tokens of one lens cell → ``Table`` (rank, token, id, probability, logit)."""

    state: str
    """``L3.mid``: a row of ``Lens``."""
    position: int
    k: int = 10


@dataclass(frozen=True)
class LensCurve(OnRun):
    """The answer's probability or rank (1 = top) over the layers at one position → ``Curve``; x: depth in layers,
    a state between attention and MLP at half a layer. Series ``answer``, and ``distractor`` where there is one."""

    position: int
    target: Target
    measure: Literal["probability", "rank"] = "probability"
    mids: bool = False


@dataclass(frozen=True)
class Attribution(OnRun):
    """Direct logit attribution at one position → ``Grid`` [part, 1] in model order, then ``unembed.bias`` and
    ``rounding``; checks ``value`` (the model's own), ``sum`` and ``error``.

    unit ``head``: one row a head, a layer's MLP and its attention bias; ``component``: a layer's attention in one;
    ``neuron``: the ``k`` neurons of ``layer``'s MLP with the largest effects, ``others`` and the MLP's bias, and
    the sum is that of the MLP.
    """

    position: int
    target: Target
    unit: Grain = "head"
    layer: int | None = None
    """unit ``neuron``: whose MLP; None otherwise."""
    k: int = 20


@dataclass(frozen=True)
class Sources(OnLayer):
    """What each source gives a head to say about the answer: ``pattern[dst, src] · v_src W_O`` (``b_V`` inside
    ``v_src``) in the target's direction at the destination's frozen final norm → ``Grid`` [destination, source]."""

    head: int
    target: Target


@dataclass(frozen=True)
class SourceRow(OnLayer):
    """One destination of ``Sources`` beside the pattern and the weights → ``Table`` (source, position, contribution,
    pattern, OV): OV is ``W_E W_V W_O W_U`` from that source token in the target's direction."""

    head: int
    position: int
    target: Target
    weights: Weights = "processed"


@dataclass(frozen=True)
class ScoreParts(OnLayer):
    """One attention score as a sum over pairs of earlier components → ``Grid`` [component at the query, component at
    the key], through the norms' frozen scales, over ``attn_scale``, before a soft cap.

    ``against``: less that of another key, or less the ``mean`` of all keys weighted by the query's attention. The
    softmax sees only such differences: what all keys share says nothing of where the head looks.
    """

    head: int
    query: int
    key: int
    unit: Unit = "head"
    against: int | Literal["mean"] | None = None


@dataclass(frozen=True)
class Stream(OnRun):
    """The stream's states → ``Grid`` [state, position]: ``norm``, or cosine with the ``final`` state there."""

    measure: StreamMeasure = "norm"
    weights: Weights = "processed"
    mids: bool = False


@dataclass(frozen=True)
class WriteCosines(OnRun):
    """Cosines between what components write at one position → ``Grid`` [component, component]."""

    position: int
    weights: Weights = "processed"
    unit: Unit = "component"


@dataclass(frozen=True)
class Neurons(OnRun):
    """Activations of one MLP's neurons along the prompt → ``Grid`` [neuron, position], rows ``L2N17``.

    The ``k`` neurons with the largest effect on the target at ``position`` (without a target: with the longest writes,
    ``|activation| · ‖W_out‖``, through a post-norm where there is one), largest first, and before them ``neuron`` if it
    is not one of them.
    """

    layer: int
    position: int
    target: Target | None = None
    neuron: int | None = None
    k: int = 20


@dataclass(frozen=True)
class Experts(OnRun):
    """One layer's mixture of experts along the prompt → ``Grid`` [expert, position], rows ``L2E5``.

    measure ``router``: the weight of each expert's output, 0 where it was not chosen; ``norm``: length of what it adds
    to the stream; ``answer``: its push toward the target through the final norm's frozen scale. Its check is the
    difference between the sum over experts and what the MLP writes.
    """

    layer: int
    measure: ExpertMeasure = "router"
    target: Target | None = None
    """Needed by ``answer``; None in the others, so that they are computed once."""


@dataclass(frozen=True)
class NeuronTokens(Job):
    """What a neuron's output direction ``W_out[n] W_U`` promotes and suppresses over the vocabulary → ``Table``."""

    model: ModelKey
    layer: int
    neuron: int
    weights: Weights = "processed"
    k: int = 10


@dataclass(frozen=True)
class PartWrite:
    """A vector of the stream: what a component (``L3H1``, ``L3.attn``, ``L3.mlp``, ``embed``) writes at a position."""

    part: str
    position: int


@dataclass(frozen=True)
class StateAt:
    """A vector of the stream: a state (``L3.mid``) at a position."""

    state: str
    position: int


@dataclass(frozen=True)
class SourceWrite:
    """A vector of the stream: what a head moves from one source to one destination."""

    layer: int
    head: int
    destination: int
    source: int


Vector = PartWrite | StateAt | SourceWrite


@dataclass(frozen=True)
class Directions(OnRun):
    """What a vector of the stream promotes and suppresses → ``Table`` (part, rank, token, id, value).

    A write goes through the final norm frozen at its position (its direct effect on every logit minus their mean); a
    state through the norm's own statistics, as in the lens.
    """

    vector: Vector
    k: int = 10

    def needs(self) -> frozenset[Job]:
        of_layer = {Forward(self.run, self.vector.layer)} if isinstance(self.vector, SourceWrite) else frozenset()
        return super().needs() | of_layer
