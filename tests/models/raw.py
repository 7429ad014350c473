"""Heads, embedding and unembedding read by hand from a folder's safetensors, in float64: what tests compare with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

Named = dict[str, Tensor]
SIDES = "QKVO"
PLACES = {
    "gpt2": "transformer.h.{}.attn.",
    "gpt_neo": "transformer.h.{}.attn.attention.",
    "gptj": "transformer.h.{}.attn.",
    "gpt_neox": "gpt_neox.layers.{}.attention.",
    "opt": "model.decoder.layers.{}.self_attn.",
    "bloom": "transformer.h.{}.self_attention.",
    "falcon": "transformer.h.{}.self_attention.",
}
OUT = ("o_proj", "out_proj", "dense", "c_proj")
FUSED = ("qkv_proj", "query_key_value", "c_attn")
ENDS = {
    "gpt2": ("transformer.wte.weight", ""),
    "gpt_neo": ("transformer.wte.weight", ""),
    "gptj": ("transformer.wte.weight", "lm_head.weight"),
    "gpt_neox": ("gpt_neox.embed_in.weight", "embed_out.weight"),
    "opt": ("model.decoder.embed_tokens.weight", ""),
    "bloom": ("transformer.word_embeddings.weight", ""),
    "falcon": ("transformer.word_embeddings.weight", ""),
}


@dataclass
class Raw:
    """A folder's weights."""

    state: Named
    config: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Raw:
        state = {name: value.double() for name, value in load_file(folder / "model.safetensors").items()}
        return cls(state, json.loads((folder / "config.json").read_text()))

    @property
    def kind(self) -> str:
        return str(self.config["model_type"])

    def get(self, *names: str) -> Any:
        return next(self.config[name] for name in names if self.config.get(name) is not None)

    @property
    def heads(self) -> int:
        return int(self.get("num_attention_heads", "n_head", "num_heads"))

    @property
    def d_model(self) -> int:
        return int(self.get("hidden_size", "n_embd"))

    @property
    def d_head(self) -> int:
        return int(self.config.get("head_dim") or self.d_model // self.heads)

    @property
    def groups(self) -> int:
        if self.kind == "falcon":
            return 1 if self.config["multi_query"] else self.heads
        return int(self.config.get("num_key_value_heads") or self.heads)

    def _side(self, layer: int) -> dict[str, tuple[Tensor, Tensor | None]]:
        """A side → ``[out, in]`` and bias of its projection."""
        at = PLACES.get(self.kind, "model.layers.{}.self_attn.").format(layer)
        held = {name.removeprefix(at): value for name, value in self.state.items() if name.startswith(at)}
        fused = next((name for name in FUSED if f"{name}.weight" in held), None)
        out = next(name for name in OUT if f"{name}.weight" in held)
        made: dict[str, tuple[Tensor, Tensor | None]] = {}
        if fused is None:
            for side in "qkv":
                made[side.upper()] = held[f"{side}_proj.weight"], held.get(f"{side}_proj.bias")
        else:
            weight, bias = held[f"{fused}.weight"], held.get(f"{fused}.bias")
            if fused == "c_attn":  # Conv1D
                weight = weight.T
            rows = torch.arange(len(weight))
            if self.kind in ("bloom", "gpt_neox"):  # a head's query, key and value lie together
                split = rows.view(self.heads, 3, self.d_head).unbind(1)
            else:
                size = self.groups * self.d_head
                split = rows.split([self.heads * self.d_head, size, size])
            for side, some in zip("QKV", split, strict=True):
                chosen = some.reshape(-1)
                made[side] = weight[chosen], None if bias is None else bias[chosen]
        weight = held[f"{out}.weight"]
        made["O"] = (weight.T if fused == "c_attn" else weight), held.get(f"{out}.bias")
        return made

    def head(self, layer: int, head: int) -> dict[str, Tensor]:
        """``W_Q W_K W_V [d_model, d_head]``, their biases, ``W_O [d_head, d_model]`` as it writes into the stream."""
        sides, made = self._side(layer), {}
        for side in "QKV":
            index = head if side == "Q" else head // (self.heads // self.groups)
            rows = slice(index * self.d_head, (index + 1) * self.d_head)
            weight, bias = sides[side]
            made[f"W_{side}"] = weight[rows].T
            made[f"b_{side}"] = torch.zeros(self.d_head, dtype=torch.float64) if bias is None else bias[rows]
        columns = slice(head * self.d_head, (head + 1) * self.d_head)
        made["W_O"] = sides["O"][0][:, columns].T * float(self.config.get("residual_multiplier") or 1.0)
        return made

    def key_norms(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Weights of the query's and the key's norm over one head."""
        at = f"model.layers.{layer}.self_attn."
        names = at + "q_norm.weight", at + "k_norm.weight"
        if names[0] not in self.state:
            return None
        plus = 1.0 if self.kind.startswith("gemma") else 0.0
        q, k = (self.state[name] + plus for name in names)
        return q, k

    @property
    def W_E(self) -> Tensor:
        """As it enters the stream."""
        W_E = self.state[ENDS.get(self.kind, ("model.embed_tokens.weight", ""))[0]]
        if self.kind.startswith("gemma"):
            return W_E * torch.tensor(self.d_model**0.5, dtype=torch.float32).double()
        if self.kind == "bloom":
            at = "transformer.word_embeddings_layernorm."
            w, b = self.state[at + "weight"], self.state[at + "bias"]
            return torch.nn.functional.layer_norm(W_E, (self.d_model,), w, b, self.config["layer_norm_epsilon"])
        return W_E * float(self.config.get("embedding_multiplier") or 1.0)

    @property
    def W_U(self) -> Tensor:
        """``[d_model, d_vocab]`` in the scale of the logits."""
        embedding, own = ENDS.get(self.kind, ("model.embed_tokens.weight", "lm_head.weight"))
        stored = self.state[own] if own in self.state else self.state[embedding]
        factor = float(self.config.get("logit_scale") or 1.0) / float(self.config.get("logits_scaling") or 1.0)
        return stored.T * factor

    def bilinear(self, layer: int, head: int, rows: Tensor, cols: Tensor) -> Tensor:
        """``[rows, cols]``: ``W_E W_Q W_Kᵀ W_Eᵀ``, through query and key norms where there are any."""
        w, norms = self.head(layer, head), self.key_norms(layer)
        q, k = self.W_E[rows] @ w["W_Q"], self.W_E[cols] @ w["W_K"]
        if norms is not None:
            eps = float(self.config["rms_norm_eps"])
            q, k = (
                x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * norm for x, norm in zip((q, k), norms, strict=True)
            )
        return q @ k.T

    def copies(self, layer: int, head: int, rows: Tensor, cols: Tensor) -> Tensor:
        """``[rows, cols]``: ``W_E W_V W_O W_U``."""
        w = self.head(layer, head)
        return self.W_E[rows] @ w["W_V"] @ w["W_O"] @ self.W_U[:, cols]
