"""A folder's weights as plain tensors, read by slice: the same numbers that the loaded model gives, without it.

``families`` says what is called what; what is read here is compared bit for bit with the loaded model in the tests, for
every family. Nothing is read that is not looked at: one head's QK of a model of 70 B reads two slices of two matrices
and a few rows of the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from ..circuits.forward import Block
from ..circuits.tensors import MLP, Ends, HeadWeights, Norm
from .families import LENS, Family, Settings, family_of, lens_name
from .find import Found
from .inner import ACTS, LENS_ACTS, Act, Inner, through, whole_mlp
from .late import Late, Source
from .named import NamedTensors
from .rotary import Rotate
from .shards import Shards, find_shards, one_file
from .state import plain_key
from .steps import weight_files
from .turning import NoMapping, turning
from .weights import NO_NORM

BLOCK = 1024
"""Rows of a large matrix that are converted at once."""


def stored_weights(found: Found, device: str, dtype: torch.dtype) -> StoredWeights | None:
    """The weights of a folder; None where its family has no mapping, or its files cannot be read by slice."""
    family = family_of(found)
    if family is None or found.adapter is not None:
        return None
    lens = family is LENS
    if lens:
        shards = one_file([found.weights] if found.weights is not None else weight_files(found.folder), _lens_name)
    else:
        shards = find_shards(found.folder)
    if shards is None:
        return None
    try:
        return StoredWeights(family, Settings(found), shards, torch.device(device), dtype)
    except (NoMapping, KeyError, TypeError, ValueError, ZeroDivisionError):
        shards.close()
        return None


def _lens_name(name: str) -> str:
    return lens_name(plain_key(name))


class StoredWeights(NamedTensors):
    """Heads, blocks and ends, each read when it is asked for. ``dtype``: what the model would run in."""

    def __init__(
        self, family: Family, settings: Settings, shards: Shards, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(family, settings, shards, device, dtype)
        self.parallel = bool(settings[family.parallel] if isinstance(family.parallel, str) else family.parallel)
        self.act = self._activation()
        self._turns: dict[int, Rotate | None] = {}
        self.rotation(0)  # where there is no mapping for it, there is none for the model

    def _side(self, layer: int, side: str, start: int, count: int) -> tuple[str, slice]:
        """The module that holds ``count`` queries, keys or values from the ``start``th on, and which of its outputs
        they are."""
        family, size = self.family, self.d_head
        module = family.q if family.fused in ("joined", "interleaved") else getattr(family, side.lower())
        if family.fused == "interleaved":
            first = (3 * start + "QKV".index(side)) * size
        else:
            before = {"Q": 0, "K": self.n_heads, "V": self.n_heads + self.n_groups}[side]
            first = (start + (before if family.fused == "joined" else 0)) * size
        return module, slice(first, first + count * size)

    def _reading(self, layer: int, side: str, index: int) -> tuple[Tensor, Tensor]:
        """``W [d_model, d_head]`` and ``b [d_head]`` of one query or key/value head."""
        if self.family.fused == "by head":
            module = getattr(self.family, side.lower())
            bias = self.bias(self.name_of(layer, module, "bias"), index, self.d_head)
            return self.plain(self.name_of(layer, module), index), bias
        module, part = self._side(layer, side, index, 1)
        bias = self.bias(self.name_of(layer, module, "bias"), part, self.d_head)
        return self.columns(self.name_of(layer, module), part), bias

    def _readings(self, layer: int, side: str) -> tuple[Tensor, Tensor]:
        """``W [d_model, n · d_head]`` and ``b`` of all of them."""
        count = self.n_heads if side == "Q" else self.n_groups
        if self.family.fused in ("", "joined"):
            module, part = self._side(layer, side, 0, count)
            bias = self.bias(self.name_of(layer, module, "bias"), part, count * self.d_head)
            return self.columns(self.name_of(layer, module), part), bias
        every = [self._reading(layer, side, index) for index in range(count)]
        return torch.cat([W for W, _ in every], 1), torch.cat([b for _, b in every])

    def _writing(self, layer: int, head: int | None) -> Tensor:
        """``W_O [d_head, d_model]`` of a head; None: of all of them, ``[n_heads · d_head, d_model]``."""
        name = self.name_of(layer, self.family.o)
        if self.family.fused == "by head":
            return self.plain(name, slice(None) if head is None else head).reshape(-1, self.d_model)
        part = slice(None) if head is None else slice(head * self.d_head, (head + 1) * self.d_head)
        return self.plain(name, part) if self.family.by_input else self.plain(name, (slice(None), part)).T

    # --- what circuits are computed from ----------------------------------------------------------------------------

    def head(self, layer: int, head: int) -> HeadWeights:
        """Raw weights of one head; keys and values are those that this query head reads."""
        shared = head // (self.n_heads // self.n_groups)
        (W_Q, b_Q), (W_K, b_K), (W_V, b_V) = (
            self._reading(layer, side, index) for side, index in (("Q", head), ("K", shared), ("V", shared))
        )
        post = self.layer_norm(layer, self.family.ln1_post)
        return HeadWeights(
            layer=layer, head=head, W_Q=W_Q, b_Q=b_Q, W_K=W_K, b_K=b_K, W_V=W_V, b_V=b_V,
            W_O=self._writing(layer, head), norm=self.layer_norm(layer, self.family.ln1),
            attn_scale=self.scale(layer), soft_cap=self._cap(self.family.score_cap),
            q_norm=self._per_head(layer, self.family.q_norm), k_norm=self._per_head(layer, self.family.k_norm),
            rotate=self.rotation(layer), post_w=post.w if post.kind == "RMSNorm" else None,
        )  # fmt: skip

    def block(self, layer: int) -> Block:
        """One layer for ``circuits.forward``."""
        (W_Q, b_Q), (W_K, b_K), (W_V, b_V) = (self._readings(layer, side) for side in "QKV")
        family = self.family
        return Block(
            norm=self.layer_norm(layer, family.ln1), W_Q=W_Q, b_Q=b_Q, W_K=W_K, b_K=b_K, W_V=W_V, b_V=b_V,
            W_O=self._writing(layer, None), b_O=self.output_bias(layer), heads=self.n_heads, groups=self.n_groups,
            scale=self.scale(layer), soft_cap=self._cap(family.score_cap),
            q_norm=self.layer_norm(layer, family.q_norm), k_norm=self.layer_norm(layer, family.k_norm),
            rotate=self.rotation(layer), post_norm=self.layer_norm(layer, family.ln1_post),
            mlp_norm=NO_NORM if self.attention_only else self.mlp_norm(layer),
            mlp=None if self.attention_only else partial(through, self.inner(layer)), parallel=self.parallel,
        )  # fmt: skip

    def output_bias(self, layer: int) -> Tensor:
        """``[d_model]``: what attention adds whatever the heads do."""
        return self.bias(self.name_of(layer, self.family.o, "bias"), slice(None), self.d_model)

    def norms_join_heads(self) -> bool:
        """Whether queries or keys are normalised over all heads at once (OLMo 2)."""
        name = self.name_of(0, self.family.q_norm) if self.family.q_norm else ""
        return bool(name) and self.shards.shape(name) != (self.d_head,)

    def mlp(self, layer: int) -> MLP | None:
        """A layer's MLP neuron by neuron; None where there is none."""
        if self.attention_only:
            return None
        inner, before = self.inner(layer), self.mlp_norm(layer)
        down = self.plain(self.name_of(layer, self.family.down))
        return MLP(
            activations=lambda x: inner.acts(before(x).to(self.dtype)[None])[0].float(),
            W_out=down if self.family.by_input else down.T,
            b_out=self.bias(self.name_of(layer, self.family.down, "bias"), slice(None), self.d_model),
            post_norm=inner.after,
        )

    def inner(self, layer: int) -> Inner:
        """The inside of a layer's MLP."""
        return Inner(self, layer)

    def mlp_norm(self, layer: int) -> Norm:
        """What a layer's MLP reads through."""
        return self.layer_norm(layer, self.family.ln2 or self.family.ln1) if self.family.ln2 != "-" else NO_NORM

    def ends(self) -> Ends:
        """Both ends of the stream; the embedding and the unembedding are read when they are used."""
        embed = Source(self._rows(self.top(self.family.embed), self.embed_factor), (self.d_vocab, self.d_model),
                       self.device)  # fmt: skip
        head, bias = f"{self.family.head}.weight", f"{self.family.head}.bias"
        if self.tied and self.embed_factor == 1.0:
            unembed = embed
        else:
            # Gemma's embedding is larger on its way in than on its way out.
            name = self.top(self.family.embed) if self.tied else head
            shape = self.shards.shape(name)
            turned = self.lens
            unembed = Source(self._rows(name, 1.0, turned), (shape[1], shape[0]) if turned else (shape[0], shape[1]),
                             self.device)  # fmt: skip
        b_U = self.plain(bias) if bias in self.shards else None
        first = self.family.first_position
        positions = self.top(self.family.positions) if self.family.positions else ""
        mlp = None if self.attention_only else partial(whole_mlp, self, 0, [])
        return Ends(
            W_E=cast(Tensor, Late(embed)),
            W_pos=self.plain(positions)[first : first + self.n_ctx] if positions else None,
            W_U=cast(Tensor, Late(unembed, turned=True)),
            b_U=b_U if b_U is not None and bool(b_U.any()) else None,
            final_norm=self.norm(self.top(self.family.final_norm)[: -len(".weight")], self.norm_kind)
            if self.norm_kind != "none"
            else NO_NORM,
            logit_cap=self._cap(self.family.logit_cap),
            layer0_mlp=mlp,
        )

    @property
    def embed_factor(self) -> float:
        """What the stored embedding is multiplied by on its way in."""
        if not self.family.scaled_embedding:
            return 1.0
        return float(torch.tensor(self.d_model**0.5))

    def _rows(self, name: str, factor: float, turned: bool = False) -> Callable[[Any], Tensor]:
        """Rows of a stored matrix (columns, where it is ``turned``) in float32."""

        def some(at: Any) -> Tensor:
            x = self.plain(name, (slice(None), at)).T if turned else self.plain(name, at)
            return x if factor == 1.0 else x * factor

        def rows(at: Any) -> Tensor:
            if isinstance(at, Tensor):
                return some(at.cpu())
            if at != slice(None) or turned:
                return some(at)
            shape = self.shards.shape(name)
            out = torch.empty(shape, device=self.device)
            for start in range(0, shape[0], BLOCK):  # never a second copy of it
                out[start : start + BLOCK] = some(slice(start, start + BLOCK))
            return out

        return rows

    def rotation(self, layer: int) -> Rotate | None:
        """The layer's ``rotate(x [n, d_head], positions [n])``; None where it rotates nothing."""
        if layer not in self._turns:
            with torch.inference_mode(False):
                self._turns[layer] = turning(self.family, self.settings, layer, self.d_head, self.device)
        return self._turns[layer]

    def reach(self, n: int) -> list[Tensor]:
        """A layer → ``[n, n]`` bool: which keys a query may see."""
        causal = torch.ones(n, n, dtype=torch.bool, device=self.device).tril()
        out: list[Tensor] = []
        made: dict[int, Tensor] = {}
        for layer in range(self.n_layers):
            size = self._window(layer)
            if size is None or size >= n:
                out.append(causal)
            else:
                out.append(made.setdefault(size, causal & causal.new_ones(n, n).triu(1 - size)))
        return out

    def _window(self, layer: int) -> int | None:
        """To how many tokens, itself included, a position may look back."""
        kind, settings = self.family.window, self.settings
        if kind == "gpt_neo":
            kinds = [name for names, count in settings["attention_types"] for _ in range(count) for name in names]
            return int(settings["window_size"]) if kinds[layer] == "local" else None
        if kind == "by layer":
            if settings.given("use_sliding_window") is False:
                return None
            kinds = settings["layer_types"]
            return int(settings["sliding_window"]) if kinds[layer] == "sliding_attention" else None
        size = settings["sliding_window"] if kind == "all" else None
        return None if size is None else int(size)

    def scale(self, layer: int) -> float:
        """What scores are divided by."""
        kind, settings, size = self.family.scale, self.settings, self.d_head
        if kind == "one":
            return 1.0
        if kind == "gptj":
            return math.sqrt(size)
        if kind == "lens":
            given = float(settings.given("attn_scale", -1.0))
            return 1.0 if not settings.given("use_attn_scale", True) else given if given > 0 else size**0.5
        factor = (settings["query_pre_attn_scalar"] if kind == "query_pre_attn_scalar" else size) ** -0.5
        if kind == "gpt2" and settings.given("scale_attn_by_inverse_layer_idx"):
            factor /= float(layer + 1)
        return 1.0 / float(factor)

    def _cap(self, setting: str) -> float | None:
        cap = self.settings[setting] if setting else None
        return float(cap) if cap is not None and cap > 0 else None

    def _per_head(self, layer: int, module: str) -> Norm | None:
        norm = self.layer_norm(layer, module)
        return None if norm.w is None or norm.w.numel() != self.d_head else norm

    def _activation(self) -> Act:
        if self.attention_only:
            return torch.relu
        name = str(self.settings[self.family.act])
        table = LENS_ACTS if self.lens else ACTS
        if name not in table:
            raise NoMapping(name)
        return table[name]
