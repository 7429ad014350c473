"""Pairs by their words, and every head ranked by them, against float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.circuits import reference
from tests.circuits.conftest import Pair
from tests.circuits.desk import Desk, error
from tests.models import folders
from tui.circuits import search as circuit
from tui.circuits.errors import Refusal
from tui.engine import search
from tui.engine.jobs import OV, QK, FindPairs, Open, OVRow, PairSearch, Weights
from tui.models.errors import ModelError
from tui.results import Grid

FRANCE, PARIS, KING, QUEEN, LONDON = 259, 260, 262, 263, 264
PAIRS = ((FRANCE, PARIS), (KING, QUEEN), (FRANCE, LONDON), (65, 65))
TYPED = ["mean z", "worst z", "mean rank"]


def full(pair: Pair, kind: str, weights: str, basis: str, layer: int, head: int, offset: int) -> np.ndarray:
    """The circuit over the whole vocabulary, float64."""
    x = pair.want.basis(basis, weights, layer)
    if kind == "ov":
        return pair.want.ov(layer, head, weights, x)
    return pair.want.qk(layer, head, weights, "bilinear", x, x, offset)


def standing(matrix: np.ndarray, row: int, column: int) -> tuple[float, float]:
    """z and rank of an entry in its row."""
    value = matrix[row, column]
    return (value - matrix[row].mean()) / matrix[row].std(), 1 + float((matrix[row] > value).sum())


def expected(matrices: list[np.ndarray], pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """``[heads, columns]`` in the order of the heads."""
    rows = []
    for matrix in matrices:
        forth = [standing(matrix, a, b) for a, b in pairs]
        back = [standing(matrix, b, a) for a, b in pairs]
        z, rank = zip(*forth, strict=True)
        each = [number for both in zip(forth, back, strict=True) for entry in both for number in entry]
        rows.append([np.mean(z), np.min(z), np.mean(rank), *each])
    return np.array(rows)


def by_head(grid: Grid, n_heads: int = 4) -> np.ndarray:
    """The rows of a result in the order of the heads."""
    places = [int(label[1:].split("H")[0]) * n_heads + int(label.split("H")[1]) for label in grid.rows.labels]
    assert sorted(places) == list(range(len(places)))
    return grid.values[np.argsort(places)]


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("basis", ["embed", "normed", "effective"])
@pytest.mark.parametrize("kind", ["qk", "ov"])
def test_every_head_against_float64(pair: Pair, kind: Any, weights: Weights, basis: Any) -> None:
    layers = (1,) if basis == "effective" else (0, 1)
    for offset in (0, 3) if pair.want.rope and kind == "qk" else (0,):
        grid = pair.desk.get(PairSearch(pair.desk.key, PAIRS, kind, weights, basis, offset))
        matrices = [full(pair, kind, weights, basis, layer, head, offset) for layer in layers for head in range(4)]
        found = by_head(grid)
        if basis == "effective":
            assert np.isnan(found[:4]).all()
            assert "layer 0" in grid.header.details["note"]
            found = found[4:]
        want = expected(matrices, PAIRS)
        ranks = np.array(["rank" in label for label in grid.cols.labels])
        assert (found[:, ranks] == want[:, ranks].astype(np.float32)).all()
        assert error(found[:, ~ranks], want[:, ~ranks]) < 1e-5
        assert grid.values[: len(want), 0].tolist() == sorted(found[:, 0].tolist(), reverse=True)
        assert not grid.header.partial


@pytest.mark.parametrize("name", ["gpt2", "neox", "gptj", "qwen2", "qwen3", "gemma2", "gemma3", "checkpoint, rotary"])
@pytest.mark.parametrize("weights", get_args(Weights))
def test_the_same_numbers_as_on_the_screen(
    name: str, weights: Weights, desk_of: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """z of the QK view, ranks within its full rows and of an OV row; however the work is cut."""
    desk = desk_of(name)
    monkeypatch.setattr("tui.circuits.basis.BLOCK", 64)
    monkeypatch.setattr("tui.circuits.search.ROWS", 13)
    tokens = tuple(range(desk.info.d_vocab))
    pairs, offset = ((3, 7), (20, 5), (7, 3)), 2 if desk.info.positions == "rotary" else 0
    for held in (256 << 20, 1):
        monkeypatch.setattr("tui.engine.search.HELD", held)
        desk.values = {job: value for job, value in desk.values.items() if isinstance(job, Open)}
        qk = desk.get(PairSearch(desk.key, pairs, "qk", weights, "normed", offset))
        ov = desk.get(PairSearch(desk.key, pairs, "ov", weights, "normed"))
        for layer in range(desk.info.n_layers):
            for head in range(desk.info.n_heads):
                at = f"L{layer}H{head}"
                z = desk.get(
                    QK(
                        desk.key,
                        layer,
                        head,
                        tokens,
                        tokens,
                        weights,
                        "bilinear",
                        "zscore",
                        "vocabulary",
                        "normed",
                        offset,
                    )
                ).values
                found = dict(zip(qk.cols.labels, qk.values[qk.rows.labels.index(at)].tolist(), strict=True))
                names = desk.bench.texts(tokens)
                for a, b in pairs:
                    for one, other in ((a, b), (b, a)):
                        label = f"{names[one].strip()}→{names[other].strip()}"
                        assert found[f"z {label}"] == pytest.approx(z[one, other], abs=2e-5)
                        assert found[f"rank {label}"] == 1 + (z[one] > z[one, other]).sum()
                found = dict(zip(ov.cols.labels, ov.values[ov.rows.labels.index(at)].tolist(), strict=True))
                row = desk.get(OVRow(desk.key, layer, head, 20, (5,), weights=weights, basis="normed"))
                label = f"{names[20].strip()}→{names[5].strip()}"
                assert found[f"rank {label}"] == row.rows[-1][1]
                full_row = desk.get(OV(desk.key, layer, head, (20,), None, weights, "zscore", basis="normed")).values
                assert found[f"z {label}"] == pytest.approx(full_row[0, 5], abs=2e-5)


def test_equal_tokens_share_a_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens with equal embeddings are equal keys and outputs, whatever products round to."""
    folder = folders.gpt2_folder(tmp_path)
    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith("wte.weight"))
    twins = (5, 90, 91, 150, 268)
    state[name][list(twins)] = state[name][PARIS]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    desk = Desk(folder)
    monkeypatch.setattr("tui.circuits.basis.BLOCK", 37)
    pairs = tuple((FRANCE, token) for token in (PARIS, *twins))
    for kind in ("qk", "ov"):
        grid = desk.get(PairSearch(desk.key, pairs, kind))  # type: ignore[arg-type]
        first = [index for index, label in enumerate(grid.cols.labels) if label.startswith("rank France→")]
        assert len(first) == len(pairs)
        assert (grid.values[:, first] == grid.values[:, first[:1]]).all()


def test_ranks_of_tokens_that_almost_tie(tmp_path: Path) -> None:
    """Embeddings that differ in the last bit of one number: float32 products cannot tell, the ranks do."""
    folder = folders.gpt2_folder(tmp_path)
    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith("wte.weight"))
    for place, token in enumerate(range(100, 132)):
        state[name][token] = state[name][PARIS]
        state[name][token, place] = np.nextafter(state[name][token, place], np.float32(np.inf))
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    desk, want = Desk(folder), reference.gpt2(folder)
    for kind in ("qk", "ov"):
        grid = desk.get(PairSearch(desk.key, ((FRANCE, PARIS),), kind, "raw"))  # type: ignore[arg-type]
        for layer in range(2):
            for head in range(4):
                x = want.basis("embed", "raw", layer)
                row = (
                    want.ov(layer, head, "raw", x[[FRANCE]])
                    if kind == "ov"
                    else want.qk(layer, head, "raw", "bilinear", x[[FRANCE]], x)
                )[0]
                found = grid.values[grid.rows.labels.index(f"L{layer}H{head}"), 2]
                assert found == 1 + (row > row[PARIS]).sum()


def test_order_and_columns(pair: Pair) -> None:
    desk = pair.desk
    grid = desk.get(PairSearch(desk.key, ((FRANCE, PARIS), (KING, QUEEN))))
    assert grid.cols.labels == (
        *TYPED,
        "z France→Paris", "rank France→Paris", "z Paris→France", "rank Paris→France",
        "z king→queen", "rank king→queen", "z queen→king", "rank queen→king",
    )  # fmt: skip
    assert grid.rows.name == "head"
    header = grid.header
    assert (header.view, header.quantity) == ("search", "pair search, QK circuit")
    said = {"circuit": "qk", "weights": "processed", "basis": "embed", "pairs": f"#{FRANCE}>#{PARIS}, #{KING}>#{QUEEN}"}
    assert said.items() <= header.convention.items()
    assert ("offset" in header.convention) == (pair.want.rope is not None)
    turned = desk.get(PairSearch(desk.key, ((PARIS, FRANCE), (QUEEN, KING))))
    back = [by_head(turned)[:, turned.cols.labels.index(f"z {pair}")] for pair in ("Paris→France", "queen→king")]
    assert np.allclose(by_head(turned)[:, 0], np.mean(back, 0), atol=1e-6)


def test_words_that_read_the_same_have_their_ids(pair: Pair) -> None:
    """And a blank is visible."""
    desk = pair.desk
    blank = desk.bench.live.tokens.all_texts.index(" ")
    labels = desk.get(PairSearch(desk.key, ((blank, KING),))).cols.labels
    assert labels[3] == "z ·→king"
    texts = {4: " king", 5: "king", 6: " queen"}
    bench: Any = SimpleNamespace(texts=lambda ids: tuple(texts[i] for i in ids))
    assert search._names(bench, ((4, 5), (6, 4))) == {4: "king#4", 5: "king#5", 6: "queen"}


def test_order_of_heads() -> None:
    z, rank = torch.tensor([1.0, torch.nan, 2.0, 1.0, 1.0]), torch.tensor([5.0, torch.nan, 9.0, 3.0, 5.0])
    assert circuit.order(z, rank).tolist() == [2, 3, 0, 4, 1]


def test_partial_results_are_of_the_tokens_so_far(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = pair.desk
    monkeypatch.setattr("tui.circuits.basis.BLOCK", 100)
    desk.partials.clear()
    job = PairSearch(desk.key, ((FRANCE, PARIS),), "qk", "raw")
    grid = desk.get(job)
    assert len(desk.partials) == 2
    for seen, part in zip((100, 200), desk.partials, strict=True):
        assert part.header.partial
        assert f"first {seen} of 270 tokens" in part.header.details["vocabulary"]
        matrices = [full(pair, "qk", "raw", "embed", layer, head, 0) for layer in range(2) for head in range(4)]
        rows = [matrix[FRANCE] for matrix in matrices]
        want = [(row[PARIS] - row[:seen].mean()) / row[:seen].std() for row in rows]
        assert error(by_head(part)[:, 0], np.array(want)) < 1e-5
    assert not grid.header.partial


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pairs": ()}, "no pair"),
        ({"pairs": ((1, 999),)}, "999 is not in the vocabulary"),
        ({"basis": "prompt"}, "stream of one prompt"),
        ({"circuit": "ov", "basis": "prompt"}, "stream of one prompt"),
    ],
)
def test_refusals(pair: Pair, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        pair.desk.get(PairSearch(**{"model": pair.desk.key, "pairs": PAIRS} | changes))


def test_refusals_of_some_models(desk_of: Callable[[str], Desk]) -> None:
    llama = desk_of("llama")
    with pytest.raises(Refusal, match="Offset 32"):
        llama.get(PairSearch(llama.key, PAIRS, offset=32))
    olmo = desk_of("olmo2")
    with pytest.raises(Refusal, match="all heads at once"):
        olmo.get(PairSearch(olmo.key, PAIRS))
    alone = desk_of("checkpoint, attention only")
    with pytest.raises(Refusal, match="MLP"):
        alone.get(PairSearch(alone.key, ((1, 2),), "ov", basis="effective"))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("France>Paris, king>queen", ((FRANCE, PARIS), (KING, QUEEN))),
        (" France → Paris ", ((FRANCE, PARIS),)),
        ("France>Paris,,France>Paris, ", ((FRANCE, PARIS),)),
        ("#17>Paris,a>#0", ((17, PARIS), (64, 0))),
        ("France>France", ((FRANCE, FRANCE),)),
    ],
)
def test_found_pairs(pair: Pair, text: str, pairs: tuple[tuple[int, int], ...]) -> None:
    found = pair.desk.get(FindPairs(pair.desk.key, text))
    assert found.ids == pairs
    assert found.texts == tuple(tuple(pair.desk.bench.texts(both)) for both in pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no pair."),
        (" , ,", "There is no pair."),
        ("France", '"France" is no pair: there is no > in it.'),
        ("France>Paris, king queen", '"king queen" is no pair: there is no > in it.'),
        ("France>Paris>king", '"France>Paris>king" has more than one >.'),
        ("France>→Paris", '"France>→Paris" has more than one >.'),
        (">Paris", '">Paris" has nothing before the >.'),
        ("France> , king>queen", '"France>" has nothing after the >.'),
        ("France>Rome", '"Rome" is 5 tokens: " " "R" "o" "m" "e" (without the blank before it: "R" "o" "m" "e").'),
        ("#270>Paris", "Token id 270 does not exist in this model."),
        ("Paris>#" + "9" * 30, f"Token id {'9' * 30} does not exist in this model."),
    ],
)
def test_what_is_no_pair(pair: Pair, text: str, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        pair.desk.get(FindPairs(pair.desk.key, text))
    assert raised.value.message == message
    assert raised.value.hint


def test_the_demo_model_s_heads() -> None:
    """Its facts go through L0H2; L0H1 and L0H0 look for a word's partner."""
    desk = Desk(Path(search.__file__).parents[2] / "assets" / "demo")
    pairs = desk.get(FindPairs(desk.key, "France>Paris, king>queen")).ids
    qk, ov = (desk.get(PairSearch(desk.key, pairs, kind)) for kind in ("qk", "ov"))
    assert set(qk.rows.labels[:2]) == {"L0H0", "L0H1"}
    assert (qk.values[:2, 1] > 4).all()
    assert ov.rows.labels[0] == "L0H2"
    assert ov.values[0, 2] == 1
    alone = desk.get(PairSearch(desk.key, pairs[:1]))
    assert alone.rows.labels[0] == "L0H0"
