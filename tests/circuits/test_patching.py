"""Patches against the same change made by hand in the float64 reference, against TransformerLens, and against
themselves."""

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
from tui.circuits.patching import HEADS, STREAM, Cell, Measured, Pair, Sweep, record

OTHER = (65, 257, 259, 257, 70, 65, 3)
"""As long as ``IDS``, and the same up to position 3."""
ANSWERS, DISTRACTORS = (257, 259), (260,)


def pair_of(desk: Desk, base: Sequence[int] = IDS, other: Sequence[int] = OTHER) -> Pair:
    live = desk.bench.live
    reach = live.reach(len(base))
    tapes = [record(live.forward, torch.tensor(ids), reach) for ids in (base, other)]

    def mlp(layer: int):  # type: ignore[no-untyped-def]
        return live.mlp(layer)

    return Pair(live.forward, *tapes, reach, mlp)


def sweep_of(desk: Desk, metric: str = "logit difference", clean: Tensor | None = None) -> Sweep:
    return Sweep(pair_of(desk), Measured(desk.bench.live.forward, metric, ANSWERS, DISTRACTORS, clean))


def swept(sweep: Sweep, site: str, cells: Sequence[Cell]) -> dict[Cell, float]:
    out = {}
    for batch in sweep.batches(site, cells):
        out |= dict(zip(batch, sweep.values(site, batch).tolist(), strict=True))
    assert set(out) == set(cells)
    return out


def cells(desk: Desk, site: str, by_position: bool) -> list[Cell]:
    info = desk.info
    count = info.n_key_value_heads if site in ("k", "v") else info.n_heads
    places: list[int | None] = list(range(len(IDS))) if by_position else [None]
    indices: list[int | None] = list(range(count)) if site in HEADS else [None]
    return [Cell(layer, i, p) for layer in range(info.n_layers) for i in indices for p in places]


def difference(logits: Array) -> float:
    return float(logits[-1, list(ANSWERS)].mean() - logits[-1, list(DISTRACTORS)].mean())


def by_hand(models: Models, site: str, cell: Cell) -> float:
    """One patch in the reference."""
    want = models.want
    new = want.forward(list(OTHER))
    at = slice(None) if cell.position is None else slice(cell.position, cell.position + 1)
    size = models.desk.info.n_heads // models.desk.info.n_key_value_heads if site in ("k", "v") else 1
    heads = range((cell.node or 0) * size, (cell.node or 0) * size + size)
    sides = {}
    if site in ("q", "k", "v"):
        sides = {head: projections(models, cell.layer, head, new.stream[cell.layer]) for head in heads}

    def change(point: str, layer: int, head: int, value: Array) -> Array:
        value = value.copy()
        ours = {"resid_pre": "stream", "mlp_out": "mlp", "z": "z", "pattern": "pattern"}.get(site)
        if point == ours and layer == cell.layer and head in (-1, cell.node):
            source = {
                "stream": lambda: new.stream[layer], "mlp": lambda: new.mlp[layer],
                "z": lambda: new.z[layer, head], "pattern": lambda: new.patterns[layer][head],
            }[point]()  # fmt: skip
            value[at] = source[at]
        return value

    if not sides:
        return difference(want.forward(list(IDS), change).logits)
    own = {head: projections(models, cell.layer, head, want.forward(list(IDS)).stream[cell.layer]) for head in heads}

    def with_side(point: str, layer: int, head: int, value: Array) -> Array:
        if point != "z" or layer != cell.layer or head not in sides:
            return value
        return attended(models, site, at, own[head], sides[head])

    return difference(want.forward(list(IDS), with_side).logits)


def attended(
    models: Models, site: str, at: slice, own: tuple[Array, Array, Array], new: tuple[Array, Array, Array]
) -> Array:
    """A head's z with one of q, k and v (or q and k of a pattern's rows) those of the other run."""
    want = models.want
    scored = []
    for sides in ((own, new) if site == "pattern" else (own,)):
        q, k, v = (part.copy() for part in sides)
        if site != "pattern":
            (q, k, v)["qkv".index(site)][at] = new["qkv".index(site)][at]
        if want.rope is not None:
            q, k = want.rope(q, np.arange(len(q))), want.rope(k, np.arange(len(k)))
        scores = np.where(np.tril(np.ones((len(q), len(q)), dtype=bool)), q @ k.T / want.attn_scale, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        scored.append((weights / weights.sum(-1, keepdims=True), v))
    pattern, v = scored[0]
    if site == "pattern":
        pattern = pattern.copy()
        pattern[at] = scored[1][0][at]
    made: Array = pattern @ v
    return made


def projections(models: Models, layer: int, head: int, stream: Array) -> tuple[Array, Array, Array]:
    read, weights = models.want.norms[layer](stream), models.want.heads[layer][head]
    return (read @ weights.W_Q + weights.b_Q, read @ weights.W_K + weights.b_K, read @ weights.W_V + weights.b_V)


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("site", ["resid_pre", "mlp_out", *HEADS])
def test_every_cell_is_the_change_made_by_hand(pair: Models, site: str, by_position: bool) -> None:
    sweep = sweep_of(pair.desk)
    found = swept(sweep, site, cells(pair.desk, site, by_position))
    want = {cell: by_hand(pair, site, cell) for cell in found}
    size = max(map(abs, want.values()))
    assert max(abs(found[cell] - want[cell]) for cell in found) < 5e-6 * size + 1e-6
    apart = len({round(value, 5) for value in found.values()}) > 1
    assert apart or (site, by_position) == ("resid_pre", False), "they are not all the same"


@pytest.mark.parametrize("site", [*STREAM, *HEADS])
def test_the_same_with_edits_of_the_whole_forward_pass(pair: Models, site: str) -> None:
    """What is saved changes no number: neither the layers below nor the positions before nor the narrow last block."""
    sweep = sweep_of(pair.desk)
    forward, at = pair.desk.bench.live.forward, {"resid_pre": "pre", "resid_mid": "mid"}
    ids = torch.tensor([IDS])
    kept: dict[tuple[str, int], Tensor] = {}

    def keep(point: str, layer: int):  # type: ignore[no-untyped-def]
        return lambda value: kept.setdefault((point, layer), value)

    forward.run(forward.embed(torch.tensor([OTHER])), sweep.pair.reach, edits={
        (site, layer): keep(site, layer) for layer in range(pair.desk.info.n_layers)
    })  # fmt: skip
    for cell, got in swept(sweep, site, cells(pair.desk, site, True)).items():

        def edit(value: Tensor, cell: Cell = cell) -> Tensor:
            out, new = value.clone(), kept[site, cell.layer]
            place: tuple[object, ...] = (slice(None), cell.position)
            if site == "pattern":
                place = (slice(None), cell.node, cell.position)
            elif site in HEADS:
                place = (slice(None), cell.position, cell.node)
            out[place] = new[place]
            return out

        final = forward.run(forward.embed(ids), sweep.pair.reach, edits={(site, cell.layer): edit})
        want = float(sweep.value(final[:, -1])[0])
        assert got == pytest.approx(want, abs=2e-5), (site, cell, at)


def test_everything_patched_is_the_other_run_and_nothing_this_one_bit_for_bit(pair: Models) -> None:
    sweep = sweep_of(pair.desk)
    base, other = sweep.ends()
    (whole,) = sweep.values("resid_pre", [Cell(0)])
    assert float((whole - base) / (other - base)) == 1.0
    at = [*OTHER[:3], *IDS[3:4], *OTHER[4:]]
    one = Sweep(pair_of(pair.desk, at, OTHER), sweep.value)
    base_of_one, same = one.ends()
    values = {cell: value for batch in one.batches("resid_pre", [Cell(0, None, n) for n in range(7)])
              for cell, value in zip(batch, one.values("resid_pre", batch), strict=True)}  # fmt: skip
    ratio = (values[Cell(0, None, 3)] - base_of_one) / (same - base_of_one)
    assert float(ratio) == 1.0, "one token that differs is all that does"
    unchanged = [Cell(0, None, place) for place in range(3)]
    assert sweep.batches("resid_pre", unchanged) == [unchanged], "the prompts begin alike"
    assert ((sweep.values("resid_pre", unchanged) - base) / (other - base)).tolist() == [0.0] * 3
    last = pair.desk.info.n_layers - 1
    assert sweep.values("z", [Cell(last, 0, 4)]).tolist() == [float(base)], "nothing reads it"
    assert sweep.start("v", Cell(last, 0, 4)) == 4, "the last position attends to it"


def test_patching_a_prompt_with_itself_changes_nothing(pair: Models) -> None:
    same = pair_of(pair.desk, IDS, IDS)
    sweep = Sweep(same, Measured(pair.desk.bench.live.forward, "logit difference", ANSWERS, DISTRACTORS))
    base, other = sweep.ends()
    assert float(base) == float(other)
    for site in ("resid_pre", "z", "v"):
        for value in swept(sweep, site, cells(pair.desk, site, False)).values():
            assert value == pytest.approx(float(base), abs=1e-5)


def test_a_neuron(pair: Models) -> None:
    sweep = sweep_of(pair.desk)
    new = pair.want.forward(list(OTHER))
    every = [Cell(layer, 5, place) for layer in range(2) for place in (None, 4)]
    for cell, got in swept(sweep, "neuron", every).items():
        at = slice(None) if cell.position is None else cell.position

        def change(point: str, layer: int, head: int, value: Array, cell: Cell = cell, at: object = at) -> Array:
            value = value.copy()
            if (point, layer) == ("act", cell.layer):
                value[at, 5] = new.act[layer][at, 5]
            return value

        assert got == pytest.approx(difference(pair.want.forward(list(IDS), change).logits), abs=1e-5)


@pytest.mark.parametrize("metric", ["logit difference", "log-probability", "probability", "rank", "KL"])
def test_metrics_are_those_of_the_whole_logits(pair: Models, metric: str) -> None:
    forward = pair.desk.bench.live.forward
    clean = forward.logits(forward.run(forward.embed(torch.tensor([OTHER])), pair.desk.bench.live.reach(7))[0, -1])
    sweep = sweep_of(pair.desk, metric, clean)
    _, other = sweep.ends()
    logits = clean[None]
    want = {
        "logit difference": logits[:, list(ANSWERS)].mean(-1) - logits[:, list(DISTRACTORS)].mean(-1),
        "log-probability": logits.log_softmax(-1)[:, list(ANSWERS)].mean(-1),
        "probability": logits.softmax(-1)[:, list(ANSWERS)].mean(-1),
        "rank": sum(1 + (logits > logits[:, [a]]).sum(-1) for a in ANSWERS) / 2,
        "KL": torch.zeros(1),
    }[metric]
    assert float(other) == pytest.approx(float(want), abs=1e-5)
    no_distractor = Measured(forward, "logit difference", ANSWERS)
    final = sweep.pair.base.pre[-1][-1:]
    whole = forward.logits(final)
    got = no_distractor(final)
    assert float(got) == pytest.approx(float(whole[:, list(ANSWERS)].mean() - whole.mean()), abs=1e-5)


@pytest.mark.parametrize("memory", [1, 1 << 16, 1 << 30])
def test_batches_take_the_memory_that_they_may(pair: Models, memory: int) -> None:
    every = cells(pair.desk, "z", True)
    large = swept(sweep_of(pair.desk), "z", every)
    sweep = Sweep(pair_of(pair.desk), sweep_of(pair.desk).value, memory)
    small = swept(sweep, "z", every)
    batches = sweep.batches("z", every)
    assert (max(map(len, batches[1:])) == 1) == (memory == 1)
    assert all(len({cell.layer for cell in batch}) == 1 for batch in batches[1:])
    assert small == pytest.approx(large, abs=1e-5)


# --- every architecture ---


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("site", ["q", "v", "pattern", "z", "mlp_out"])
def test_every_architecture_by_edits(desk_of: Callable[[str, str], Desk], name: str, site: str) -> None:
    """Post-norms, norms over all heads at once, windows, parallel blocks: as the forward pass with an edit."""
    desk = desk_of(name, "float32")
    if desk.info.capabilities.plain or (site == "mlp_out" and not desk.info.has_mlp):
        pytest.skip("not from plain tensors")
    base, other = (tuple(id % desk.info.d_vocab for id in ids) for ids in (IDS, OTHER))
    if base == other:
        pytest.skip("too few tokens")
    forward = desk.bench.live.forward
    pair = pair_of(desk, base, other)
    outputs = desk.bench.ends.W_U.shape[1]
    value = Measured(forward, "logit difference", (1 % outputs,), (0,))
    every = [Cell(0, 0, 5), Cell(0, 0), Cell(1, 0, 6)]
    kept: dict[int, Tensor] = {}
    forward.run(forward.embed(torch.tensor([other])), pair.reach, edits={
        (site, layer): lambda value, layer=layer: kept.setdefault(layer, value) for layer in range(2)
    })  # fmt: skip
    for cell, got in swept(Sweep(pair, value), site, every).items():

        def edit(value: Tensor, cell: Cell = cell) -> Tensor:
            out, rows = value.clone(), pair.tokens_of(cell)
            place = (slice(None), cell.node, rows) if site == "pattern" else (slice(None), rows, cell.node)
            place = (slice(None), rows) if site == "mlp_out" else place  # type: ignore[assignment]
            out[place] = kept[cell.layer][place]
            return out

        final = forward.run(forward.embed(torch.tensor([base])), pair.reach, edits={(site, cell.layer): edit})
        want = float(value(final[:, -1])[0])
        assert got == pytest.approx(want, abs=2e-5 * float(final.abs().max())), (name, site, cell)


# --- TransformerLens ---


@pytest.mark.parametrize(
    ("function", "site"),
    [
        ("resid_pre", "resid_pre"), ("resid_mid", "resid_mid"), ("attn_out", "attn_out"), ("mlp_out", "mlp_out"),
        *((f"attn_head_{theirs}_all_pos", ours) for theirs, ours in zip(("out", *HEADS[1:]), HEADS, strict=True)),
        *((f"attn_head_{theirs}_by_pos", ours) for theirs, ours in zip(("out", *HEADS[1:]), HEADS, strict=True)),
    ],
)  # fmt: skip
def test_transformer_lens_gives_the_same(pair: Models, function: str, site: str) -> None:
    import transformer_lens.patching as theirs

    bridge, by_position = pair.desk.bench.live.bridge, not function.endswith("all_pos")
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([OTHER]))
        want = getattr(theirs, f"get_act_patch_{function}")(
            bridge, torch.tensor([IDS]), cache,
            lambda logits: logits[0, -1, list(ANSWERS)].mean() - logits[0, -1, list(DISTRACTORS)].mean(),
        )  # fmt: skip
    for cell, got in swept(sweep_of(pair.desk), site, cells(pair.desk, site, by_position)).items():
        place = [cell.layer, cell.node, cell.position]
        if site != "pattern" and by_position:
            place = [cell.layer, cell.position, cell.node]
        value = want[tuple(i for i in place if i is not None)]
        assert got == pytest.approx(float(value), abs=5e-6 * max(1.0, float(want.abs().max()))), cell
