"""How much of a model a circuit of edges is: every receiver reads what the circuit's edges bring it, else means.

An edge goes from a sender (the embedding with positions, a head, an MLP) to a receiver that reads the stream after it
(a head's q, k or v, an MLP, the logits). With a circuit C each receiver r reads, through its own norm,

    x_r = b + Σ_{s → r in C} write(s) + Σ_{s → r not in C} mean write(s)

s over all senders before r, write(s) what s writes in this very run, from what its own receivers read, the mean over a
reference, b the biases of attention. With every edge it is the model, with none no prompt differs from another. The
embedding is a sender like the others. Source: Wang et al. 2022 (means), Conmy et al. 2023, Hanna et al. 2024 (edges).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .forward import Edit, Forward, never
from .paths import LOGITS, SIDES, Receiver, Sender, receivers, senders, weights_of

Edge = tuple[Sender, Receiver]
Edges = frozenset[Edge]


@dataclass(frozen=True, eq=False)
class Means:
    """What senders write over a reference: ``[n or 1, …]``."""

    embed: Tensor
    """``[n or 1, d_model]``."""
    z: Sequence[Tensor]
    """A layer's ``[n or 1, heads, d_head]``."""
    mlp_out: Sequence[Tensor]
    """``[n or 1, d_model]``; nothing where there are no MLPs."""


def edges_of(forward: Forward) -> list[Edge]:
    """All edges, in the order in which the model runs the receivers, then the senders."""
    return [(sender, receiver) for receiver in receivers(forward) for sender in senders(forward, receiver)]


def random_edges(circuit: Edges, every: Sequence[Edge], seed: int, count: int = 10) -> list[Edges]:
    """Sets of ``every`` edge with as many from the embedding, heads and MLPs to queries, keys, values, MLPs and the
    logits each as the circuit has."""
    generator = torch.Generator().manual_seed(seed)
    kinds: dict[tuple[str, str], list[Edge]] = {}
    for edge in every:
        kinds.setdefault(_kind(edge), []).append(edge)
    sizes = {kind: sum(_kind(edge) == kind for edge in circuit) for kind in kinds}
    out = []
    for _ in range(count):
        drawn = [
            [there[at] for at in torch.randperm(len(there), generator=generator)[: sizes[kind]].tolist()]
            for kind, there in kinds.items()
        ]
        out.append(frozenset(edge for edges in drawn for edge in edges))
    return out


def _kind(edge: Edge) -> tuple[str, str]:
    sender, receiver = edge
    return "embed" if sender.layer is None else "mlp" if sender.head is None else "head", receiver.kind


class _Run:
    """One forward pass of some circuits at once."""

    def __init__(self, forward: Forward, ids: Tensor, kept: Sequence[Edges], means: Means) -> None:
        self.forward = forward
        every = senders(forward, LOGITS)
        self.place = {sender: at for at, sender in enumerate(every)}
        x = forward.embed(ids)
        self.apart = x.new_zeros(len(every), len(kept), *x.shape)
        """``[senders, circuits, p, n, d_model]``: what each writes − its mean, as far as the run has come."""
        self.mean = means.embed.to(x)
        """``[n or 1, d_model]``: the stream when every sender before has its mean."""
        self.apart[0] = x - self.mean
        self.into: dict[Receiver, list[tuple[int, int]]] = {}
        for at, edges in enumerate(kept):
            for sender, receiver in edges:
                self.into.setdefault(receiver, []).append((self.place[sender], at))
        self.z, self.mlp_out = means.z, means.mlp_out

    def reads(self, receiver: Receiver) -> Tensor:
        """``[circuits · p, n, d_model]``: the stream that a receiver reads."""
        mask = self.apart.new_zeros(self.apart.shape[:2])
        for sender, circuit in self.into.get(receiver, ()):
            mask[sender, circuit] = 1.0
        used = mask.any(1)
        moved = torch.einsum("sk,skpnd->kpnd", mask[used], self.apart[used])
        return (self.mean + moved).flatten(0, 1)

    def projected(self, layer: int, kind: str) -> Tensor:
        """``[circuits · p, n, heads, d_head]``: each head's query, or key or value, from what that alone reads."""
        block = self.forward.block(layer)
        out = []
        for node in range(block.heads if kind == "q" else block.groups):
            receiver = Receiver(kind, layer, node)
            W, b = weights_of(block, receiver)
            out.append(block.positioned(block.norm(self.reads(receiver)), kind) @ W + b)
        return torch.stack(out, 2)

    def attended(self, layer: int, z: Tensor) -> Tensor:
        """What heads write is known."""
        block = self.forward.block(layer)
        W_O = block.W_O.view(block.heads, -1, block.W_O.shape[-1])
        mean = self.z[layer].to(z).transpose(0, 1) @ W_O
        wrote = z.permute(2, 0, 1, 3).flatten(1, 2) @ W_O  # [heads, circuits · p · n, d_model]
        first = self.place[Sender(layer, 0)]
        apart = self.apart[first : first + block.heads]
        apart.copy_(wrote.view_as(apart) - mean[:, None, None])
        self.mean = self.mean + mean.sum(0) + block.b_O
        return z

    def computed(self, layer: int, out: Tensor) -> Tensor:
        """What the MLP writes is known."""
        mean = self.mlp_out[layer].to(out)
        apart = self.apart[self.place[Sender(layer)]]
        apart.copy_(out.view_as(apart) - mean)
        self.mean = self.mean + mean
        return out


def with_edges(
    forward: Forward,
    ids: Tensor,
    reach: Sequence[Tensor],
    kept: Sequence[Edges],
    means: Means,
    check: Callable[[], None] = never,
) -> Tensor:
    """``ids [p, n]`` → ``[len(kept), p, d_model]``: what the logits read at the last position when all but these edges
    have their means. For models whose heads write into the stream by themselves, with no norm after attention."""
    run, edits = _Run(forward, ids, kept, means), dict[tuple[str, int], Edit]()
    for layer in range(forward.n_layers):
        block = forward.block(layer)
        for kind in SIDES:
            edits[kind, layer] = lambda _, layer=layer, kind=kind: run.projected(layer, kind)  # type: ignore[misc]
        edits["z", layer] = lambda z, layer=layer: run.attended(layer, z)  # type: ignore[misc]
        if block.mlp is not None:
            point = "resid_pre" if block.parallel else "resid_mid"
            edits[point, layer] = lambda _, layer=layer: run.reads(Receiver("mlp", layer))  # type: ignore[misc]
            edits["mlp_out", layer] = lambda out, layer=layer: run.computed(layer, out)  # type: ignore[misc]
    edits["resid_post", forward.n_layers - 1] = lambda _: run.reads(LOGITS)
    x = forward.embed(ids).repeat(len(kept), 1, 1)
    return forward.run(x, reach, 0, edits, check)[:, -1].view(len(kept), len(ids), -1)
