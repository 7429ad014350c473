"""Every architecture: the trace against transformers' own eager forward of a model that nothing else has touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import folders
from tests.models.conftest import ARCHITECTURES
from tui.models import check
from tui.models.check import PLAIN, error, rebuilt_pattern, self_check
from tui.models.errors import ModelError
from tui.models.live import LiveModel, never
from tui.models.load import load

IDS = [3, 200, 260, 261, 7, 262, 263, 41, 260, 264, 12, 265, 9, 266, 150, 33]
"""Longer than the windows of 6."""
ONLY_LEARNED = "Only models with learned positions have position terms."
ONLY_ROTARY = "Only models with rotary positions have an offset."
IGNORES = "This architecture ignores an edited pattern."
PARALLEL = "This model's blocks run attention and MLP in parallel: there is no state between them."
JOINT = "Queries and keys are normalised over all heads at once: one head has no QK circuit of its own."

Models = Callable[[str], LiveModel]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def own_forward(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.tensor([IDS]), output_attentions=True, output_hidden_states=True)


def test_trace_is_transformers_own(name: str, model_of: Models, folder_of: Callable[[str], Path]) -> None:
    live, own = model_of(name), own_forward(folder_of(name))
    trace = live.trace(IDS, range(live.n_layers))
    assert error(trace.logits, own.logits[0]) < 5e-6
    for layer in range(live.n_layers):
        assert error(trace.resid_pre[layer], own.hidden_states[layer][0]) < 5e-6
        assert error(trace.patterns[layer], own.attentions[layer][0]) < 5e-6


def test_parts_fit_together(name: str, model_of: Models) -> None:
    live = model_of(name)
    info = live.info
    trace = live.trace(IDS, range(live.n_layers))
    n = len(IDS)
    assert trace.resid_pre.shape == (info.n_layers + 1, n, info.d_model)
    assert trace.z.shape == (info.n_layers, n, info.n_heads, info.d_head)
    assert (trace.resid_mid is None) == info.parallel_blocks
    total = trace.embed + (0 if trace.pos is None else trace.pos)
    for layer in range(info.n_layers):
        assert torch.equal(trace.patterns[layer] > 0, trace.visible[layer].expand_as(trace.patterns[layer]))
        assert error(rebuilt_pattern(live, trace, layer), trace.patterns[layer]) < 5e-6
        writes = torch.stack([trace.z[layer, :, h] @ live.head(layer, h).W_O for h in range(info.n_heads)]).sum(0)
        if trace.attn_post_scale is not None:
            writes = writes * trace.attn_post_scale[layer]
        total = total + writes + trace.b_O[layer]
        if trace.mlp_out is not None:
            total = total + trace.mlp_out[layer]
    assert error(total, trace.resid_pre[-1]) < 1e-5


def test_attention_runs_again_bit_by_bit(name: str, model_of: Models) -> None:
    live = model_of(name)
    whole, bare = live.trace(IDS, range(live.n_layers)), live.trace(IDS, again=True)
    assert not whole.calls
    assert not bare.patterns
    for layer in range(live.n_layers):
        one = live.with_attention(bare, layer)
        for kept in ("patterns", "queries", "keys", "values"):
            assert set(getattr(one, kept)) == {layer}
            assert torch.equal(getattr(one, kept)[layer], getattr(whole, kept)[layer]), kept
        assert one.resid_pre is bare.resid_pre


def test_capabilities(name: str, model_of: Models) -> None:
    info = model_of(name).info
    assert all(value < 1e-5 for value in info.checks.values()), info.checks
    off = {key: reason for key, reason in vars(info.capabilities).items() if reason}
    expected = {"position_terms": ONLY_LEARNED} if info.positions == "rotary" else {"offset": ONLY_ROTARY}
    if name in ("gpt_neo", "gptj"):
        expected["pattern_edit"] = IGNORES
    if name == "olmo2":
        expected = dict.fromkeys(("qk", "position_terms", "offset", "effective"), JOINT)
    if name in ("neox", "gptj"):
        expected["states_mid"] = PARALLEL
    assert off == expected
    assert info.d_mlp == {"gpt2": 128, "gpt_neo": 128, "gptj": 128}.get(name, 48)


def test_scaled_scores_from_the_weights_alone(name: str, model_of: Models) -> None:
    """softmax((norm(x) W_Q + b_Q) · (norm(x) W_K + b_K) / scale) is the model's pattern, head by head."""
    live = model_of(name)
    if live.info.capabilities.qk:
        pytest.skip(live.info.capabilities.qk)
    trace = live.trace(IDS, range(live.n_layers))
    positions = torch.arange(len(IDS))
    for layer in range(live.n_layers):
        for head in range(live.info.n_heads):
            w = live.head(layer, head)
            x = w.norm(trace.resid_pre[layer])
            q, k = x @ w.W_Q + w.b_Q, x @ w.W_K + w.b_K
            q, k = (q if w.q_norm is None else w.q_norm(q)), (k if w.k_norm is None else w.k_norm(k))
            if w.rotate is not None:
                q, k = w.rotate(q, positions), w.rotate(k, positions)
            scores = q @ k.T / w.attn_scale
            if w.soft_cap is not None:
                scores = w.soft_cap * torch.tanh(scores / w.soft_cap)
            pattern = scores.masked_fill(~trace.visible[layer], -torch.inf).softmax(-1)
            assert error(pattern, trace.patterns[layer][head]) < 5e-6


def test_rotation_depends_on_the_distance_alone(name: str, model_of: Models) -> None:
    live = model_of(name)
    rotate = live.head(0, 0).rotate
    assert (rotate is None) == (live.info.positions != "rotary")
    if rotate is None:
        return
    torch.manual_seed(0)
    q, k = torch.randn(1, live.info.d_head), torch.randn(1, live.info.d_head)
    at = torch.tensor
    near = rotate(q, at([5])) @ rotate(k, at([2])).T
    far = rotate(q, at([23])) @ rotate(k, at([20])).T
    other = rotate(q, at([23])) @ rotate(k, at([2])).T
    assert torch.allclose(near, far, atol=1e-5)
    assert not torch.allclose(near, other, atol=1e-3)
    assert torch.allclose(rotate(q, at([0])), q, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "wrong", "lost"),
    [
        ("gpt2", "attention_scale", {"scores", "qk", "position_terms", "offset", "effective"}),
        ("gemma2", "soft_cap", {"scores", "qk", "position_terms", "offset", "effective"}),
    ],
)
def test_a_misread_convention_switches_views_off(
    monkeypatch: pytest.MonkeyPatch, model_of: Models, name: str, wrong: str, lost: set[str]
) -> None:
    live = model_of(name)
    monkeypatch.setattr(check, wrong, lambda attn: 2.0)
    capabilities, checks = self_check(live, None, never)
    assert checks["pattern = softmax(q·k / scale + mask)"] > 1e-3
    off = {key for key, reason in vars(capabilities).items() if "does not hold" in reason}
    assert off == lost
    assert not capabilities.pattern
    assert not capabilities.ov


def test_neurons_that_do_not_sum_to_the_mlp_are_off(monkeypatch: pytest.MonkeyPatch, model_of: Models) -> None:
    live = model_of("llama")
    wrong = replace(some, W_out=2 * some.W_out) if (some := live.mlp(1)) else None
    monkeypatch.setattr(live, "mlp", lambda layer: wrong if layer == 1 else some)
    capabilities, _ = self_check(live, None, never)
    assert capabilities.neurons.startswith("On this model “MLP = Σ act W_out + b_out” does not hold")
    assert not capabilities.residual


SMALL = folders._ROTARY
OTHERS: dict[str, tuple[str, str, dict[str, Any], set[str] | str]] = {
    # What is off, or the sentence that refuses: never a wrong number, never a crash.
    "phi": ("PhiConfig", "PhiForCausalLM", {**SMALL, "partial_rotary_factor": 0.5}, {"states_mid"}),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", {**SMALL, "num_key_value_heads": 1, "head_dim": 8}, set()),
    "mixtral": (
        "MixtralConfig",
        "MixtralForCausalLM",
        {**SMALL, "num_key_value_heads": 2, "num_local_experts": 3},
        {"neurons"},
    ),
    "llama 3.1": (
        "LlamaConfig",
        "LlamaForCausalLM",
        {
            **SMALL,
            "attention_bias": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
        set(),
    ),
    "GPT-2 scaled by the layer": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"n_positions": 32, "n_embd": 32, "n_layer": 3, "n_head": 4, "scale_attn_by_inverse_layer_idx": True},
        set(),
    ),
    "GPT-2 unscaled, which TransformerLens scales": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4, "scale_attn_weights": False},
        {"pattern", "scores", "qk", "ov", "residual", "effective", "states_mid", "neurons", "plain", "pattern_edit"},
    ),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "ffn_dim": 64,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "word_embed_proj_dim": 32,
            "init_std": 0.3,
        },
        {"pattern_edit"},
    ),
    "bloom, ALiBi and a norm after the embedding": (
        "BloomConfig",
        "BloomForCausalLM",
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3},
        {"scores", "qk", "ov", "residual", "effective", "neurons", "plain"},
    ),
    "gpt_oss, attention sinks": (
        "GptOssConfig",
        "GptOssForCausalLM",
        {**SMALL, "head_dim": 8, "num_key_value_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 2},
        {"scores", "qk", "effective", "neurons", "plain"},
    ),
    "mamba": (
        "MambaConfig",
        "MambaForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
        "MambaForCausalLM has layers without attention heads, so there is no circuit to show.",
    ),
    "biogpt": (
        "BioGptConfig",
        "BioGptForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
        "TransformerLens does not know BioGptForCausalLM.",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_architectures_are_right_or_off(kind: str, tmp_path: Path) -> None:
    config_name, model_name, config, outcome = OTHERS[kind]
    folder = folders.hf_folder(tmp_path / "model", config_name, model_name, **{"initializer_range": 0.3, **config})
    if isinstance(outcome, str):
        with pytest.raises(ModelError) as raised:
            load(str(folder), device="cpu")
        assert raised.value.message == outcome
        return
    capabilities = load(str(folder), device="cpu").info.capabilities
    off = {key: reason for key, reason in vars(capabilities).items() if reason}
    assert off.keys() - {"position_terms", "offset"} == outcome, off
    assert all(reason.endswith(".") for reason in off.values())


def test_errors_that_are_no_numbers_count_as_infinite() -> None:
    one, nan = torch.ones(2), torch.tensor([1.0, torch.nan])
    assert error(one, nan) == error(nan, one) == error(one, torch.ones(3)) == torch.inf
    assert error(one, one) == 0.0


def test_bfloat16(folder_of: Callable[[str], Path]) -> None:
    live = load(str(folder_of("llama")), device="cpu", dtype="bfloat16")
    assert live.info.key.dtype == "bfloat16"
    assert live.head(1, 2).W_Q.dtype == torch.float32
    trace = live.trace(IDS, [1])
    assert trace.logits.dtype == trace.patterns[1].dtype == trace.resid_pre.dtype == torch.float32
    apart = live.info.checks[PLAIN]  # in float32 it rounds less than the model does
    assert apart < 1e-1
    assert max(value for name, value in live.info.checks.items() if name != PLAIN) < 3e-2
    assert not live.info.capabilities.pattern
