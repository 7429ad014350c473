"""Head weights and both ends against the raw state dict, sliced here by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tui.models.errors import ModelError
from tui.models.live import LiveModel


def test_gpt2_heads(gpt2: LiveModel, folder_of: Callable[[str], Path]) -> None:
    raw = load_file(folder_of("gpt2") / "model.safetensors")
    at = "transformer.h.1."
    q, k, v = raw[at + "attn.c_attn.weight"].split(32, dim=1)
    b_q, b_k, b_v = raw[at + "attn.c_attn.bias"].split(32)
    head = gpt2.head(1, 2)
    part = slice(16, 24)
    for ours, theirs in (
        (head.W_Q, q[:, part]),
        (head.W_K, k[:, part]),
        (head.W_V, v[:, part]),
        (head.b_Q, b_q[part]),
        (head.b_K, b_k[part]),
        (head.b_V, b_v[part]),
        (head.W_O, raw[at + "attn.c_proj.weight"][part]),
        (head.norm.w, raw[at + "ln_1.weight"]),
        (head.norm.b, raw[at + "ln_1.bias"]),
        (gpt2.ends.W_E, raw["transformer.wte.weight"]),
        (gpt2.ends.W_pos, raw["transformer.wpe.weight"]),
        (gpt2.ends.W_U, raw["transformer.wte.weight"].T),
    ):
        assert ours is not None
        assert torch.equal(ours, theirs)
    assert head.attn_scale == pytest.approx(8**0.5)
    assert gpt2.ends.b_U is None
    assert head.rotate is None


def test_llama_heads_share_keys_and_values(llama: LiveModel, folder_of: Callable[[str], Path]) -> None:
    raw = load_file(folder_of("llama") / "model.safetensors")
    at = "model.layers.0.self_attn."
    for h in range(4):
        head = llama.head(0, h)
        own, shared = slice(8 * h, 8 * h + 8), slice(8 * (h // 2), 8 * (h // 2) + 8)
        assert torch.equal(head.W_Q, raw[at + "q_proj.weight"][own].T)
        assert torch.equal(head.W_K, raw[at + "k_proj.weight"][shared].T)
        assert torch.equal(head.W_V, raw[at + "v_proj.weight"][shared].T)
        assert torch.equal(head.W_O, raw[at + "o_proj.weight"][:, own].T)
        assert not head.b_Q.any()
        assert not head.b_K.any()
        assert not head.b_V.any()
    assert llama.ends.W_pos is None
    assert llama.ends.final_norm.kind == "RMSNorm"


def test_mlps_neuron_by_neuron(model_of: Callable[[str], LiveModel], folder_of: Callable[[str], Path]) -> None:
    """Activations, gated or not, times W_out, from the state dict by hand."""
    torch.manual_seed(0)
    x = torch.randn(3, 32)
    raw = load_file(folder_of("gpt2") / "model.safetensors")
    at = "transformer.h.1."
    normed = torch.nn.functional.layer_norm(x, (32,), raw[at + "ln_2.weight"], raw[at + "ln_2.bias"])
    inner = normed @ raw[at + "mlp.c_fc.weight"] + raw[at + "mlp.c_fc.bias"]
    mlp = model_of("gpt2").mlp(1)
    assert mlp is not None
    assert torch.allclose(mlp.activations(x), torch.nn.functional.gelu(inner, approximate="tanh"), atol=1e-5)
    assert torch.equal(mlp.W_out, raw[at + "mlp.c_proj.weight"])
    assert torch.equal(mlp.b_out, raw[at + "mlp.c_proj.bias"])
    assert mlp.post_norm.kind == "none"
    raw = load_file(folder_of("gemma2") / "model.safetensors")
    at = "model.layers.1."
    normed = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    normed = normed * (1 + raw[at + "pre_feedforward_layernorm.weight"])
    gate = torch.nn.functional.gelu(normed @ raw[at + "mlp.gate_proj.weight"].T, approximate="tanh")
    mlp = model_of("gemma2").mlp(1)
    assert mlp is not None
    assert torch.allclose(mlp.activations(x), gate * (normed @ raw[at + "mlp.up_proj.weight"].T), rtol=1e-4, atol=1e-4)
    assert torch.equal(mlp.W_out, raw[at + "mlp.down_proj.weight"].T)
    assert not mlp.b_out.any()
    assert mlp.post_norm.w is not None
    assert torch.equal(mlp.post_norm.w, 1 + raw[at + "post_feedforward_layernorm.weight"])


def test_gemma_conventions(model_of: Callable[[str], LiveModel], folder_of: Callable[[str], Path]) -> None:
    live = model_of("gemma2")
    raw = load_file(folder_of("gemma2") / "model.safetensors")
    assert torch.allclose(live.ends.W_E, raw["model.embed_tokens.weight"] * 32**0.5)
    assert torch.equal(live.ends.W_U, raw["model.embed_tokens.weight"].T)
    head = live.head(0, 1)
    assert head.norm.w is not None
    assert torch.equal(head.norm.w, raw["model.layers.0.input_layernorm.weight"] + 1)
    assert head.attn_scale == pytest.approx(5**0.5)
    assert head.soft_cap == 3.0
    assert live.ends.logit_cap == 5.0


def test_weights_are_views(gpt2: LiveModel) -> None:
    """Reading a head copies nothing: the whole model's heads cost no memory."""
    head = gpt2.head(0, 0)
    base = gpt2.bridge.blocks[0].attn.q.original_component.weight
    assert head.W_Q.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    assert gpt2.head(0, 0) is head
    assert gpt2.ends is gpt2.ends


def test_llama_rotation_is_transformers_own(llama: LiveModel) -> None:
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    torch.manual_seed(0)
    x, positions = torch.randn(5, 8), torch.tensor([0, 3, 3, 17, 31])
    tables = LlamaRotaryEmbedding(llama.bridge.original_model.config)
    cos, sin = tables(x, positions[None])
    own, _ = apply_rotary_pos_emb(x[None, None], x[None, None], cos, sin)
    rotate = llama.head(1, 3).rotate
    assert rotate is not None
    assert torch.allclose(rotate(x, positions), own[0, 0], atol=1e-6)


def test_neox_rotates_a_quarter(model_of: Callable[[str], LiveModel]) -> None:
    rotate = model_of("neox").head(0, 0).rotate
    assert rotate is not None
    x = torch.ones(1, 16)
    turned = rotate(x, torch.tensor([3]))
    assert torch.equal(turned[:, 4:], x[:, 4:])
    assert not torch.allclose(turned[:, :4], x[:, :4])


def test_gptj_rotates_adjacent_pairs(model_of: Callable[[str], LiveModel]) -> None:
    rotate = model_of("gptj").head(0, 0).rotate
    assert rotate is not None
    x = torch.zeros(1, 8)
    x[0, 0] = 1.0
    turned = rotate(x, torch.tensor([1]))
    one = torch.tensor(1.0)
    assert torch.allclose(turned[0, :2], torch.stack([one.cos(), one.sin()]))
    assert not turned[0, 2:].any()


def test_gemma3_has_a_base_for_each_kind_of_layer(model_of: Callable[[str], LiveModel]) -> None:
    live = model_of("gemma3")
    near, far = live.head(0, 0).rotate, live.head(1, 0).rotate
    assert near is not None
    assert far is not None
    x, position = torch.ones(1, 8), torch.tensor([9])
    assert not torch.allclose(near(x, position), far(x, position), atol=1e-3)


@pytest.mark.parametrize(("layer", "head"), [(2, 0), (0, 4), (-1, 0), (0, -1)])
def test_heads_that_do_not_exist(gpt2: LiveModel, layer: int, head: int) -> None:
    with pytest.raises(ModelError, match="There is no head") as raised:
        gpt2.head(layer, head)
    assert raised.value.hint == "Heads run from L0H0 to L1H3."
