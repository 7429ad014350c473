"""How much of a model a circuit is: the mean of everything outside it in place of what that does on this prompt.

A circuit C is a set of heads (at z) and MLPs (at mlp_out) of the model M; F(C) is the mean logit difference over
prompts when every other head and MLP has its mean over a reference:

    faithfulness    (F(C) − F(∅)) / (F(M) − F(∅))
    completeness    the largest |F(C∖K) − F(M∖K)|: what M still does without K that C without K does not
    minimality of v the largest |F(C∖K) − F(C∖(K∪{v}))| / |F(M) − F(∅)|, v not in K

over K: each single part, and greedy sets of up to five. Source: definitions.md, "Interventions"; Wang et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from .forward import Edit, Edits, Forward, never

GREEDY = 5
"""Parts of the largest set that is taken away."""


class Node(NamedTuple):
    """A head, or the layer's MLP."""

    layer: int
    head: int = -1
    """−1: the MLP."""


Parts = frozenset[Node]
Value = Callable[[Sequence[Parts]], Sequence[float]]
"""F of several sets of parts at once."""
C = TypeVar("C", bound=Hashable)
"""A circuit: a set of parts, or of edges."""


class Known(Generic[C]):
    """F, each set computed once."""

    def __init__(self, value: Callable[[Sequence[C]], Sequence[float]]) -> None:
        self._value = value
        self._known: dict[C, float] = {}

    def __call__(self, sets: Iterable[C]) -> list[float]:
        wanted = list(sets)
        missing = [parts for parts in dict.fromkeys(wanted) if parts not in self._known]
        if missing:
            self._known |= dict(zip(missing, self._value(missing), strict=True))
        return [self._known[parts] for parts in wanted]


def whole(forward: Forward) -> Parts:
    """Every head and every MLP."""
    blocks = [(layer, forward.block(layer)) for layer in range(forward.n_layers)]
    heads = [Node(layer, head) for layer, block in blocks for head in range(block.heads)]
    return frozenset([*heads, *(Node(layer) for layer, block in blocks if block.mlp is not None)])


def with_means(
    forward: Forward,
    ids: Tensor,
    reach: Sequence[Tensor],
    kept: Sequence[Parts],
    z: Sequence[Tensor],
    mlp_out: Sequence[Tensor],
    check: Callable[[], None] = never,
) -> Tensor:
    """``ids [p, n]`` → ``[len(kept), p, d_model]``: the final stream at the last position when all but these parts have
    their means; ``z``: a layer's ``[n or 1, heads, d_head]``, ``mlp_out``: ``[n or 1, d_model]``."""
    edits: dict[tuple[str, int], Edit] = {}
    for layer in range(forward.n_layers):
        block = forward.block(layer)
        heads = torch.tensor([[Node(layer, head) in parts for head in range(block.heads)] for parts in kept])
        if not bool(heads.all()):
            edits["z", layer] = _mixed(heads[:, None, :, None], z[layer], len(ids))
        if block.mlp is not None and not all(Node(layer) in parts for parts in kept):
            mine = torch.tensor([Node(layer) in parts for parts in kept])
            edits["mlp_out", layer] = _mixed(mine[:, None, None], mlp_out[layer], len(ids))
    made: Edits = edits
    x = forward.embed(ids).repeat(len(kept), 1, 1)
    return forward.run(x, reach, 0, made, check, last=True)[:, -1].view(len(kept), len(ids), -1)


def _mixed(own: Tensor, mean: Tensor, prompts: int) -> Edit:
    """The activation itself where a set has it, else its mean; the last block may be narrowed to the last position."""
    rows = own.repeat_interleave(prompts, 0).to(mean.device)
    return lambda value: torch.where(rows, value, mean[-value.shape[1] :].to(value))


def faithfulness(value: Callable[[Sequence[C]], Sequence[float]], circuit: C, full: float, empty: float) -> float:
    """1: the circuit does all that the model does; 0: no more than nothing."""
    return (value([circuit])[0] - empty) / (full - empty)


def gaps(value: Value, circuit: Parts, model: Parts, most: int = GREEDY) -> dict[tuple[Node, ...], float]:
    """K → ``|F(C∖K) − F(M∖K)|``: every single part, then greedily the part that makes it largest, up to ``most``."""
    found: dict[tuple[Node, ...], float] = {}
    chain: tuple[Node, ...] = ()
    for _ in range(min(most, len(circuit))):
        tried = [(*chain, part) for part in sorted(circuit.difference(chain))]
        inside = value([circuit.difference(K) for K in tried])
        beside = value([model.difference(K) for K in tried])
        apart = {K: abs(a - b) for K, a, b in zip(tried, inside, beside, strict=True)}
        chain = max(apart, key=lambda K: apart[K])
        found |= apart if not found else {chain: apart[chain]}
    return found


def minimality(
    value: Value, circuit: Parts, sets: Iterable[tuple[Node, ...]], scale: float
) -> dict[Node, tuple[float, tuple[Node, ...]]]:
    """Part → the largest change of F when it leaves ``C∖K``, as a share of ``scale``, and that K. Where every K has the
    part in it (a circuit of one), K is empty."""
    every, out = list(sets), {}
    for part in sorted(circuit):
        without: list[tuple[Node, ...]] = [K for K in every if part not in K] or [()]
        before = value([circuit.difference(K) for K in without])
        after = value([circuit.difference(K, [part]) for K in without])
        changes = {K: abs(a - b) / abs(scale) for K, a, b in zip(without, before, after, strict=True)}
        best = max(changes, key=lambda K: changes[K])
        out[part] = (changes[best], best)
    return out


def random_circuits(circuit: Parts, model: Parts, seed: int, count: int = 10) -> list[Parts]:
    """Sets with as many heads and as many MLPs as the circuit, drawn from the model's."""
    generator = torch.Generator().manual_seed(seed)
    kinds = [sorted(part for part in model if (part.head < 0) == mlp) for mlp in (False, True)]
    sizes = [sum((part.head < 0) == mlp for part in circuit) for mlp in (False, True)]
    out = []
    for _ in range(count):
        drawn = [
            [kind[at] for at in torch.randperm(len(kind), generator=generator)[:size].tolist()]
            for kind, size in zip(kinds, sizes, strict=True)
        ]
        out.append(frozenset(part for parts in drawn for part in parts))
    return out
