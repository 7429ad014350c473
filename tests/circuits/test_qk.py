"""QK in every basis, form, normalisation, baseline, term and offset, against float64."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.reference import normalised
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    QK,
    Baseline,
    Basis,
    Form,
    LayerPatterns,
    Normalize,
    Pattern,
    QKDistance,
    Term,
    Weights,
)

ROWS, COLS = (259, 260, 65, 3), (260, 257, 259, 70, 3)
LAYER, HEAD = 1, 2
TOLERANCE = 1e-5


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("basis", ["embed", "normed", "effective"])
@pytest.mark.parametrize("form", get_args(Form))
def test_tokens(pair: Pair, weights: Weights, basis: Basis, form: Form) -> None:
    x = pair.want.basis(basis, weights, LAYER)
    for offset in (0, 3) if pair.want.rope else (0,):
        full = pair.want.qk(LAYER, HEAD, weights, form, x, x, offset)
        part = full[np.ix_(ROWS, COLS)]
        for how, over in product(get_args(Normalize), get_args(Baseline)):
            job = QK(pair.desk.key, LAYER, HEAD, ROWS, COLS, weights, form, how, over, basis, offset)
            grid = pair.desk.get(job)
            want = normalised(part, how, full[list(ROWS)] if over == "vocabulary" else None)
            assert error(grid.values, want) < TOLERANCE, (how, over, offset)
            assert grid.rows.ids == ROWS
            assert grid.cols.ids == COLS
            assert grid.diverging == (how != "softmax")


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("basis", ["embed", "normed"])
def test_position_terms(pair: Pair, weights: Weights, basis: Basis) -> None:
    if pair.want.W_pos is None:
        with pytest.raises(Refusal, match="learned positions"):
            pair.desk.get(QK(pair.desk.key, LAYER, HEAD, ROWS, COLS, term="position-position"))
        return
    tokens = pair.want.basis(basis, weights, LAYER)
    places = pair.want.basis(basis, weights, LAYER, positions=True)
    for form, term, how, over in product(get_args(Form), get_args(Term), get_args(Normalize), get_args(Baseline)):
        query, key = (side == "position" for side in term.split("-"))
        full = pair.want.qk(LAYER, HEAD, weights, form, places if query else tokens, places if key else tokens)
        rows = list(range(len(ROWS))) if query else list(ROWS)
        cols = list(range(len(COLS))) if key else list(COLS)
        want = normalised(full[np.ix_(rows, cols)], how, full[rows] if over == "vocabulary" else None)
        grid = pair.desk.get(QK(pair.desk.key, LAYER, HEAD, ROWS, COLS, weights, form, how, over, basis, term=term))
        assert error(grid.values, want) < TOLERANCE, (form, term, how, over)
        assert (grid.rows.ids is None, grid.cols.ids is None) == (query, key)


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("form", get_args(Form))
def test_prompt(pair: Pair, weights: Weights, form: Form) -> None:
    """On the stream at real positions; scaled, its softmax is the model's own pattern."""
    desk, want = pair.desk, pair.want
    x = want.read(pair.run.stream[LAYER], weights, LAYER)
    n = len(IDS)
    full = np.full((n, n), np.nan)
    for i, j in product(range(n), range(n)):
        if j <= i:
            full[i, j] = want.qk(LAYER, HEAD, weights, form, x[i : i + 1], x[j : j + 1], i - j)[0, 0]
    for how in get_args(Normalize):
        grid = desk.get(QK(desk.key, LAYER, HEAD, (), (), weights, form, how, basis="prompt", run=desk.run(*IDS)))
        assert error(grid.values, normalised(full, how)) < TOLERANCE, how
        assert grid.rows.ids == IDS
        if form == "scaled":
            assert grid.header.checks["max |softmax(scaled) − pattern|"] < 1e-6
            if how == "softmax":
                assert error(grid.values, pair.run.patterns[LAYER][HEAD]) < TOLERANCE


def test_distance(pair: Pair) -> None:
    job = QKDistance(pair.desk.key, LAYER, HEAD, 259, 260, "raw", "scaled", "normed", 20)
    if pair.want.rope is None:
        with pytest.raises(Refusal, match="rotary"):
            pair.desk.get(job)
        return
    curve = pair.desk.get(job)
    x = pair.want.basis("normed", "raw", LAYER)
    want = [pair.want.qk(LAYER, HEAD, "raw", "scaled", x[[259]], x[[260]], at)[0, 0] for at in range(21)]
    (values,) = curve.series.values()
    assert error(values, want) < TOLERANCE
    assert curve.x.tolist() == list(range(21))


def test_conventions_are_said(pair: Pair) -> None:
    job = QK(pair.desk.key, LAYER, HEAD, ROWS, COLS, "raw", "scaled", "zscore", "vocabulary", "normed", 0)
    header = pair.desk.get(job).header
    said = {"weights": "raw", "form": "scaled", "normalize": "zscore", "baseline": "vocabulary", "basis": "normed"}
    assert said.items() <= header.convention.items()
    assert header.convention["dtype"] == "float32"
    assert ("offset" in header.convention) == (pair.want.rope is not None)
    assert ("term" in header.convention) == (pair.want.W_pos is not None)
    assert header.details["W_QK"] == "[32, 32], rank 8"
    assert header.head == "L1H2"
    plain = pair.desk.get(QK(pair.desk.key, LAYER, HEAD, ROWS, COLS)).header
    assert plain.formula == "x_i W_QK x_jᵀ"
    assert "baseline" not in plain.convention


@pytest.mark.parametrize(
    ("name", "form", "offset", "formula", "of_pattern"),
    [
        ("gpt2", "bilinear", 0, "x_i W_QK x_jᵀ", "softmax((x_i W_Q + b_Q)·(x_j W_K + b_K) / attn_scale)"),
        ("gpt2", "scaled", 0, "(x_i W_Q + b_Q)·(x_j W_K + b_K) / attn_scale", ""),
        ("llama", "bilinear", 0, "x_i W_QK x_jᵀ", "softmax(R_i(x_i W_Q + b_Q)·R_j(x_j W_K + b_K) / attn_scale)"),
        ("llama", "bilinear", 3, "R_3(x_i W_Q)·(x_j W_K)", ""),
        ("llama", "scaled", 3, "R_3(x_i W_Q + b_Q)·(x_j W_K + b_K) / attn_scale", ""),
        ("qwen3", "bilinear", 0, "norm(x_i W_Q)·norm(x_j W_K)", ""),
        ("qwen3", "bilinear", 2, "R_2(norm(x_i W_Q))·norm(x_j W_K)", ""),
        ("gemma2", "scaled", 0, "3·tanh((x_i W_Q + b_Q)·(x_j W_K + b_K) / attn_scale / 3)", ""),
        ("gemma2", "bilinear", 0, "x_i W_QK x_jᵀ", ""),
    ],
)
def test_formulas_name_rotation_norms_and_caps(
    name: str, form: Form, offset: int, formula: str, of_pattern: str, tmp_path: Path
) -> None:
    desk = Desk(getattr(folders, f"{name}_folder")(tmp_path))
    assert desk.get(QK(desk.key, 1, 1, ROWS, COLS, form=form, offset=offset)).header.formula == formula
    run = desk.run(*IDS)
    if of_pattern:
        assert desk.get(Pattern(run, 1, 1)).header.formula == of_pattern
        assert desk.get(LayerPatterns(run, 1)).header.formula == of_pattern
        prompt = desk.get(QK(desk.key, 1, 1, (), (), "raw", "scaled", "softmax", basis="prompt", run=run)).header
        assert prompt.formula.startswith(of_pattern.replace("softmax(", "softmax of ")[:-1])
    if offset:
        curve = desk.get(QKDistance(desk.key, 1, 1, 259, 260, form=form))
        assert curve.header.formula == formula.replace(f"R_{offset}", "R_distance")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"basis": "effective", "layer": 0}, "not for layer 0"),
        ({"basis": "prompt"}, "needs a prompt"),
        ({"layer": 2}, "L2H2 does not exist"),
        ({"rows": (1, 999)}, "999 is not in the vocabulary"),
        ({"rows": (1,) * 20_000, "cols": (1,) * 20_000}, "20,000 × 20,000 cells"),
        ({"rows": (-1,)}, "-1 is not in the vocabulary"),
    ],
)
def test_refusals(pair: Pair, changes: dict[str, object], sentence: str) -> None:
    options = {"layer": LAYER, "head": HEAD, "rows": ROWS, "cols": COLS} | changes
    with pytest.raises(Refusal, match=sentence):
        pair.desk.get(QK(pair.desk.key, **options))  # type: ignore[arg-type]


def test_prompt_basis_has_no_vocabulary_baseline(pair: Pair) -> None:
    job = QK(
        pair.desk.key, 1, 2, (), (), normalize="zscore", baseline="vocabulary", basis="prompt", run=pair.desk.run(*IDS)
    )
    with pytest.raises(Refusal, match="no vocabulary baseline"):
        pair.desk.get(job)


def test_offset_beyond_the_context(pair: Pair) -> None:
    if pair.want.rope is None:
        return
    with pytest.raises(Refusal, match="Offset 32"):
        pair.desk.get(QK(pair.desk.key, LAYER, HEAD, ROWS, COLS, offset=32))
