"""What is equal is in order of ids, however float32 rounds: products are disturbed here as another CPU would, and every
search that ranks must not notice."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.circuits.desk import Desk
from tests.models import folders
from tui.circuits import copying, search, spectrum
from tui.circuits.exact import Factors, products, settle
from tui.circuits.ov import ranked_row
from tui.circuits.ranking import ranking
from tui.engine.jobs import Nearest, OVRow, Partners, PartnerSide, SingularTokens, TokenFilter

LAYER, HEAD = 1, 3
TWINS = (1, 7, 60, 133, 200, 258, 267, 268, 269)
"""Tokens that are given one embedding, and one unembedding; the last rows are those that kernels treat apart."""


@pytest.fixture
def other_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Products of a matrix and a vector that are off in their last digits, another way for every seed."""
    product = torch.Tensor.__matmul__

    def disturb(seed: int) -> None:
        g = torch.Generator().manual_seed(seed)

        def disturbed(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            out = product(left, right)
            if right.ndim > 1 or out.ndim == 0:
                return out
            return out * (1 + torch.finfo(out.dtype).eps * torch.randint(-2, 3, out.shape, generator=g))

        monkeypatch.setattr(torch.Tensor, "__matmul__", disturbed)

    return disturb


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose ``TWINS`` are one token in everything but their ids."""
    folder = folders.gpt2_folder(tmp_path_factory.mktemp("twins"))
    state = load_file(folder / "model.safetensors")
    for name in state:
        if name.endswith(("wte.weight", "lm_head.weight")):
            state[name][list(TWINS)] = state[name][260]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("d", [1, 2, 3, 7, 64, 100, 129])
def test_products_depend_on_their_rows_alone(d: int) -> None:
    g = torch.Generator().manual_seed(d)
    left, right = (torch.randn(50, d, generator=g) for _ in range(2))
    found = products(left, right)
    assert (found == products(right, left)).all()
    for part in (slice(0, 1), slice(7, 8), slice(3, 41)):
        assert (found[part] == products(left[part], right[part])).all()
    assert products(left, right[4])[4] == found[4]
    strided = torch.stack([left, right], 2)
    assert (products(strided[..., 0], strided[..., 1]) == found).all()
    for value, one, other in zip(found, left.tolist(), right.tolist(), strict=True):
        parts = [a * b for a, b in zip(one, other, strict=True)]
        assert value == pytest.approx(math.fsum(parts), abs=8 * 2**-53 * math.fsum(map(abs, parts)))


def test_rows_without_numbers_have_products_of_zero() -> None:
    assert products(torch.zeros(3, 0), torch.zeros(3, 0)).tolist() == [0.0] * 3


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("filtered", [False, True])
def test_a_ranking_is_that_of_the_factors(unit: bool, filtered: bool) -> None:
    """Twins and pairs of rows that are one float32 apart, below and above every cut; disturbed as far as rounding may
    go."""
    g = torch.Generator().manual_seed(0)
    rows, vector = torch.randn(700, 24, generator=g), torch.randn(24, generator=g)
    rows[300:500] = rows[100:300]
    rows[500:600] = rows[100:200] * (1 + torch.finfo(torch.float32).eps)
    exact = products(rows, vector)
    if unit:
        exact = exact / (np.sqrt(products(rows, rows)) * math.sqrt(products(vector[None], vector)[0]))
    want = exact.astype(np.float32)
    allowed = torch.rand(700, generator=g).numpy() < 0.4 if filtered else None
    among = np.arange(700) if allowed is None else np.flatnonzero(allowed)
    order = among[np.lexsort((among, -want[among]))]
    longest = 1.0 if unit else float(rows.norm(dim=1).max() * vector.norm())
    for seed, k in ((seed, k) for seed in range(20) for k in (1, 2, 20, 150)):
        noise = np.random.default_rng(seed).random(700) - 0.5
        row = (exact + noise * 12 * np.finfo(np.float32).eps * longest).astype(np.float32)
        found = ranking(row, k, allowed, Factors(lambda ids: rows[ids], vector, unit=unit))
        assert found.ids.tolist() == order[:k].tolist()
        assert found.values.tolist() == want[order[:k]].tolist()
        if not filtered:
            assert found.ranks.tolist() == [1 + int((want > want[i]).sum()) for i in order[:k]]


def test_what_is_far_from_all_that_was_asked_for_is_left() -> None:
    """One entry from the top, one from the bottom: what is between them is not made anew."""
    g = torch.Generator().manual_seed(1)
    rows, vector = torch.randn(5000, 8, generator=g), torch.randn(8, generator=g)
    row = (rows @ vector).numpy()
    asked = []
    factors = Factors(lambda ids: (asked.append(len(ids)), rows[ids])[1], vector)
    ends = np.array([row.argmin(), row.argmax()])
    assert set(ends.tolist()) <= set(settle(row, ends, factors).tolist())
    assert sum(asked) < 50


@pytest.mark.parametrize("side", get_args(PartnerSide))
def test_partners_that_are_equal(side: PartnerSide, twins: Path, other_cpu: Any) -> None:
    tables = []
    for seed in range(3):
        other_cpu(seed)
        desk = Desk(twins)
        table = desk.get(Partners(desk.key, LAYER, HEAD, 259, side, k=270))
        stand_together(table.rows, 2, 0, 3)
        chosen = TokenFilter(same=False, shortest=1)
        tables.append((table.rows, desk.get(Partners(desk.key, LAYER, HEAD, 259, side, filter=chosen, k=40)).rows))
    for same in zip(*tables, strict=True):
        ids = [[(row[0], row[2]) for row in rows] for rows in same]
        assert ids[1:] == ids[:-1]


@pytest.mark.parametrize("where", ["embedding", "unembedding"])
def test_nearest_tokens_that_are_equal(where: Any, twins: Path, other_cpu: Any) -> None:
    for seed in range(3):
        other_cpu(seed)
        desk = Desk(twins)
        stand_together(desk.get(Nearest(desk.key, 259, where, 269)).rows, 2, 0, 3)
        assert [row[:1] + row[2:] for row in desk.get(Nearest(desk.key, 260, where, 9)).rows] == [
            (1, token, 1.0) for token in TWINS
        ]


@pytest.mark.parametrize("head", [HEAD, None])
def test_outputs_that_are_equal(head: int | None, twins: Path, other_cpu: Any) -> None:
    for seed in range(3):
        other_cpu(seed)
        desk = Desk(twins)
        shown = (269, 5, 7, 260)
        rows = desk.get(OVRow(desk.key, LAYER, head, 259, shown, 135)).rows
        stand_together(rows[:270], 3, 1, 4)
        assert len({row[1:2] + row[4:] for row in rows[:270] if row[3] in (260, *TWINS)}) == 1
        for row in rows[270:]:
            assert row[1:] in [other[1:] for other in rows[:270]]
        few = desk.get(OVRow(desk.key, LAYER, head, 259, shown, 3)).rows
        assert [row[1:] for row in few[-4:]] == [row[1:] for row in rows[-4:]]


@pytest.mark.parametrize("circuit", ["qk", "ov"])
def test_tokens_of_a_direction_that_are_equal(circuit: Any, twins: Path, other_cpu: Any) -> None:
    for seed in range(3):
        other_cpu(seed)
        desk = Desk(twins)
        rows = desk.get(SingularTokens(desk.key, LAYER, HEAD, circuit, 0, k=270)).rows
        for half in (rows[:270], rows[270:]):
            stand_together(half, 3, 1, 4)


def stand_together(rows: Any, token: int, rank: int, value: int) -> None:
    """The twins share one rank and one value, and stand in order of their ids; columns of the rows."""
    found = [row for row in rows if row[token] in (260, *TWINS)]
    if rows[0][0] == "promoted":  # the suppressed ones follow, smallest value first
        found = [row for row in found if row[0] == found[0][0]]
    assert len({row[rank] for row in found}) == 1
    assert len({row[value] for row in found}) == 1
    assert [row[token] for row in found] == sorted((260, *TWINS))


def test_equal_entries_of_a_row_are_in_order_of_ids() -> None:
    row = torch.zeros(5000)
    row[[4000, 17, 3000]] = 1.0
    row[[4500, 18]] = -1.0
    found = ranked_row(row, 4)
    assert found.promoted.tolist() == [17, 3000, 4000, 0]
    assert found.suppressed.tolist() == [18, 4500, 0, 1]


def test_a_twin_does_not_stand_before_the_token_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying: two tokens with the same output tie, however their products were rounded."""
    g = torch.Generator().manual_seed(2)
    outputs = torch.nn.functional.normalize(torch.randn(8, 40, generator=g), dim=0)
    outputs[:, 20:] = outputs[:, :20]
    product = torch.Tensor.__matmul__

    def disturbed(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        out = product(left, right)
        return out * (1 + torch.finfo(out.dtype).eps * torch.randint(-2, 3, out.shape, generator=g))

    monkeypatch.setattr(torch.Tensor, "__matmul__", disturbed)
    assert copying.own_top(outputs.mT.contiguous(), outputs, torch.arange(40), lambda: None) == [1.0, 1.0]


def test_heads_that_rounding_sets_apart_are_in_order() -> None:
    """Equal z, disturbed: then the mean rank decides, then the order of the heads."""
    z, rank = torch.tensor([2.0, 5.0, 2.0, 2.0, 7.0], dtype=torch.float64), torch.tensor([9.0, 1.0, 9.0, 3.0, 2.0])
    for seed in range(20):
        noise = torch.rand(5, generator=torch.Generator().manual_seed(seed)) - 0.5
        assert search.order(z + 4e-7 * noise, rank).tolist() == [4, 1, 3, 0, 2]


def test_the_sign_of_a_direction_of_which_two_tokens_are_the_ends() -> None:
    for off in (-1e-7, 0.0, 1e-7):
        assert spectrum.sign(torch.tensor([0.1, -0.5 - off, 0.5, 0.2])) == -1.0
        assert spectrum.sign(torch.tensor([0.1, 0.5 + off, -0.5, 0.2])) == 1.0
