"""The estimate of patches against finite differences, in float64 where the softmax is taken again, and against
TransformerLens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.circuits.conftest import EVERY, IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.desk import Desk
from tests.circuits.reference import Array
from tests.circuits.test_patching import (
    ANSWERS,
    DISTRACTORS,
    OTHER,
    attended,
    cells,
    difference,
    pair_of,
    projections,
    sweep_of,
    swept,
)
from tui.circuits.estimate import estimates, slopes
from tui.circuits.forward import Tape
from tui.circuits.patching import STREAM, Cell, Measured, Pair, Sweep


def estimated(desk: Desk, site: str, which: Sequence[Cell]) -> tuple[Tensor, Tape]:
    live = desk.bench.live
    pair = pair_of(desk)
    value = Measured(live.forward, "logit difference", ANSWERS, DISTRACTORS)
    tape, slope = slopes(live.forward, torch.tensor(IDS), pair.reach, value)
    return estimates(pair, slope, site, which), tape


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("site", [*STREAM, "z", "v"])
def test_the_estimate_is_the_slope_of_the_patch(pair: Models, site: str, by_position: bool) -> None:
    """A hundredth of the way to the other activation, exactly, times a hundred."""
    desk, step = pair.desk, 1e-2
    which = cells(desk, site, by_position)
    got, _ = estimated(desk, site, which)
    sweep = sweep_of(desk)
    moved = Tape()
    for name in ("pre", "mid", "attn_out", "mlp_out", "z", "v", "q", "k"):
        own, new = getattr(sweep.pair.base, name), getattr(sweep.pair.other, name)
        getattr(moved, name).extend(a + step * (b - a) for a, b in zip(own, new, strict=True))
    near = Sweep(Pair(sweep.pair.forward, sweep.pair.base, moved, sweep.pair.reach), sweep.value)
    base = float(near.ends()[0]) if moved.pre else 0.0
    want = {cell: (value - base) / step for cell, value in swept(near, site, which).items()}
    size = max(map(abs, want.values()))
    for cell, value in zip(which, got.tolist(), strict=True):
        assert value == pytest.approx(want[cell], abs=0.05 * size + 1e-3), cell


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("site", ["q", "k", "v", "pattern"])
def test_within_attention_the_softmax_is_taken_again(pair: Models, site: str, by_position: bool) -> None:
    """Float64 by hand: the z that the patch makes, softmax and all, a thousandth of the way there and back."""
    want, step = pair.want, 1e-3
    new, own = want.forward(list(OTHER)).stream, want.forward(list(IDS)).stream
    size = pair.desk.info.n_heads // pair.desk.info.n_key_value_heads if site in ("k", "v") else 1
    which = cells(pair.desk, site, by_position)
    got, _ = estimated(pair.desk, site, which)
    wanted = []
    for cell in which:
        at = slice(None) if cell.position is None else slice(cell.position, cell.position + 1)
        heads = range((cell.node or 0) * size, (cell.node or 0) * size + size)
        made = {
            head: attended(pair, site, at, *(projections(pair, cell.layer, head, stream[cell.layer])
                                             for stream in (own, new)))
            for head in heads
        }  # fmt: skip

        def moved(share: float, cell: Cell = cell, made: dict[int, Array] = made) -> float:
            def change(point: str, layer: int, which: int, value: Array) -> Array:
                if (point, layer) != ("z", cell.layer) or which not in made:
                    return value
                return value + share * (made[which] - value)

            return difference(want.forward(list(IDS), change).logits)

        wanted.append((moved(step) - moved(-step)) / (2 * step))
    assert got.tolist() == pytest.approx(wanted, abs=1e-4 * max(map(abs, wanted)) + 1e-5)
    assert len({round(value, 5) for value in wanted}) > 1


def test_the_estimate_of_a_query_has_the_softmax_of_the_patched_score(pair: Models) -> None:
    """It is the estimate of z for the z that the patched query makes."""
    desk = pair.desk
    which = cells(desk, "q", False)
    got, _ = estimated(desk, "q", which)
    built = pair_of(desk)
    value = Measured(desk.bench.live.forward, "logit difference", ANSWERS, DISTRACTORS)
    _, slope = slopes(desk.bench.live.forward, torch.tensor(IDS), built.reach, value)
    for cell, effect in zip(which, got.tolist(), strict=True):
        changed = built.z("q", cell.layer, None) - built.base.z[cell.layer]
        want = (changed * slope.at["z", cell.layer])[:, cell.node].sum()
        assert effect == pytest.approx(float(want), abs=1e-6)
    exact = swept(sweep_of(desk), "q", which)
    base = float(sweep_of(desk).ends()[0])
    assert np.corrcoef(got.tolist(), [exact[cell] - base for cell in which])[0, 1] > 0.5


def test_the_run_with_gradients_is_the_run_without(pair: Models) -> None:
    _, tape = estimated(pair.desk, "z", [Cell(0, 0)])
    want = pair_of(pair.desk).base
    assert torch.equal(tape.pre[-1], want.pre[-1])
    assert not tape.pre[-1].requires_grad
    bridge = pair.desk.bench.live.bridge
    assert all(parameter.grad is None for parameter in bridge.parameters())


def test_it_is_cancelled_in_the_pass_back_too(pair: Models) -> None:
    """Between layers, both ways; nothing of it is left behind."""

    class Stopped(BaseException):
        pass

    live, calls = pair.desk.bench.live, 0
    built = pair_of(pair.desk)
    value = Measured(live.forward, "logit difference", ANSWERS, DISTRACTORS)

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls > live.n_layers + 1:
            raise Stopped

    with pytest.raises(Stopped):
        slopes(live.forward, torch.tensor(IDS), built.reach, value, stop)
    assert calls == live.n_layers + 2
    whole, _ = estimated(pair.desk, "z", [Cell(0, 0)])
    assert whole.isfinite().all()


@pytest.mark.parametrize("metric", ["logit difference", "log-probability"])
@pytest.mark.parametrize("name", EVERY)
def test_transformer_lens_estimates_the_same(desk_of: Callable[[str, str], Desk], name: str, metric: str) -> None:
    """On every architecture that its ``attribution_patch`` takes."""
    from transformer_lens.tools.analysis import attribution_patching as theirs

    desk = desk_of(name, "float32")
    base, other = (tuple(id % desk.info.d_vocab for id in ids) for ids in (IDS, OTHER))
    if desk.info.capabilities.plain or base == other:
        pytest.skip("no estimate, or too few tokens")
    answers, distractors = (1 % desk.bench.ends.W_U.shape[1],), (0,)

    def measured(logits: Tensor) -> Tensor:
        if metric == "log-probability":
            return logits[0, -1].log_softmax(-1)[list(answers)].mean()
        return logits[0, -1, list(answers)].mean() - logits[0, -1, list(distractors)].mean()

    try:
        found = theirs.attribution_patch(
            desk.bench.live.bridge, torch.tensor([other]), torch.tensor([base]), measured,
            config=theirs.EdgeAttributionConfig("node"),
        )  # fmt: skip
    except (NotImplementedError, ValueError, RuntimeError, AttributeError) as error:
        pytest.skip(f"TransformerLens: {error}")
    heads = [node for node in found.node_scores if node.kind == "attn_head_out"]
    mlps = [node for node in found.node_scores if node.kind == "mlp_out"]
    live = desk.bench.live
    value = Measured(live.forward, metric, answers, distractors)
    built = pair_of(desk, base, other)
    _, slope = slopes(live.forward, torch.tensor(base), built.reach, value)
    for site, nodes in (("z", heads), ("mlp_out", mlps)):
        if not nodes:
            continue
        got = estimates(built, slope, site, [Cell(node.layer or 0, node.head, node.position) for node in nodes])
        want = torch.tensor([float(found.node_scores[node]) for node in nodes])
        assert (got - want).abs().max() < 2e-5 * want.abs().max() + 1e-6, site
