"""A loaded model: the one object that jobs use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..circuits.experts import Experts
from ..circuits.forward import Block, Forward
from ..circuits.tensors import MLP, Ends, HeadWeights, Trace
from ..results import ModelInfo
from .blocks import read_block
from .errors import ModelError
from .experts import read_experts
from .placed import here, home, is_spread, own
from .rotary import Rotate, rotation
from .tokens import Tokenizer
from .trace import Hook, checked_ids, run_patterns, run_traces, with_attention
from .weights import read_ends, read_head, read_mlp, read_norm


def never() -> None:
    """A ``check`` that never cancels."""


class LiveModel:
    """Weights, activations and tokens of one model. Not safe for two threads at once: hooks are shared."""

    info: ModelInfo
    tokens: Tokenizer
    outputs: Tokenizer
    """What the model puts out: its tokens, or classes of their own."""

    def __init__(self, bridge: Any, tokens: Tokenizer, outputs: Tokenizer, embed_factor: float = 1.0) -> None:
        self.bridge = bridge
        self.tokens, self.outputs = tokens, outputs
        self.embed_factor = embed_factor
        self._ends: Ends | None = None
        self._rotations: dict[int, Rotate | None] = {}
        # In float32 a HeadWeights is a handful of views (4 KB) and only the reshaping is saved; of a model that runs in
        # 16 bits each is a copy, so only the heads at hand are kept.
        self._home, self._spread = home(bridge.original_model), is_spread(bridge)
        views = next(bridge.original_model.parameters()).dtype == torch.float32 and not self._spread
        self._head = lru_cache(maxsize=4096 if views else 64)(self._read_head)
        self._block = lru_cache(maxsize=4096 if views else 2)(self._read_block)
        self._reach = lru_cache(maxsize=16)(self._read_reach)

    def describe(self, info: ModelInfo) -> LiveModel:
        """What the self-check, which needs this object, has found of it."""
        self.info = info
        return self

    @property
    def n_layers(self) -> int:
        return len(self.bridge.blocks)

    @property
    def device(self) -> torch.device:
        """Where tokens go, and what is read of the model."""
        return self._home

    @property
    def nbytes(self) -> int:
        """Bytes of its weights."""
        return sum(int(parameter.nbytes) for parameter in self.bridge.original_model.parameters())

    def head(self, layer: int, head: int) -> HeadWeights:
        """Raw float32 weights of one head. ModelError if there is no such head."""
        if not (0 <= layer < self.n_layers and 0 <= head < self.bridge.cfg.n_heads):
            last = f"L{self.n_layers - 1}H{self.bridge.cfg.n_heads - 1}"
            raise ModelError(f"There is no head L{layer}H{head} in this model.", f"Heads run from L0H0 to {last}.")
        return self._head(layer, head)

    def _read_head(self, layer: int, head: int) -> HeadWeights:
        with here(self.bridge.blocks[layer]):
            read = read_head(self.bridge, layer, head, self.rotation(layer))
            return own(read, self._home) if self._spread else read

    def _read_block(self, layer: int) -> Block:
        # Not as inference tensors, whoever asks first: gradients flow through what is multiplied with these.
        with torch.inference_mode(False), torch.no_grad(), here(self.bridge.blocks[layer]):
            read = read_block(self.bridge, layer, self.rotation(layer))
            return own(read, self._home) if self._spread else read

    @property
    def forward(self) -> Forward:
        """The blocks as plain tensors: what interventions run on."""
        return Forward(self._block, self.n_layers, self.ends)

    def reach(self, n: int) -> list[Tensor]:
        """A layer → which keys each query of n tokens may see, as the model's own attention is told."""
        return self._reach(n)

    def _read_reach(self, n: int) -> list[Tensor]:
        visible = self.trace([0] * n).visible
        return [visible[layer] for layer in range(self.n_layers)]

    def rotation(self, layer: int) -> Rotate | None:
        """The layer's rotary code: ``rotate(x [n, d_head], positions [n])``; None where it rotates nothing."""
        if layer not in self._rotations:
            self._rotations[layer] = rotation(self.bridge, layer)
        return self._rotations[layer]

    def joins_heads(self) -> bool:
        """Whether queries or keys are normalised over all heads at once (OLMo 2)."""
        norms = (read_norm(block.attn, "q_norm").w for block in self.bridge.blocks)
        return any(w is not None and w.ndim == 1 and w.numel() != self.bridge.cfg.d_head for w in norms)

    def mlp(self, layer: int) -> MLP | None:
        """Raw float32 weights of a layer's MLP and its neurons' activations; None where it is no sum over neurons."""
        with here(self.bridge.blocks[layer]):
            read = read_mlp(self.bridge, layer)
            return own(read, self._home) if self._spread and read is not None else read

    def experts(self, layer: int) -> Experts | None:
        """A layer's experts; None where its MLP is no mixture of them."""
        with here(self.bridge.blocks[layer]):
            return read_experts(self.bridge, layer)

    @property
    def ends(self) -> Ends:
        """Embedding, unembedding and final norm: float32, read once."""
        if self._ends is None:
            with torch.inference_mode(False), torch.no_grad():  # gradients flow through what is multiplied with them
                parts = self.bridge._modules
                names = ("embed", "pos_embed", "ln_final", "unembed")
                with here(*(parts.get(name) for name in names), self.bridge.blocks[0]):
                    read = read_ends(self.bridge, self.embed_factor)
                    self._ends = own(read, self._home) if self._spread else read
        return self._ends

    def trace(
        self,
        ids: Sequence[int] | Tensor,
        layers: Collection[int] = (),
        check: Callable[[], None] = never,
        interventions: Sequence[Hook] = (),
        again: bool = False,
    ) -> Trace:
        """One forward pass of ``ids``; ``layers``: those whose patterns, queries, keys and values are kept; ``again``:
        whether ``with_attention`` can add another layer's.

        ``check`` may raise to cancel, also in the middle of the pass. ModelError for ids that the model cannot take
        (none, too many, out of range): nothing is cut.
        """
        return self.traces([ids], layers, check, interventions, again=again)[0]

    def with_attention(
        self, trace: Trace, layer: int, check: Callable[[], None] = never, interventions: Sequence[Hook] = ()
    ) -> Trace:
        """A trace made with ``again``, with one layer's pattern, queries, keys and values; ``interventions``: those of
        its pass that are in this layer's attention."""
        return with_attention(self.bridge, trace, layer, self.rotation, check, interventions)

    def traces(
        self,
        prompts: Sequence[Sequence[int] | Tensor],
        layers: Collection[int] = (),
        check: Callable[[], None] = never,
        interventions: Sequence[Hook] = (),
        positions: slice = slice(None),
        again: bool = False,
    ) -> list[Trace]:
        """One forward pass of several prompts of equal length → a Trace for each, as ``trace`` gives it but for
        rounding; ``positions``: those at which stream and logits are kept."""
        cfg = self.bridge.cfg
        checked = [checked_ids(ids, cfg.d_vocab, cfg.n_ctx) for ids in prompts]
        for layer in layers:
            if not 0 <= layer < self.n_layers:
                raise ModelError(
                    f"There is no layer {layer} in this model.", f"Layers run from 0 to {self.n_layers - 1}."
                )
        ids = torch.stack(checked).to(self.device)
        return run_traces(self.bridge, ids, layers, self.rotation, check, interventions, positions, again)

    def patterns(
        self,
        prompts: Sequence[Sequence[int] | Tensor],
        read: Callable[[int, Tensor], None],
        check: Callable[[], None] = never,
    ) -> None:
        """One forward pass of several prompts of equal length, for their attention alone: ``read(layer, pattern)`` gets
        each layer's ``[b, n_heads, n, n]`` while it runs, and nothing is kept."""
        cfg = self.bridge.cfg
        ids = torch.stack([checked_ids(ids, cfg.d_vocab, cfg.n_ctx) for ids in prompts]).to(self.device)
        run_patterns(self.bridge, ids, read, check)

    def close(self) -> None:
        """Lets go of weights and caches. The object cannot be used afterwards."""
        for cache in (self._head, self._block, self._reach):
            cache.cache_clear()
        self._ends = None
        self.bridge = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
