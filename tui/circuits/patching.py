"""Activation patching: one activation of a prompt's run becomes that of another prompt, and what that does to a metric.

``base`` is the run that is changed, ``other`` the one that activations are taken from; both prompts have n tokens. A
variant of the base run is computed from the layer that it changes on, from the first position that it changes on where
attention is causal, and in the last block at the last position alone. Sites (names as in TransformerLens' hooks):

    resid_pre, resid_mid, attn_out, mlp_out: a layer's, at one position or at all
    z, q, k, v, pattern: a head's, at one position (of a pattern: of the query) or at all; k and v of heads that share
        them are one node
    neuron: one activation of an MLP

q, k, v and pattern change nothing but their heads' z, so each is a patch of z by what attention makes of them. Source:
definitions.md, "Interventions".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .forward import Block, Forward, Past, Tape, attended, moved, never, scores_of
from .metrics import LOSS, every, measure
from .tensors import MLP

STREAM = ("resid_pre", "resid_mid", "attn_out", "mlp_out")
HEADS = ("z", "q", "k", "v", "pattern")
FULL, MOST = 160, 512
"""Tokens from which a batch is full, since a CPU multiplies hardly faster beyond; and most of them on a CPU: a layer of
so many is a tenth of a second, after which somebody may cancel."""


class Cell(NamedTuple):
    """One place that is patched."""

    layer: int
    node: int | None = None
    """Head (of k and v: key/value head) or neuron; None: the whole of a layer."""
    position: int | None = None
    """None: all of them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A metric of the final stream at the last position: only the columns of ``W_U`` that it reads are multiplied."""

    forward: Forward
    metric: str
    answers: tuple[int, ...]
    distractors: tuple[int, ...] = ()
    clean: Tensor | None = None
    """``[outputs]``: logits that KL compares with."""

    reads = 1
    """Positions of the final stream, up to the last."""

    def __call__(self, final: Tensor) -> Tensor:
        """``[b, d_model]`` → ``[b]``."""
        return self.normed(self.forward.ends.final_norm(final))

    def of(self, final: Tensor) -> Tensor:
        """The final stream ``[b, n, d_model]`` → ``[b]``."""
        return self(final[:, -1])

    def normed(self, y: Tensor) -> Tensor:
        """``[b, d_model]`` through the final norm → ``[b]``."""
        ends = self.forward.ends
        if self.metric != "logit difference" or not (self.distractors or ends.logit_cap is None):
            return measure(self.metric, self.forward.unembedded(y), self.answers, self.distractors, self.clean)
        chosen = self._logits(y, self.answers).mean(-1)
        if self.distractors:
            return chosen - self._logits(y, self.distractors).mean(-1)
        mean = y @ ends.W_U.mean(1)
        return chosen - (mean if ends.b_U is None else mean + ends.b_U.mean())

    def _logits(self, y: Tensor, ids: Sequence[int]) -> Tensor:
        ends, at = self.forward.ends, list(ids)
        out = y @ ends.W_U[:, at]
        if ends.b_U is not None:
            out = out + ends.b_U[at]
        return out if ends.logit_cap is None else ends.logit_cap * torch.tanh(out / ends.logit_cap)


@dataclass(frozen=True, eq=False)
class Loss:
    """Mean ``−log p`` of the tokens that a run ends with, in nats, each read at the position before it."""

    forward: Forward
    tokens: tuple[int, ...]

    @property
    def metric(self) -> str:
        return LOSS

    @property
    def reads(self) -> int:
        return 1 + len(self.tokens)

    def of(self, final: Tensor) -> Tensor:
        """The final stream ``[b, n, d_model]`` → ``[b]``."""
        logits = self.forward.logits(final[:, -self.reads : -1])
        ids = torch.tensor(self.tokens, device=logits.device).expand(len(logits), -1)
        return -logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0].mean(-1)


@dataclass(frozen=True, eq=False)
class Everything:
    """All metrics of the final stream at the last position, from one unembedding; with a ``loss`` its number too, the
    others then at the position before the tokens that it is of."""

    difference: Measured
    """The logit difference, with the logits that KL compares with."""
    loss: Loss | None = None

    @property
    def forward(self) -> Forward:
        return self.difference.forward

    @property
    def metric(self) -> str:
        return "all"

    @property
    def reads(self) -> int:
        return 1 if self.loss is None else self.loss.reads

    def of(self, final: Tensor) -> Tensor:
        """The final stream ``[b, n, d_model]`` → ``[b, metrics]`` in the order of ``METRICS``, then the loss."""
        found = self(final[:, -self.reads])
        return found if self.loss is None else torch.cat([found, self.loss.of(final)[:, None]], 1)

    def __call__(self, final: Tensor) -> Tensor:
        """``[b, d_model]`` → ``[b, metrics]``."""
        one, y = self.difference, self.forward.ends.final_norm(final)
        assert one.clean is not None, "KL compares with the clean run"
        answers, distractors = (
            torch.tensor(ids, dtype=torch.long, device=y.device).expand(len(y), -1)
            for ids in (one.answers, one.distractors)
        )
        found = every(self.forward.unembedded(y), answers, distractors, one.clean[None])
        return torch.cat([one.normed(y)[:, None], found[:, 1:]], 1)


def record(forward: Forward, ids: Tensor, reach: Sequence[Tensor], check: Callable[[], None] = never) -> Tape:
    """The whole run of a prompt ``ids [n]``."""
    tape = Tape()
    forward.run(forward.embed(ids[None]), reach, check=check, keep=tape)
    return tape


class Pair:
    """The runs of two prompts, and the activations that a patch makes of them."""

    def __init__(
        self,
        forward: Forward,
        base: Tape,
        other: Tape,
        reach: Sequence[Tensor],
        mlp: Callable[[int], MLP] | None = None,
    ) -> None:
        """``reach``: see ``Forward.run``; ``mlp``: a layer's, where neurons are patched."""
        self.forward, self.base, self.other, self.reach, self.mlp = forward, base, other, reach, mlp
        self.n = len(base.pre[0])
        self.causal = not any(bool(seen.triu(1).any()) for seen in {id(seen): seen for seen in reach}.values())
        self._apart: list[int] = (base.pre[0] != other.pre[0]).any(-1).nonzero().flatten().tolist()
        self.first: int = self._apart[0] if self._apart and self.causal else 0
        """The first position at which the runs differ."""

    def is_other(self, site: str, cell: Cell) -> bool:
        """Whether a patch leaves nothing of the base run: all that differs in what the first block reads."""
        alone = self._apart if len(self._apart) == 1 else []
        return site == "resid_pre" and cell.layer == 0 and cell.position in (None, *alone)

    def tokens_of(self, cell: Cell) -> slice:
        """The positions that a cell is."""
        return slice(None) if cell.position is None else slice(cell.position, cell.position + 1)

    def heads_of(self, site: str, cell: Cell) -> slice:
        """The query heads whose z a patch changes."""
        assert cell.node is not None
        size = self.forward.block(cell.layer).group_size if site in ("k", "v") else 1
        return slice(cell.node * size, (cell.node + 1) * size)

    def z(self, site: str, layer: int, position: int | None) -> Tensor:
        """``[n, heads, d_head]``: each head's z, were its own site that of the other run; all heads at once, since no
        head of a layer reads another."""
        if site not in ("k", "v") or position is None:
            new = self._z_everywhere(site, layer)
            if position is None:
                return new
            out = self.base.z[layer].clone()
            out[position] = new[position]
            return out
        k, v = self.base.k[layer].clone(), self.base.v[layer].clone()
        (k if site == "k" else v)[position] = (self.other.k if site == "k" else self.other.v)[layer][position]
        return self._attend(self.forward.block(layer), layer, self.base.q[layer], k, v)

    def _z_everywhere(self, site: str, layer: int) -> Tensor:
        if site == "z":
            return self.other.z[layer]
        base, other = self.base, self.other
        q, k, v = (
            (other if site in sites else base, name)
            for name, sites in (("q", ("q", "pattern")), ("k", ("k", "pattern")), ("v", ("v",)))
        )
        taken = [getattr(tape, name)[layer] for tape, name in (q, k, v)]
        return self._attend(self.forward.block(layer), layer, *taken)

    def _attend(self, block: Block, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pattern = attended(block, scores_of(block, q[None], k[None], self.reach[layer]))
        return moved(block, pattern, v[None])[0]

    def neurons(self, layer: int) -> tuple[Tensor, Tensor, MLP]:
        """Activations ``[n, d_mlp]`` of both runs, and the MLP."""
        assert self.mlp is not None
        mlp, parallel = self.mlp(layer), self.forward.block(layer).parallel
        own, new = ((tape.pre if parallel else tape.mid)[layer] for tape in (self.base, self.other))
        return mlp.activations(own), mlp.activations(new), mlp


class Sweep:
    """Exact values of a metric under patches."""

    def __init__(self, pair: Pair, value: Measured | Loss | Everything, memory: int = 1 << 30) -> None:
        """``value``: what is measured, a number or several a variant; ``memory``: bytes that a batch of variants may
        take beside the model."""
        self.pair, self.value = pair, value
        self.most = self._tokens(memory)
        """Tokens of a batch."""

    def _tokens(self, memory: int) -> int:
        """Tokens of a batch."""
        block, n = self.pair.forward.block(0), self.pair.n
        width = self.pair.base.pre[0].shape[-1]
        each = 4 * (30 * width + 4 * block.heads * n + 2 * n * len(block.W_O) // max(1, n))
        if self.value.metric != "logit difference":
            each += 4 * 4 * self.pair.forward.ends.W_U.shape[1]
        most = max(1, memory // each)
        return min(MOST, most) if self.pair.base.pre[0].device.type == "cpu" else most

    @torch.no_grad()
    def ends(self, check: Callable[[], None] = never) -> tuple[Tensor, Tensor]:
        """What is measured of the base run and of the other: bit for bit what a patch of nothing and of everything
        gives, since they are computed alike."""
        pair, last = self.pair, self.pair.forward.n_layers - 1
        base, other = (
            pair.forward.run(tape.pre[last][None], pair.reach, last, check=check, last=self.value.reads)
            for tape in (pair.base, pair.other)
        )
        base, other = self.value.of(base)[0], self.value.of(other)[0]
        return base, other

    def start(self, site: str, cell: Cell) -> int | None:
        """The first position that a patch changes; None where it changes nothing that the metric reads."""
        pair, position = self.pair, cell.position
        if not pair.causal:
            return 0
        if position is None:
            return pair.first
        later = site in ("resid_pre", "k", "v")  # what the last position's attention still reads
        read = cell.layer < pair.forward.n_layers - 1 or position >= pair.n - self.value.reads
        if position < pair.first or not (later or read):
            return None
        return position

    def batches(self, site: str, cells: Sequence[Cell]) -> list[list[Cell]]:
        """Cells that are computed at once: of one layer, those that begin close to each other. Cells that change
        nothing are first, in a batch of their own; so is one that leaves nothing of the base run: it is computed as the
        other run is."""
        nothing = [cell for cell in cells if self.start(site, cell) is None]
        out = [nothing] if nothing else []
        out += [[cell] for cell in cells if self.pair.is_other(site, cell)]
        by_layer: dict[int, list[Cell]] = {}
        for cell in cells:
            if self.start(site, cell) is not None and not self.pair.is_other(site, cell):
                by_layer.setdefault(cell.layer, []).append(cell)
        for there in by_layer.values():
            there.sort(key=lambda cell: (self.start(site, cell) or 0, cell.node or 0))
            batch: list[Cell] = []
            length = 0
            for cell in there:
                if not batch:
                    length = self.pair.n - (self.start(site, cell) or 0)
                batch.append(cell)
                if len(batch) * length >= FULL or (len(batch) + 1) * length > self.most:
                    out.append(batch)
                    batch = []
            if batch:
                out.append(batch)
        return out

    @torch.no_grad()
    def values(self, site: str, cells: Sequence[Cell], check: Callable[[], None] = never) -> Tensor:
        """``[cells, …]``: what is measured with each cell patched alone. The cells are one of ``batches``."""
        starts = [self.start(site, cell) for cell in cells]
        if starts[0] is None:
            own = self.ends(check)[0]
            return own.expand(len(cells), *own.shape)
        pair, layer, first = self.pair, cells[0].layer, min(start for start in starts if start is not None)
        if pair.is_other(site, cells[0]):
            first = 0
        forward, past = pair.forward, Past(pair.base, first) if first else None
        if site in HEADS and forward.block(layer).norms_join_heads and site != "z":
            return self._by_edits(site, cells, check)
        from_first = slice(first, None)
        if site == "resid_pre":
            x = self._replaced(pair.base.pre[layer], pair.other.pre[layer], cells)[:, from_first]
            final = forward.run(x, pair.reach, layer, check=check, past=past, last=self.value.reads)
        elif site in ("mlp_out", "neuron"):
            out = self._mlp_out(site, layer, cells)[:, from_first]
            x = pair.base.mid[layer][from_first] + out
            final = forward.run(x, pair.reach, layer + 1, check=check, past=past, last=self.value.reads)
        else:
            pre = pair.base.pre[layer][from_first].expand(len(cells), -1, -1)
            mid = self._mid(site, layer, cells, from_first)
            final = forward.from_mid(pre, mid, layer, pair.reach, check, past, last=self.value.reads)
        return self.value.of(final)

    def _replaced(self, own: Tensor, new: Tensor, cells: Sequence[Cell]) -> Tensor:
        """``[n, …]`` of both runs → ``[cells, n, …]``."""
        out = own.repeat(len(cells), *[1] * own.ndim)
        for row, cell in zip(out, cells, strict=True):
            at = self.pair.tokens_of(cell)
            row[at] = new[at]
        return out

    def _mid(self, site: str, layer: int, cells: Sequence[Cell], at: slice) -> Tensor:
        """``[cells, m, d_model]``: the stream between attention and MLP."""
        base, other, block = self.pair.base, self.pair.other, self.pair.forward.block(layer)
        if site == "resid_mid":
            return self._replaced(base.mid[layer], other.mid[layer], cells)[:, at]
        if site == "attn_out":
            return base.pre[layer][at] + self._replaced(base.attn_out[layer], other.attn_out[layer], cells)[:, at]
        made: dict[int | None, Tensor] = {}
        deltas, writers = [], []
        W_O = block.W_O.view(block.heads, -1, block.W_O.shape[-1])
        for cell in cells:
            if cell.position not in made:
                made[cell.position] = (self.pair.z(site, layer, cell.position) - base.z[layer])[at]
            heads = self.pair.heads_of(site, cell)
            deltas.append(made[cell.position][:, heads].flatten(1))
            writers.append(W_O[heads].flatten(0, 1))
        raw = base.attn_raw[layer][at] + torch.bmm(torch.stack(deltas), torch.stack(writers))
        return base.pre[layer][at] + block.post_norm(raw)

    def _mlp_out(self, site: str, layer: int, cells: Sequence[Cell]) -> Tensor:
        """``[cells, n, d_model]``."""
        base = self.pair.base
        if site == "mlp_out":
            return self._replaced(base.mlp_out[layer], self.pair.other.mlp_out[layer], cells)
        own, new, mlp = self.pair.neurons(layer)
        which = [cell.node or 0 for cell in cells]
        changed = self._replaced(torch.zeros_like(own), new - own, cells)
        deltas = torch.stack([row[:, index] for row, index in zip(changed, which, strict=True)])
        added = deltas[..., None] * mlp.W_out[which][:, None]
        if mlp.post_norm.kind == "none":
            return base.mlp_out[layer] + added
        return mlp.post_norm(own @ mlp.W_out + mlp.b_out + added)

    def _by_edits(self, site: str, cells: Sequence[Cell], check: Callable[[], None]) -> Tensor:
        """The whole block with the activation overwritten: where one head's query or key moves the norm of all."""
        pair, layer = self.pair, cells[0].layer
        forward, block = pair.forward, pair.forward.block(layer)
        if site == "pattern":
            q, k = pair.other.q[layer][None], pair.other.k[layer][None]
            new = attended(block, scores_of(block, q, k, pair.reach[layer]))
        else:
            new = block.project(block.norm(pair.other.pre[layer]), site)[None]

        def edit(value: Tensor) -> Tensor:
            out = value.clone()
            rows = slice(pair.n - value.shape[2 if site == "pattern" else 1], None)  # the last block is narrow
            for i, cell in enumerate(cells):
                at = pair.tokens_of(cell)
                whole = torch.zeros(pair.n, dtype=torch.bool, device=out.device)
                whole[at] = True
                if site == "pattern":
                    out[i, cell.node, whole[rows]] = new[0, cell.node, rows][whole[rows]]
                else:
                    out[i, whole[rows], cell.node] = new[0, rows, cell.node][whole[rows]]
            return out

        x = pair.base.pre[layer].expand(len(cells), -1, -1)
        final = forward.run(x, pair.reach, layer, {(site, layer): edit}, check, last=self.value.reads)
        return self.value.of(final)
