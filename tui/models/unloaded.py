"""A model of which only the files are there: it stands where ``LiveModel`` stands.

What weights alone say is read by slice (``stored``). What needs a forward pass runs on the plain blocks
(``circuits.forward``), which the tests compare with the loaded model for every family, and the app once more when it
has loaded it behind. With ``weights`` alone there is no forward; as a ``stream`` one block is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from ..circuits.changed import with_attention
from ..circuits.experts import Experts
from ..circuits.forward import Block, Edits, Forward, Tape
from ..circuits.tensors import MLP, Ends, HeadWeights, Norm, Trace
from ..results import Capabilities, ModelInfo
from .check import JOINT, NO_TOKENS
from .errors import ModelError
from .live import never
from .stored import StoredWeights
from .tokens import Tokenizer
from .trace import Hook, checked_ids

Tell = Callable[[str, int, int], None]
How = Literal["first", "weights", "stream"]
KEPT = 2 << 30
"""Bytes of blocks that are kept; a model with more is read a block at a time."""
HEADS = 16 << 20
"""Bytes of heads that are kept."""
NO_FORWARD = ("--weights-only reads the weights that are looked at and runs nothing: open the model without it, or "
              "with --stream, layer by layer.")  # fmt: skip


class StoredModel:
    """Weights, forward passes and tokens of a folder that is not loaded. Not for two threads at once."""

    info: ModelInfo

    def __init__(self, stored: StoredWeights, tokens: Tokenizer, outputs: Tokenizer, how: How) -> None:
        self.stored, self.tokens, self.outputs, self.how = stored, tokens, outputs, how
        self._tell: Tell = lambda stage, done, total: None
        self._ends: Ends | None = None
        size = 4 * 4 * stored.d_model * stored.d_head
        self._head = lru_cache(maxsize=max(2, min(64, HEADS // size)))(stored.head)
        small = how != "stream" and 4 * stored.n_parameters <= KEPT
        self._block = lru_cache(maxsize=4096 if small else 1)(self._read_block)
        self._reach = lru_cache(maxsize=16)(stored.reach)

    def describe(self, info: ModelInfo) -> StoredModel:
        """What its files say of it."""
        self.info = info
        return self

    def tell(self, progress: Tell) -> None:
        """``progress(stage, done, total)`` is told which layer is read, as a stream."""
        self._tell = progress

    @property
    def nbytes(self) -> int:
        """What it gives back when it goes is next to nothing."""
        return 0

    @property
    def n_layers(self) -> int:
        return self.stored.n_layers

    @property
    def device(self) -> torch.device:
        return self.stored.device

    def head(self, layer: int, head: int) -> HeadWeights:
        """Raw float32 weights of one head. ModelError if there is no such head."""
        stored = self.stored
        if not (0 <= layer < stored.n_layers and 0 <= head < stored.n_heads):
            last = f"L{stored.n_layers - 1}H{stored.n_heads - 1}"
            raise ModelError(f"There is no head L{layer}H{head} in this model.", f"Heads run from L0H0 to {last}.")
        return self._head(layer, head)

    def _read_block(self, layer: int) -> Block:
        if self.how == "stream":
            self._tell("layer", layer, self.n_layers)
        with torch.inference_mode(False), torch.no_grad():
            return self.stored.block(layer)

    @property
    def forward(self) -> Forward:
        """The blocks as plain tensors."""
        return Forward(self._block, self.n_layers, self.ends)

    def reach(self, n: int) -> list[Tensor]:
        """A layer → which keys each query of n tokens may see."""
        return self._reach(n)

    def mlp(self, layer: int) -> MLP | None:
        """Raw float32 weights of a layer's MLP and its neurons' activations; None without one."""
        return self.stored.mlp(layer)

    def experts(self, layer: int) -> Experts | None:
        """None: mixtures of experts have no mapping, so their models are loaded."""
        return None

    @property
    def ends(self) -> Ends:
        """Embedding, unembedding and final norm; read when they are used."""
        if self._ends is None:
            with torch.inference_mode(False), torch.no_grad():
                self._ends = self.stored.ends()
        return self._ends

    def joins_heads(self) -> bool:
        """Whether queries or keys are normalised over all heads at once."""
        return self.stored.norms_join_heads()

    def trace(
        self,
        ids: Sequence[int] | Tensor,
        layers: Collection[int] = (),
        check: Callable[[], None] = never,
        interventions: Sequence[Hook] = (),
        again: bool = False,
    ) -> Trace:
        """As ``LiveModel.trace``. ModelError for ids that the model cannot take."""
        if self.how == "weights":
            raise ModelError("This model was opened for its weights alone.", NO_FORWARD)
        assert not interventions, "changes run on the plain blocks"
        index = checked_ids(ids, self.stored.d_vocab, self.stored.n_ctx).to(self.device)
        with torch.inference_mode():
            return self._traced(index, sorted(set(layers)), check, again)

    def _traced(self, ids: Tensor, layers: Sequence[int], check: Callable[[], None], again: bool) -> Trace:
        tape, reach = Tape(), self.reach(len(ids))
        facts: dict[int, tuple[int, Tensor, Norm]] = {}

        def block(layer: int) -> Block:
            own = self._block(layer)
            facts[layer] = own.group_size, own.b_O, own.post_norm
            return own

        forward = Forward(block, self.n_layers, self.ends)
        final = forward.run(forward.embed(ids[None]), reach, check=check, keep=tape, patterns=layers)
        post = [
            (norm.w if norm.w is not None else torch.ones_like(raw)) / norm.scale(raw)
            for (_, _, norm), raw in zip(facts.values(), tape.attn_raw, strict=True)
            if norm.kind == "RMSNorm"
        ]
        kept = {
            name: {layer: _spread(values[layer], facts[layer][0] if name != "queries" else 1) for layer in layers}
            for name, values in (("queries", tape.q), ("keys", tape.k), ("values", tape.v))
        }
        W_pos = self.ends.W_pos
        return Trace(
            ids=ids,
            embed=self.ends.W_E[ids],
            pos=None if W_pos is None else W_pos[: len(ids)],
            resid_pre=torch.stack(tape.pre),
            resid_mid=None if self.stored.parallel or not tape.mlp_out else torch.stack(tape.mid),
            attn_out=torch.stack(tape.attn_out),
            mlp_out=torch.stack(tape.mlp_out) if tape.mlp_out else None,
            z=torch.stack(tape.z),
            b_O=torch.stack([b_O for _, b_O, _ in facts.values()]),
            attn_post_scale=torch.stack(post) if post else None,
            logits=forward.logits(final[0]),
            patterns=tape.pattern,
            visible=dict(enumerate(reach)),
            score_bias={},
            calls={layer: ((), {}) for layer in range(self.n_layers)} if again else {},
            **kept,
        )

    def with_attention(
        self, trace: Trace, layer: int, check: Callable[[], None] = never, interventions: Sequence[Hook] = ()
    ) -> Trace:
        """A trace made with ``again``, with one layer's pattern, queries, keys and values."""
        check()
        return with_attention(self.forward, trace, {}, layer)

    def traces(
        self,
        prompts: Sequence[Sequence[int] | Tensor],
        layers: Collection[int] = (),
        check: Callable[[], None] = never,
        interventions: Sequence[Hook] = (),
        positions: slice = slice(None),
        again: bool = False,
    ) -> list[Trace]:
        """As ``LiveModel.traces``: a Trace for each of several prompts."""
        every = [self.trace(ids, layers, check, interventions, again and len(prompts) == 1) for ids in prompts]
        return every if positions == slice(None) else [_at(trace, positions) for trace in every]

    def patterns(
        self,
        prompts: Sequence[Sequence[int] | Tensor],
        read: Callable[[int, Tensor], None],
        check: Callable[[], None] = never,
    ) -> None:
        """As ``LiveModel.patterns``: ``read(layer, pattern)`` gets each layer's ``[b, n_heads, n, n]``."""
        stored = self.stored
        ids = torch.stack([checked_ids(ids, stored.d_vocab, stored.n_ctx) for ids in prompts]).to(self.device)

        def look(layer: int) -> Callable[[Tensor], Tensor]:
            def seen(pattern: Tensor) -> Tensor:
                read(layer, pattern)
                return pattern

            return seen

        edits: Edits = {("pattern", layer): look(layer) for layer in range(self.n_layers)}
        with torch.inference_mode():
            self.forward.run(self.forward.embed(ids), self.reach(ids.shape[1]), 0, edits, check)

    def close(self) -> None:
        """Lets go of weights and files."""
        self._head.cache_clear()
        self._block.cache_clear()
        self._ends = None
        self.stored.shards.close()


def _spread(x: Tensor, group: int) -> Tensor:
    """``[n, groups, d_head]`` → one for each query head."""
    return x.repeat_interleave(group, 1) if group > 1 else x


def _at(trace: Trace, positions: slice) -> Trace:
    """The stream and the logits at some positions."""
    by_layer = ("resid_pre", "resid_mid", "attn_out", "mlp_out", "z", "attn_post_scale")
    cut: dict[str, Any] = {}
    for name in (*by_layer, "embed", "pos", "logits"):
        if (value := getattr(trace, name)) is not None:
            cut[name] = value[:, positions] if name in by_layer else value[positions]
    return replace(trace, **cut)


def capabilities(stored: StoredWeights, how: How, classes: int | None) -> Capabilities:
    """Which views a folder can have by its family alone. ``classes``: outputs that are no tokens."""
    run = NO_FORWARD if how == "weights" else ""
    joint = JOINT if stored.norms_join_heads() else ""
    learned, rotary = bool(stored.family.positions), stored.rotation(0) is not None
    no_mlp = "This model has no MLPs." if stored.attention_only else ""
    no_mid = "This model has no MLPs, so there is no state between attention and MLP." if stored.attention_only else ""
    if stored.parallel:
        no_mid = "This model's blocks run attention and MLP in parallel: there is no state between them."
    return Capabilities(
        pattern=run,
        scores=run,
        qk=joint,
        ov="",
        residual=run,
        position_terms=joint or ("" if learned else "Only models with learned positions have position terms."),
        offset=joint or ("" if rotary else "Only models with rotary positions have an offset."),
        effective=no_mlp or joint,
        states_mid=run or no_mid,
        neurons=no_mlp,
        plain=run,
        pattern_edit=run,
        one_vocabulary="" if classes is None else NO_TOKENS.format(classes),
    )
