"""Weights read by slice from the files are those of the loaded model, bit for bit, for every family with a mapping."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models import folders
from tests.models.folders import _ROTARY
from tui.circuits.forward import Forward, Tape
from tui.circuits.tensors import Norm
from tui.models.errors import ModelError
from tui.models.families import FAMILIES
from tui.models.find import find_model
from tui.models.live import LiveModel
from tui.models.load import load
from tui.models.stored import StoredWeights, stored_weights

SMALL = {**_ROTARY, "num_key_value_heads": 2}
SCALED = {"rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR, YARN = ({"rope_type": kind, **SCALED} for kind in ("linear", "yarn"))
LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, **SCALED}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 16,
        "short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [2.0, 3.0, 4.0, 5.0]}  # fmt: skip
LAYOUTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2 by layer": (
        "GPT2Config", "GPT2LMHeadModel",
        {"n_positions": 32, "n_embd": 32, "n_layer": 3, "n_head": 4, "scale_attn_by_inverse_layer_idx": True},
    ),
    "gpt2 untied": (
        "GPT2Config", "GPT2LMHeadModel",
        {"n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4, "tie_word_embeddings": False},
    ),
    "neox in series": (
        "GPTNeoXConfig", "GPTNeoXForCausalLM",
        {**_ROTARY, "hidden_size": 64, "rotary_pct": 0.25, "use_parallel_residual": False},
    ),
    "llama with biases": ("LlamaConfig", "LlamaForCausalLM", {**SMALL, "attention_bias": True, "mlp_bias": True}),
    "llama tied": ("LlamaConfig", "LlamaForCausalLM", {**SMALL, "tie_word_embeddings": True}),
    "llama 3.1": ("LlamaConfig", "LlamaForCausalLM", {**SMALL, "rope_parameters": LLAMA3}),
    "llama linear": ("LlamaConfig", "LlamaForCausalLM", {**SMALL, "rope_parameters": LINEAR}),
    "llama yarn": ("LlamaConfig", "LlamaForCausalLM", {**SMALL, "rope_parameters": YARN}),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", {**_ROTARY, "num_key_value_heads": 1, "head_dim": 8}),
    "phi": ("PhiConfig", "PhiForCausalLM", {**_ROTARY, "partial_rotary_factor": 0.5}),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", {**SMALL, "sliding_window": 6, "pad_token_id": 0}),
    "phi3 long": ("Phi3Config", "Phi3ForCausalLM", {**SMALL, "pad_token_id": 0, "rope_parameters": LONG,
                                                    "original_max_position_embeddings": 16}),
    "stablelm": ("StableLmConfig", "StableLmForCausalLM", {**SMALL, "hidden_size": 64}),
    "opt": (
        "OPTConfig", "OPTForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "ffn_dim": 64, "num_attention_heads": 4,
         "max_position_embeddings": 32, "word_embed_proj_dim": 32, "init_std": 0.3},
    ),
}  # fmt: skip
"""Beside the models that all tests share."""
SHARED = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "gpt_neo", "neox", "gptj", "gemma2", "gemma3", "olmo2")


@pytest.fixture(scope="module", params=(*SHARED, *LAYOUTS))
def both(
    request: pytest.FixtureRequest,
    model_of: Callable[[str], LiveModel],
    folder_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[LiveModel, StoredWeights]:
    """The loaded model, and its files."""
    name = str(request.param)
    if name in SHARED:
        folder, live = folder_of(name), model_of(name)
    else:
        config_name, model_name, config = LAYOUTS[name]
        settings = {"initializer_range": 0.3, **config}
        folder = folders.hf_folder(tmp_path_factory.mktemp("layout") / "model", config_name, model_name, **settings)
        live = load(str(folder), device="cpu")
    stored = stored_weights(find_model(str(folder)), "cpu", torch.float32)
    assert stored is not None, "no mapping"
    return live, stored


def same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def same_norm(one: Norm | None, other: Norm | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.kind == other.kind and one.eps == other.eps and same(one.w, other.w) and same(one.b, other.b)


def test_heads(both: tuple[LiveModel, StoredWeights]) -> None:
    live, stored = both
    assert (stored.n_layers, stored.n_heads, stored.n_groups) == (
        live.n_layers, live.info.n_heads, live.info.n_key_value_heads
    )  # fmt: skip
    assert (stored.d_model, stored.d_head, stored.d_vocab, stored.n_ctx) == (
        live.info.d_model, live.info.d_head, live.info.d_vocab, live.info.n_ctx
    )  # fmt: skip
    x, at = torch.randn(5, stored.d_head), torch.tensor([0, 1, 5, 9, 20])
    for layer in range(stored.n_layers):
        for head in range(stored.n_heads):
            own, want = stored.head(layer, head), live.head(layer, head)
            for part in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O", "post_w"):
                assert same(getattr(own, part), getattr(want, part)), (layer, head, part)
            for part in ("norm", "q_norm", "k_norm"):
                assert same_norm(getattr(own, part), getattr(want, part)), (layer, head, part)
            assert (own.layer, own.head, own.attn_scale, own.soft_cap) == (layer, head, want.attn_scale, want.soft_cap)
            assert (own.rotate is None) == (want.rotate is None)
            if own.rotate is not None and want.rotate is not None:
                assert same(own.rotate(x, at), want.rotate(x, at)), layer


def test_ends(both: tuple[LiveModel, StoredWeights]) -> None:
    live, stored = both
    own, want = stored.ends(), live.ends
    some = torch.tensor([3, 0, 3, 17])
    assert same(own.W_E[some], want.W_E[some])
    assert same(own.W_U[:, some], want.W_U[:, some])
    assert same(own.W_E[4:9], want.W_E[4:9])
    assert own.W_U.shape == want.W_U.shape
    assert same(torch.mul(own.W_E, 1.0), want.W_E)
    assert same(own.W_U.mean(1), want.W_U.mean(1))
    for part in ("W_pos", "b_U"):
        assert same(getattr(own, part), getattr(want, part)), part
    assert same_norm(own.final_norm, want.final_norm)
    assert own.logit_cap == want.logit_cap
    x = torch.randn(3, stored.d_model)
    assert own.layer0_mlp is not None
    assert want.layer0_mlp is not None
    assert same(own.layer0_mlp(x), want.layer0_mlp(x))


def test_mlps(both: tuple[LiveModel, StoredWeights]) -> None:
    live, stored = both
    x = torch.randn(3, stored.d_model)
    for layer in range(stored.n_layers):
        own, want = stored.mlp(layer), live.mlp(layer)
        assert own is not None
        assert want is not None
        assert same(own.W_out, want.W_out)
        assert same(own.b_out, want.b_out)
        assert same_norm(own.post_norm, want.post_norm)
        assert same(own.activations(x), want.activations(x))


def test_blocks_give_what_the_model_computes(both: tuple[LiveModel, StoredWeights]) -> None:
    live, stored = both
    ids = torch.tensor([5, 17, 10, 3, 42, 11, stored.d_vocab - 1, 9, 7, 30])
    trace, tape = live.trace(ids, range(live.n_layers)), Tape()
    reach = stored.reach(len(ids))
    assert all(torch.equal(reach[layer], trace.visible[layer]) for layer in range(stored.n_layers))
    forward = Forward(stored.block, stored.n_layers, stored.ends())
    final = forward.run(forward.embed(ids[None]), reach, keep=tape, patterns=range(stored.n_layers))
    assert (forward.logits(final[0]) - trace.logits).abs().max() < 1e-5 * trace.logits.abs().max()
    for layer, own in trace.patterns.items():
        assert (tape.pattern[layer] - own).abs().max() < 1e-5
        assert same(stored.output_bias(layer), trace.b_O[layer])


def test_weights_are_counted_once(both: tuple[LiveModel, StoredWeights]) -> None:
    live, stored = both
    assert stored.n_parameters == live.info.n_parameters


CHECKPOINTS: dict[str, tuple[dict[str, Any], str]] = {
    "LayerNorm, pt": ({}, "pt"),
    "LayerNorm, safetensors": ({"act_fn": "relu"}, "safetensors"),
    "LNPre, pth": ({"normalization_type": "LNPre", "act_fn": "gelu"}, "pth"),
    "RMS": ({"normalization_type": "RMS", "act_fn": "silu", "attn_scale": 3.0}, "pt"),
    "RMSPre": ({"normalization_type": "RMSPre", "use_attn_scale": False, "act_fn": "solu"}, "safetensors"),
    "attention alone": ({"attn_only": True, "normalization_type": None, "act_fn": None}, "pt"),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_transformerlens_checkpoints(kind: str, tmp_path: Path) -> None:
    changes, form = CHECKPOINTS[kind]
    config, state = folders.random_checkpoint(**changes)
    folder = folders.tl_checkpoint(tmp_path / "model", config, state, form)
    live, stored = load(str(folder), device="cpu"), stored_weights(find_model(str(folder)), "cpu", torch.float32)
    assert stored is not None
    test_heads((live, stored))
    test_weights_are_counted_once((live, stored))
    own, want = stored.ends(), live.ends
    some = torch.tensor([3, 0, 17])
    assert same(own.W_E[some], want.W_E[some])
    assert same(own.W_U[:, some], want.W_U[:, some])
    assert same(torch.mul(own.W_U, 1.0), want.W_U)
    assert same(own.W_pos, want.W_pos)
    assert same(own.b_U, want.b_U)
    assert same_norm(own.final_norm, want.final_norm)
    assert (own.layer0_mlp is None) == changes.get("attn_only", False)
    if not changes.get("attn_only"):
        test_mlps((live, stored))
    test_blocks_give_what_the_model_computes((live, stored))


def test_a_file_that_is_replaced_is_said(tmp_path: Path) -> None:
    folder = folders.gpt2_folder(tmp_path / "model")
    stored = stored_weights(find_model(str(folder)), "cpu", torch.float32)
    assert stored is not None
    file = folder / "model.safetensors"
    data = file.read_bytes()
    before = stored.head(0, 0).W_Q
    file.unlink()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="has changed since it was opened"):
        stored.head(0, 0)
    assert bool(torch.isfinite(before).all())  # a copy


def test_shards_are_found_by_the_index(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = folders.llama_folder(tmp_path / "one")
    model = AutoModelForCausalLM.from_pretrained(folder)
    many = folders.llama_folder(tmp_path / "many")
    (many / "model.safetensors").unlink()
    model.save_pretrained(many, max_shard_size="20KB")
    assert len(list(many.glob("model-*.safetensors"))) > 2
    one, other = (stored_weights(find_model(str(path)), "cpu", torch.float32) for path in (folder, many))
    assert one is not None
    assert other is not None
    for part in ("W_Q", "W_K", "W_V", "W_O"):
        assert same(getattr(one.head(1, 3), part), getattr(other.head(1, 3), part))
    next(many.glob("model-00002*")).unlink()
    assert stored_weights(find_model(str(many)), "cpu", torch.float32) is None


def test_a_folder_that_lacks_layers_is_left_to_be_refused(tmp_path: Path) -> None:
    folder = folders.gpt2_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layer": 3}))
    assert stored_weights(find_model(str(folder)), "cpu", torch.float32) is None


@pytest.mark.parametrize("change", [{"layer_norm_epsilon": 1e-5, "activation_function": "quick_gelu"},
                                    {"scale_attn_weights": False}, {"architectures": ["BloomForCausalLM"]},
                                    {"quantization_config": {"bits": 4}}])  # fmt: skip
def test_what_is_not_declared_has_no_mapping(change: dict[str, Any], tmp_path: Path) -> None:
    folder = folders.gpt2_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    assert stored_weights(find_model(str(folder)), "cpu", torch.float32) is None


def test_bfloat16_runs_round_as_the_model_does(tmp_path: Path) -> None:
    folder = folders.llama_folder(tmp_path / "model")
    live = load(str(folder), device="cpu", dtype="bfloat16")
    stored = stored_weights(find_model(str(folder)), "cpu", torch.bfloat16)
    assert stored is not None
    own, want = stored.head(1, 2), live.head(1, 2)
    assert same(own.W_K, want.W_K)
    assert same(own.norm.w, want.norm.w)
    some = torch.tensor([3, 0, 17])
    assert same(stored.ends().W_E[some], live.ends.W_E[some])


def test_every_family_is_tried() -> None:
    tried = {model_name for _, model_name, _ in LAYOUTS.values()}
    shared = {"GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
              "GPTNeoForCausalLM", "GPTNeoXForCausalLM", "GPTJForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
              "Olmo2ForCausalLM"}  # fmt: skip
    assert set(FAMILIES) == tried | shared
