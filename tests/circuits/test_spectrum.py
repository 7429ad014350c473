"""Singular values and directions against numpy's and TransformerLens' in float64, and the circuit made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from tests.circuits.conftest import Pair
from tests.circuits.desk import Desk, error
from tui.circuits.errors import Refusal
from tui.circuits.spectrum import factors, frobenius, spectrum
from tui.engine.jobs import Circuit, SingularTokens, Spectrum, Weights

LAYER, HEAD = 1, 3
V = 270


def dense(pair: Pair, circuit: str, weights: str) -> np.ndarray:
    head = pair.want.processed(LAYER, HEAD) if weights == "processed" else pair.want.heads[LAYER][HEAD]
    return head.W_Q @ head.W_K.T if circuit == "qk" else head.W_V @ head.W_O


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("circuit", get_args(Circuit))
def test_singular_values(pair: Pair, circuit: Circuit, weights: Weights) -> None:
    curve = pair.desk.get(Spectrum(pair.desk.key, LAYER, HEAD, circuit, weights))
    name = f"W_{circuit.upper()}"
    want = np.linalg.svd(dense(pair, circuit, weights), compute_uv=False)
    assert list(curve.series) == [name]
    assert curve.x.tolist() == list(range(8))
    assert error(curve.series[name], want[:8]) < 1e-6
    assert want[8:].max() < 1e-12 * want[0]
    assert curve.header.checks["|√Σ σ² − ‖W‖|"] < 1e-6 * want[0]
    assert curve.header.details[name] == "[32, 32], rank 8"
    assert curve.header.details["share of ‖W‖² in the first value"] == pytest.approx(
        want[0] ** 2 / (want**2).sum(), abs=1e-4
    )


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("circuit", get_args(Circuit))
def test_tokens_of_a_direction(pair: Pair, circuit: Circuit, weights: Weights) -> None:
    x = pair.want.basis("embed", weights, LAYER)
    U, S, Vh = np.linalg.svd(dense(pair, circuit, weights))
    for index in (0, 5):
        left = x @ U[:, index]
        right = x @ Vh[index] if circuit == "qk" else Vh[index] @ pair.want.unembed(weights)
        sign = np.sign(left[np.abs(left).argmax()])
        sides = dict(zip(("query", "key") if circuit == "qk" else ("source", "output"), (left, right), strict=True))
        table = pair.desk.get(SingularTokens(pair.desk.key, LAYER, HEAD, circuit, index, weights, 6))
        assert table.columns == ("side", "rank", "token", "id", "value")
        assert [row[0] for row in table.rows] == [name for name in sides for _ in range(6)]
        for name, values in sides.items():
            rows = [row for row in table.rows if row[0] == name]
            assert [row[3] for row in rows] == np.argsort(-sign * values)[:6].tolist()
            assert [row[1] for row in rows] == [1, 2, 3, 4, 5, 6]
            assert error([row[4] for row in rows], np.sort(sign * values)[::-1][:6]) < 1e-5
            assert rows[0][2] == pair.desk.bench.texts((rows[0][3],))[0]
        assert table.header.details["σ"] == pytest.approx(S[index], rel=1e-5)
        assert float(table.rows[0][4]) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize("circuit", get_args(Circuit))
def test_the_directions_make_the_circuit(pair: Pair, circuit: Circuit) -> None:
    """A cell is the sum over pairs of directions of σ times both values."""
    total = np.zeros((V, V))
    for index in range(8):
        table = pair.desk.get(SingularTokens(pair.desk.key, LAYER, HEAD, circuit, index, k=V))
        left, right = np.zeros(V), np.zeros(V)
        for at, row in enumerate(table.rows):
            (left if at < V else right)[row[3]] = row[4]
        total += table.header.details["σ"] * np.outer(left, right)
    x = pair.want.basis("embed", "processed", LAYER)
    want = (
        pair.want.qk(LAYER, HEAD, "processed", "bilinear", x, x)
        if circuit == "qk"
        else pair.want.ov(LAYER, HEAD, "processed", x)
    )
    assert error(total, want) < 1e-5


@pytest.mark.parametrize("name", ["gpt2", "llama", "neox", "gemma2", "checkpoint"])
@pytest.mark.parametrize("circuit", get_args(Circuit))
def test_transformer_lens_has_the_same(name: str, circuit: Circuit, desk_of: Callable[..., Desk]) -> None:
    from transformer_lens import FactoredMatrix

    desk = desk_of(name)
    left, right = factors(desk.bench.head(1, 2, "processed"), circuit)
    found = spectrum(left, right)
    theirs = FactoredMatrix(left.double(), right.double().mT)
    U, S, V = theirs.svd()
    assert error(found.S, S) < 1e-12
    assert error(found.U @ found.S.diag() @ found.V.mT, theirs.AB) < 1e-12
    assert error((found.U.mT @ U).abs(), torch.eye(len(S))) < 1e-6
    assert error((found.V.mT @ V).abs(), torch.eye(len(S))) < 1e-6
    assert frobenius(left, right) == pytest.approx(float(theirs.AB.norm()), rel=1e-12)
    curve = desk.get(Spectrum(desk.key, 1, 2, circuit))
    assert error(curve.series[f"W_{circuit.upper()}"], S) < 1e-6


def test_more_numbers_in_a_head_than_in_the_stream() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(5, 9), torch.randn(5, 9)
    found = spectrum(left, right)
    assert found.S.shape == (5,)
    assert error(found.U @ found.S.diag() @ found.V.mT, left.double() @ right.double().mT) < 1e-12


def test_what_is_said(pair: Pair, desk_of: Callable[..., Desk]) -> None:
    desk = pair.desk
    header = desk.get(Spectrum(desk.key, LAYER, HEAD, "qk")).header
    assert (header.view, header.quantity, header.head) == ("svd", "singular values of W_QK", "L1H3")
    assert header.convention.get("offset") == (0 if pair.name == "llama" else None)
    tokens = desk.get(SingularTokens(desk.key, LAYER, HEAD, "ov", 2)).header
    assert (tokens.view, tokens.quantity) == ("svd", "tokens of singular direction 2 of W_OV")
    assert {"weights": "processed", "circuit": "ov", "index": 2, "basis": "embed"}.items() <= tokens.convention.items()
    assert "σ × source value × output value" in tokens.explanation
    gemma = desk_of("gemma2")
    details = gemma.get(SingularTokens(gemma.key, 0, 0)).header.details
    assert "soft-capped" in str(details["W_U"])
    assert "the scale is left out" in str(details["post-norm"])


def test_refusals(pair: Pair, induction: Desk, desk_of: Callable[..., Desk]) -> None:
    desk = pair.desk
    for index in (-1, 8):
        with pytest.raises(Refusal, match="this head's are 0 to 7"):
            desk.get(SingularTokens(desk.key, 0, 0, index=index))
    with pytest.raises(Refusal, match="one or more"):
        desk.get(SingularTokens(desk.key, 0, 0, k=0))
    with pytest.raises(Refusal, match="L2H0 does not exist"):
        desk.get(Spectrum(desk.key, 2, 0))
    with pytest.raises(Refusal, match="Singular value 16 is 0"):
        induction.get(SingularTokens(induction.key, 1, 0, index=16))
    assert induction.get(Spectrum(induction.key, 1, 1)).header.details == {"W_OV": "[72, 72], rank 0"}
    normed = desk_of("qwen3")
    for job in (Spectrum(normed.key, 0, 0, "qk"), SingularTokens(normed.key, 0, 0, "qk")):
        with pytest.raises(Refusal, match="no bilinear form"):
            normed.get(job)
    assert len(normed.get(Spectrum(normed.key, 0, 0)).x) == 8
