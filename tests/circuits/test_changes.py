"""Interventions against the same changes made by hand in the float64 reference; and on every architecture, both ways
of running them against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk
from tests.circuits.reference import Array, unchanged
from tui.circuits.errors import Refusal
from tui.circuits.tensors import Trace
from tui.engine.jobs import (
    Ablation,
    AddVector,
    Attribution,
    Change,
    Continuation,
    CutEdge,
    Neurons,
    NextTokens,
    Patch,
    Pattern,
    PreparePrompts,
    PromptRow,
    Prompts,
    Residual,
    Run,
    ScoreParts,
    Sources,
    StackEffect,
    SteeringDirection,
    Target,
    Unchanged,
)
from tui.engine.jobs.parts import Forward
from tui.results import Capabilities

OTHER = (70, 259, 257, 65, 260, 3, 259)
ROWS = ("king of France", "Mary is queen", "the capital of London is Paris")


def traced(desk: Desk, *changes: Change, ids: tuple[int, ...] = IDS) -> Trace:
    made: Trace = desk.get(Forward(replace(desk.run(*ids), interventions=changes)))
    return made


def prompts(desk: Desk, rows: tuple[str, ...] = ROWS) -> Prompts:
    made: Prompts = desk.get(PreparePrompts(desk.key, "rows.txt", tuple(map(PromptRow, rows)), False))
    return made


def close(got: torch.Tensor, want: Array) -> None:
    assert np.abs(got.double().numpy() - want).max() <= 2e-5 * np.abs(want).max()


def at(point: str, layer: int, head: int, new: Callable[[Array], Array]) -> Callable[[str, int, int, Array], Array]:
    """A change of the reference."""

    def change(name: str, one: int, index: int, value: Array) -> Array:
        return new(value.copy()) if (name, one) == (point, layer) and head in (index, None) else value

    return change


def put(value: Array, where: object, new: object) -> Array:
    value[where] = new
    return value


def reference_z(pair: Pair, rows: Prompts, layer: int, head: int) -> Array:
    """``[rows · positions, d_head]`` over a reference."""
    return np.concatenate([pair.want.forward(list(run.ids)).z[layer, head] for run in rows.runs])


def test_nothing_changed_is_the_run_itself(pair: Pair) -> None:
    assert pair.desk.get(Forward(replace(pair.desk.run(*IDS), interventions=()))) is traced(pair.desk)
    clean = traced(pair.desk)
    assert torch.equal(traced(pair.desk, Ablation("L1H1", "scale", amount=1.0)).logits, clean.logits)
    halved = traced(pair.desk, Ablation("L1H1", "scale", amount=0.5))
    assert torch.equal(halved.resid_pre[:2], clean.resid_pre[:2]), "what lies below is taken over"
    assert not torch.equal(halved.resid_pre[2], clean.resid_pre[2])


@pytest.mark.parametrize("layer", [0, 1])
def test_a_head_is_zeroed(pair: Pair, layer: int) -> None:
    want = pair.want.forward(list(IDS), at("z", layer, 2, lambda z: 0 * z))
    got = traced(pair.desk, Ablation(f"L{layer}H2"))
    close(got.logits, want.logits)
    for number, stream in enumerate(want.stream):
        close(got.resid_pre[number], stream)
    assert not got.z[layer][:, 2].any()


def test_a_zeroed_head_can_keep_its_value_bias(pair: Pair) -> None:
    for weights in ("raw", "processed"):
        head = pair.want.heads[0][1] if weights == "raw" else pair.want.processed(0, 1)
        want = pair.want.forward(list(IDS), at("z", 0, 1, lambda z, b=head.b_V: 0 * z + b))
        got = traced(pair.desk, Ablation("L0H1", "zero, value biases folded", weights=weights))
        close(got.logits, want.logits)
    if pair.name == "gpt2":
        assert not torch.allclose(got.logits, traced(pair.desk, Ablation("L0H1")).logits, atol=1e-3)


def test_some_positions(pair: Pair) -> None:
    want = pair.want.forward(list(IDS), at("z", 0, 3, lambda z: put(z, [2, 6], 0)))
    close(traced(pair.desk, Ablation("L0H3", positions=(2, -1))).logits, want.logits)


def test_a_head_is_scaled(pair: Pair) -> None:
    want = pair.want.forward(list(IDS), at("z", 1, 0, lambda z: -2.5 * z))
    close(traced(pair.desk, Ablation("L1H0", "scale", amount=-2.5)).logits, want.logits)


def test_an_mlp_and_a_neuron(pair: Pair) -> None:
    want = pair.want.forward(list(IDS), at("mlp", 0, -1, lambda out: 0 * out))
    close(traced(pair.desk, Ablation("L0.mlp")).logits, want.logits)
    want = pair.want.forward(list(IDS), at("act", 1, -1, lambda act: put(act, (slice(None), 5), 0)))
    close(traced(pair.desk, Ablation("L1N5")).logits, want.logits)


def test_everything_gone_leaves_the_direct_path_and_the_biases(pair: Pair) -> None:
    got = traced(pair.desk, Ablation("L0"), Ablation("L1"))
    want = pair.want.W_E[list(IDS)] + sum(pair.want.b_O)
    if pair.want.W_pos is not None:
        want = want + pair.want.W_pos[: len(IDS)]
    close(got.resid_pre[-1], want)
    close(got.logits, pair.want.final(want) @ pair.want.W_U)


def test_the_mean_over_positions_of_a_reference(pair: Pair) -> None:
    rows = prompts(pair.desk)
    mean = reference_z(pair, rows, 0, 2).mean(0)
    want = pair.want.forward(list(IDS), at("z", 0, 2, lambda z: 0 * z + mean))
    close(traced(pair.desk, Ablation("L0H2", "mean", reference=rows)).logits, want.logits)


def test_the_mean_per_position_of_a_reference_of_the_prompts_length(pair: Pair) -> None:
    rows = prompts(pair.desk)
    same = replace(rows, key="same", runs=tuple(pair.desk.run(*ids) for ids in (IDS, OTHER)))
    passes = [pair.want.forward(list(ids)) for ids in (IDS, OTHER)]
    z = np.mean([one.z[1, 3] for one in passes], 0)
    want = pair.want.forward(list(IDS), at("z", 1, 3, lambda _: z))
    close(traced(pair.desk, Ablation("L1H3", "mean", reference=same)).logits, want.logits)
    out = np.mean([one.mlp[0] for one in passes], 0)
    want = pair.want.forward(list(IDS), at("mlp", 0, -1, lambda _: out))
    close(traced(pair.desk, Ablation("L0.mlp", "mean", reference=same)).logits, want.logits)
    act = np.mean([one.act[1] for one in passes], 0)
    want = pair.want.forward(list(IDS), at("act", 1, -1, lambda own: put(own, (slice(None), 7), act[:, 7])))
    close(traced(pair.desk, Ablation("L1N7", "mean", reference=same)).logits, want.logits)


def test_resampling_takes_another_prompts_activation(pair: Pair) -> None:
    rows = replace(prompts(pair.desk), key="one", runs=(pair.desk.run(*OTHER),))
    z = pair.want.forward(list(OTHER)).z[0, 1]
    want = pair.want.forward(list(IDS), at("z", 0, 1, lambda _: z))
    close(traced(pair.desk, Ablation("L0H1", "resample", reference=rows)).logits, want.logits)
    with pytest.raises(Refusal, match="has 7 tokens"):
        traced(pair.desk, Ablation("L0H1", "resample", reference=prompts(pair.desk)))


def test_noise_is_of_the_activations_own_size(pair: Pair) -> None:
    rows = prompts(pair.desk)
    clean = traced(pair.desk)
    none = traced(pair.desk, Ablation("L0H1", "noise", amount=0.0, reference=rows))
    assert torch.equal(none.logits, clean.logits), "bit for bit"
    one, same, other = (
        traced(pair.desk, Ablation("L0H1", "noise", amount=2.0, seed=seed, reference=rows)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.logits, same.logits)
    assert not torch.allclose(one.logits, other.logits)
    drawn = (one.z[0][:, 1] - clean.z[0][:, 1]) / 2
    spread = torch.from_numpy(reference_z(pair, rows, 0, 1).std(0))
    ratio = (drawn / spread).std()
    assert 0.7 < float(ratio) < 1.3


@pytest.mark.parametrize("how", ["knockout", "drop"])
def test_an_edge_is_cut(pair: Pair, how: str) -> None:
    point, new = ("score", -np.inf) if how == "knockout" else ("pattern", 0.0)
    want = pair.want.forward(list(IDS), at(point, 1, 2, lambda cells: put(cells, (5, 3), new)))
    got = traced(pair.desk, CutEdge("L1H2", 5, 3, how))
    close(got.logits, want.logits)
    rest = float(got.patterns[1][2, 5].sum())
    assert (abs(rest - 1) < 1e-6) == (how == "knockout")
    with pytest.raises(Refusal, match="masked"):
        traced(pair.desk, CutEdge("L1H2", 3, 5, how))


def test_the_only_edge_cannot_be_knocked_out(pair: Pair) -> None:
    with pytest.raises(Refusal, match="nothing to attend to"):
        traced(pair.desk, CutEdge("L1H2", 0, 0))
    got = traced(pair.desk, CutEdge("L1H2", 0, 0, "drop"))
    assert not got.z[1][0, 2].any()


def test_patches_take_the_other_prompts_activation(pair: Pair) -> None:
    other = pair.want.forward(list(OTHER))
    source = pair.desk.run(*OTHER)
    want = pair.want.forward(list(IDS), at("z", 0, 1, lambda z: put(z, 4, other.z[0, 1][4])))
    close(traced(pair.desk, Patch("L0H1", source, (4,))).logits, want.logits)
    want = pair.want.forward(list(IDS), at("stream", 1, -1, lambda x: put(x, 2, other.stream[1][2])))
    close(traced(pair.desk, Patch("L1.pre", source, (2,))).logits, want.logits)
    want = pair.want.forward(list(IDS), at("pattern", 1, 2, lambda _: other.patterns[1][2]))
    close(traced(pair.desk, Patch("L1H2.pattern", source)).logits, want.logits)


def test_the_whole_stream_patched_is_the_other_prompt(pair: Pair) -> None:
    got = traced(pair.desk, Patch("L0.pre", pair.desk.run(*OTHER)))
    assert torch.equal(got.resid_pre[0], traced(pair.desk, ids=OTHER).resid_pre[0])
    close(got.logits, pair.want.forward(list(OTHER)).logits)


def test_q_k_v_of_another_prompt_together_are_its_z(pair: Pair) -> None:
    source = pair.desk.run(*OTHER)
    got = traced(pair.desk, *(Patch(f"L1H3.{side}", source) for side in "qkv"))
    close(got.z[1][:, 3], pair.want.forward(list(OTHER)).z[1, 3])
    own = pair.want.forward(list(IDS))
    close(got.z[1][:, 0], own.z[1, 0])  # of another key/value group
    shared = pair.name == "llama"  # heads 2 and 3 read the same keys and values
    moved = np.abs(got.z[1][:, 2].double().numpy() - own.z[1, 2]).max()
    assert (moved > 1e-2) == shared


def test_a_vector_is_added_and_is_a_part_of_its_own(pair: Pair) -> None:
    vector = tuple(np.linspace(-1, 1, pair.want.W_E.shape[1]).tolist())
    towards = SteeringDirection("mine", "given", numbers=vector)
    want = pair.want.forward(list(IDS), at("stream", 1, -1, lambda x: put(x, 3, x[3] + 4 * np.array(vector))))
    run = replace(pair.desk.run(*IDS), interventions=(AddVector(1, towards, 4.0, (3,), unit=False),))
    got: Trace = pair.desk.get(Forward(run))
    close(got.logits, want.logits)
    grid = pair.desk.get(Residual(run))
    row = grid.rows.labels.index("L1.added")
    assert grid.values[row, 3] == pytest.approx(4 * np.linalg.norm(vector), rel=1e-4)
    assert not grid.values[row, :3].any()
    table = pair.desk.get(Attribution(run, 3, Target((257,)), "head"))
    assert table.header.checks["error"] < 1e-3


def test_a_direction_by_its_tokens_at_the_streams_own_length(pair: Pair) -> None:
    towards = SteeringDirection("a − b", "token", (257, 259))
    clean, got = traced(pair.desk), traced(pair.desk, AddVector(1, towards, 0.5, (2, 4)))
    moved = (got.resid_pre[1] - clean.resid_pre[1]).double().numpy()
    d = pair.want.W_U[:, 257] - pair.want.W_U[:, 259]
    size = np.linalg.norm(clean.resid_pre[1][[2, 4]].double().numpy(), axis=1).mean()
    np.testing.assert_allclose(moved[2], 0.5 * size * d / np.linalg.norm(d), atol=1e-4)
    assert not moved[[0, 1, 3, 5, 6]].any()


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("L9H0", "does not exist"), ("L0H9", "does not exist"), ("L9.mlp", "layers of"), ("L0N99999", "neurons"),
        ("nonsense", "no part of a model"), ("L0.bias", "no part of a model"),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused(pair: Pair, part: str, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        traced(pair.desk, Ablation(part))
    with pytest.raises(Refusal, match="positions are 0 to 6"):
        traced(pair.desk, Ablation("L0H0", positions=(7,)))
    with pytest.raises(Refusal, match="needs a file"):
        traced(pair.desk, Ablation("L0H0", "mean"))
    with pytest.raises(Refusal, match="2 tokens, this one 7"):
        traced(pair.desk, Patch("L0H0", pair.desk.run(1, 2)))


def test_the_model_is_bit_for_bit_what_it_was(pair: Pair) -> None:
    before = pair.desk.bench.live.trace(list(IDS)).logits
    traced(pair.desk, Ablation("L0H0"), CutEdge("L1H1", 4, 2), Ablation("L1N3"))
    with pytest.raises(Refusal):
        traced(pair.desk, Ablation("L0H0"), Ablation("L9H0"))
    assert torch.equal(pair.desk.bench.live.trace(list(IDS)).logits, before)


def test_what_a_change_has_set_is_not_explained_by_the_weights(pair: Pair) -> None:
    def on(*changes: Change) -> Run:
        return replace(pair.desk.run(*IDS), interventions=changes)

    gone, other = Ablation("L1H2"), Ablation("L0H2")
    target = Target((257,))
    for job in (
        Pattern(on(gone), 1, 2, "value-weighted"), Sources(on(gone), 1, 2, target),
        Neurons(on(Ablation("L1N3")), 1, -1), Neurons(on(Ablation("L1")), 1, -1),
        ScoreParts(on(CutEdge("L1H2", 4, 2)), 1, 2, 4, 3),
        Attribution(on(Ablation("L1.mlp")), -1, target, "neuron", layer=1),
    ):  # fmt: skip
        with pytest.raises(Refusal, match="is in force"):
            pair.desk.get(job)
    for job in (
        Pattern(on(gone), 1, 1, "value-weighted"), Sources(on(other), 1, 2, target), Neurons(on(gone), 1, -1),
        ScoreParts(on(other), 1, 2, 4, 3), Attribution(on(gone), -1, target, "head"), Residual(on(gone)),
    ):  # fmt: skip
        checks = pair.desk.get(job).header.checks
        assert all(value < 1e-3 for name, value in checks.items() if name not in ("value", "sum", "score"))
    cut = pair.desk.get(Pattern(on(CutEdge("L1H2", 4, 2)), 1, 2))
    assert not any("softmax" in name for name in cut.header.checks)
    assert cut.values[4, 2] == 0


def test_what_a_stack_does_to_an_answer(pair: Pair) -> None:
    """Each by itself and those that are on together, against the reference; rows in the order of the stack."""
    first, second = Ablation("L0H1"), CutEdge("L1H2", 6, 3)
    target = Target((257,), (259,))
    table = pair.desk.get(StackEffect(pair.desk.run(*IDS), ((first, True), (second, False)), -1, target))
    assert [row[0] for row in table.rows] == ["clean", "all of them", "L0H1 zero", "L1H2 6→3 knockout (off)"]
    gone = at("z", 0, 1, lambda z: 0 * z)
    cut = at("score", 1, 2, lambda cells: put(cells, (6, 3), -np.inf))
    logits = [pair.want.forward(list(IDS), change).logits[-1] for change in (unchanged, gone, gone, cut)]
    for row, own in zip(table.rows, logits, strict=True):
        shares, base = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (own, logits[0]))
        want = [
            own[257] - own[259], (own[257] - own[259]) - (logits[0][257] - logits[0][259]), shares[257],
            1 + (own > own[257]).sum(), (base * np.log(base / shares)).sum(),
        ]  # fmt: skip
        np.testing.assert_allclose(row[1:], want, rtol=1e-4, atol=2e-5)


def said(pair: Pair, change: Callable[[str, int, int, Array], Array], n: int) -> list[int]:
    """Greedy tokens of the reference."""
    ids = list(IDS)
    for _ in range(n):
        ids.append(int(pair.want.forward(ids, change).logits[-1].argmax()))
    return ids[len(IDS) :]


def test_what_the_model_says_next_clean_and_changed(pair: Pair) -> None:
    table = pair.desk.get(Continuation(pair.desk.run(*IDS), 6))
    assert [row[2] for row in table.rows] == said(pair, unchanged, 6)
    first = pair.want.forward(list(IDS)).logits[-1]
    share = 1 / np.exp(first - first.max()).sum()
    assert table.rows[0][3] == pytest.approx(share, rel=1e-4)
    assert [row[0] for row in table.rows] == list(range(7, 13))
    gone = Ablation("L0H2")
    table = pair.desk.get(Continuation(replace(pair.desk.run(*IDS), interventions=(gone,)), 6))
    assert [row[2] for row in table.rows] == said(pair, unchanged, 6)
    assert [row[5] for row in table.rows] == said(pair, at("z", 0, 2, lambda z: 0 * z), 6)
    last = replace(gone, positions=(-1,))
    table = pair.desk.get(Continuation(replace(pair.desk.run(*IDS), interventions=(last,)), 4))
    assert [row[5] for row in table.rows] == said(pair, at("z", 0, 2, lambda z: put(z, 6, 0)), 4), "the prompt's last"


def test_drawn_words_are_those_of_the_seed(pair: Pair) -> None:
    def drawn(seed: int) -> list[int]:
        return [row[2] for row in pair.desk.get(Continuation(pair.desk.run(*IDS), 8, 2.0, seed)).rows]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    long = pair.desk.get(Continuation(pair.desk.run(*range(30)), 8))
    assert len(long.rows) == 2, "the model reads 32"
    with pytest.raises(Refusal, match="as many as"):
        pair.desk.get(Continuation(pair.desk.run(*range(32)), 8))
    with pytest.raises(Refusal, match="cannot be asked for at once"):
        pair.desk.get(Continuation(pair.desk.run(*IDS), 0))


@pytest.mark.parametrize("name", EVERY)
def test_plain_forward_and_hooks_agree(
    desk_of: Callable[[str, str], Desk], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(name, "float32")
    capabilities: Capabilities = desk.info.capabilities
    assert not capabilities.plain
    changes = [Ablation("L1H1"), Ablation("L0H0", "scale", amount=0.5)]
    if desk.info.has_mlp:
        changes.append(Ablation("L0.mlp", "scale", amount=2.0))
    ids = tuple(id % desk.info.d_vocab for id in IDS)
    plain = traced(desk, *changes, ids=ids)
    monkeypatch.setattr(desk.bench.live, "info", replace(desk.info, capabilities=replace(capabilities, plain="no")))
    run = replace(desk.run(*ids), interventions=tuple(changes))
    hooked: Trace = desk.bench.compute(Forward(run), desk)
    size = hooked.logits.abs().max()
    assert (plain.logits - hooked.logits).abs().max() < 1e-5 * size
    assert (plain.resid_pre - hooked.resid_pre).abs().max() < 1e-5 * hooked.resid_pre.abs().max()
    assert (plain.logits - traced(desk, ids=ids).logits).abs().max() > 1e-3 * size
    assert len(desk.get(NextTokens(run, -1)).rows) == 10


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_a_long_changed_prompt_has_one_pass_and_each_layer_s_pattern(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, hooked: bool, same: bool
) -> None:
    """The same bits as where all patterns are kept, below the change, in its layer and above."""
    desk = pair.desk
    info = desk.info
    if hooked:
        plain = replace(info, capabilities=replace(info.capabilities, plain="no"))
        monkeypatch.setattr(desk.bench.live, "info", plain)
    made = (Ablation("L1H1", "scale", amount=0.5), CutEdge("L1H2", 4, 1, "drop"))
    run = replace(desk.run(*IDS, 71), interventions=(Unchanged(made),) if same else made)
    monkeypatch.setattr(desk, "values", {})
    whole: Trace = desk.get(Forward(run))
    monkeypatch.setattr("tui.engine.opened.KEPT", 0)
    monkeypatch.setattr(desk, "values", {})
    passes, own = [], desk.bench.live.trace
    monkeypatch.setattr(desk.bench.live, "trace", lambda *a, **k: passes.append(1) or own(*a, **k))
    for layer in range(info.n_layers):
        one: Trace = desk.get(Forward(run, layer))
        for kept in ("patterns", "queries", "keys", "values"):
            assert torch.equal(getattr(one, kept)[layer], getattr(whole, kept)[layer]), (layer, kept)
    assert len(passes) == 1 + (hooked and not same)
    assert torch.equal(one.logits, whole.logits)


def test_a_change_that_cannot_be_stays_on_the_list_with_the_reason(pair: Pair) -> None:
    desk = pair.desk
    changes = ((Ablation("L0H1"), True), (Ablation("L0H1", positions=(40,)), False))
    table = desk.get(StackEffect(desk.run(*IDS), changes, -1, Target((70,), (65,))))
    assert [row[0] for row in table.rows] == ["clean", "all of them", "L0H1 zero", "L0H1 zero @40 (off)"]
    assert table.rows[3][1:] == (None,) * 5
    assert "Position 40 is not in the prompt" in str(table.header.details["L0H1 zero @40 (off)"])
    assert table.rows[1][1:] == table.rows[2][1:]
