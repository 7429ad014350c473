"""The tensors of a folder by what they are: which file name a family gives to which part, and how large parts are."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from ..circuits.tensors import Norm
from .errors import ModelError
from .families import LENS, Family, Settings
from .shards import Index, Shards
from .weights import NO_NORM


class NamedTensors:
    """A folder's tensors, their sizes, and its norms. ``dtype``: what the model would run in."""

    def __init__(
        self, family: Family, settings: Settings, shards: Shards, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.family, self.settings, self.shards = family, settings, shards
        self.device, self.dtype = device, dtype
        self._body = family.body if f"{family.body}{family.embed}.weight" in shards else ""
        self.n_layers, self.n_heads = int(settings[family.layers]), int(settings[family.heads])
        self.n_ctx = int(settings[family.n_ctx])
        self.d_vocab, self.d_model = shards.shape(self.top(family.embed))
        self._expect_layers()
        self.d_head, self.n_groups = self._sizes()
        self.attention_only = self.name_of(0, family.down) not in shards
        self._expect_sizes()

    # --- names and sizes --------------------------------------------------------------------------------------------

    def top(self, module: str, kind: str = "weight") -> str:
        """What a module's tensor outside the layers is called."""
        return f"{self._body}{module}.{kind}"

    def name_of(self, layer: int, module: str, kind: str = "weight") -> str:
        """What a module's tensor of a layer is called."""
        return self.top(f"{self.family.layer.format(layer)}{module}", kind)

    def _expect_layers(self) -> None:
        """ValueError unless every layer has what the first one has: one that lacks some is for ``load`` to name."""
        starts = [f"{self._body}{self.family.layer.format(layer)}" for layer in range(self.n_layers)]
        first = [name.removeprefix(starts[0]) for name in self.shards if name.startswith(starts[0])]
        if not first or any(f"{start}{part}" not in self.shards for start in starts for part in first):
            raise ValueError("layers are missing")

    def _expect_sizes(self) -> None:
        """ModelError for weights of other sizes than config.json says: slices of them would be of no model."""
        found = {
            ("hidden_size", "n_embd", "d_model"): ("d_model", self.d_model),
            ("vocab_size", "d_vocab"): ("vocabulary", self.d_vocab),
            ("head_dim", "d_head"): ("d_head", self.d_head),
            ("num_key_value_heads", "n_key_value_heads"): ("number of key and value heads", self.n_groups),
            ("intermediate_size", "ffn_dim", "n_inner", "d_mlp"): ("d_mlp", self.d_mlp),
        }
        if self.family.fused == "by head":
            found[("n_heads",)] = ("number of heads", self.shards.shape(self.name_of(0, self.family.q))[0])
        for settings, (what, size) in found.items():
            said = {name: self.settings.given(name) for name in settings}
            wrong = [name for name, value in said.items() if isinstance(value, int) and value and value != size]
            if wrong and size:
                raise ModelError(
                    f"The weights' {what} is {size}, but config.json says {wrong[0]} {said[wrong[0]]}.",
                    "They do not belong together: correct config.json, or copy both from one place.",
                )

    def _sizes(self) -> tuple[int, int]:
        """d_head and the number of key/value heads, from the shapes."""
        family, heads = self.family, self.n_heads
        if family.fused == "by head":
            return self.shards.shape(self.name_of(0, family.q))[2], self.shards.shape(self.name_of(0, family.k))[0]
        joined = self.shards.shape(self.name_of(0, family.o))[0 if family.by_input else 1]
        d_head = joined // heads
        if family.fused:
            out = self.shards.shape(self.name_of(0, family.q))[1 if family.by_input else 0]
            return d_head, (out - joined) // (2 * d_head)
        return d_head, self.shards.shape(self.name_of(0, family.k))[0] // d_head

    @property
    def lens(self) -> bool:
        """Whether it is a TransformerLens checkpoint."""
        return self.family is LENS

    @property
    def norm_kind(self) -> str:
        """``LayerNorm``, ``RMSNorm`` or ``none``."""
        if not self.lens:
            return self.family.norm
        kind = self.settings.given("normalization_type", self.settings.given("normalization"))
        return {"LN": "LayerNorm", "LNPre": "LayerNorm", "RMS": "RMSNorm", "RMSPre": "RMSNorm"}.get(str(kind), "none")

    @property
    def d_mlp(self) -> int:
        """Neurons of a layer's MLP; 0 where there is none."""
        if self.attention_only:
            return 0
        return self.shards.shape(self.name_of(0, self.family.down))[0 if self.family.by_input else 1]

    @property
    def tied(self) -> bool:
        """Whether the unembedding is the embedding."""
        if f"{self.family.head}.weight" not in self.shards:
            return True
        said = self.settings.given("tie_word_embeddings")
        return self.family.tied if said is None else bool(said)

    @cached_property
    def n_parameters(self) -> int:
        """Weights of the model, each once."""
        known = [name for name in self.shards if not name.endswith((".masked_bias", ".inv_freq", ".mask", ".IGNORE"))]
        known = [name for name in known if not name.endswith((".attn.bias", ".attention.bias")) or self.lens]
        if self.tied:
            known = [name for name in known if name != f"{self.family.head}.weight"]
        return sum(math.prod(self.shards.shape(name)) for name in known)

    # --- reading ----------------------------------------------------------------------------------------------------

    def running(self, name: str, at: Index = slice(None)) -> Tensor:
        """As the running model has it: in its dtype, on its device."""
        return self.shards.read(name, at).to(self.device, self.dtype)

    def plain(self, name: str, at: Index = slice(None)) -> Tensor:
        """What the running model has, in float32."""
        return self.running(name, at).float()

    def columns(self, name: str, part: slice) -> Tensor:
        """``[d_in, len(part)]``: some outputs of a matrix, whichever way round it is stored."""
        return self.plain(name, (slice(None), part)) if self.family.by_input else self.plain(name, part).T

    def bias(self, name: str, at: Index, size: int) -> Tensor:
        """Some of a bias, flat; ``size`` zeros where there is none."""
        return self.plain(name, at).flatten() if name in self.shards else torch.zeros(size, device=self.device)

    def norm(self, name: str, kind: str) -> Norm:
        """The norm called so (without ``.weight``)."""
        given = self.settings[self.family.eps] if not self.family.eps[0].isdigit() else self.family.eps
        eps = 1e-5 if given is None else float(given)
        if f"{name}.weight" not in self.shards:
            return Norm(kind, None, None, eps) if self.lens else NO_NORM
        w = self.plain(f"{name}.weight")
        b = self.plain(f"{name}.bias") if kind == "LayerNorm" and f"{name}.bias" in self.shards else None
        return Norm(kind, w + 1.0 if self.family.plus_one else w, b, eps)

    def layer_norm(self, layer: int, module: str) -> Norm:
        """A layer's norm by its name in ``families``; none where it has none."""
        kind = self.norm_kind
        if not module or kind == "none":
            return NO_NORM
        return self.norm(self.name_of(layer, module)[: -len(".weight")], kind)
