"""The logit lens against float64 numpy, against TransformerLens', and on known answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.circuits import reference
from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk, error
from tests.models.conftest import ARCHITECTURES
from tui.circuits import lens
from tui.circuits.errors import Refusal
from tui.engine.jobs import Job, Lens, LensCurve, LensMeasure, LensTop, NextTokens, Open, Run, Target
from tui.engine.jobs.parts import Forward, LensState
from tui.names import state_names
from tui.results import Grid

ANSWER, OTHER, DISTRACTOR = 260, 263, 264
TARGETS = {
    "probability": None,
    "answer": Target((ANSWER,)),
    "rank": Target((ANSWER, OTHER)),
    "entropy": None,
    "kl": None,
}
LAST = "max |lens of the last state − logits|"


def states_of(pair: Pair, mids: bool) -> dict[str, np.ndarray]:
    """Name → stream, by adding up the reference's components."""
    out, stream, parts = {}, pair.run.stream, dict(pair.run.parts)
    for layer in range(2):
        out[f"L{layer}.pre"] = stream[layer]
        if mids:
            attention = [value for name, value in parts.items() if name.startswith((f"L{layer}H", f"L{layer}.bias"))]
            out[f"L{layer}.mid"] = stream[layer] + sum(attention)
    return out | {"L1.post": stream[-1]}


def measured(logits: np.ndarray, final: np.ndarray, measure: str, answers: tuple[int, ...]) -> np.ndarray:
    """``logits [n, vocabulary]`` → ``[n]`` by the definitions."""
    p, q = reference.softmax(logits), reference.softmax(final)
    if measure == "probability":
        return p.max(-1)
    if measure == "answer":
        return p[:, answers].mean(-1)
    if measure == "rank":
        return np.mean([1 + (logits > logits[:, [answer]]).sum(-1) for answer in answers], axis=0)
    return -(p * np.log(p)).sum(-1) if measure == "entropy" else (q * np.log(q / p)).sum(-1)


def prompt(desk: Desk) -> Run:
    """Twelve tokens, more than the sliding windows."""
    return desk.run(*((250 + i) % desk.info.d_vocab for i in range(12)))


def traced(desk: Desk, run: Run, mids: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """State → lens logits, and the model's own, in float64 from the pass's activations and the weights."""
    trace, ends = desk.get(Forward(run)), desk.bench.ends
    norm = ends.final_norm
    out = {}
    for name in state_names(desk.info.n_layers, mids):
        x = lens.state(trace, name).double().numpy()
        x = x - x.mean(-1, keepdims=True) if norm.kind == "LayerNorm" else x
        if norm.w is not None:
            x = x / np.sqrt((x**2).mean(-1, keepdims=True) + norm.eps) * norm.w.double().numpy()
        x = x if norm.b is None else x + norm.b.double().numpy()
        logits = x @ ends.W_U.double().numpy() + (0.0 if ends.b_U is None else ends.b_U.double().numpy())
        out[name] = logits if ends.logit_cap is None else ends.logit_cap * np.tanh(logits / ends.logit_cap)
    return out, trace.logits.double().numpy()


@pytest.mark.parametrize("measure", get_args(LensMeasure))
@pytest.mark.parametrize("mids", [False, True])
def test_grid(pair: Pair, measure: LensMeasure, mids: bool) -> None:
    target = TARGETS[measure]
    grid = pair.desk.get(Lens(pair.desk.run(*IDS), measure, target, mids))
    states = states_of(pair, mids)
    assert grid.rows.labels == tuple(states)
    assert grid.cols.ids == IDS
    assert not grid.diverging
    assert not grid.header.partial
    logits = {name: pair.want.final(x) @ pair.want.W_U for name, x in states.items()}
    answers = target.answers if target else ()
    want = [measured(value, pair.run.logits, measure, answers) for value in logits.values()]
    assert error(grid.values[:-1], want[:-1]) < 1e-5
    assert np.abs(grid.values[-1] - want[-1]).max() < 1e-5 * np.abs(want).max()
    texts = [pair.desk.bench.texts(value.argmax(-1).tolist()) for value in logits.values()]
    assert grid.text == tuple(texts)


def test_the_last_row_is_the_model_s_own_output(pair: Pair) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    own = desk.get(Forward(run)).logits
    probability, kl = desk.get(Lens(run)), desk.get(Lens(run, "kl"))
    assert error(probability.values[-1], own.softmax(-1).amax(-1)) < 1e-6
    assert kl.values[-1].max() < 2e-6  # rounding of two log-softmaxes
    assert (kl.values >= 0).all()
    for grid in (probability, kl):
        assert grid.header.checks[LAST] < 1e-5 * np.abs(pair.run.logits).max()
    for at in range(len(IDS)):
        assert desk.get(LensTop(run, "L1.post", at)).rows[0][2] == desk.get(NextTokens(run, at)).rows[0][2]


@pytest.mark.parametrize("name", EVERY)
def test_every_architecture(name: str, desk_of: Callable[..., Desk]) -> None:
    """Soft-capped logits, post-norms, parallel blocks, no norms: beside the activations in float64."""
    desk = desk_of(name)
    run, mids = prompt(desk), not desk.info.capabilities.states_mid
    assert mids == (name not in ("neox", "gptj", "checkpoint, attention only"))
    logits, final = traced(desk, run, mids)
    answers = tuple(token % desk.info.d_vocab for token in (ANSWER, OTHER))
    for measure in get_args(LensMeasure):
        grid = desk.get(Lens(run, measure, Target(answers) if TARGETS[measure] else None, mids))
        want = [measured(value, final, measure, answers) for value in logits.values()]
        assert error(grid.values, want) < 1e-5, measure
        assert grid.header.checks[LAST] < 1e-5 * np.abs(final).max()
        assert ("tanh" in grid.header.formula) == (name == "gemma2")
        assert ("b_U" in grid.header.formula) == (desk.bench.ends.b_U is not None)
    curve = desk.get(LensCurve(run, 4, Target(answers), mids=mids)).series.values()
    assert error(*curve, [reference.softmax(value)[4, answers].mean() for value in logits.values()]) < 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformer_lens_says_the_same(name: str, desk_of: Callable[..., Desk]) -> None:
    from transformer_lens.tools.analysis import logit_lens

    desk = desk_of(name)
    run, mids = prompt(desk), not desk.info.capabilities.states_mid
    ids = torch.tensor([run.ids])
    with torch.no_grad():
        theirs = logit_lens(
            desk.bench.live.bridge, ids, incl_mid=mids, positions=None, targets=[ANSWER, OTHER], return_type="probs"
        )
    found = theirs.readout
    states = range(len(theirs.labels))
    probability = desk.get(Lens(run, "answer", Target((ANSWER, OTHER)), mids))
    assert len(probability.rows) == len(states)
    assert error(probability.values, found.values.mean(-1)[:, 0]) < 1e-5
    assert found.target_ranks is not None
    rank = desk.get(Lens(run, "rank", Target((ANSWER,)), mids))
    assert (rank.values == 1 + found.target_ranks[:, 0, :, 0].numpy()).all()
    assert error(desk.get(Lens(run, "entropy", mids=mids)).values, found.entropy[:, 0]) < 1e-5


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_half_precision(name: str, desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(name, "bfloat16")
    run = desk.run(*IDS)
    logits, final = traced(desk, run, mids=False)
    for measure in get_args(LensMeasure):
        target = TARGETS[measure]
        grid = desk.get(Lens(run, measure, target))
        want = [measured(value, final, measure, target.answers if target else ()) for value in logits.values()]
        assert error(grid.values, want) < 1e-5, measure  # from the activations as they are
        assert grid.header.checks[LAST] < 3e-2 * np.abs(final).max()  # the model rounds its logits


@pytest.mark.parametrize("measure", get_args(LensMeasure))
def test_rows_arrive_from_the_last_up(pair: Pair, measure: LensMeasure) -> None:
    desk = pair.desk
    job = Lens(desk.run(*IDS[:4]), measure, TARGETS[measure], mids=True)
    desk.partials.clear()
    desk.values.pop(job, None)
    whole = desk.get(job)
    assert len(desk.partials) == len(whole.rows) - 1
    for done, partial in enumerate(desk.partials, 1):
        assert isinstance(partial, Grid)
        assert partial.header.partial
        assert partial.header.checks == whole.header.checks
        assert np.isnan(partial.values[:-done]).all()
        assert (partial.values[-done:] == whole.values[-done:]).all()
        assert partial.text is not None
        assert whole.text is not None
        assert partial.text[-done:] == whole.text[-done:]
        assert set(sum(partial.text[:-done], ())) == {""}


def fresh(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Forget what was computed; the record of what is."""
    monkeypatch.setattr(desk, "values", {job: value for job, value in desk.values.items() if isinstance(job, Open)})
    monkeypatch.setattr(desk, "computed", [])
    return desk.computed


def test_measures_share_their_rows(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    computed, desk = fresh(pair.desk, monkeypatch), pair.desk
    run = desk.run(*IDS[:5])
    for measure in ("probability", "entropy", "kl"):
        desk.get(Lens(run, measure))
    for target in (Target((ANSWER,)), Target((ANSWER,), (DISTRACTOR,))):
        desk.get(Lens(run, "answer", target))
        desk.get(Lens(run, "rank", target))
    assert sum(isinstance(job, LensState) for job in computed) == 3 + 3
    desk.get(LensTop(run, "L0.pre", 2))
    desk.get(LensCurve(run, 3, Target((ANSWER,)), mids=True))
    assert sum(isinstance(job, Forward) for job in computed) == 1


def test_blocks_of_positions(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary too wide for all positions at once: the same numbers, a look at ``check`` between blocks."""
    desk, run = pair.desk, pair.desk.run(*IDS)
    jobs = [Lens(run, measure, TARGETS[measure]) for measure in get_args(LensMeasure)]
    whole = [desk.get(job) for job in jobs]
    fresh(desk, monkeypatch)
    monkeypatch.setattr("tui.circuits.lens.CELLS", 3 * desk.info.d_vocab)
    checks = desk.checks
    for job, before in zip(jobs, whole, strict=True):
        after = desk.get(job)
        assert error(after.values, before.values) < 1e-6
        assert after.text == before.text
    # Seven positions in three blocks for each of three states, once for all measures and once for each target.
    assert desk.checks - checks >= 3 * 3 * 3


def test_likeliest_tokens(pair: Pair) -> None:
    desk, run, at = pair.desk, pair.desk.run(*IDS), 4
    for name, x in states_of(pair, mids=True).items():
        logits = (pair.want.final(x) @ pair.want.W_U)[at]
        table = desk.get(LensTop(run, name, at - len(IDS), 5))
        order = np.argsort(-logits)[:5]
        assert table.columns == ("rank", "token", "id", "probability", "logit")
        assert [row[2] for row in table.rows] == order.tolist()
        assert [row[0] for row in table.rows] == [1, 2, 3, 4, 5]
        assert [row[1] for row in table.rows] == list(desk.bench.texts(order.tolist()))
        assert error([row[3] for row in table.rows], reference.softmax(logits)[order]) < 1e-5
        assert error([row[4] for row in table.rows], logits[order]) < 1e-5
        assert table.bar == "probability"
        assert (LAST in table.header.checks) == (name == "L1.post")
        assert table.header.convention["position"] == at


@pytest.mark.parametrize("mids", [False, True])
def test_curves(pair: Pair, mids: bool) -> None:
    desk, run, at = pair.desk, pair.desk.run(*IDS), 5
    logits = np.array([(pair.want.final(x) @ pair.want.W_U)[at] for x in states_of(pair, mids).values()])
    target = Target((ANSWER, OTHER), (DISTRACTOR,))
    chance = desk.get(LensCurve(run, at, target, mids=mids))
    assert chance.x.tolist() == ([0, 0.5, 1, 1.5, 2] if mids else [0, 1, 2])
    assert list(chance.series) == ["answer ·Paris, ·queen", "distractor ·London"]
    answer, distractor = chance.series.values()
    assert error(answer, reference.softmax(logits)[:, [ANSWER, OTHER]].mean(-1)) < 1e-5
    assert error(distractor, reference.softmax(logits)[:, DISTRACTOR]) < 1e-5
    assert chance.header.checks[LAST] < 1e-5 * np.abs(logits).max()
    assert "averaged" in chance.header.convention
    rank = desk.get(LensCurve(run, at, Target((ANSWER,)), "rank", mids))
    assert rank.y_name == "rank"
    assert list(rank.series) == ["answer ·Paris"]
    assert rank.series["answer ·Paris"].tolist() == (1 + (logits > logits[:, [ANSWER]]).sum(-1)).tolist()


def test_one_token(pair: Pair) -> None:
    grid = pair.desk.get(Lens(pair.desk.run(IDS[0]), "kl", mids=True))
    run = pair.want.forward([IDS[0]])
    want = measured(pair.want.final(run.stream[0]) @ pair.want.W_U, run.logits, "kl", ())
    assert grid.values.shape == (5, 1)
    assert error(grid.values[0], want) < 1e-5


def test_ties_share_the_smaller_rank(induction: Desk) -> None:
    """Before any head has written the output, all tokens are equally likely: each has rank 1."""
    run, size = induction.run(1, 2, 3, 1), induction.info.d_vocab
    rank = induction.get(Lens(run, "rank", Target((5, 2))))
    assert (rank.values[0] == 1).all()
    # The last position attends to the token after the first 1 and says 2; all others share rank 2.
    assert rank.values[-1, -1] == (2 + 1) / 2
    assert induction.get(LensTop(run, "L1.post", 3, 3)).rows[1][0] == 2
    entropy = induction.get(Lens(run, "entropy"))
    assert error(entropy.values[0], [np.log(size)] * 4) < 1e-6
    assert error(induction.get(Lens(run)).values[0], [1 / size] * 4) < 1e-6
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0]])
    assert lens.ranks(logits, logits).tolist() == [[4, 1, 1, 3]]


def test_what_is_said_of_it(pair: Pair) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    header = desk.get(Lens(run, "rank", TARGETS["rank"])).header
    assert header.view == "lens"
    assert header.unit == "rank"
    assert header.explanation.startswith("row = state, column = position: rank of ·Paris, ·queen")
    assert header.convention["averaged"] == "over the tokens of a side"
    assert header.convention["answer"] == " Paris,  queen"
    units = {measure: desk.get(Lens(run, measure, TARGETS[measure])).header.unit for measure in get_args(LensMeasure)}
    assert units == {
        "probability": "probability",
        "answer": "probability",
        "rank": "rank",
        "entropy": "nats",
        "kl": "nats",
    }
    assert "averaged" not in desk.get(Lens(run, "answer", Target((ANSWER,)))).header.convention


def test_refusals(pair: Pair, desk_of: Callable[..., Desk]) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    cases: list[tuple[Any, str]] = [
        (Lens(run, "answer"), "need an answer"),
        (Lens(run, "rank", Target(())), "need an answer"),
        (Lens(run, "rank", Target((99_999,))), "not in the vocabulary"),
        (LensCurve(run, 1, Target((1,), (99_999,))), "not in the vocabulary"),
        (LensTop(run, "L2.pre", 0), "no state L2.pre"),
        (LensTop(run, "L0.post", 0), "no state L0.post"),
        (LensTop(run, "embed", 0), "no state embed"),
        (LensTop(run, "L0.pre", len(IDS)), "Position 7 is not"),
        (LensCurve(run, -8, Target((1,))), "Position -8 is not"),
    ]
    for job, words in cases:
        with pytest.raises(Refusal, match=words):
            desk.get(job)
    parallel = desk_of("neox")
    other = parallel.run(*IDS)
    for job in (Lens(other, mids=True), LensTop(other, "L0.mid", 0), LensCurve(other, 0, Target((1,)), mids=True)):
        with pytest.raises(Refusal, match="in parallel: there is no state between"):
            parallel.get(job)
