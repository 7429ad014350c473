"""TransformerLens checkpoints against a float64 forward in numpy, written here from the formulas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.folders import induction_checkpoint, random_checkpoint, tl_checkpoint
from tui.models.errors import ModelError
from tui.models.load import load

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def forward(config: dict[str, Any], state: dict[str, Tensor]) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """HookedTransformer in float64: logits ``[n, d_vocab]``, patterns ``[n_heads, n, n]``, the final stream."""
    w = {key: value.double().numpy() for key, value in state.items()}
    kind = config["normalization_type"]

    def norm(x: np.ndarray, at: str) -> np.ndarray:
        if kind is None:
            return x
        if kind.startswith("LN"):
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * w.get(f"{at}.w", 1.0) + w.get(f"{at}.b", 0.0)

    scale = config.get("attn_scale", 8**0.5) if config.get("use_attn_scale", True) else 1.0
    n = len(IDS)
    rotary = config.get("positional_embedding_type") == "rotary"
    x = w["embed.W_E"][IDS] + (0.0 if rotary else w["pos_embed.W_pos"][:n])

    def rotate(x: np.ndarray) -> np.ndarray:
        """Adjacent pairs as complex numbers."""
        if not rotary:
            return x
        turned = x[..., 0::2] + 1j * x[..., 1::2]
        turned = turned * np.exp(1j * np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, 8, 2) / 8))
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    patterns = []
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}."
        read = norm(x, at + "ln1")
        q, k, v = (
            np.einsum("nd,hdk->hnk", read, w[at + f"attn.W_{s}"]) + w[at + f"attn.b_{s}"][:, None] for s in "QKV"
        )
        q, k = rotate(q), rotate(k)
        seen = (
            np.ones((n, n), bool) if config.get("attention_dir") == "bidirectional" else np.tril(np.ones((n, n), bool))
        )
        scores = np.where(seen, q @ k.transpose(0, 2, 1) / scale, -np.inf)
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        patterns.append(pattern)
        x = x + np.einsum("hnk,hkd->nd", pattern @ v, w[at + "attn.W_O"]) + w[at + "attn.b_O"]
        if not config["attn_only"]:
            inner = norm(x, at + "ln2") @ w[at + "mlp.W_in"] + w[at + "mlp.b_in"]
            gelu = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
            x = x + gelu @ w[at + "mlp.W_out"] + w[at + "mlp.b_out"]
    return norm(x, "ln_final") @ w["unembed.W_U"] + w["unembed.b_U"], patterns, x


@pytest.mark.parametrize("form", ["pt", "pth", "safetensors"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalization_type": "LNPre"},
        {"normalization_type": "RMS"},
        {"normalization_type": None, "attn_only": True, "act_fn": None},
        {"use_attn_scale": False},
        {"attn_scale": 2.0},
        {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True},
        {"attention_dir": "bidirectional"},
    ],
    ids=["LN", "LNPre", "RMS", "attention only", "no scale", "own scale", "rotary", "both directions"],
)
def test_against_float64(tmp_path: Path, changes: dict[str, Any], form: str) -> None:
    config, state = random_checkpoint(**changes)
    live = load(str(tl_checkpoint(tmp_path / "toy", config, state, form)), device="cpu")
    logits, patterns, stream = forward(config, state)
    trace = live.trace(IDS, [0, 1])
    assert np.abs(trace.logits.numpy() - logits).max() / np.abs(logits).max() < 1e-5
    assert np.abs(trace.resid_pre[-1].numpy() - stream).max() / np.abs(stream).max() < 1e-5
    for layer in range(2):
        assert np.abs(trace.patterns[layer].numpy() - patterns[layer]).max() < 1e-5
    for h in range(4):
        head = live.head(1, h)
        for part in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"):
            assert torch.equal(getattr(head, part), state[f"blocks.1.attn.{part}"][h])
    assert torch.equal(live.ends.W_E, state["embed.W_E"])
    assert torch.equal(live.ends.W_U, state["unembed.W_U"])
    assert live.ends.b_U is not None
    assert torch.equal(live.ends.b_U, state["unembed.b_U"])
    assert max(live.info.checks.values()) < 1e-5
    # Its hook_attn_scores holds the pattern: nothing here may rely on that hook, and edits must count.
    assert not live.info.capabilities.scores
    assert not live.info.capabilities.pattern_edit


def test_info(tmp_path: Path) -> None:
    info = load(str(tl_checkpoint(tmp_path / "toy", *random_checkpoint())), device="cpu").info
    assert (info.name, info.architecture, info.positions, info.norm) == (
        "toy",
        "TransformerLens",
        "learned",
        "LayerNorm",
    )
    assert (info.bos_id, info.bos_default) == (None, False)
    assert info.notes == ("no tokenizer: prompts are typed as token ids",)


def test_weights_are_counted_once(tmp_path: Path) -> None:
    """Output bias included, masks left out; and no check of MLPs that are not there."""
    for only in (False, True):
        config, state = random_checkpoint(attn_only=only)
        info = load(str(tl_checkpoint(tmp_path / str(only), config, state)), device="cpu").info
        weights = [value for key, value in state.items() if not key.endswith(("mask", "IGNORE"))]
        assert info.n_parameters == sum(value.numel() for value in weights)
        assert ("MLP 0" in info.checks) is not only
        assert info.d_mlp == (0 if only else 64)
        assert max(info.checks.values()) < 1e-5


def test_induction_model(tmp_path: Path) -> None:
    live = load(str(induction_checkpoint(tmp_path / "induction")), device="cpu")
    ids = [*range(8), *range(8)]
    trace = live.trace(ids, [0, 1])
    for i in range(2, 16):
        assert trace.patterns[0][0, i, i - 1] >= 1 - 1e-6
    for i in range(8):
        assert trace.patterns[1][0, 8 + i, i + 1] >= 1 - 1e-6
    assert trace.logits[8:].argmax(-1).tolist() == [1, 2, 3, 4, 5, 6, 7, 0]
    head, ends = live.head(1, 0), live.ends
    assert torch.equal(ends.W_E @ head.W_V @ head.W_O @ ends.W_U, torch.eye(16))
    assert not live.head(0, 1).W_Q.any()
    assert live.info.capabilities.effective == live.info.capabilities.neurons == "This model has no MLPs."
    assert live.info.capabilities.states_mid == (
        "This model has no MLPs, so there is no state between attention and MLP."
    )
    assert live.info.d_mlp == 0
    assert live.tokens.encode("a b a", bos=False).ids == (0, 1, 0)


def test_negated_induction_model(tmp_path: Path) -> None:
    live = load(str(induction_checkpoint(tmp_path / "negated", sign=-1.0, form="safetensors")), device="cpu")
    head, ends = live.head(1, 0), live.ends
    assert torch.equal(ends.W_E @ head.W_V @ head.W_O @ ends.W_U, -torch.eye(16))


def test_wrapped_state_dict_and_absent_biases(tmp_path: Path) -> None:
    config, state = random_checkpoint()
    bare = {key: value for key, value in state.items() if ".b_" not in key}
    folder = tl_checkpoint(tmp_path / "toy", config, bare)
    torch.save({"state_dict": bare, "step": 3}, folder / "model.pt")
    live = load(str(folder), device="cpu")
    assert not live.head(0, 0).b_Q.any()
    zeros = {**bare, **{key: torch.zeros_like(value) for key, value in state.items() if ".b_" in key}}
    logits, _, _ = forward(config, zeros)
    assert np.abs(live.trace(IDS).logits.numpy() - logits).max() / np.abs(logits).max() < 1e-5


def test_config_as_hooked_transformer_writes_it(tmp_path: Path) -> None:
    """All its fields, with dtype and device as text and most of them null."""
    config, state = random_checkpoint()
    written = {
        "model_name": "custom",
        "eps": 1e-5,
        "use_attn_result": False,
        "use_attn_scale": True,
        "attn_scale": 8**0.5,
        "use_split_qkv_input": True,
        "use_local_attn": False,
        "original_architecture": None,
        "from_checkpoint": False,
        "checkpoint_index": None,
        "tokenizer_name": "EleutherAI/gpt-neox-20b",
        "window_size": None,
        "attn_types": None,
        "init_mode": "gpt2",
        "device": "cuda",
        "n_devices": 1,
        "attention_dir": "causal",
        "seed": 3,
        "initializer_range": 0.02,
        "init_weights": True,
        "positional_embedding_type": "standard",
        "final_rms": False,
        "d_vocab_out": 50,
        "parallel_attn_mlp": False,
        "rotary_dim": None,
        "n_params": 12345,
        "gated_mlp": False,
        "default_prepend_bos": True,
        "dtype": "torch.float32",
        "n_key_value_heads": None,
        "post_embedding_ln": False,
        "rotary_base": 10000,
        "attn_scores_soft_cap": -1.0,
        "output_logits_soft_cap": -1.0,
        "num_experts": None,
        "use_hook_tokens": False,
        "weird_future_field": [1],
    }
    live = load(str(tl_checkpoint(tmp_path / "toy", {**config, **written}, state)), device="cpu")
    logits, _, _ = forward(config, state)
    assert np.abs(live.trace(IDS).logits.numpy() - logits).max() / np.abs(logits).max() < 1e-5


@pytest.mark.parametrize(
    ("size", "file", "names"),
    [
        (3, None, ("class 0", "class 1", "class 2")),
        (3, '["no", "yes", "maybe"]', ("no", "yes", "maybe")),
        (50, json.dumps([f"digit {i}" for i in range(50)]), tuple(f"digit {i}" for i in range(50))),
        (50, None, ()),
    ],
)
def test_outputs_that_are_no_tokens(tmp_path: Path, size: int, file: str | None, names: tuple[str, ...]) -> None:
    folder = tl_checkpoint(tmp_path / "toy", *random_checkpoint(d_vocab_out=size))
    if file is not None:
        (folder / "vocab_out.json").write_text(file)
    live = load(str(folder), device="cpu")
    assert live.info.classes == names
    assert live.info.capabilities.ov == live.info.capabilities.qk == ""
    said = "This needs outputs that are the input tokens; this model's are {} classes of their own."
    assert live.info.capabilities.one_vocabulary == (said.format(size) if names else "")
    assert any("outputs are no tokens" in note for note in live.info.notes) is bool(names)
    assert live.outputs.text(1) == (names[1] if names else "1")
    for bad in (-1, size):
        with pytest.raises(ModelError, match=f"Output {bad} does not exist" if names else f"Token id {bad} does not"):
            live.outputs.text(bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a", "b"]', "vocab_out.json names 2 outputs, but the model has 3."),
        ("[0, 1, 2]", "vocab_out.json is not a list of names of outputs."),
        ('{"a": 0}', "vocab_out.json is not a list of names of outputs."),
        ("null", "vocab_out.json is not a list of names of outputs."),
        ('["a"', "vocab_out.json cannot be read as JSON: "),
    ],
)
def test_names_of_outputs_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    folder = tl_checkpoint(tmp_path / "toy", *random_checkpoint(d_vocab_out=3))
    (folder / "vocab_out.json").write_text(text)
    with pytest.raises(ModelError) as raised:
        load(str(folder), device="cpu")
    assert message in raised.value.message
    assert raised.value.hint


def refused(tmp_path: Path, config: dict[str, Any], state: dict[str, Tensor]) -> str:
    with pytest.raises(ModelError) as raised:
        load(str(tl_checkpoint(tmp_path / "toy", config, state)), device="cpu")
    assert raised.value.hint
    return raised.value.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"use_local_attn": True},
            "use_local_attn needs attn_types, global or local for each of 2 layers; it is None.",
        ),
        ({"use_local_attn": True, "attn_types": ["global", "local"]}, "use_local_attn needs window_size; it is None."),
        ({"positional_embedding_type": "alibi"}, "Checkpoints with alibi positions cannot be loaded."),
        ({"post_embedding_ln": True}, "This checkpoint uses a norm after the embedding, which cannot be loaded"),
        ({"use_qk_norm": True}, "This checkpoint uses query and key norms, which cannot be loaded"),
        ({"num_experts": 4}, "This checkpoint uses mixtures of experts, which cannot be loaded"),
        ({"use_NTK_by_parts_rope": True}, "This checkpoint uses rotary frequencies scaled by parts (NTK), which"),
        ({"gated_mlp": True, "act_fn": "solu_ln"}, "Gated MLPs with a norm in them (solu_ln) are not known."),
        ({"attention_dir": "sideways"}, "attention_dir sideways is not known."),
        ({"normalization_type": "Batch"}, "normalization_type Batch is not known."),
        ({"act_fn": "sine"}, "TransformerLens cannot load this checkpoint: Unsupported act_fn"),
    ],
)
def test_what_the_native_model_would_compute_wrong_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config, state = random_checkpoint()
    assert message in refused(tmp_path, config | changes, state)


def test_config_lacks_a_size(tmp_path: Path) -> None:
    config, state = random_checkpoint()
    del config["d_vocab"]
    assert "config.json lacks d_vocab." in refused(tmp_path, config, state)


def test_layer_missing(tmp_path: Path) -> None:
    config, state = random_checkpoint()
    kept = {key: value for key, value in state.items() if not key.startswith("blocks.1.")}
    message = refused(tmp_path, config, kept)
    assert "Weights are missing from" in message
    assert "blocks.1.attn.W_Q and 9 more" in message


def test_wrong_shape(tmp_path: Path) -> None:
    config, state = random_checkpoint()
    state["blocks.0.attn.W_K"] = torch.zeros(8, 32, 4)
    message = refused(tmp_path, config, state)
    assert message == "blocks.0.attn.W_K has shape 8×32×4, but config.json asks for 4×32×8."


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    config, state = random_checkpoint()
    more = {**state, "blocks.0.attn.W_extra": torch.zeros(3), "probe.weight": torch.zeros(2)}
    live = load(str(tl_checkpoint(tmp_path / "toy", config, more)), device="cpu")
    assert live.info.notes[0] == "not read: blocks.0.attn.W_extra and 1 more, of which this model has no use"
    logits, _, _ = forward(config, state)
    assert np.abs(live.trace(IDS).logits.numpy() - logits).max() / np.abs(logits).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("blocks.2.attn.W_Q", "n_layers"),
        ("blocks.0.attn.q_norm.w", "opens in Hugging Face format"),
        ("embed.ln.w", "opens in Hugging Face format"),
        ("blocks.0.mlp.W_gate", "gated_mlp"),
        ("blocks.0.mlp.experts.0.W_in", "opens in Hugging Face format"),
    ],
)
def test_weights_that_the_config_forgets(tmp_path: Path, name: str, step: str) -> None:
    """Ignored, they would leave another model than the one that was trained."""
    config, state = random_checkpoint()
    folder = tl_checkpoint(tmp_path / "toy", config, {**state, name: torch.zeros(3)})
    with pytest.raises(ModelError) as raised:
        load(str(folder), device="cpu")
    assert raised.value.message == f"{name} is not a weight of the model that config.json describes."
    assert step in raised.value.hint


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    config, state = random_checkpoint()
    folder = tl_checkpoint(tmp_path / "toy", config, state)
    torch.save({"oops": print}, folder / "model.pt")
    with pytest.raises(ModelError, match="cannot be read as a state dict"):
        load(str(folder), device="cpu")
    (folder / "model.pt").write_bytes(b"not a pickle")
    with pytest.raises(ModelError, match="cannot be read as a state dict"):
        load(str(folder), device="cpu")


def test_no_weight_files(tmp_path: Path) -> None:
    folder = tl_checkpoint(tmp_path / "toy", *random_checkpoint())
    (folder / "model.pt").rename(folder / "optimizer.pt")
    with pytest.raises(ModelError, match="has no weights"):
        load(str(folder), device="cpu")


def test_checkpoint_with_a_tokenizer(tmp_path: Path) -> None:
    from tests.models.folders import tokenizer_files

    size = tokenizer_files(tmp_path / "toy")
    live = load(str(tl_checkpoint(tmp_path / "toy", *random_checkpoint(d_vocab=size))), device="cpu")
    assert live.tokens.encode(" France is", bos=True).texts == ("<|bos|>", " France", " is")
    assert live.info.bos_default


@pytest.mark.parametrize("text", ['{"a": 0', "[1, 2]", '"a"'])
def test_broken_vocabulary(tmp_path: Path, text: str) -> None:
    folder = tl_checkpoint(tmp_path / "toy", *random_checkpoint())
    (folder / "vocab.json").write_text(text)
    with pytest.raises(ModelError, match=r"vocab\.json"):
        load(str(folder), device="cpu")
