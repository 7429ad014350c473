"""Partners of a token, strongest pairs of a circuit, nearest tokens: against float64 over the whole vocabulary."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.circuits.conftest import Pair
from tests.circuits.desk import Desk, error
from tests.circuits.test_search import FRANCE, PARIS, full
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.circuits.pairs import Sweep, strongest
from tui.circuits.ranking import ranking
from tui.engine.jobs import QK, Nearest, Open, OVRow, Partners, PartnerSide, TokenFilter, TopPairs, Weights
from tui.engine.jobs.parts import AllowedTokens, VocabularySide
from tui.models.errors import ModelError
from tui.results import Table

LAYER, HEAD = 1, 3
SMALL = 2 * 4 * 270 * 8 + 16 * (32 * 16 + 10 * 8)
"""Bytes for which tiles have 16² products, both sides kept."""
SMALLER = 4 * 270 * 8 + 16 * (32 * 16 + 10 * 8 + 12 * 32)
"""The same with one side kept."""


def best_of(matrix: np.ndarray, allowed: np.ndarray, same: bool, k: int) -> list[tuple[int, int]]:
    """The k largest entries, equal ones by ids: brute force."""
    n = len(matrix)
    row, col = np.divmod(np.arange(n * n), n)
    keep = allowed[row] & allowed[col] & ~(same & (row == col))
    order = np.lexsort((col[keep], row[keep], -matrix.ravel()[keep]))[:k]
    return list(zip(row[keep][order].tolist(), col[keep][order].tolist(), strict=True))


def pairs_of(table: Table) -> list[tuple[int, int]]:
    return [(row[2], row[4]) for row in table.rows]  # type: ignore[misc]


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("basis", ["embed", "normed", "effective"])
@pytest.mark.parametrize("kind", ["qk", "ov"])
def test_strongest_pairs(pair: Pair, kind: Any, weights: Weights, basis: Any) -> None:
    """Every k, in one tile and in many; grouped keys (Llama) and offsets included."""
    desk, everything = pair.desk, np.ones(270, dtype=bool)
    for offset in (0, 5) if pair.want.rope and kind == "qk" else (0,):
        matrix = full(pair, kind, weights, basis, LAYER, HEAD, offset)
        for k, memory, same in product((1, 64, 300), (512 << 20, SMALL, SMALLER), (True, False)):
            job = TopPairs(desk.key, LAYER, HEAD, kind, weights, basis, offset, TokenFilter(same), k, memory)
            table = desk.get(job)
            want = best_of(matrix, everything, same, k)
            assert pairs_of(table) == want
            assert [row[0] for row in table.rows] == list(range(1, k + 1))
            assert error([row[5] for row in table.rows], [matrix[i, j] for i, j in want]) < 1e-5
            tiles = re.fullmatch(r"([\d,]+) of ([\d,]+) multiplied", str(table.header.details["tiles"]))
            assert tiles is not None
            assert int(tiles[2]) == (1 if memory > SMALL else 9 * 34)
            if memory <= SMALL and k == 1:
                assert int(tiles[1]) < 9 * 34
            assert table.rows[0][1] == desk.bench.texts(want[0][:1])[0]


def test_filters(pair: Pair) -> None:
    desk = pair.desk
    matrix = full(pair, "qk", "processed", "embed", LAYER, HEAD, 0)
    texts = desk.bench.live.tokens.all_texts
    for shortest, pattern, same in ((3, "", True), (0, "^ [A-Z]", False), (4, "n", False)):
        allowed = np.array([len(t.strip()) >= shortest and re.search(pattern, t) is not None for t in texts])
        for memory in (512 << 20, SMALL):
            chosen = TokenFilter(same, shortest, pattern)
            table = desk.get(TopPairs(desk.key, LAYER, HEAD, filter=chosen, k=40, memory=memory))
            assert pairs_of(table) == best_of(matrix, allowed, same, 40)
            assert table.header.details["tokens"] == f"{allowed.sum()} of 270 pass the filter"
    for job in (TopPairs(desk.key, LAYER, HEAD), Partners(desk.key, LAYER, HEAD, FRANCE, "query")):
        with pytest.raises(Refusal, match=r"does not compile: unterminated"):
            desk.get(type(job)(**{**vars(job), "filter": TokenFilter(pattern="[a")}))
        with pytest.raises(Refusal, match="No token of the vocabulary passes"):
            desk.get(type(job)(**{**vars(job), "filter": TokenFilter(shortest=99)}))


def test_equal_pairs_are_in_order_of_their_ids(tmp_path: Path) -> None:
    """Three tokens with one embedding: their pairs tie, share a rank, and stand by their ids, wherever the cut is."""
    folder = folders.gpt2_folder(tmp_path)
    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith("wte.weight"))
    plain = Desk(folder)
    query, key = pairs_of(plain.get(TopPairs(plain.key, LAYER, HEAD, k=1)))[0]
    twins = (7, 133, 266)
    state[name][list(twins)] = state[name][query]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    desk = Desk(folder)
    same_queries = sorted({query, *twins})
    for k, memory in product((1, 2, 3, 4, 20), (512 << 20, SMALL)):
        table = desk.get(TopPairs(desk.key, LAYER, HEAD, filter=TokenFilter(same=False), k=k, memory=memory))
        first = [(i, j) for i, j in pairs_of(table) if j == key and i in same_queries]
        assert first == [(i, key) for i in same_queries][:k]
        assert [row[0] for row in table.rows[:4]] == [1] * min(k, 4)
    partners = desk.get(Partners(desk.key, LAYER, HEAD, key, "key", k=6))
    assert [row[2] for row in partners.rows[:4]] == same_queries
    assert [row[0] for row in partners.rows[:5]] == [1, 1, 1, 1, 5]


def test_a_head_of_zeros(induction: Desk) -> None:
    """All pairs tie at 0: the first ids."""
    for kind, memory in product(("qk", "ov"), (512 << 20, 32 * 16**2 + 4 * 16 * 24 * 2 + 16 * 10 * 24)):
        table = induction.get(TopPairs(induction.key, 1, 1, kind, k=4, memory=memory))  # type: ignore[arg-type]
        assert pairs_of(table) == [(0, 1), (0, 2), (0, 3), (0, 4)]
        assert [row[0] for row in table.rows] == [1] * 4
    copied = induction.get(TopPairs(induction.key, 1, 0, "ov", filter=TokenFilter(same=False), k=20))
    assert pairs_of(copied)[:16] == [(i, i) for i in range(16)]


def brute(left: torch.Tensor, right: torch.Tensor, same: bool, k: int) -> list[tuple[int, int]]:
    """By the exact values, rounded once: products of two float32 are float64 without rounding. A library's product of
    matrices in float64 would round (a, b) and (b, a) apart."""
    l_rows, r_rows = (rows.double().numpy() for rows in (left, right))
    matrix = np.array([[math.fsum(parts) for parts in (row * r_rows).tolist()] for row in l_rows])
    return best_of(matrix, np.ones(len(matrix), dtype=bool), same, k)


def swept(left: torch.Tensor, right: torch.Tensor, k: int, same: bool, side: int) -> Sweep:
    *_, last = strongest(
        lambda ids: left[ids], lambda ids: right[ids], torch.arange(len(left)), k, same, side, lambda: None
    )
    return last


def pairs(sweep: Sweep) -> list[tuple[int, int]]:
    return list(zip(sweep.best.left.tolist(), sweep.best.right.tolist(), strict=True))


@pytest.mark.parametrize("spread", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("parallel", [False, True])
def test_random_factors(spread: float, parallel: bool) -> None:
    """From no skipping at all (equal lengths) to almost everything skipped (long tails), and where the bounds are
    reached: both sides alike."""
    g = torch.Generator().manual_seed(int(10 * spread))
    left, right = (torch.randn(500, 16, generator=g) for _ in range(2))
    for rows in (left, right):
        rows *= torch.exp(spread * torch.randn(500, 1, generator=g)) / rows.norm(dim=1, keepdim=True)
    if parallel:
        right = left
    exact = {same: brute(left, right, same, 1000) for same in (False, True)}
    for k, same in product((1, 10, 1000), (False, True)):
        want = exact[same][:k]
        sweeps = [swept(left, right, k, same, side) for side in (16, 50, 1000)]
        for sweep in sweeps:
            assert pairs(sweep) == want
            assert sweep.done == sweep.tiles
        if spread == 0.0 and not parallel:
            assert sweeps[0].products == 500**2
        if spread == 2.0 and k == 10:
            assert sweeps[0].products < 0.05 * 500**2


@pytest.fixture
def other_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles whose products are off by half of what the search allows for, every one otherwise."""
    product, g = torch.mm, torch.Generator().manual_seed(0)

    def disturbed(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        size = left.shape[1] * torch.finfo(torch.float32).eps / 2
        bound = left.norm(dim=1)[:, None] * right.norm(dim=0)
        product(left, right, out=out)
        return out.add_(bound * size * (2 * torch.rand(out.shape, generator=g) - 1))

    monkeypatch.setattr(torch, "mm", disturbed)


def tied(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors whose strongest pairs tie or almost tie, so that any k cuts between equal values."""
    g = torch.Generator().manual_seed(7)
    left = torch.randn(150, 24, generator=g)
    if kind == "symmetric":  # (a, b) and (b, a), and every token twice
        left[75:] = left[:75]
        return left, left
    if kind == "exact":  # whole numbers: many pairs have one value, by different sums
        return torch.randint(-2, 3, (150, 24), generator=g).float(), torch.randint(
            -2, 3, (150, 24), generator=g
        ).float()
    left[:] = left[:1] * (1 + torch.finfo(torch.float32).eps * torch.randint(-1, 2, (150, 24), generator=g))
    return left, left.flip(0).clone()  # all pairs within a few float32 of each other


@pytest.mark.parametrize("kind", ["symmetric", "exact", "near"])
def test_the_same_set_and_order_however_tiles_are_cut_and_rounded(kind: str, other_cpu: None) -> None:
    left, right = tied(kind)
    for same in (False, True):
        want = brute(left, right, same, 151)
        values = []
        for side, k in product((16, 50, 1000), (1, 2, 24, 151)):
            sweep = swept(left, right, k, same, side)
            assert pairs(sweep) == want[:k]
            values.append(sweep.best.values.tolist())
        assert all(found == values[-1][: len(found)] for found in values)


def test_what_is_found_so_far_is_exact_for_the_rows_so_far(other_cpu: None) -> None:
    """Longest rows first: a partial result holds the best of these, in the order of the whole answer."""
    left, right = tied("symmetric")
    left = left * torch.linspace(2, 1, 150)[:, None]
    order = left.double().norm(dim=1).argsort(descending=True, stable=True)
    sweeps = strongest(lambda i: left[i], lambda i: right[i], torch.arange(150), 50, True, 25, lambda: None)
    every = brute(left, right, True, 150**2)
    for done, sweep in enumerate(sweeps, 1):
        rows = set(order[: 50 * done].tolist())
        assert pairs(sweep) == [pair for pair in every if pair[0] in rows][:50]


def test_all_pairs() -> None:
    g = torch.Generator().manual_seed(3)
    left, right = (torch.randn(60, 8, generator=g) for _ in range(2))
    assert pairs(swept(left, right, 10**6, False, 16)) == brute(left, right, False, 60**2)
    assert pairs(swept(left, right, 10**6, True, 16)) == brute(left, right, True, 60**2 - 60)


def test_zeros_stand_by_their_ids() -> None:
    """A head of zeros: no tile may hold a larger value, some hold smaller ids."""
    nothing = torch.zeros(100, 8)
    for k, side in product((1, 40, 150), (16, 100)):
        assert pairs(swept(nothing, nothing, k, True, side)) == brute(nothing, nothing, True, k)


def test_largest_values_below_zero() -> None:
    g = torch.Generator().manual_seed(1)
    left, right = torch.rand(200, 8, generator=g) + 0.1, -torch.rand(200, 8, generator=g) - 0.1
    sweep = swept(left, right, 30, False, 16)
    assert pairs(sweep) == brute(left, right, False, 30)
    assert sweep.best.values.max() < 0


def test_values_apart_by_less_than_float32_can_tell() -> None:
    """10,000 pairs whose values differ from the 10th digit on, while parts that cancel make float32 products differ
    from the 7th: rounding must decide nothing."""
    g = torch.Generator().manual_seed(2)
    base = torch.randn(8, generator=g).expand(100, -1)
    cancel, other, tiny, small = (torch.randn(100, d, generator=g) for d in (16, 16, 2, 2))
    left = torch.cat([base, cancel, tiny * 1e-5, -cancel], 1)
    right = torch.cat([base, other, small * 1e-5, other], 1)
    want = brute(left, right, False, 25)
    for side in (16, 64, 128):
        assert pairs(swept(left, right, 25, False, side)) == want


def test_partial_rotary_against_float64(tmp_path: Path) -> None:
    """NeoX turns a quarter of each head; its queries, keys and values stand together, head by head."""
    desk = Desk(folders.neox_folder(tmp_path))
    state = {k: v.astype(np.float64) for k, v in load_file(tmp_path / "model.safetensors").items()}
    at, size, offset = "gpt_neox.layers.1.", 16, 3
    W = state[at + "attention.query_key_value.weight"].T.reshape(64, 4, 3 * size)[:, 2]
    x = state["gpt_neox.embed_in.weight"]
    norm = {part: state[at + f"input_layernorm.{part}"] for part in ("weight", "bias")}
    bare = x - x.mean(1, keepdims=True)
    bare /= np.sqrt((bare**2).mean(1, keepdims=True) + 1e-5)
    read = bare * norm["weight"] + norm["bias"]
    q, k = read @ W[:, :size], read @ W[:, size : 2 * size]
    angle = offset * 10000.0 ** (-np.arange(0, 4, 2) / 4)
    cos, sin = np.tile(np.cos(angle), 2), np.tile(np.sin(angle), 2)
    first = q[:, :4] * cos + np.concatenate([-q[:, 2:4], q[:, :2]], 1) * sin
    matrix = np.concatenate([first, q[:, 4:]], 1) @ k.T
    table = desk.get(TopPairs(desk.key, 1, 2, "qk", "raw", "normed", offset, TokenFilter(False), 50))
    assert pairs_of(table) == best_of(matrix, np.ones(270, dtype=bool), False, 50)
    assert error([row[5] for row in table.rows], [matrix[i, j] for i, j in pairs_of(table)]) < 1e-5
    assert table.header.formula == "R_3(x_i W_Q)·(x_j W_K)"
    assert table.header.convention["offset"] == offset


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "gemma2", "gptj"])
def test_normalised_queries_and_keys(name: str, desk_of: Callable[[str], Desk]) -> None:
    desk, tokens = desk_of(name), tuple(range(270))
    matrix = desk.get(QK(desk.key, LAYER, HEAD, tokens, tokens, offset=2)).values.astype(np.float64)
    table = desk.get(TopPairs(desk.key, LAYER, HEAD, offset=2, k=30))
    assert pairs_of(table) == best_of(matrix, np.ones(270, dtype=bool), True, 30)


def test_float32_products_of_a_model_in_16_bits(desk_of: Callable[[str], Desk]) -> None:
    desk = desk_of("llama", "bfloat16")
    head, ends = desk.bench.live.head(LAYER, HEAD), desk.bench.ends
    W_Q, W_K, x = (tensor.double().numpy() for tensor in (head.W_Q, head.W_K, ends.W_E))
    matrix = x @ W_Q @ W_K.T @ x.T
    table = desk.get(TopPairs(desk.key, LAYER, HEAD, weights="raw", k=40))
    assert pairs_of(table) == best_of(matrix, np.ones(270, dtype=bool), True, 40)
    assert error([row[5] for row in table.rows], [matrix[i, j] for i, j in pairs_of(table)]) < 1e-5


def test_progress_and_partial_results(pair: Pair) -> None:
    desk = pair.desk
    desk.partials.clear()
    table = desk.get(TopPairs(desk.key, LAYER, HEAD, k=7, memory=SMALL))
    assert len(desk.partials) == 8
    assert all(part.header.partial and len(part.rows) == 7 for part in desk.partials)
    assert not table.header.partial
    assert desk.partials[0].rows[0][5] <= table.rows[0][5]


def test_within_the_memory_that_it_may_take(pair: Pair) -> None:
    desk = pair.desk
    with pytest.raises(Refusal, match="one side of the circuit alone") as raised:
        desk.get(TopPairs(desk.key, LAYER, HEAD, memory=4 * 270 * 8))
    assert raised.value.hint == "Allow it more memory."
    before = len(desk.computed)
    desk.get(TopPairs(desk.key, 0, 1, memory=SMALL))
    assert sum(isinstance(job, VocabularySide) for job in desk.computed[before:]) == 1  # the keys are another part
    before = len(desk.computed)
    desk.get(TopPairs(desk.key, 0, 2, memory=SMALLER))
    assert not any(isinstance(job, VocabularySide) for job in desk.computed[before:])


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("basis", ["embed", "normed", "effective"])
@pytest.mark.parametrize("side", get_args(PartnerSide))
def test_partners(pair: Pair, side: PartnerSide, weights: Weights, basis: Any) -> None:
    desk, kind = pair.desk, "qk" if side in ("query", "key") else "ov"
    for offset in (0, 4) if pair.want.rope and kind == "qk" else (0,):
        matrix = full(pair, kind, weights, basis, LAYER, HEAD, offset)
        row = matrix[FRANCE] if side in ("query", "source") else matrix[:, FRANCE]
        table = desk.get(Partners(desk.key, LAYER, HEAD, FRANCE, side, weights, basis, offset))
        order = np.argsort(-row)[:20]
        ranks, texts, ids, values, z = zip(*table.rows, strict=True)
        assert list(ids) == order.tolist()
        assert list(ranks) == list(range(1, 21))
        assert texts == desk.bench.texts(ids)
        assert error(values, row[order]) < 1e-5
        assert error(z, (row[order] - row.mean()) / row.std()) < 2e-5
        assert table.columns == ("rank", "token", "id", "value", "z")
        said = {"side": side, "circuit": kind, "weights": weights, "basis": basis}
        assert said.items() <= table.header.convention.items()


def test_partners_that_are_filtered_keep_their_ranks(pair: Pair) -> None:
    desk = pair.desk
    row = full(pair, "qk", "processed", "embed", LAYER, HEAD, 0)[FRANCE]
    chosen = TokenFilter(same=True, shortest=2, pattern="[a-z]$")
    table = desk.get(Partners(desk.key, LAYER, HEAD, FRANCE, "query", filter=chosen))
    texts = desk.bench.live.tokens.all_texts
    allowed = [i for i, t in enumerate(texts) if len(t.strip()) >= 2 and re.search("[a-z]$", t) and i != FRANCE]
    want = sorted(allowed, key=lambda i: -row[i])[:20]
    assert [r[2] for r in table.rows] == want
    assert [r[0] for r in table.rows] == [1 + int((row > row[i]).sum()) for i in want]
    assert table.header.details["ranks"] == "in the whole row, before the filter"
    assert table.header.convention["pattern"] == "[a-z]$"


def test_partners_are_what_the_screen_says(pair: Pair) -> None:
    desk, tokens = pair.desk, tuple(range(270))
    z = desk.get(QK(desk.key, 0, 1, (PARIS,), tokens, normalize="zscore", baseline="vocabulary")).values[0]
    for row in desk.get(Partners(desk.key, 0, 1, PARIS, "query", k=270)).rows:
        assert row[4] == pytest.approx(z[row[2]], abs=2e-5)
    ov = desk.get(OVRow(desk.key, 0, 1, PARIS, k=5)).rows[:5]
    found = desk.get(Partners(desk.key, 0, 1, PARIS, "source", k=5)).rows
    assert [r[:3] for r in found] == [r[1:4] for r in ov]


def test_ranking() -> None:
    rng = np.random.default_rng(0)
    for n, k in ((7, 3), (7, 7), (7, 20), (5000, 20), (5000, 1)):
        row = np.round(rng.standard_normal(n), 2).astype(np.float32)
        found = ranking(row, k)
        want = np.argsort(-row, kind="stable")[:k]
        assert found.ids.tolist() == want.tolist()
        assert found.ranks.tolist() == [1 + int((row > row[i]).sum()) for i in want]
    nothing = ranking(row, 5, np.zeros(5000, dtype=bool))
    assert (len(nothing.ids), len(nothing.values), len(nothing.ranks)) == (0, 0, 0)
    few = np.zeros(5000, dtype=bool)
    few[[4000, 3]] = True
    assert sorted(ranking(row, 5, few).ids.tolist()) == [3, 4000]


@pytest.mark.parametrize("where", ["embedding", "unembedding"])
def test_nearest(pair: Pair, where: Any) -> None:
    rows = pair.want.W_E if where == "embedding" else pair.want.W_U.T
    lengths = np.linalg.norm(rows, axis=1)
    cosine = rows @ rows[PARIS] / lengths / lengths[PARIS]
    cosine[PARIS] = -np.inf
    table = pair.desk.get(Nearest(pair.desk.key, PARIS, where, 10))
    order = np.argsort(-cosine)[:10]
    assert [row[2] for row in table.rows] == order.tolist()
    assert [row[0] for row in table.rows] == list(range(1, 11))
    assert error([row[3] for row in table.rows], cosine[order]) < 1e-5
    assert "as stored" in str(table.header.convention["vectors"])
    assert len(pair.desk.get(Nearest(pair.desk.key, PARIS, where, 999)).rows) == 269


def test_nearest_of_equal_and_of_empty_rows(tmp_path: Path) -> None:
    folder = folders.gpt2_folder(tmp_path)
    state = load_file(folder / "model.safetensors")
    name = next(key for key in state if key.endswith("wte.weight"))
    state[name][[9, 200]], state[name][5] = state[name][PARIS], 0.0
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    desk = Desk(folder)
    assert [row[:3] for row in desk.get(Nearest(desk.key, PARIS)).rows[:2]] == [
        (1, desk.bench.texts((9,))[0], 9),
        (1, desk.bench.texts((200,))[0], 200),
    ]
    assert {row[3] for row in desk.get(Nearest(desk.key, 5, k=999)).rows} == {0.0}


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (lambda key: Partners(key, 0, 0, 270, "query"), "270"),
        (lambda key: Partners(key, 2, 0, 1, "query"), "L2H0 does not exist"),
        (lambda key: Partners(key, 0, 0, 1, "output", basis="effective"), "not for layer 0"),
        (lambda key: Partners(key, 0, 0, 1, "key", basis="prompt"), "stream of one prompt"),
        (lambda key: TopPairs(key, 0, 0, basis="prompt"), "stream of one prompt"),
        (lambda key: TopPairs(key, 0, 0, basis="effective"), "not for layer 0"),
        (lambda key: Nearest(key, -1), "-1"),
    ],
)
def test_refusals(pair: Pair, job: Callable[[Any], Any], sentence: str) -> None:
    with pytest.raises((Refusal, ModelError), match=sentence):
        pair.desk.get(job(pair.desk.key))


def test_what_searches_share(pair: Pair) -> None:
    desk = pair.desk
    jobs = (
        Partners(desk.key, 0, 3, FRANCE, "query", filter=TokenFilter(shortest=2)),
        Partners(desk.key, 0, 3, FRANCE, "output"),
        TopPairs(desk.key, 0, 3, "ov"),
        TopPairs(desk.key, 0, 3, "qk", basis="normed", offset=1, filter=TokenFilter(pattern="a")),
    )
    for job in jobs:
        before = len(desk.asked)
        desk.get(job)
        asked = {other for other in desk.asked[before + 1 :] if not isinstance(other, Open)}
        assert asked <= job.needs()
    before = len(desk.computed)
    desk.get(Partners(desk.key, 0, 3, PARIS, "query", filter=TokenFilter(shortest=2)))
    assert [type(job) for job in desk.computed[before:]] == [Partners]
    assert any(isinstance(job, AllowedTokens) for job in desk.computed)
