"""The formulas in float64 numpy, from the weights on disk: nothing of ours, of torch's models or of TransformerLens.

Deliberately slow and plain: dense ``W_QK`` and ``W_OV``, whole-vocabulary matrices, loops over heads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

Array = np.ndarray


@dataclass
class Norm:
    kind: str
    w: Array
    b: Array
    eps: float

    def bare(self, x: Array) -> Array:
        if self.kind == "LayerNorm":
            x = x - x.mean(-1, keepdims=True)
        return x / self.scale(x)

    def scale(self, x: Array) -> Array:
        if self.kind == "LayerNorm":
            x = x - x.mean(-1, keepdims=True)
        return np.sqrt((x**2).mean(-1, keepdims=True) + self.eps)

    def __call__(self, x: Array) -> Array:
        return self.bare(x) * self.w + self.b


@dataclass
class Head:
    W_Q: Array
    b_Q: Array
    W_K: Array
    b_K: Array
    W_V: Array
    b_V: Array
    W_O: Array


@dataclass
class Pass:
    """One forward pass."""

    stream: list[Array] = field(default_factory=list)
    """Before each block, and the final one."""
    scores: list[list[Array]] = field(default_factory=list)
    patterns: list[list[Array]] = field(default_factory=list)
    values: list[list[Array]] = field(default_factory=list)
    parts: list[tuple[str, Array]] = field(default_factory=list)
    """Every component's write, heads apart."""
    z: dict[tuple[int, int], Array] = field(default_factory=dict)
    act: list[Array] = field(default_factory=list)
    mlp: list[Array] = field(default_factory=list)
    logits: Array = field(default_factory=lambda: np.zeros(0))


def unchanged(point: str, layer: int, head: int, value: Array) -> Array:
    return value


@dataclass
class Model:
    W_E: Array
    W_pos: Array | None
    W_U: Array
    final: Norm
    norms: list[Norm]
    heads: list[list[Head]]
    b_O: list[Array]
    mlp_norms: list[Norm]
    neurons: Callable[[int, Array], Array]
    """Layer and stream through the MLP's norm → what its neurons put out."""
    W_out: list[Array]
    b_out: list[Array]
    rope: Callable[[Array, Array], Array] | None
    attn_scale: float

    def activations(self, layer: int, x: Array) -> Array:
        """What the neurons of the layer's MLP put out for this stream."""
        return self.neurons(layer, self.mlp_norms[layer](x))

    def mlp(self, layer: int, x: Array) -> Array:
        """What the layer's MLP writes for this stream."""
        return self.activations(layer, x) @ self.W_out[layer] + self.b_out[layer]

    def forward(self, ids: list[int], change: Callable[[str, int, int, Array], Array] = unchanged) -> Pass:
        """``change(point, layer, head, value)``: what an activation becomes; head −1 where it is the whole layer's."""
        out = Pass()
        n = len(ids)
        x = self.W_E[ids]
        out.parts.append(("embed", x))
        if self.W_pos is not None:
            out.parts.append(("pos", self.W_pos[:n]))
            x = x + self.W_pos[:n]
        seen = np.tril(np.ones((n, n), dtype=bool))
        for layer, heads in enumerate(self.heads):
            x = change("stream", layer, -1, x)
            out.stream.append(x)
            read = self.norms[layer](x)
            scores, patterns, values = [], [], []
            for index, head in enumerate(heads):
                q, k, v = read @ head.W_Q + head.b_Q, read @ head.W_K + head.b_K, read @ head.W_V + head.b_V
                if self.rope is not None:
                    q, k = self.rope(q, np.arange(n)), self.rope(k, np.arange(n))
                score = change("score", layer, index, np.where(seen, q @ k.T / self.attn_scale, np.nan))
                pattern = change("pattern", layer, index, softmax(score))
                scores.append(score)
                patterns.append(pattern)
                values.append(v)
                z = change("z", layer, index, np.nan_to_num(pattern) @ v)
                out.z[layer, index] = z
                write = z @ head.W_O
                out.parts.append((f"L{layer}H{index}", write))
                x = x + write
            out.parts.append((f"L{layer}.bias", np.broadcast_to(self.b_O[layer], x.shape)))
            x = x + self.b_O[layer]
            act = change("act", layer, -1, self.activations(layer, x))
            out.act.append(act)
            write = change("mlp", layer, -1, act @ self.W_out[layer] + self.b_out[layer])
            out.mlp.append(write)
            out.parts.append((f"L{layer}.mlp", write))
            x = x + write
            out.scores.append(scores)
            out.patterns.append(patterns)
            out.values.append(values)
        out.stream.append(x)
        out.logits = self.final(x) @ self.W_U
        return out

    def processed(self, layer: int, index: int) -> Head:
        """The head with its norm folded in, by the formulas."""
        head, norm = self.heads[layer][index], self.norms[layer]
        centre = self.centre if norm.kind == "LayerNorm" else np.eye(len(norm.w))
        return Head(
            centre @ np.diag(norm.w) @ head.W_Q,
            head.b_Q + norm.b @ head.W_Q,
            centre @ np.diag(norm.w) @ head.W_K,
            head.b_K + norm.b @ head.W_K,
            centre @ np.diag(norm.w) @ head.W_V,
            head.b_V + norm.b @ head.W_V,
            head.W_O @ centre,
        )

    @property
    def centre(self) -> Array:
        d = self.W_E.shape[1]
        return np.eye(d) - np.ones((d, d)) / d

    def unembed(self, weights: str) -> Array:
        if weights == "raw":
            return self.W_U
        W = np.diag(self.final.w) @ self.W_U
        if self.final.kind == "LayerNorm":
            W = self.centre @ W
        return W - W.mean(1, keepdims=True)

    def basis(self, name: str, weights: str, layer: int, positions: bool = False) -> Array:
        """X over the whole vocabulary (or over all positions)."""
        norm = self.norms[layer]
        rows = self.W_pos if positions else self.W_E
        assert rows is not None
        if name == "effective":
            rows = rows + self.mlp(0, rows)
        if name == "embed":
            return rows @ self.centre if weights == "processed" and norm.kind == "LayerNorm" else rows
        return norm.bare(rows) if weights == "processed" else norm(rows)

    def read(self, stream: Array, weights: str, layer: int) -> Array:
        return self.norms[layer].bare(stream) if weights == "processed" else self.norms[layer](stream)

    def qk(self, layer: int, index: int, weights: str, form: str, x_q: Array, x_k: Array, offset: int = 0) -> Array:
        """``[len(x_q), len(x_k)]``: query at ``offset``, key at 0."""
        head = self.processed(layer, index) if weights == "processed" else self.heads[layer][index]
        if form == "bilinear" and self.rope is None:
            return x_q @ (head.W_Q @ head.W_K.T) @ x_k.T
        biased = form == "scaled"
        q, k = x_q @ head.W_Q + biased * head.b_Q, x_k @ head.W_K + biased * head.b_K
        if self.rope is not None:
            q, k = self.rope(q, np.full(len(q), offset)), self.rope(k, np.zeros(len(k)))
        return q @ k.T / (self.attn_scale if biased else 1.0)

    def ov(self, layer: int, index: int | None, weights: str, x: Array) -> Array:
        """``[len(x), d_vocab]``."""
        if index is None:
            return x @ self.unembed(weights)
        head = self.processed(layer, index) if weights == "processed" else self.heads[layer][index]
        return x @ (head.W_V @ head.W_O) @ self.unembed(weights)


def softmax(scores: Array) -> Array:
    """Over each row's cells that are not NaN."""
    e = np.exp(scores - np.nanmax(scores, -1, keepdims=True))
    return e / np.nansum(e, -1, keepdims=True)


def normalised(values: Array, how: str, base: Array | None = None) -> Array:
    """A view of ``values`` against the rows of ``base`` (None: the values themselves)."""
    base = values if base is None else base
    if how == "none":
        return values
    mean, std = np.nanmean(base, -1, keepdims=True), np.nanstd(base, -1, keepdims=True)
    if how == "centered":
        return values - mean
    if how == "zscore":
        return np.divide(values - mean, std, out=values * 0.0, where=std > 0)
    top = np.nanmax(base, -1, keepdims=True)
    return np.exp(values - top) / np.nansum(np.exp(base - top), -1, keepdims=True)


def gpt2(folder: Path) -> Model:
    config, state = _files(folder)
    d, n_heads = config["n_embd"], config["n_head"]
    size = d // n_heads
    eps = config["layer_norm_epsilon"]

    def norm(name: str) -> Norm:
        return Norm("LayerNorm", state[f"{name}.weight"], state[f"{name}.bias"], eps)

    heads, norms, mlp_norms, b_O = [], [], [], []
    for layer in range(config["n_layer"]):
        at = f"h.{layer}.attn."
        Ws = np.split(state[at + "c_attn.weight"], 3, axis=1)
        bs = np.split(state[at + "c_attn.bias"], 3)
        row = []
        for index in range(n_heads):
            cut = slice(index * size, (index + 1) * size)
            (W_Q, W_K, W_V), (b_Q, b_K, b_V) = [W[:, cut] for W in Ws], [b[cut] for b in bs]
            row.append(Head(W_Q, b_Q, W_K, b_K, W_V, b_V, state[at + "c_proj.weight"][cut]))
        heads.append(row)
        norms.append(norm(f"h.{layer}.ln_1"))
        mlp_norms.append(norm(f"h.{layer}.ln_2"))
        b_O.append(state[at + "c_proj.bias"])

    def neurons(layer: int, y: Array) -> Array:
        at = f"h.{layer}.mlp."
        y = y @ state[at + "c_fc.weight"] + state[at + "c_fc.bias"]
        return 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))

    W_out, b_out = ([state[f"h.{i}.mlp.c_proj.{part}"] for i in range(len(heads))] for part in ("weight", "bias"))
    W_E, W_pos = state["wte.weight"], state["wpe.weight"]
    return Model(
        W_E, W_pos, W_E.T, norm("ln_f"), norms, heads, b_O, mlp_norms, neurons, W_out, b_out, None, size**0.5
    )  # fmt: skip


def llama(folder: Path) -> Model:
    config, state = _files(folder)
    d, n_heads, groups = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    size = d // n_heads
    base = (config.get("rope_parameters") or {}).get("rope_theta") or config.get("rope_theta") or 10000.0

    def norm(name: str) -> Norm:
        w = state[f"{name}.weight"]
        return Norm("RMSNorm", w, np.zeros_like(w), config["rms_norm_eps"])

    heads, norms, mlp_norms = [], [], []
    zero = np.zeros(size)
    for layer in range(config["num_hidden_layers"]):
        at = f"layers.{layer}.self_attn."
        row = []
        for index in range(n_heads):
            shared = index // (n_heads // groups)
            mine, theirs = slice(index * size, (index + 1) * size), slice(shared * size, (shared + 1) * size)
            W_Q, W_K, W_V = (
                state[at + f"{side}_proj.weight"][cut].T for side, cut in (("q", mine), ("k", theirs), ("v", theirs))
            )
            row.append(Head(W_Q, zero, W_K, zero, W_V, zero, state[at + "o_proj.weight"][:, mine].T))
        heads.append(row)
        norms.append(norm(f"layers.{layer}.input_layernorm"))
        mlp_norms.append(norm(f"layers.{layer}.post_attention_layernorm"))

    def neurons(layer: int, y: Array) -> Array:
        at = f"layers.{layer}.mlp."
        gate = y @ state[at + "gate_proj.weight"].T
        return gate / (1 + np.exp(-gate)) * (y @ state[at + "up_proj.weight"].T)

    def rope(x: Array, at: Array) -> Array:
        angle = np.asarray(at, dtype=np.float64)[:, None] * base ** (-np.arange(0, size, 2) / size)
        cos, sin = np.tile(np.cos(angle), 2), np.tile(np.sin(angle), 2)
        half = size // 2
        return x * cos + np.concatenate([-x[:, half:], x[:, :half]], 1) * sin

    W_E = state["embed_tokens.weight"]
    W_U = state.get("lm_head.weight", W_E).T
    none = [np.zeros(d)] * len(heads)
    W_out = [state[f"layers.{layer}.mlp.down_proj.weight"].T for layer in range(len(heads))]
    return Model(
        W_E, None, W_U, norm("norm"), norms, heads, none, mlp_norms, neurons, W_out, none, rope, size**0.5
    )  # fmt: skip


def _files(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    state = load_file(folder / "model.safetensors")
    short = {name.removeprefix("transformer.").removeprefix("model."): value for name, value in state.items()}
    config = json.loads((folder / "config.json").read_text())
    return config, {name: value.astype(np.float64) for name, value in short.items()}
