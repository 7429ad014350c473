"""Folding against TransformerLens' own compatibility mode, within 1e-6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.circuits.desk import Desk
from tests.models.folders import gpt2_folder, llama_folder
from tui.circuits import fold
from tui.circuits.basis import read
from tui.engine.run import Bench


@pytest.fixture(scope="module", params=[gpt2_folder, llama_folder], ids=["gpt2", "llama"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Any]:
    from transformer_lens.model_bridge import TransformerBridge

    folder: Path = request.param(tmp_path_factory.mktemp("fold"))
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    bridge.enable_compatibility_mode()
    return Desk(folder).bench, bridge


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-6 * theirs.abs().max().clamp(min=1e-3))


def test_heads(both: tuple[Bench, Any]) -> None:
    bench, bridge = both
    groups = bench.info.n_heads // bench.info.n_key_value_heads
    with torch.inference_mode():
        for layer in range(bench.info.n_layers):
            attn = bridge.blocks[layer].attn
            for index in range(bench.info.n_heads):
                ours = bench.head(layer, index, "processed")
                assert close(ours.W_Q, attn.W_Q[index])
                assert close(ours.W_K, attn.W_K[index // groups])
                assert close(ours.W_V, attn.W_V[index // groups])
                assert close(ours.W_O, attn.W_O[index])
                if bench.info.norm == "LayerNorm":
                    assert close(ours.b_Q, attn.b_Q[index])
                    assert close(ours.b_K, attn.b_K[index])


def test_ends(both: tuple[Bench, Any]) -> None:
    bench, bridge = both
    everything = torch.arange(bench.info.d_vocab)
    unembed = bench.unembedding("processed")
    norm = fold.bare(bench.live.head(0, 0).norm)
    with torch.inference_mode():
        assert close(unembed.columns(everything), bridge.unembed.W_U)
        assert close(read(bench.ends.W_E, "embed", norm, True), bridge.embed.W_E)
        y = torch.randn(3, bench.info.d_model)
        assert close(unembed.logits(y), y @ bridge.unembed.W_U)
        assert close(unembed.logits(y[:1]), y[:1] @ bridge.unembed.W_U)
        assert close(unembed.logits(y, 10, 30), (y @ bridge.unembed.W_U)[:, 10:30])
        if bench.ends.W_pos is not None:
            assert close(read(bench.ends.W_pos, "embed", norm, True), bridge.pos_embed.W_pos)
        bias = fold.unembedding_bias(bench.ends, everything, unembed.mean)
        if bench.info.norm == "LayerNorm":
            assert close(bias, bridge.unembed.b_U)
