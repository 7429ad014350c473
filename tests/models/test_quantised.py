"""Quantised folders that the test packs itself: opened as the floats that they stand for, or refused with a step."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.models.folders import gpt2_folder
from tests.models.zoo import FAMILIES
from tui.models import quantised
from tui.models.errors import ModelError
from tui.models.load import load

BLOCK = 16
FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])


def rewrite(folder: Path, state: dict[str, Tensor], quantization: dict[str, Any]) -> None:
    """Other weights, and a config that says how they are packed."""
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": quantization}))


def fp8(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``[out, in]`` → float8 values, a scale for each block, and what both stand for."""
    blocks = weight.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    scale = blocks.abs().amax((1, 3)) / 448.0
    stored = (blocks / scale[:, None, :, None]).flatten(2, 3).flatten(0, 1).to(torch.float8_e4m3fn)
    spread = scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return stored, scale, stored.float() * spread


def test_fp8_is_multiplied_out(tmp_path: Path) -> None:
    folder = FAMILIES["Llama"].folder(tmp_path / "m")
    state, floats = load_file(folder / "model.safetensors"), {}
    for name in [name for name in state if name.endswith("_proj.weight")]:
        state[name], state[f"{name}_scale_inv"], floats[name] = fp8(state[name])
    packing = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "activation_scheme": "dynamic"}
    rewrite(folder, state, packing)
    live = load(str(folder), device="cpu")
    off = live.info.capabilities
    assert not any((off.pattern, off.scores, off.qk, off.ov, off.residual, off.neurons))
    at = "model.layers.1.self_attn."
    for head in range(4):
        w = live.head(1, head)
        own, shared = slice(8 * head, 8 * head + 8), slice(8 * (head // 2), 8 * (head // 2) + 8)
        assert torch.allclose(w.W_Q, floats[at + "q_proj.weight"][own].T, rtol=1e-2, atol=1e-4)
        assert torch.allclose(w.W_V, floats[at + "v_proj.weight"][shared].T, rtol=1e-2, atol=1e-4)


def test_mxfp4_is_multiplied_out(tmp_path: Path) -> None:
    """As the released GPT-OSS is stored: 32 values of four bits share a power of two."""
    folder = FAMILIES["GPT-OSS"].folder(tmp_path / "m", intermediate_size=64)
    state, floats = load_file(folder / "model.safetensors"), {}
    torch.manual_seed(0)
    for name in [name for name in state if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, rows, columns = state.pop(name).mT.shape
        codes = torch.randint(0, 16, (experts, rows, columns // 32, 32))
        scales = torch.randint(120, 126, codes.shape[:-1])
        floats[name] = (FP4[codes] * torch.exp2(scales.float() - 127)[..., None]).flatten(2).mT
        state[f"{name}_blocks"] = (codes[..., ::2] | codes[..., 1::2] << 4).to(torch.uint8)
        state[f"{name}_scales"] = scales.to(torch.uint8)
    rewrite(folder, state, {"quant_method": "mxfp4"})
    live = load(str(folder), device="cpu")
    off = live.info.capabilities
    assert not any((off.pattern, off.scores, off.qk, off.ov, off.residual))
    assert live.info.n_experts == 4
    experts = live.bridge.blocks[1].mlp.original_component.experts
    for kind in ("gate_up_proj", "down_proj"):
        assert torch.equal(getattr(experts, kind), floats[f"model.layers.1.mlp.experts.{kind}"])


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def folder(quantization: dict[str, Any]) -> Path:
        path = gpt2_folder(tmp_path / "m")
        rewrite(path, load_file(path / "model.safetensors"), quantization)
        return path

    return folder


@pytest.mark.parametrize(
    ("quantization", "message", "hint"),
    [
        ({"quant_method": "gptq", "bits": 4}, "are quantised with gptq, which nothing here", "Open the float model"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "with bitsandbytes, which is not installed",
            "Run pip",
        ),
        ({"load_in_8bit": True}, "with bitsandbytes, which is not installed", "Run pip install bitsandbytes, or open"),
    ],
)
def test_refusals_say_what_to_do(
    packed: Callable[[dict[str, Any]], Path],
    monkeypatch: pytest.MonkeyPatch,
    quantization: dict[str, Any],
    message: str,
    hint: str,
) -> None:
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    with pytest.raises(ModelError) as raised:
        load(str(packed(quantization)), device="cpu")
    assert message in raised.value.message
    assert raised.value.hint.startswith(hint)


def test_a_library_that_is_there_multiplies_out() -> None:
    """bitsandbytes gives its matrices back through transformers' ``dequantize``; where it cannot, that is said."""
    config = SimpleNamespace(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    floats = object()
    model = SimpleNamespace(dequantize=lambda dtype: (floats, dtype))
    assert quantised.multiplied_out(model, config, torch.float32) == (floats, torch.float32)
    quantised.refuse_quantised({"quantization_config": {"quant_method": "fp8"}}, Path("m"))
    plain = SimpleNamespace()
    assert quantised.multiplied_out(plain, SimpleNamespace(), torch.float32) is plain

    def cannot(dtype: torch.dtype) -> None:
        raise NotImplementedError("no kernel")

    with pytest.raises(ModelError, match="cannot turn these weights back into floats: no kernel"):
        quantised.multiplied_out(SimpleNamespace(dequantize=cannot), config, torch.float32)
    assert "bitsandbytes" not in sys.modules
