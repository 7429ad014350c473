"""Paths against the same change made by hand in the float64 reference, against TransformerLens, and on the hand-built
model whose only path is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.circuits.conftest import EVERY, IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.desk import Desk
from tests.circuits.reference import Array, Norm, Pass
from tests.circuits.test_patching import ANSWERS, DISTRACTORS, OTHER, difference, pair_of, sweep_of
from tests.models.folders import gpt2_folder
from tui.circuits.estimate import slopes
from tui.circuits.patching import Measured, Sweep
from tui.circuits.paths import (
    EMBED,
    LOGITS,
    READS,
    VARIANTS,
    Paths,
    Receiver,
    Sender,
    differences,
    edges,
    receivers,
    senders,
)


def swept(paths: Paths, receiver: Receiver, variant: str) -> dict[Sender, float]:
    out: dict[Sender, float] = {}
    for batch in paths.batches(receiver):
        out |= dict(zip(batch, paths.values(receiver, batch, variant).tolist(), strict=True))
    return out


# --- by hand ---


def write_of(run: Pass, sender: Sender) -> Array:
    parts = dict(run.parts)
    if sender == EMBED:
        return parts["embed"] + parts.get("pos", 0.0)
    return parts[f"L{sender.layer}.mlp" if sender.head is None else f"L{sender.layer}H{sender.head}"]


def before(run: Pass, receiver: Receiver) -> Array:
    """The stream that a receiver reads."""
    if receiver.layer is None:
        return run.stream[-1]
    x = run.stream[receiver.layer]
    if receiver.kind != "mlp":
        return x
    own = (f"L{receiver.layer}H", f"L{receiver.layer}.bias")
    return x + sum(value for name, value in run.parts if name.startswith(own))


def norm_before(models: Models, receiver: Receiver) -> Norm:
    want = models.want
    if receiver.layer is None:
        return want.final
    return (want.mlp_norms if receiver.kind == "mlp" else want.norms)[receiver.layer]


def frozen(norm: Norm, x: Array, moved: Array) -> Array:
    both = x + moved
    if norm.kind == "LayerNorm":
        both = both - both.mean(-1, keepdims=True)
    return both / norm.scale(x) * norm.w + norm.b


def received(models: Models, receiver: Receiver, y: Array) -> float:
    """The logit difference of IDS when the receiver reads y behind its norm."""
    want, layer = models.want, receiver.layer
    if layer is None:
        return difference(y @ want.W_U)
    size = models.desk.info.n_heads // models.desk.info.n_key_value_heads if receiver.kind in ("k", "v") else 1
    node = receiver.node or 0
    heads = range(node * size, node * size + size)
    read = want.norms[layer](want.forward(list(IDS)).stream[layer])

    def change(point: str, at: int, head: int, value: Array) -> Array:
        if at != layer:
            return value
        if receiver.kind == "mlp" and point == "mlp":
            return want.neurons(layer, y) @ want.W_out[layer] + want.b_out[layer]
        if receiver.kind == "mlp" or point != "z" or head not in heads:
            return value
        w = want.heads[layer][head]
        q, k, v = ((y if side == receiver.kind else read) @ W + b for side, W, b in (
            ("q", w.W_Q, w.b_Q), ("k", w.W_K, w.b_K), ("v", w.W_V, w.b_V)))  # fmt: skip
        if want.rope is not None:
            q, k = want.rope(q, np.arange(len(q))), want.rope(k, np.arange(len(k)))
        scores = np.where(np.tril(np.ones((len(q), len(q)), dtype=bool)), q @ k.T / want.attn_scale, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        made: Array = weights / weights.sum(-1, keepdims=True) @ v
        return made

    return difference(want.forward(list(IDS), change).logits)


def by_hand(models: Models, receiver: Receiver, sender: Sender, variant: str) -> float:
    want, norm = models.want, norm_before(models, receiver)
    base, other = want.forward(list(IDS)), want.forward(list(OTHER))
    if variant == "direct":
        moved = write_of(other, sender) - write_of(base, sender)
        return received(models, receiver, frozen(norm, before(base, receiver), moved))

    def change(point: str, layer: int, head: int, value: Array) -> Array:
        if point == "z":
            return (other if sender == (layer, head) else base).z[layer, head]
        if point == "mlp" and sender == (layer, None):
            return other.mlp[layer]
        return other.stream[0] if (point, layer) == ("stream", 0) and sender == EMBED else value

    return received(models, receiver, norm(before(want.forward(list(IDS), change), receiver)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_path_is_the_change_made_by_hand(pair: Models, variant: str) -> None:
    paths = Paths(sweep_of(pair.desk))
    seen = 0
    for receiver in receivers(paths.pair.forward):
        found = swept(paths, receiver, variant)
        want = {sender: by_hand(pair, receiver, sender, variant) for sender in found}
        size = max(map(abs, want.values()))
        for sender, value in found.items():
            assert value == pytest.approx(want[sender], abs=5e-6 * size + 1e-6), (receiver, sender)
        seen += len({round(value, 5) for value in want.values()})
    assert seen > 60, "they are not all the same"


def test_who_sends_to_whom(pair: Models) -> None:
    forward, info = pair.desk.bench.live.forward, pair.desk.info
    heads = [[Sender(layer, head) for head in range(info.n_heads)] for layer in range(2)]
    assert senders(forward, Receiver("q", 0, 1)) == [EMBED]
    assert senders(forward, Receiver("mlp", 0)) == [EMBED, *heads[0]]
    assert senders(forward, Receiver("k", 1, 0)) == [EMBED, *heads[0], Sender(0)]
    assert senders(forward, LOGITS) == [EMBED, *heads[0], Sender(0), *heads[1], Sender(1)]
    named = list(receivers(forward))
    assert sum(receiver.kind == "k" for receiver in named) == 2 * info.n_key_value_heads
    assert named[-1] == LOGITS


def test_the_paths_to_the_logits_sum_to_the_difference_behind_the_frozen_norm(pair: Models) -> None:
    """No bias of attention differs between the prompts, so the senders are all that does."""
    sweep = sweep_of(pair.desk)
    paths = Paths(sweep)
    base = float(sweep.ends()[0])
    total = sum(value - base for value in swept(paths, LOGITS, "direct").values())
    want = pair.want
    one, other = (want.forward(list(ids)).stream[-1] for ids in (IDS, OTHER))
    whole = difference(frozen(want.final, one, other - one) @ want.W_U)
    assert total == pytest.approx(whole - difference(want.forward(list(IDS)).logits), abs=1e-4)


def test_a_sender_that_writes_the_same_changes_nothing_bit_for_bit(pair: Models) -> None:
    desk = pair.desk
    same = [*IDS[:-1], 5]  # only the last token differs
    paths = Paths(Sweep(pair_of(desk, IDS, same), sweep_of(desk).value))
    assert paths.pair.first == len(IDS) - 1
    alike = Paths(Sweep(pair_of(desk, IDS, IDS), sweep_of(desk).value))
    for variant in VARIANTS:
        assert set(swept(alike, Receiver("q", 1, 2), variant).values()) == {float(alike.ends()[0])}
        assert len(set(swept(paths, Receiver("q", 1, 2), variant).values())) > 3


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_batches_take_the_memory_that_they_may(pair: Models, memory: int) -> None:
    sweep = Sweep(pair_of(pair.desk), sweep_of(pair.desk).value, memory)
    receiver = Receiver("v", 1, 1)
    for variant in VARIANTS:
        whole = swept(Paths(sweep_of(pair.desk)), receiver, variant)
        assert swept(Paths(sweep), receiver, variant) == pytest.approx(whole, abs=1e-5)
    assert (max(map(len, Paths(sweep).batches(receiver))) == 1) == (memory == 1)


# --- every architecture ---


@pytest.mark.parametrize("name", EVERY)
def test_every_architecture_by_edits(desk_of: Callable[[str, str], Desk], name: str) -> None:
    """Post-norms, parallel blocks, norms over all heads: a patch of all senders at once is one of the receiver."""
    desk = desk_of(name, "float32")
    if desk.info.capabilities.plain:
        pytest.skip("not from plain tensors")
    base, other = (tuple(id % desk.info.d_vocab for id in ids) for ids in (IDS, OTHER))
    if base == other:
        pytest.skip("too few tokens")
    forward = desk.bench.live.forward
    pair = pair_of(desk, base, other)
    outputs = desk.bench.ends.W_U.shape[1]
    paths = Paths(Sweep(pair, Measured(forward, "logit difference", (1 % outputs,), (0,))))
    size = float(pair.base.pre[-1].detach().abs().max())
    for receiver in receivers(forward):
        moved = differences(pair, senders(forward, receiver)).sum(0)
        layer = forward.n_layers if receiver.layer is None else receiver.layer
        mid = receiver.kind == "mlp" and not forward.block(layer).parallel
        own, new = ((tape.mid if mid else tape.pre)[layer] for tape in (pair.base, pair.other))
        if forward.block(0).post_norm.kind == "none":  # else the scale of a bias or of all heads differs too
            assert (moved - (new - own)[pair.first :]).abs().max() < 1e-4 * size, receiver
        for variant in VARIANTS:
            assert np.isfinite(list(swept(paths, receiver, variant).values())).all()
    # A receiver in the first layer has one sender, and ioi recomputes its norm: that is a patch of the receiver itself.
    kept: list[torch.Tensor] = []
    forward.run(forward.embed(torch.tensor([other])), pair.reach, edits={("v", 0): lambda v: kept.append(v) or v})  # type: ignore[func-returns-value]

    def edit(value: torch.Tensor) -> torch.Tensor:
        out = value.clone()
        out[:, :, 0] = kept[0][:, :, 0]
        return out

    final = forward.run(forward.embed(torch.tensor([base])), pair.reach, edits={("v", 0): edit})
    got = swept(paths, Receiver("v", 0, 0), "ioi")[EMBED]
    assert got == pytest.approx(float(paths.value(final[:, -1])[0]), abs=2e-5 * size)


# --- the hand-built model ---


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_induction_heads_keys_read_is_the_previous_token_head(induction: Desk, variant: str) -> None:
    """a b c d … a: after the second a the head looks for the token that has an a before it; with another token in the
    place of the first a there is none."""
    clean, corrupted = (0, 1, 2, 3, 4, 0), (5, 1, 2, 3, 4, 0)
    base, other = (corrupted, clean) if variant == "direct" else (clean, corrupted)
    pair = pair_of(induction, base, other)
    sweep = Sweep(pair, Measured(induction.bench.live.forward, "logit difference", (1,), (2,)))
    found = swept(Paths(sweep), Receiver("k", 1, 0), variant)
    ends = [float(end) for end in sweep.ends()]
    low, high = ends if variant == "direct" else ends[::-1]
    recovered = {sender: (value - low) / (high - low) for sender, value in found.items()}
    nothing, all_of_it = (0.0, 1.0) if variant == "direct" else (1.0, 0.0)
    assert recovered.pop(Sender(0, 0)) == pytest.approx(all_of_it, abs=1e-3)
    assert list(recovered.values()) == pytest.approx([nothing] * 2, abs=1e-6), "the other head and the embedding"
    for side in "qv":
        other_side = swept(Paths(sweep), Receiver(side, 1, 0), variant)
        assert abs(other_side[Sender(0, 0)] - ends[0]) < 1e-5, side


# --- the estimate ---


def estimated(desk: Desk, base: tuple[int, ...] = IDS, other: tuple[int, ...] = OTHER) -> tuple[Paths, dict]:  # type: ignore[type-arg]
    pair, forward = pair_of(desk, base, other), desk.bench.live.forward
    outputs = desk.bench.ends.W_U.shape[1]
    answers, distractors = (tuple(id % outputs for id in ids) for ids in (ANSWERS, DISTRACTORS))
    value = Measured(forward, "logit difference", answers, distractors)
    _, slope = slopes(forward, torch.tensor(base), pair.reach, value, points=READS)
    return Paths(Sweep(pair, value)), edges(pair, slope, list(receivers(forward)), value)


def test_receivers_in_turns_change_no_number(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = estimated(pair.desk)
    monkeypatch.setattr("tui.circuits.paths.ROOM", 5 * 7 * 32 * 4)
    _, turns = estimated(pair.desk)
    assert turns.keys() == whole.keys()
    for receiver, values in turns.items():
        assert values == pytest.approx(whole[receiver], abs=1e-5)


def test_the_estimate_is_the_slope_of_the_path(pair: Models) -> None:
    """A thousandth of the way, in the reference, times a thousand."""
    paths, found = estimated(pair.desk)
    base, step = difference(pair.want.forward(list(IDS)).logits), 1e-3
    runs = pair.want.forward(list(IDS)), pair.want.forward(list(OTHER))
    for receiver, values in found.items():
        norm, x = norm_before(pair, receiver), before(runs[0], receiver)
        assert list(values) == senders(paths.pair.forward, receiver)
        for sender, got in values.items():
            moved = write_of(runs[1], sender) - write_of(runs[0], sender)
            want = (received(pair, receiver, frozen(norm, x, step * moved)) - base) / step
            assert got == pytest.approx(want, abs=2e-2 * abs(want) + 2e-3), (receiver, sender)
    exact = swept(paths, LOGITS, "direct")
    end = float(paths.ends()[0])
    for sender, got in found[LOGITS].items():
        assert got == pytest.approx(exact[sender] - end, abs=1e-4), "to the logits it is no estimate"


# --- TransformerLens ---


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A GPT-2 whose norms hardly depend on what they read, so that it makes no difference that TransformerLens computes
    them again."""
    folder = gpt2_folder(tmp_path_factory.mktemp("linear"), layer_norm_epsilon=1e6)
    state = load_file(folder / "model.safetensors")
    scaled = {name: value * 1e3 if ".ln_" in name and name.endswith("weight") else value for name, value in
              state.items()}  # fmt: skip
    save_file(scaled, folder / "model.safetensors", {"format": "pt"})
    return Desk(folder)


def metric(logits: torch.Tensor) -> torch.Tensor:
    return logits[0, -1, list(ANSWERS)].mean() - logits[0, -1, list(DISTRACTORS)].mean()


@pytest.mark.parametrize("side", ["q", "k", "v"])
def test_transformer_lens_gives_the_same(linear: Desk, side: str) -> None:
    import transformer_lens.patching as theirs

    bridge, paths = linear.bench.live.bridge, Paths(sweep_of(linear))
    with torch.inference_mode():
        caches = [bridge.run_with_cache(torch.tensor([ids]))[1] for ids in (OTHER, IDS)]
        want = theirs.get_act_patch_direct_path_all_sources(
            bridge, torch.tensor([IDS]), *caches, metric, side, verbose=False
        )
    base = float(paths.ends()[0])
    size = float((want[0, :, 1] - base).abs().max())
    assert size > 1e-2
    for head in range(4):
        found = swept(paths, Receiver(side, 1, head), "direct")
        for sender in range(4):
            value = found[Sender(0, sender)] - base
            assert value == pytest.approx(float(want[0, sender, 1, head]) - base, abs=1e-3 * size), (sender, head)


def test_transformer_lens_estimates_the_same_edges(linear: Desk) -> None:
    from transformer_lens.tools.analysis import attribution_patching as theirs

    _, found = estimated(linear)
    result = theirs.attribution_patch(
        linear.bench.live.bridge, torch.tensor([OTHER]), torch.tensor([IDS]), metric,
        config=theirs.EdgeAttributionConfig("edge"),
    )  # fmt: skip
    want: dict[tuple[Sender, Receiver], float] = {}
    for (writer, reader), effect in result.edge_scores.items():
        sender = {"attn_head_out": Sender(writer.layer, writer.head), "mlp_out": Sender(writer.layer)}.get(writer.kind)
        kind = {"mlp_in": "mlp", "logits": "logits"}.get(reader.kind, reader.kind[0])
        receiver = LOGITS if kind == "logits" else Receiver(kind, reader.layer, reader.head)
        if sender is not None:
            want[sender, receiver] = want.get((sender, receiver), 0.0) + float(effect)
    size = max(map(abs, want.values()))
    assert len(want) > 60
    for (sender, receiver), effect in want.items():
        assert found[receiver][sender] == pytest.approx(effect, abs=1e-3 * size), (sender, receiver)
