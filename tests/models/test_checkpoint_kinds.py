"""Everything that HookedTransformer could be, against a float64 forward in numpy written here from its formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.folders import random_checkpoint, tl_checkpoint
from tui.circuits import pattern as attention
from tui.circuits import residual
from tui.circuits.forward import Tape
from tui.models.load import load

IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
N = len(IDS)
EPS = 1e-5


def norm(x: np.ndarray, kind: str | None, w: Any = 1.0, b: Any = 0.0) -> np.ndarray:
    if kind is None:
        return x
    if kind.startswith("LN"):
        x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPS) * w + b


def softmax(x: np.ndarray) -> np.ndarray:
    out = np.exp(x - x.max(-1, keepdims=True))
    return out / out.sum(-1, keepdims=True)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu_fast": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "solu": lambda x: x * softmax(x),
    "solu_ln": lambda x: x * softmax(x),
}


def rotated(x: np.ndarray, dim: int, adjacent: bool) -> np.ndarray:
    """``[heads, n, d_head]``: the first ``dim`` numbers turned in pairs, the rest as they are."""
    turn = np.exp(1j * np.arange(N)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim))
    half = dim // 2
    first, second = (x[..., 0:dim:2], x[..., 1:dim:2]) if adjacent else (x[..., :half], x[..., half:dim])
    z = (first + 1j * second) * turn
    parts = [z.real, z.imag]
    made = np.stack(parts, -1).reshape(*x.shape[:-1], dim) if adjacent else np.concatenate(parts, -1)
    return np.concatenate([made, x[..., dim:]], -1)


class Run:
    """One forward pass."""

    def __init__(self, config: dict[str, Any], state: dict[str, Tensor]) -> None:
        w = {key: value.double().numpy() for key, value in state.items()}
        kind, positions = config["normalization_type"], config.get("positional_embedding_type", "standard")
        short = positions == "shortformer" or bool(config.get("shortformer_pos"))
        self.parts = [w["embed.W_E"][IDS]]
        if positions == "standard" and not short:
            self.parts.append(w["pos_embed.W_pos"][:N])
        x = sum(self.parts)
        self.patterns: list[np.ndarray] = []
        self.q: list[np.ndarray] = []
        for layer in range(config["n_layers"]):
            at = f"blocks.{layer}."
            ln = {name: (kind, w.get(f"{at}{name}.w", 1.0), w.get(f"{at}{name}.b", 0.0)) for name in ("ln1", "ln2")}
            read = norm(x, *ln["ln1"])
            with_positions = read + w["pos_embed.W_pos"][:N] if short else read
            q, k, v = (
                np.einsum("nd,hdk->hnk", with_positions if side in "QK" else read, w[f"{at}attn.W_{side}"])
                + w[f"{at}attn.b_{side}"][:, None]
                for side in "QKV"
            )
            if positions == "rotary":
                how = config.get("rotary_dim") or 8, bool(config.get("rotary_adjacent_pairs"))
                q, k = rotated(q, *how), rotated(k, *how)
            scale = 8**0.5 * (layer + 1 if config.get("scale_attn_by_inverse_layer_idx") else 1)
            back = np.arange(N)[:, None] - np.arange(N)
            seen = np.ones((N, N), bool) if config.get("attention_dir") == "bidirectional" else back >= 0
            if config.get("use_local_attn") and config["attn_types"][layer] == "local":
                seen = seen & (back < config["window_size"])
            pattern = softmax(np.where(seen, q @ k.transpose(0, 2, 1) / scale, -np.inf))
            self.patterns.append(pattern)
            self.q.append(q)
            heads = np.einsum("hnk,hkd->hnd", pattern @ v, w[f"{at}attn.W_O"])
            write = heads.sum(0) + w[f"{at}attn.b_O"]
            self.parts += [*heads, np.broadcast_to(w[f"{at}attn.b_O"], write.shape)]
            mid = x if config.get("parallel_attn_mlp") else x + write
            x = x + write
            if not config["attn_only"]:
                y, act = norm(mid, *ln["ln2"]), ACTIVATIONS[config["act_fn"]]
                if config.get("gated_mlp"):
                    post = act(y @ w[f"{at}mlp.W_gate"]) * (y @ w[f"{at}mlp.W_in"]) + w[f"{at}mlp.b_in"]
                else:
                    post = act(y @ w[f"{at}mlp.W_in"] + w[f"{at}mlp.b_in"])
                if config["act_fn"] == "solu_ln":
                    post = norm(post, "LN", w.get(f"{at}mlp.ln.w", 1.0), w.get(f"{at}mlp.ln.b", 0.0))
                out = post @ w[f"{at}mlp.W_out"] + w[f"{at}mlp.b_out"]
                self.parts.append(out)
                x = x + out
        self.stream = x
        final = "RMS" if config.get("final_rms") else kind
        self.logits = norm(x, final, w.get("ln_final.w", 1.0), w.get("ln_final.b", 0.0)) @ w["unembed.W_U"]
        self.logits = self.logits + w["unembed.b_U"]


KINDS: dict[str, dict[str, Any]] = {
    "gated, silu, its own biases": {"gated_mlp": True, "act_fn": "silu"},
    "gated, gelu_fast, RMS": {"gated_mlp": True, "act_fn": "gelu_fast", "normalization_type": "RMS"},
    "gated without a norm": {"gated_mlp": True, "act_fn": "relu", "normalization_type": None},
    "shortformer, attention only": {
        "positional_embedding_type": "shortformer", "attn_only": True, "act_fn": None, "normalization_type": "LN",
    },
    "shortformer with MLPs": {"positional_embedding_type": "shortformer"},
    "shortformer, no norm": {"positional_embedding_type": "shortformer", "normalization_type": None},
    "shortformer by its flag": {"shortformer_pos": True, "normalization_type": "LNPre"},
    "rotary halves": {"positional_embedding_type": "rotary"},
    "rotary adjacent": {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True},
    "rotary halves, half of them": {"positional_embedding_type": "rotary", "rotary_dim": 4},
    "rotary adjacent, half of them": {
        "positional_embedding_type": "rotary", "rotary_dim": 4, "rotary_adjacent_pairs": True,
        "parallel_attn_mlp": True,
    },
    "local attention": {"use_local_attn": True, "attn_types": ["global", "local"], "window_size": 3},
    "local everywhere": {"use_local_attn": True, "attn_types": ["local", "local"], "window_size": 1},
    "scaled by layer": {"scale_attn_by_inverse_layer_idx": True},
    "parallel blocks": {"parallel_attn_mlp": True},
    "parallel, gated, RMSPre": {"parallel_attn_mlp": True, "gated_mlp": True, "act_fn": "silu",
                                "normalization_type": "RMSPre"},
    "solu": {"act_fn": "solu"},
    "solu_ln": {"act_fn": "solu_ln"},
    "solu_ln, LNPre": {"act_fn": "solu_ln", "normalization_type": "LNPre"},
    "solu_ln, RMS": {"act_fn": "solu_ln", "normalization_type": "RMS"},
    "LNPre": {"normalization_type": "LNPre"},
    "RMSPre": {"normalization_type": "RMSPre"},
    "RMS": {"normalization_type": "RMS"},
    "both directions": {"attention_dir": "bidirectional"},
    "both directions, windows say nothing there": {
        "attention_dir": "bidirectional", "use_local_attn": True, "attn_types": ["local", "local"], "window_size": 2,
    },
    "both directions, shortformer, three classes": {
        "attention_dir": "bidirectional", "positional_embedding_type": "shortformer", "d_vocab_out": 3,
    },
    "more outputs than tokens": {"d_vocab_out": 70},
}  # fmt: skip


def close(got: Tensor, want: np.ndarray, limit: float = 2e-5) -> None:
    assert got.shape == want.shape
    assert np.abs(got.detach().double().numpy() - want).max() / np.abs(want).max() < limit


@pytest.mark.parametrize("name", KINDS)
def test_against_float64(tmp_path: Path, name: str) -> None:
    config, state = random_checkpoint(**KINDS[name])
    # In HookedTransformer the window is part of the causal mask.
    without = {"use_local_attn": False} if "windows say nothing" in name else {}
    own = Run(config | without, state)
    live = load(str(tl_checkpoint(tmp_path / "toy", config, state)), device="cpu")
    trace = live.trace(IDS, [0, 1])
    close(trace.logits, own.logits)
    close(trace.resid_pre[-1], own.stream)
    for layer in range(2):
        close(trace.patterns[layer], own.patterns[layer])
    parts = residual.split(trace, lambda layer: [live.head(layer, head).W_O for head in range(4)])
    close(parts.values, np.stack(own.parts))
    close(parts.values.sum(0), own.stream)
    head = live.head(1, 2)
    scores = attention.scaled_on_prompt(head, trace)
    assert attention.softmax_error(scores, trace, head) < 2e-5
    # What interventions run on computes the same.
    tape, reach = Tape(), [trace.visible[layer] for layer in range(2)]
    final = live.forward.run(live.forward.embed(trace.ids[None]), reach, keep=tape, patterns=range(2))
    close(live.forward.logits(final[0]), own.logits)
    close(tape.pattern[1], own.patterns[1])
    close(tape.q[1].transpose(0, 1), own.q[1])
    # Its own check has found nothing wrong, and every view that there can be is there.
    assert max(live.info.checks.values()) < 2e-5
    off = {key: why for key, why in vars(live.info.capabilities).items() if why}
    rotary, no_mlp = live.info.positions == "rotary", config["attn_only"]
    allowed = {"one_vocabulary": "d_vocab_out" in config, "offset": not rotary, "position_terms": rotary,
               "states_mid": live.info.parallel_blocks or no_mlp, "effective": no_mlp, "neurons": no_mlp}  # fmt: skip
    assert {key for key in off if not allowed.get(key)} == set(), off
    assert live.info.bidirectional is (config.get("attention_dir") == "bidirectional")
    assert live.info.parallel_blocks is bool(config.get("parallel_attn_mlp"))
    kept = [value for key, value in state.items() if not key.endswith(("mask", "IGNORE"))]
    assert live.info.n_parameters == sum(value.numel() for value in kept)


def test_a_shortformers_query_is_split(tmp_path: Path) -> None:
    """Position is a part of its own of what a query reads, and of a score."""
    config, state = random_checkpoint(positional_embedding_type="shortformer")
    live = load(str(tl_checkpoint(tmp_path / "toy", config, state)), device="cpu")
    own, trace, head = Run(config, state), live.trace(IDS, [1]), live.head(1, 2)
    assert live.info.positions == "shortformer"
    assert live.ends.W_pos is None
    writers = lambda layer: [live.head(layer, h).W_O for h in range(4)]  # noqa: E731
    parts = residual.split(trace, writers, 1, slice(6, 7))
    names, vectors = residual.projected(head, parts, "q", 6)
    close(vectors.sum(0), own.q[1][2, 6])
    w = {key: value.double().numpy() for key, value in state.items()}
    close(vectors[names.index("pos")], w["pos_embed.W_pos"][6] @ w["blocks.1.attn.W_Q"][2])
    _, values = residual.projected(head, parts, "v", 6)
    assert len(values) == len(vectors) - 1


def test_a_window_is_what_the_mask_says(tmp_path: Path) -> None:
    config, state = random_checkpoint(use_local_attn=True, attn_types=["global", "local"], window_size=3)
    live = load(str(tl_checkpoint(tmp_path / "toy", config, state)), device="cpu")
    seen = live.reach(6)
    assert torch.equal(seen[0], torch.ones(6, 6, dtype=torch.bool).tril())
    assert seen[1][5].tolist() == [False, False, False, True, True, True]


def test_an_mlp_that_is_misread_is_named_with_its_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tui.models.live import LiveModel

    read = LiveModel.mlp

    def wrong(self: LiveModel, layer: int) -> Any:
        mlp = read(self, layer)
        return replace(mlp, b_out=mlp.b_out + 1.0) if layer == 1 and mlp is not None else mlp

    monkeypatch.setattr(LiveModel, "mlp", wrong)
    info = load(str(tl_checkpoint(tmp_path / "toy", *random_checkpoint())), device="cpu").info
    assert "“MLP = Σ act W_out + b_out” does not hold in L1 (error " in info.capabilities.neurons
