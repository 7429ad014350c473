"""What vectors of the stream promote and suppress, against float64 numpy and against the sums that they are part of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.test_lens import states_of, traced
from tests.circuits.test_residual import parts_of
from tui.circuits.errors import Refusal
from tui.engine.jobs import Directions, PartWrite, Run, SourceWrite, StateAt, Vector
from tui.engine.jobs.parts import Forward
from tui.results import Table

AT = 4


def row(desk: Desk, run: Run, vector: Vector) -> np.ndarray:
    """The value of every token: as many promoted as there are."""
    size = desk.info.d_vocab
    table = desk.get(Directions(run, vector, size))
    out = np.full(size, np.nan)
    for _, _, _, token, value in table.rows[:size]:
        out[token] = value
    return out


def effect(pair: Pair, write: np.ndarray, at: int) -> np.ndarray:
    """``[vocabulary]``: through the final norm frozen at the stream, minus the mean."""
    final = pair.want.final
    write = write - write.mean(-1, keepdims=True) if final.kind == "LayerNorm" else write
    logits = write / final.scale(pair.run.stream[-1])[at] * final.w @ pair.want.W_U
    return logits - logits.mean()


@pytest.mark.parametrize("unit", ["head", "component"])
def test_what_components_write(pair: Pair, unit: str) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    for name, value in parts_of(pair, unit).items():
        assert error(row(desk, run, PartWrite(name, AT)), effect(pair, value[AT], AT)) < 1e-5, name


def test_states(pair: Pair) -> None:
    """The lens's logits, minus their mean."""
    desk, run = pair.desk, pair.desk.run(*IDS)
    for name, x in states_of(pair, mids=True).items():
        logits = (pair.want.final(x) @ pair.want.W_U)[AT]
        assert error(row(desk, run, StateAt(name, AT)), logits - logits.mean()) < 1e-5, name


def test_what_a_source_gives(pair: Pair) -> None:
    desk, run, layer, head = pair.desk, pair.desk.run(*IDS), 1, 2
    weights = pair.want.heads[layer][head]
    for source in range(AT + 1):
        moved = pair.run.patterns[layer][head][AT, source] * pair.run.values[layer][head][source] @ weights.W_O
        assert error(row(desk, run, SourceWrite(layer, head, AT, source)), effect(pair, moved, AT)) < 1e-5


@pytest.mark.parametrize("name", ["gemma2", "neox", "olmo2", "gemma3", "mistral", "qwen3"])
def test_other_architectures(name: str, desk_of: Callable[..., Desk]) -> None:
    """Sources sum to the head, heads to the layer, components to the state's logits before the cap."""
    desk = desk_of(name)
    run, at = desk.run(*range(250, 262)), 9
    trace, ends = desk.get(Forward(run)), desk.bench.ends
    sources = sum(row(desk, run, SourceWrite(1, 3, at, j)) for j in range(at + 1) if seen(desk, run, at, j))
    assert error(sources, row(desk, run, PartWrite("L1H3", at))) < 1e-5
    heads = sum(row(desk, run, PartWrite(f"L1H{head}", at)) for head in range(4))
    heads = heads + (row(desk, run, PartWrite("L1.bias", at)) if trace.b_O[1].any() else 0.0)
    assert error(heads, row(desk, run, PartWrite("L1.attn", at))) < 1e-5
    whole = sum(row(desk, run, PartWrite(part, at)) for part in ("embed", "L0.attn", "L0.mlp", "L1.attn", "L1.mlp"))
    bias = 0.0 if ends.final_norm.b is None else (ends.final_norm.b @ ends.W_U).numpy()
    state = row(desk, run, StateAt("L1.post", at))
    assert error(whole + bias - np.mean(bias), state) < 1e-5
    logits = traced(desk, run, mids=False)[0]["L1.post"][at]
    if ends.logit_cap is not None:
        logits = ends.logit_cap * np.arctanh(logits / ends.logit_cap)
        assert "before the cap" in str(desk.get(Directions(run, StateAt("L1.post", at))).header.details["note"])
    assert error(state, logits - logits.mean()) < 1e-5


def seen(desk: Desk, run: Run, query: int, key: int) -> bool:
    """Whether the sliding window reaches so far: what it does not reach writes nothing."""
    return bool(desk.get(Forward(run)).patterns[1][3, query, key])


def test_a_bias_of_the_unembedding_belongs_to_the_state(desk_of: Callable[..., Desk]) -> None:
    desk = desk_of("checkpoint")
    ends = desk.bench.ends
    assert ends.b_U is not None
    assert ends.final_norm.b is not None
    run = desk.run(1, 2, 3, 4)
    logits = desk.get(Forward(run)).logits[2].double().numpy()
    assert error(row(desk, run, StateAt("L1.post", 2)), logits - logits.mean()) < 1e-5
    names = ["embed", "pos", *(f"L{layer}.{kind}" for layer in range(2) for kind in ("attn", "mlp"))]
    bias = (ends.final_norm.b @ ends.W_U + ends.b_U).double().numpy()
    parts = sum(row(desk, run, PartWrite(name, 2)) for name in names)
    assert error(parts + bias - bias.mean(), logits - logits.mean()) < 1e-5


def test_the_table(pair: Pair) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    values = row(desk, run, PartWrite("L1H2", AT))
    order = np.argsort(-values)
    table = desk.get(Directions(run, PartWrite("L1H2", AT - len(IDS)), 3))
    assert isinstance(table, Table)
    assert table.columns == ("part", "rank", "token", "id", "value")
    assert [line[0] for line in table.rows] == ["promoted"] * 3 + ["suppressed"] * 3
    assert [line[3] for line in table.rows] == [*order[:3], *order[::-1][:3]]
    size = desk.info.d_vocab
    assert [line[1] for line in table.rows] == [1, 2, 3, size, size - 1, size - 2]
    assert [line[2] for line in table.rows] == list(desk.bench.texts([line[3] for line in table.rows]))
    assert table.bar == "value"
    header = table.header
    assert (header.view, header.unit, header.head) == ("directions", "logit", "L1H2")
    assert header.quantity == "direct effect of L1H2 at position 4"
    assert header.convention["position"] == AT


def test_parts_are_announced(pair: Pair) -> None:
    run = pair.desk.run(*IDS)
    assert Forward(run, 1) in Directions(run, SourceWrite(1, 0, 2, 1)).needs()
    for vector in (StateAt("L1.pre", 1), PartWrite("embed", 0), SourceWrite(0, 0, 1, 1)):
        assert Forward(run) in Directions(run, vector).needs()


def test_patterns_too_large_to_keep_together(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS[:6])
    before = row(desk, run, SourceWrite(1, 0, 5, 2))
    monkeypatch.setattr(desk, "values", {})
    monkeypatch.setattr("tui.engine.opened.KEPT", 0)
    assert error(row(desk, run, SourceWrite(1, 0, 5, 2)), before) < 1e-6
    assert Forward(run, 1) in desk.values


def test_half_precision(desk_of: Callable[..., Desk]) -> None:
    """Weights and activations in bfloat16, sums in float32: the parts sum to the logits within the model's rounding."""
    desk = desk_of("gpt2", "bfloat16")
    run = desk.run(*IDS)
    names = ["embed", "pos", *(f"L{layer}.{kind}" for layer in range(2) for kind in ("attn", "mlp"))]
    ends = desk.bench.ends
    assert ends.final_norm.b is not None
    bias = (ends.final_norm.b @ ends.W_U).numpy()
    parts = sum(row(desk, run, PartWrite(name, AT)) for name in names) + bias - bias.mean()
    logits = desk.get(Forward(run)).logits[AT].double().numpy()
    assert error(parts, logits - logits.mean()) < 3e-2
    assert error(row(desk, run, StateAt("L1.post", AT)), logits - logits.mean()) < 3e-2
    assert desk.get(Forward(run)).logits.dtype == torch.float32


def test_refusals(pair: Pair, induction: Desk) -> None:
    run = pair.desk.run(*IDS)
    last = len(IDS) - 1
    cases: list[tuple[Any, str]] = [
        (PartWrite("L2H0", 0), "called L2H0"),
        (PartWrite("L1H4", 0), "called L1H4"),
        (PartWrite("rounding", 0), "called rounding"),
        (PartWrite("", 0), "called"),
        (PartWrite("L1H0", 7), "Position 7 is not"),
        (StateAt("L1.end", 0), "no state L1.end"),
        (StateAt("L1.pre", 9), "Position 9 is not"),
        (SourceWrite(1, 0, 2, 7), "Position 7 is not"),
        (SourceWrite(1, 9, 2, 1), "L1H9 does not exist"),
        (SourceWrite(5, 0, 2, 1), "L5H0 does not exist"),
        (SourceWrite(1, 0, 2, last), "writes nothing at position 2"),
    ]
    for vector, words in cases:
        with pytest.raises(Refusal, match=words):
            pair.desk.get(Directions(run, vector))
    with pytest.raises(Refusal, match="L1H1 writes nothing"):
        induction.get(Directions(induction.run(1, 2, 3), PartWrite("L1H1", 2)))


def test_which_norm_is_meant(pair: Pair, induction: Desk) -> None:
    def said(desk: Desk, vector: Vector) -> tuple[str, Any]:
        header = desk.get(Directions(desk.run(1, 2, 1), vector)).header
        return header.formula, header.convention.get("norm")

    end = " − mean over the vocabulary"
    assert said(pair.desk, StateAt("L0.pre", 1)) == (f"norm(x) W_U{end}", "each state's own statistics")
    assert said(pair.desk, PartWrite("embed", 1)) == (f"frozen norm(part) W_U{end}", "frozen at the position")
    assert said(induction, StateAt("L1.post", 2)) == (f"x W_U{end}", None)
