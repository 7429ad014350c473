"""OV, its full-vocabulary rows and ranks, and the direct path, against float64."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.reference import normalised
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.circuits.fold import Unembedding
from tui.circuits.ov import Ranked, ranked
from tui.engine.jobs import OV, Baseline, Normalize, OVRow, Weights

SOURCES, OUTPUTS = (259, 260, 65, 3), (260, 257, 259, 70, 3)
LAYER, HEAD = 1, 3


def source(pair: Pair, basis: str, weights: str, head: int | None) -> np.ndarray:
    """X over the vocabulary; on the direct path the norm is the final one."""
    if head is not None or basis == "embed":
        return pair.want.basis(basis, weights, LAYER)
    rows = pair.want.W_E + (pair.want.mlp(0, pair.want.W_E) if basis == "effective" else 0.0)
    return pair.want.final.bare(rows) if weights == "processed" else pair.want.final(rows)


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("basis", ["embed", "normed", "effective"])
@pytest.mark.parametrize("head", [HEAD, None])
def test_tokens(pair: Pair, weights: Weights, basis: str, head: int | None) -> None:
    full = pair.want.ov(LAYER, head, weights, source(pair, basis, weights, head))[list(SOURCES)]
    for how, over in product(get_args(Normalize), get_args(Baseline)):
        want = normalised(full[:, OUTPUTS], how, full if over == "vocabulary" else None)
        grid = pair.desk.get(OV(pair.desk.key, LAYER, head, SOURCES, OUTPUTS, weights, how, over, basis))  # type: ignore[arg-type]
        assert error(grid.values, want) < 1e-5, (how, over)
        whole = pair.desk.get(OV(pair.desk.key, LAYER, head, SOURCES, None, weights, how, over, basis))  # type: ignore[arg-type]
        assert error(whole.values, normalised(full, how)) < 1e-5, (how, over)
        assert len(whole.cols) == pair.desk.info.d_vocab
        assert whole.cols.labels[259] == " France"


@pytest.mark.parametrize("weights", get_args(Weights))
def test_prompt(pair: Pair, weights: Weights) -> None:
    desk = pair.desk
    want = pair.want.ov(LAYER, HEAD, weights, pair.want.read(pair.run.stream[LAYER], weights, LAYER))
    job = OV(desk.key, LAYER, HEAD, (), OUTPUTS, weights, basis="prompt", run=desk.run(*IDS))
    grid = desk.get(job)
    assert error(grid.values, want[:, OUTPUTS]) < 1e-5
    assert grid.rows.ids == IDS
    row = desk.get(OVRow(desk.key, LAYER, HEAD, IDS[4], (3,), 5, weights, "prompt", desk.run(*IDS), 4))
    assert error([r[4] for r in row.rows], [want[4, r[3]] for r in row.rows]) < 1e-5


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("head", [HEAD, None])
def test_row_and_ranks(pair: Pair, weights: Weights, head: int | None) -> None:
    want = pair.want.ov(LAYER, head, weights, source(pair, "embed", weights, head))[260]
    table = pair.desk.get(OVRow(pair.desk.key, LAYER, head, 260, OUTPUTS, 6, weights))
    order = np.argsort(-want)
    parts: dict[str, list[tuple[int, str, int, float]]] = {"promoted": [], "suppressed": [], "shown": []}
    for part, rank, token, ids, value in table.rows:
        parts[part].append((rank, token, ids, value))
        assert rank == 1 + (want > want[ids]).sum()
        assert value == pytest.approx(want[ids], abs=1e-5 * np.abs(want).max())
    assert [r[2] for r in parts["promoted"]] == order[:6].tolist()
    assert [r[2] for r in parts["suppressed"]] == order[::-1][:6].tolist()
    assert [r[2] for r in parts["shown"]] == list(OUTPUTS)
    assert parts["shown"][0][1] == " Paris"


def test_ties_share_the_smaller_rank() -> None:
    values = torch.tensor([1.0, 3.0, 3.0, 2.0])
    row = Ranked(values.topk(1).indices, values.topk(1, largest=False).indices, values)
    assert row.ranks(values).tolist() == [4, 1, 1, 3]


def test_refusals(pair: Pair) -> None:
    desk = pair.desk
    with pytest.raises(Refusal, match="direct path"):
        desk.get(OV(desk.key, 0, None, SOURCES, OUTPUTS, basis="prompt", run=desk.run(*IDS)))
    with pytest.raises(Refusal, match="not for layer 0"):
        desk.get(OV(desk.key, 0, 0, SOURCES, OUTPUTS, basis="effective"))
    with pytest.raises(Refusal, match="cells"):
        desk.get(OV(desk.key, 0, 0, (1,) * 400_000, None))


@pytest.mark.parametrize("weights", get_args(Weights))
def test_a_post_norm_s_gain_is_folded(weights: Weights, tmp_path: Path) -> None:
    """Gemma 2 normalises what attention writes: its w, stored minus one, scales every direction of W_O."""
    desk = Desk(folders.gemma2_folder(tmp_path))
    state = {k: v.astype(np.float64) for k, v in load_file(tmp_path / "model.safetensors").items()}
    at, size = "model.layers.1.", desk.info.d_head
    shared, own = slice(size, 2 * size), slice(3 * size, 4 * size)
    W_V, W_O = state[at + "self_attn.v_proj.weight"][shared].T, state[at + "self_attn.o_proj.weight"][:, own].T
    W_E = state["model.embed_tokens.weight"]
    W_U = W_E.T
    if weights == "processed":
        W_V = (1 + state[at + "input_layernorm.weight"])[:, None] * W_V
        W_O = W_O * (1 + state[at + "post_attention_layernorm.weight"])
        W_U = (1 + state["model.norm.weight"])[:, None] * W_U
    want = desk.info.d_model**0.5 * W_E[list(SOURCES)] @ W_V @ W_O @ W_U
    grid = desk.get(OV(desk.key, 1, 3, SOURCES, OUTPUTS, weights))
    assert error(grid.values, want[:, OUTPUTS]) < 1e-5
    row = desk.get(OVRow(desk.key, 1, 3, SOURCES[0], OUTPUTS, 1, weights))
    assert error([r[4] for r in row.rows if r[0] == "shown"], want[0, list(OUTPUTS)]) < 1e-5
    for header in (grid.header, row.header):
        assert "the scale is left out" in str(header.details["post-norm"])
        assert ("soft-capped" in str(header.details["W_U"])) == (weights == "processed")


def test_induction_head_copies(induction: Desk) -> None:
    """Its full OV circuit is the identity minus 1/V, because W_U is centred over the vocabulary."""
    size = induction.info.d_vocab
    grid = induction.get(OV(induction.key, 1, 0, tuple(range(size)), None))
    assert np.abs(grid.values - (np.eye(size) - 1 / size)).max() < 1e-6
    raw = induction.get(OV(induction.key, 1, 0, tuple(range(size)), None, "raw"))
    assert np.abs(raw.values - np.eye(size)).max() < 1e-6


def test_a_row_with_many_tokens_shown_can_be_cancelled_between_them() -> None:
    """On 677 shown tokens of GPT-2's vocabulary the next head would wait for more than a second."""
    generator = torch.Generator().manual_seed(0)
    unembed = Unembedding(torch.randn(768, 4000, generator=generator), None, False, None)
    y, calls = torch.randn(768, generator=generator), []
    shown = tuple(range(0, 2031, 3))
    made = ranked(unembed, y, 5, shown, lambda: calls.append(None))
    assert len(calls) >= len(shown) * 768 // (1 << 18)
    plain = ranked(unembed, y, 5, shown)
    assert torch.equal(made.values, plain.values)

    def cancel() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ranked(unembed, y, 5, shown, cancel)
