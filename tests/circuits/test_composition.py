"""Composition and paths of two heads against dense float64, random rotations, TransformerLens and known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.circuits.conftest import Pair
from tests.circuits.desk import Desk, error
from tests.circuits.reference import Model
from tests.models import folders
from tui.circuits import composition
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    AllComposition,
    Composed,
    Composition,
    Direction,
    SingularTokens,
    VirtualOV,
    VirtualQK,
    Weights,
)
from tui.results import Grid

TOKENS, OTHERS = (259, 260, 65, 3), (260, 257, 70)
KINDS = get_args(Composed)


def dense(want: Model, layer: int, index: int, weights: str = "processed") -> dict[str, np.ndarray]:
    """``W_OV`` and what a head's q, k and v side reads with, ``[d_model, d_model]``."""
    head = want.processed(layer, index) if weights == "processed" else want.heads[layer][index]
    W_QK, W_OV = head.W_Q @ head.W_K.T, head.W_V @ head.W_O
    return {"q": W_QK, "k": W_QK.T, "v": W_OV}


def dimensions(want: Model) -> int:
    """How many the folded weights live in."""
    return want.W_E.shape[1] - (want.norms[0].kind == "LayerNorm")


def score(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.linalg.norm(one @ two) / (np.linalg.norm(one) * np.linalg.norm(two)))


def z(one: np.ndarray, two: np.ndarray, n: int) -> float:
    """Mean and mean square of ``tr(A O B Oᵀ)`` over the orthogonal group of n dimensions."""
    A, B = one.T @ one, two @ two.T
    a, b, aa, bb = np.trace(A), np.trace(B), np.trace(A @ A), np.trace(B @ B)
    mean = a * b / n
    square = ((n + 1) * a**2 * b**2 - 2 * a**2 * bb - 2 * aa * b**2 + 2 * n * aa * bb) / (n * (n - 1) * (n + 2))
    return float((np.linalg.norm(one @ two) ** 2 - mean) / np.sqrt(square - mean**2))


def rotations(n: int, count: int, seed: int) -> np.ndarray:
    """Uniform on O(n): QR of Gaussian matrices with R's diagonal positive."""
    Q, R = np.linalg.qr(np.random.default_rng(seed).normal(size=(count, n, n)))
    return Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", get_args(Direction))
def test_one_head(pair: Pair, kind: Composed, direction: Direction) -> None:
    desk, n = pair.desk, dimensions(pair.want)
    assert n == {"gpt2": 31, "llama": 32}[pair.name]
    for head in range(4):
        grid = desk.get(Composition(desk.key, 1 if direction == "from" else 0, head, kind, direction))
        other = 0 if direction == "from" else 1
        assert grid.rows.labels == tuple(f"L{other}H{index}" for index in range(4))
        assert grid.cols.labels == ("score", "z")
        for index in range(4):
            path = (index, head) if direction == "from" else (head, index)
            one, two = dense(pair.want, 0, path[0])["v"], dense(pair.want, 1, path[1])[kind]
            assert grid.values[index, 0] == pytest.approx(score(one, two), rel=2e-6)
            assert grid.values[index, 1] == pytest.approx(z(one, two, n), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs(pair: Pair, kind: Composed) -> None:
    grid = pair.desk.get(AllComposition(pair.desk.key, kind))
    assert grid.rows.labels == grid.cols.labels == tuple(f"L{layer}H{head}" for layer in range(2) for head in range(4))
    want = np.full((8, 8), np.nan)
    for one in range(4):
        for two in range(4):
            want[one, 4 + two] = score(dense(pair.want, 0, one)["v"], dense(pair.want, 1, two)[kind])
    assert error(grid.values, want) < 2e-6
    assert not grid.header.partial


@pytest.mark.parametrize("n", [3, 6, 11])
def test_moments_of_random_rotations(n: int) -> None:
    """Mean and variance in the module's docstring, against sampled rotations."""
    generator = np.random.default_rng(n)
    one, two = generator.normal(size=(2, n)), generator.normal(size=(2, n)) * [[1.0], [0.2]]
    count = 100_000
    X = np.square(one @ rotations(n, count, n) @ two.T).sum((1, 2))
    fixed = np.linalg.norm(one @ two.T) ** 2
    cores = [torch.tensor(core)[None] for core in (one, two)]
    found = composition.z_scores(composition.shared(*cores), *cores, n).item()
    # z = (fixed − mean) / std: two fixed values give both.
    away = composition.z_scores(torch.zeros(1, 1, dtype=torch.float64), *cores, n).item()
    std = fixed / (found - away)
    mean = -away * std
    assert X.mean() == pytest.approx(mean, abs=5 * X.std() / count**0.5)
    assert X.var() == pytest.approx(std**2, rel=0.03)
    assert found == pytest.approx(z(one, two.T, n), abs=1e-9)


@pytest.mark.parametrize("norm", ["LN", "RMS"])
def test_random_weights_do_not_stand_out(norm: str, tmp_path: Path) -> None:
    """z has mean 0 and spread 1, and the score its size, when rotations are of the space that the weights live in: one
    dimension less than d_model with a LayerNorm. A z by d_model dimensions is then off by 0.16 here."""
    config = {"n_layers": 6, "n_heads": 12, "d_model": 24, "d_head": 6, "normalization_type": norm}
    desk = Desk(folders.tl_checkpoint(tmp_path, *folders.random_checkpoint(**config)))
    n, by_d_model, by_n, squares = 24 - (norm == "LN"), [], [], []
    for kind in KINDS:
        for layer in range(1, 6):
            for head in range(12):
                grid = desk.get(Composition(desk.key, layer, head, kind))
                assert f"of the {n} dimensions" in str(grid.header.convention["rotations"])
                by_n += grid.values[:, 1].tolist()
                squares += np.square(grid.values[:, 0]).tolist()
                reads = composition.reader(desk.bench.head(layer, head, "processed"), kind)[None]
                writes = composition.writer(desk.bench.head(0, head, "processed"))[None]
                by_d_model += composition.z_scores(composition.shared(writes, reads), writes, reads, 24)[0].tolist()
    assert len(by_n) == 3 * 12 * 12 * 15
    assert abs(np.mean(by_n)) < 0.06
    assert np.std(by_n) == pytest.approx(1.0, abs=0.05)
    assert np.mean(squares) == pytest.approx(1 / n, rel=0.02)
    if norm == "LN":
        assert np.mean(by_d_model) > 0.1


def with_random_second_heads(path: Path) -> Path:
    """The hand-built model with something in its empty heads."""
    folder = folders.induction_checkpoint(path)
    state = torch.load(folder / "model.pt")
    torch.manual_seed(0)
    for name, value in state.items():
        if ".W_" in name and value.ndim == 3:
            value[1] = torch.randn_like(value[1])
    torch.save(state, folder / "model.pt")
    return folder


def test_the_previous_token_head_feeds_the_induction_head_s_key(tmp_path: Path) -> None:
    desk = Desk(with_random_second_heads(tmp_path))
    found = {kind: desk.get(Composition(desk.key, 1, 0, kind)).values for kind in KINDS}
    others = np.concatenate([found["k"][1:], found["q"], found["v"]])
    best, far = found["k"][0]
    assert best == pytest.approx((16 / (16 * 32)) ** 0.5, rel=1e-6)  # W_K has 16 tokens, and position 0 in each column
    assert best > 1.3 * others[:, 0].max()
    assert far > 7
    assert far > 5 * others[:, 1].max()
    into = desk.get(Composition(desk.key, 0, 0, "k", "into"))
    assert into.values[0] == pytest.approx(found["k"][0], rel=1e-5)
    assert into.values[1, 1] < 3
    assert found["q"][0, 0] == found["v"][0, 0] == 0.0
    every = desk.get(AllComposition(desk.key, "k")).values
    assert every[0, 2] == np.nanmax(every)


def test_a_head_that_writes_nothing_has_no_score(induction: Desk) -> None:
    grid = induction.get(Composition(induction.key, 1, 0, "k"))
    assert np.isnan(grid.values[1]).all()
    assert np.isfinite(grid.values[0]).all()
    assert np.isnan(induction.get(AllComposition(induction.key)).values).sum() == 16 - 1


def test_heads_that_are_alike_in_every_direction_have_no_z() -> None:
    """A multiple of the identity looks the same from everywhere."""
    one = torch.eye(5)[None] * (1 + 1e-7)
    two = torch.randn(1, 5, 5)
    found = composition.shared(one, two)
    assert torch.isnan(composition.z_scores(found, one, two, 5)).all()
    assert composition.scores(found, one, two).item() == pytest.approx(5**-0.5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_transformer_lens_says_the_same(name: str, tmp_path: Path) -> None:
    """Its compatibility mode folds; keys and values of a group count for each of its query heads."""
    from transformer_lens.model_bridge import TransformerBridge

    folder = getattr(folders, f"{name}_folder")(tmp_path, **LAYERS[name])
    bridge: Any = TransformerBridge.boot_transformers(str(folder), device="cpu")
    bridge.enable_compatibility_mode()
    desk = Desk(folder)
    for kind in KINDS:
        with torch.no_grad():
            theirs = bridge.all_composition_scores(kind.upper()).scores.flatten(2).flatten(0, 1)
        ours = desk.get(AllComposition(desk.key, kind)).values
        assert (np.isnan(ours) == (theirs == 0).numpy()).all()
        assert error(np.nan_to_num(ours), theirs) < 5e-6


LAYERS = {"gpt2": {"n_layer": 3}, "llama": {"num_hidden_layers": 3}}


def test_results_come_layer_by_layer(tmp_path: Path) -> None:
    desk = Desk(folders.gpt2_folder(tmp_path, n_layer=4))
    whole = desk.get(Composition(desk.key, 3, 1, "q"))
    assert [int(np.isfinite(partial.values).all(1).sum()) for partial in grids(desk)] == [4, 8]
    assert all(partial.header.partial for partial in desk.partials)
    assert np.isfinite(whole.values).all()
    assert whole.rows.labels == tuple(f"L{layer}H{head}" for layer in range(3) for head in range(4))
    checks = desk.checks
    desk.partials.clear()
    every = desk.get(AllComposition(desk.key, "q"))
    assert [int(np.isfinite(partial.values).sum()) for partial in grids(desk)] == [16, 48]
    assert np.isfinite(every.values).sum() == 96
    assert desk.checks - checks > 30
    for layer in range(3):
        rows = slice(4 * layer, 4 * layer + 4)
        assert error(every.values[rows, 13], whole.values[rows, 0]) < 1e-6


def grids(desk: Desk) -> list[Grid]:
    assert all(isinstance(partial, Grid) for partial in desk.partials)
    return [partial for partial in desk.partials if isinstance(partial, Grid)]


@pytest.mark.parametrize(("kept", "made"), [(1 << 30, 5), (2 * 2 * 3 * 10 * 4, 8), (0, 10)])
def test_cores_beyond_the_limit_are_made_again(kept: int, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 layers of 2 heads, 3 × 10: the limit costs time, not a digit."""
    cores = torch.randn(5, 2, 3, 10)
    monkeypatch.setattr(composition, "KEPT", kept)
    monkeypatch.setattr(composition, "CELLS", 1)
    asked: list[int] = []

    def writers(layer: int) -> torch.Tensor:
        asked.append(layer)
        return cores[layer]

    found = list(composition.all_pairs(5, writers, lambda layer: cores[layer], lambda: None))
    assert [(one, two) for one, two, _ in found] == [(one, two) for two in range(5) for one in range(two)]
    for one, two, scores in found:
        lengths = [cores[layer].flatten(1).norm(dim=1) for layer in (one, two)]
        products = torch.einsum("ahd,bkd->abhk", cores[one], cores[two]).square().sum((2, 3)).sqrt()
        assert error(scores, products / torch.outer(*lengths)) < 1e-6
    assert len(asked) == made


def test_sixteen_bits(desk_of: Callable[[str, str], Desk]) -> None:
    """The weights are rounded, what is computed from them is not."""
    desk = desk_of("llama", "bfloat16")
    heads = [[desk.bench.head(layer, index, "processed") for index in range(4)] for layer in range(2)]
    for kind in KINDS:
        found = desk.get(AllComposition(desk.key, kind)).values[:4, 4:]
        want = np.zeros((4, 4))
        for one, first in enumerate(heads[0]):
            for two, second in enumerate(heads[1]):
                W_QK = (second.W_Q.double() @ second.W_K.double().mT).numpy()
                W_OV = (second.W_V.double() @ second.W_O.double()).numpy()
                reads = {"q": W_QK, "k": W_QK.T, "v": W_OV}[kind]
                want[one, two] = score((first.W_V.double() @ first.W_O.double()).numpy(), reads)
        assert error(found, want) < 2e-6


def test_what_is_said(pair: Pair) -> None:
    desk = pair.desk
    header = desk.get(Composition(desk.key, 1, 2, "k")).header
    assert (header.view, header.quantity, header.head) == ("composition", "K-composition", "L1H2")
    assert header.formula == "‖W_OV1 W_QK2ᵀ‖ / (‖W_OV1‖ ‖W_QK2‖)"
    said = {"weights": "processed", "kind": "k", "direction": "from", "dtype": "float32"}
    assert said.items() <= header.convention.items()
    assert header.convention.get("offset") == (0 if pair.name == "llama" else None)
    assert header.explanation.startswith("row = earlier head: how much of what it writes L1H2 reads as its key")
    value = desk.get(Composition(desk.key, 0, 2, "v", "into")).header
    assert "offset" not in value.convention
    assert value.formula == "‖W_OV1 W_OV2‖ / (‖W_OV1‖ ‖W_OV2‖)"
    assert value.explanation.startswith("row = later head: how much of what L0H2 writes it reads as its value")
    assert desk.get(AllComposition(desk.key)).header.quantity == "K-composition of all pairs of heads"


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "olmo2"])
def test_no_composition_through_a_query_or_key_norm(name: str, desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(name)
    for job in (
        Composition(desk.key, 1, 0, "k"),
        Composition(desk.key, 1, 0, "q"),
        AllComposition(desk.key, "k"),
        VirtualQK(desk.key, ((0, 0), (1, 0)), "k", TOKENS, TOKENS),
        SingularTokens(desk.key, 0, 0, "qk"),
    ):
        with pytest.raises(Refusal, match=r"no bilinear form|normalised over all heads"):
            desk.get(job)
    grid = desk.get(Composition(desk.key, 1, 0, "v"))
    assert np.isfinite(grid.values).all()
    assert ("post-norm" in grid.header.details) == (name != "qwen3")
    assert np.isfinite(desk.get(AllComposition(desk.key, "v")).values).sum() == 16
    path = ((0, 0), (1, 0))
    assert np.isfinite(desk.get(VirtualOV(desk.key, path, TOKENS, TOKENS)).values).all()


def test_a_post_norm_s_gain_is_in_the_write(desk_of: Callable[..., Desk]) -> None:
    desk = desk_of("gemma2")
    first, second = (desk.bench.live.head(layer, 1) for layer in range(2))
    assert first.post_w is not None
    assert first.norm.w is not None
    assert second.norm.w is not None
    W_V, W_O, post, w_1, w_2 = (
        x.double().numpy() for x in (first.W_V, first.W_O, first.post_w, first.norm.w, second.norm.w)
    )
    W_Q, W_K = (x.double().numpy() for x in (second.W_Q, second.W_K))
    one, two = w_1[:, None] * W_V @ W_O * post, (w_2[:, None] * W_K) @ (w_2[:, None] * W_Q).T
    grid = desk.get(Composition(desk.key, 1, 1, "k"))
    assert grid.values[1, 0] == pytest.approx(score(one, two), rel=2e-6)
    assert grid.header.details["post-norm"] == (
        "what head 1 writes is normalised; its w is in W_O, the scale is left out"
    )


def test_refusals(pair: Pair, tmp_path: Path) -> None:
    desk = pair.desk
    with pytest.raises(Refusal, match="L0H1 is in the first layer: no head comes before it"):
        desk.get(Composition(desk.key, 0, 1))
    with pytest.raises(Refusal, match="L1H1 is in the last layer: no head comes after it"):
        desk.get(Composition(desk.key, 1, 1, direction="into"))
    with pytest.raises(Refusal, match="L2H0 does not exist"):
        desk.get(Composition(desk.key, 2, 0))
    for path in (((1, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 2), (0, 1))):
        with pytest.raises(Refusal, match="it is not in a later layer"):
            desk.get(VirtualOV(desk.key, path, TOKENS, OTHERS))
        with pytest.raises(Refusal, match="it is not in a later layer"):
            desk.get(VirtualQK(desk.key, path, "q", TOKENS, OTHERS))
    with pytest.raises(Refusal, match="L0H9 does not exist"):
        desk.get(VirtualOV(desk.key, ((0, 9), (1, 0)), TOKENS, OTHERS))
    with pytest.raises(Refusal, match="not in the vocabulary"):
        desk.get(VirtualQK(desk.key, ((0, 0), (1, 0)), "k", TOKENS, (270,)))
    with pytest.raises(Refusal, match="cells"):
        desk.get(VirtualOV(desk.key, ((0, 0), (1, 0)), (1,) * 20_000, (1,) * 20_000))
    alone = Desk(folders.gpt2_folder(tmp_path, n_layer=1))
    with pytest.raises(Refusal, match="one layer"):
        alone.get(AllComposition(alone.key))


@pytest.mark.parametrize("weights", get_args(Weights))
def test_virtual_circuits(pair: Pair, weights: Weights) -> None:
    desk, want = pair.desk, pair.want
    x = want.basis("embed", weights, 0)
    for path in (((0, 1), (1, 3)), ((0, 2), (1, 0))):
        first, second = (dense(want, *at, weights) for at in path)
        moved = x @ first["v"]
        grid = desk.get(VirtualOV(desk.key, path, TOKENS, OTHERS, weights))
        full = moved @ second["v"] @ want.unembed(weights)
        assert error(grid.values, full[np.ix_(TOKENS, OTHERS)]) < 1e-5
        assert (grid.rows.ids, grid.cols.ids, grid.diverging) == (TOKENS, OTHERS, True)
        for side, form in (("k", x @ second["q"] @ moved.T), ("q", moved @ second["q"] @ x.T)):
            grid = desk.get(VirtualQK(desk.key, path, side, TOKENS, OTHERS, weights))  # type: ignore[arg-type]
            assert error(grid.values, form[np.ix_(TOKENS, OTHERS)]) < 1e-5
            assert grid.rows.name == "query"


def test_what_virtual_circuits_say(pair: Pair) -> None:
    desk, path = pair.desk, ((0, 1), (1, 3))
    ov = desk.get(VirtualOV(desk.key, path, TOKENS, OTHERS)).header
    assert (ov.view, ov.formula, ov.unit) == ("virtual-ov", "x_i W_OV1 W_OV2 W_U", "logit")
    assert {"weights": "processed", "basis": "embed", "path": "L0H1, L1H3"}.items() <= ov.convention.items()
    key, query = (desk.get(VirtualQK(desk.key, path, side, TOKENS, OTHERS)).header for side in ("k", "q"))  # type: ignore[arg-type]
    assert (key.view, key.formula) == ("virtual-qk", "x_i W_QK2 (x_j W_OV1)ᵀ")
    assert query.formula == "(x_i W_OV1) W_QK2 x_jᵀ"
    assert key.quantity == "QK circuit of L1H3 through L0H1, key side"
    assert key.convention.get("offset") == (0 if pair.name == "llama" else None)


def test_the_induction_head_wants_what_follows_its_own_token(induction: Desk) -> None:
    """Through the previous-token head the key of a place is the token before it: the identity."""
    tokens = tuple(range(16))
    path = ((0, 0), (1, 0))
    grid = induction.get(VirtualQK(induction.key, path, "k", tokens, tokens))
    assert error(grid.values, 200.0 * 24**0.5 * np.eye(16)) < 1e-6
    assert not induction.get(VirtualQK(induction.key, path, "q", tokens, tokens)).values.any()
    assert not induction.get(VirtualOV(induction.key, path, tokens, tokens)).values.any()


def test_the_demo_s_previous_token_heads_feed_its_induction_heads() -> None:
    demo = Path(__file__).resolve().parents[2] / "assets" / "demo"
    desk = Desk(demo)
    for head in (0, 2, 3):
        grid = desk.get(Composition(desk.key, 2, head, "k"))
        order = [grid.rows.labels[row] for row in np.argsort(-grid.values[:, 1])]
        assert set(order[:2]) == {"L0H2", "L0H3"}
    into = desk.get(Composition(desk.key, 0, 2, "k", "into"))
    assert into.rows.labels[int(np.argmax(into.values[:, 1]))] == "L2H3"
