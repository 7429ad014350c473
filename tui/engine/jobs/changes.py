"""Interventions: what is changed in a forward pass, as frozen values that are part of ``Run``.

Formulas and names: definitions.md, "Interventions". A head is always changed at z, before W_O.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from random import Random

from ...names import layer_at, neuron_at, part_at
from ...results import ModelKey
from .base import Change, Job, Run, Target
from .kinds import Cut, How, Span, Weights
from .many import Prompts
from .parts import Forward

MOST_TOKENS = 256
"""Of a continuation."""
TOGETHER = "all of them"
"""The row of ``StackEffect`` that is no single change."""
FOLDED: How = "zero, value biases folded"
OF_REFERENCE: tuple[How, ...] = ("mean", "resample", "noise")
"""Kinds that read a reference file."""


@dataclass(frozen=True)
class Ablation(Change):
    """A part's activation becomes another one.

    part: ``L1H3`` a head, ``L1`` all heads and the MLP of a layer, ``L1.attn`` all its heads, ``L1.mlp``, ``L1N17`` a
    neuron. how: ``zero`` (a head's z with its b_V); ``zero, value biases folded`` (z becomes b_V, so that b_V W_O stays
    in the stream: b_V of the weights in force, b + b_ln W_V where norms are folded); ``mean`` over the reference, at
    each position where all its rows have the prompt's length, else over all their positions; ``resample`` from a row of
    the reference that the seed draws; ``noise`` (plus ``amount`` · std over the reference · N(0, 1), by the seed);
    ``scale`` (times ``amount``).
    """

    part: str
    how: How = "zero"
    positions: Span = None
    """Where; None: everywhere. Negative ones count from the end."""
    amount: float = 1.0
    """σ of ``noise``, α of ``scale``."""
    seed: int = 0
    reference: Prompts | None = None
    weights: Weights = "processed"
    """Whose b_V ``zero, value biases folded`` keeps."""

    def __str__(self) -> str:
        amount = {"scale": f" × {self.amount:g}", "noise": f" σ {self.amount:g}"}.get(self.how, "")
        how = "" if self.how == "scale" else f" {self.how}"
        return f"{self.part}{how}{amount}{_places(self.positions)}"

    def needs(self, run: Run) -> frozenset[Job]:
        if self.reference is None:
            return frozenset()
        if self.how == "resample":
            drawn = self.drawn(len(run.ids))
            return frozenset() if drawn is None else frozenset({Forward(drawn)})
        if self.how not in OF_REFERENCE:
            return frozenset()
        return frozenset(self.moments(run, point) for point in points_of(self.part))

    def moments(self, run: Run, point: str) -> ReferenceMoments:
        """What ``mean`` and ``noise`` read: one job for all prompts that it is the same for."""
        assert self.reference is not None
        n = len(run.ids)
        return ReferenceMoments(run.model, self.reference, n if self.reference.all_of(n) else 0, point)

    def order(self, length: int) -> tuple[Run, ...]:
        """The rows of the reference that have a length, in the order in which prompts of that length take them."""
        rows = [] if self.reference is None else [run for run in self.reference.runs if len(run.ids) == length]
        return tuple(Random(self.seed).sample(rows, len(rows)))

    def drawn(self, length: int) -> Run | None:
        """The row of the reference that ``resample`` reads for one prompt; None where none has that length."""
        order = self.order(length)
        return order[0] if order else None


@dataclass(frozen=True)
class Patch(Change):
    """A part's activation becomes that of another prompt of equal length. ``part``: as in ``Ablation``, or a state of
    the stream (``L1.pre``, ``L1.mid``), or one side of a head (``L1H3.q``, ``.k``, ``.v``, ``.pattern``)."""

    part: str
    source: Run
    positions: Span = None

    def __str__(self) -> str:
        return f"{self.part} of the other prompt{_places(self.positions)}"

    def needs(self, run: Run) -> frozenset[Job]:
        return frozenset({Forward(self.source)})


@dataclass(frozen=True)
class CutEdge(Change):
    """One cell of a head's pattern. how: ``knockout`` (its score becomes −∞, the row renormalises) or ``drop`` (the
    pattern's entry becomes 0, the rest stays)."""

    part: str
    query: int
    key: int
    how: Cut = "knockout"

    def __str__(self) -> str:
        return f"{self.part} {self.query}→{self.key} {self.how}"


@dataclass(frozen=True)
class Unchanged(Change):
    """Nothing is changed, but the run is made as one with these changes is: what differences are taken from."""

    like: tuple[Change, ...]

    def needs(self, run: Run) -> frozenset[Job]:
        return frozenset[Job]().union(*(change.needs(run) for change in self.like))

    def __str__(self) -> str:
        return "nothing"


@dataclass(frozen=True)
class SteeringDirection:
    """A direction in the stream."""

    name: str
    """As it is shown: ``·Paris − ·Berlin``, ``L1H3 σ0``."""
    kind: str
    """``token``: unembedding of ids[0] (minus that of ids[1]); ``singular``: of a head's OV, ids = layer, head, index;
    ``streams``: the difference of two runs' streams; ``given``: the numbers."""
    ids: tuple[int, ...] = ()
    runs: tuple[Run, ...] = ()
    state: str = ""
    position: int = -1
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class AddVector(Change):
    """``amount`` · a direction added to the stream before a layer."""

    layer: int
    direction: SteeringDirection
    amount: float = 1.0
    positions: Span = None
    unit: bool = True
    """The direction at length 1 times the stream's mean norm there; else as given."""

    def __str__(self) -> str:
        return f"{self.amount:+g} · {self.direction.name} before L{self.layer}{_places(self.positions)}"

    def needs(self, run: Run) -> frozenset[Job]:
        return frozenset(Forward(other) for other in self.direction.runs)


@dataclass(frozen=True)
class StackEffect(Job):
    """What interventions do to an answer at one position → ``Table`` (change, logit difference, effect, probability,
    rank, KL): the clean run, all that are switched on together, and each by itself, off or on."""

    run: Run
    """The clean run."""
    changes: tuple[tuple[Change, bool], ...]
    """Each, and whether it is switched on."""
    position: int
    target: Target

    def needs(self) -> frozenset[Job]:
        return frozenset(Forward(run) for run in (self.run, self.together, *self.alone))

    @property
    def together(self) -> Run:
        """The run with all that are switched on."""
        return replace(self.run, interventions=tuple(change for change, on in self.changes if on))

    @property
    def alone(self) -> tuple[Run, ...]:
        """The runs with each by itself."""
        return tuple(replace(self.run, interventions=(change,)) for change, _ in self.changes)


@dataclass(frozen=True)
class Continuation(Job):
    """What the model says next, token by token → ``Table`` (position, token, id, probability), and with changes the
    same of the changed model beside it. Changes at positions stay at those of the prompt; others reach every new token.

    temperature 0: the likeliest token (of equal ones the first by id); else drawn by the seed.
    """

    run: Run
    n: int = 20
    """1 to ``MOST_TOKENS``."""
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class ReferenceMoments(Job):
    """Mean and standard deviation of every layer's ``point`` (``z``, ``act`` or ``mlp_out``) over the rows of a
    reference → ``References``: position by position where all rows have the ``length`` of the prompt that it is for,
    else (None) over all their positions."""

    model: ModelKey
    reference: Prompts
    length: int
    """0: over all positions."""
    point: str


def _places(positions: Span) -> str:
    """`` @4``, `` @2,5``, `` @4-9``; nothing where a change is made everywhere."""
    if positions is None:
        return ""
    first, last = positions[0], positions[-1]
    if len(positions) > 2 and positions == tuple(range(first, last + 1)):
        return f" @{first}-{last}"
    return f" @{','.join(map(str, positions))}"


def bound(change: Change) -> bool:
    """Whether a change belongs to one prompt: it is at positions counted from its beginning, or another prompt's."""
    match change:
        case Ablation(positions=places) | AddVector(positions=places):
            return places is not None and any(place >= 0 for place in places)
        case CutEdge(query=query, key=key):
            return query >= 0 or key >= 0
        case Unchanged(like=like):
            return any(map(bound, like))
    return True


def points_of(part: str) -> tuple[str, ...]:
    """The activations that changing a part changes: see ``circuits.forward``."""
    if neuron_at(part):
        return ("act",)
    kind = kind_of(part)
    return {"mlp": ("mlp_out",), "layer": ("z", "mlp_out")}.get(kind, ("z",))


def touched_by(change: Change) -> frozenset[tuple[str, int, int | None]]:
    """Which activations a change sets: point, layer, and the head or neuron (None: all of the layer's)."""
    if isinstance(change, CutEdge) and (found := part_at(change.part)) is not None:
        return frozenset({("pattern", found.layer, found.head)})
    if not isinstance(change, Ablation | Patch):
        return frozenset()
    name, _, side = change.part.rpartition(".")
    if isinstance(change, Patch) and side in ("q", "k", "v", "pattern", "z") and (found := part_at(name)) is not None:
        return frozenset({(side, found.layer, found.head)})
    if (neuron := neuron_at(change.part)) is not None:
        return frozenset({("act", *neuron)})
    found, layer = part_at(change.part), layer_at(change.part)
    if found is None and layer is None:
        return frozenset()
    at = found.layer if found is not None else layer
    assert at is not None
    return frozenset((point, at, found.head if found is not None else None) for point in points_of(change.part))


def set_by(run: Run, points: Collection[str], layer: int, index: int | None = None) -> Change | None:
    """The change of a run that sets one of these activations of a layer (and of that head or neuron); None: none."""
    for change in run.interventions:
        for point, at, which in touched_by(change):
            if point in points and at == layer and (index is None or which is None or which == index):
                return change
    return None


def kind_of(part: str) -> str:
    """``head``, ``attn``, ``mlp``, ``layer``, ``neuron``, or "" for what can be no part."""
    if neuron_at(part):
        return "neuron"
    if (found := part_at(part)) is not None:
        return "" if found.kind == "bias" else found.kind
    return "layer" if layer_at(part) is not None else ""
