"""Mixtures of experts: router weights and what each expert writes, against float64 from the folder's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.circuits.desk import Desk, error
from tests.models.raw import Raw
from tests.models.zoo import FAMILIES
from tui.circuits.errors import Refusal
from tui.engine.jobs import Experts, Neurons, Residual, ResidualParts, Target
from tui.engine.jobs.parts import Forward

IDS = (3, 200, 260, 261, 7, 262, 263, 41, 260, 264)
MIXTURES = ("Mixtral", "Qwen 3 MoE", "GPT-OSS")
LAYER, TARGET = 1, Target((260,), (261,))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Desk, Raw]]:
    root, made = tmp_path_factory.mktemp("experts"), {}

    def one(name: str) -> tuple[Desk, Raw]:
        if name not in made:
            folder: Path = FAMILIES[name].folder(root / name)
            made[name] = Desk(folder), Raw.of(folder)
        return made[name]

    return one


def by_hand(raw: Raw, x: Tensor) -> tuple[Tensor, Tensor]:
    """``x [n, d_model]`` of the stream → router weights ``[n, experts]`` and writes ``[experts, n, d_model]``."""
    at = f"model.layers.{LAYER}."
    x = x.double()
    y = x / (x.pow(2).mean(-1, keepdim=True) + raw.config["rms_norm_eps"]).sqrt()
    y = y * raw.state[at + "post_attention_layernorm.weight"]
    if raw.kind == "gpt_oss":
        return _gpt_oss(raw, at + "mlp.", y)
    at += "block_sparse_moe." if at + "block_sparse_moe.gate.weight" in raw.state else "mlp."
    chances = (y @ raw.state[at + "gate.weight"].T).softmax(-1)
    top = chances.topk(2)
    shares = top.values / top.values.sum(-1, keepdim=True) if raw.kind == "mixtral" else top.values
    if raw.kind == "qwen3_moe" and raw.config.get("norm_topk_prob"):
        shares = top.values / top.values.sum(-1, keepdim=True)
    weights = torch.zeros_like(chances).scatter(1, top.indices, shares)
    names = ("w1", "w3", "w2") if at + "experts.0.w1.weight" in raw.state else ("gate_proj", "up_proj", "down_proj")
    made = []
    for expert in range(4):
        gate, up, down = (raw.state[f"{at}experts.{expert}.{name}.weight"] for name in names)
        made.append((torch.nn.functional.silu(y @ gate.T) * (y @ up.T)) @ down.T)
    return weights, torch.stack(made) * weights.T[:, :, None]


def _gpt_oss(raw: Raw, at: str, y: Tensor) -> tuple[Tensor, Tensor]:
    logits = y @ raw.state[at + "router.weight"].T + raw.state[at + "router.bias"]
    top = logits.topk(2)
    weights = torch.zeros_like(logits).scatter(1, top.indices, top.values.softmax(-1))
    both = torch.einsum("nd,edf->enf", y, raw.state[at + "experts.gate_up_proj"])
    both = both + raw.state[at + "experts.gate_up_proj_bias"][:, None]
    gate, up = both[..., ::2].clamp(max=7.0), both[..., 1::2].clamp(-7.0, 7.0)
    acts = (up + 1) * gate * torch.sigmoid(1.702 * gate)
    out = torch.einsum("enf,efd->end", acts, raw.state[at + "experts.down_proj"])
    out = out + raw.state[at + "experts.down_proj_bias"][:, None]
    return weights, out * weights.T[:, :, None]


def stream(desk: Desk) -> Any:
    trace = desk.get(Forward(desk.run(*IDS), None))
    return trace, trace.resid_mid[LAYER]


@pytest.mark.parametrize("name", MIXTURES)
def test_router_weights_and_writes(name: str, opened: Callable[[str], tuple[Desk, Raw]]) -> None:
    desk, raw = opened(name)
    trace, x = stream(desk)
    weights, writes = by_hand(raw, x)
    assert desk.info.n_experts == 4
    router = desk.get(Experts(desk.run(*IDS), LAYER))
    assert router.rows.labels == tuple(f"L1E{expert}" for expert in range(4))
    assert error(router.values, weights.T) < 1e-5
    assert ((router.values > 0).sum(0) == 2).all()
    assert router.header.checks["max |Σ experts − MLP|"] < 1e-5
    assert error(desk.get(Experts(desk.run(*IDS), LAYER, "norm")).values, writes.norm(dim=-1)) < 1e-5
    assert error(writes.sum(0), trace.mlp_out[LAYER]) < 1e-5
    norm, final = desk.bench.ends.final_norm, trace.resid_pre[-1].double()
    column = raw.W_U[:, 260] - raw.W_U[:, 261]
    assert norm.w is not None
    want = (writes * norm.w.double() / norm.scale(final)) @ column
    assert error(desk.get(Experts(desk.run(*IDS), LAYER, "answer", TARGET)).values, want) < 1e-5


@pytest.mark.parametrize("name", MIXTURES)
def test_experts_are_parts_of_the_stream(name: str, opened: Callable[[str], tuple[Desk, Raw]]) -> None:
    desk, raw = opened(name)
    _, writes = by_hand(raw, stream(desk)[1])
    table = desk.get(ResidualParts(desk.run(*IDS), 6, "raw", "expert", "answer", TARGET))
    rows = {row[0]: row for row in table.rows}
    assert not any(str(part).endswith(".mlp") for part in rows)
    for expert in range(4):
        assert rows[f"L1E{expert}"][1] == pytest.approx(float(writes[expert, 6].norm()), rel=1e-4, abs=1e-6)
    assert table.header.checks["max |stream − Σ parts| / max |stream|"] < 1e-5
    assert table.header.checks["max |Σ parts − logit|"] < 1e-4
    heads = desk.get(ResidualParts(desk.run(*IDS), 6, "raw", "head", "answer", TARGET))
    mlp = next(row for row in heads.rows if row[0] == "L1.mlp")
    assert sum(rows[f"L1E{expert}"][2] for expert in range(4)) == pytest.approx(mlp[2], abs=1e-5)
    grid = desk.get(Residual(desk.run(*IDS), "raw", unit="expert"))
    assert "L0E3" in grid.rows.labels
    assert error(grid.values[grid.rows.labels.index("L1E2")], writes[2].norm(dim=-1)) < 1e-5
    assert grid.header.checks["max |stream − Σ parts| / max |stream|"] < 1e-5


def test_models_without_experts_refuse(tmp_path: Path, opened: Callable[[str], tuple[Desk, Raw]]) -> None:
    desk = Desk(FAMILIES["Llama"].folder(tmp_path / "m"))
    assert desk.info.n_experts == 0
    for job in (Experts(desk.run(*IDS), 0), ResidualParts(desk.run(*IDS), 0, unit="expert")):
        with pytest.raises(Refusal, match="no mixtures of experts") as raised:
            desk.get(job)
        assert raised.value.hint
    mixture = opened("Mixtral")[0]
    with pytest.raises(Refusal, match="Layer 2 does not exist"):
        mixture.get(Experts(mixture.run(*IDS), 2))
    with pytest.raises(Refusal, match="mixtures of experts"):
        mixture.get(Neurons(mixture.run(*IDS), 0, 0))
    assert np.isfinite(mixture.get(Experts(mixture.run(*IDS), 0)).values).all()
