"""The same jobs on a cluster of two workers: equal numbers, whoever computes them, whoever is lost meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.circuits.desk import Desk
from tests.cluster.conftest import DEMO, Lent
from tests.engine.fakes import wait_until
from tui.circuits.errors import Refusal
from tui.cluster import crew
from tui.cluster.crew import alike
from tui.cluster.lane import Held, Lane
from tui.cluster.orders import About, Opened
from tui.cluster.worker import versions
from tui.engine.engine import Engine
from tui.engine.events import Done, Failed, Progress
from tui.engine.jobs import (
    OV,
    QK,
    AttributionOver,
    Contexts,
    CopyingScores,
    HeadScores,
    Job,
    LensOver,
    NextTokens,
    Open,
    PairSearch,
    PatchingGrid,
    PatchingOver,
    Pattern,
    PatternOver,
    PreparePrompts,
    PromptRow,
    Prompts,
    Repeats,
    Run,
    Target,
    Tokenize,
)
from tui.engine.jobs.parts import Forward
from tui.export import InPlace
from tui.results import Grid, ModelInfo, Result, Table

MINUTE = 60.0
PAIRS = tuple(
    PromptRow(clean, "Paris", "Rome", corrupted=corrupted)
    for clean, corrupted in (
        ("the capital of France is", "the capital of Italy is"),
        ("the city of France is", "the city of Spain is"),
        ("a cat in France is", "a cat in Spain is"),
    )
)


def same(got: Any, want: Any) -> None:
    """Every number, bit for bit, and every word."""
    assert type(got) is type(want)
    assert repr(got.header) == repr(want.header)
    if isinstance(want, Grid):
        assert got.values.tobytes() == want.values.tobytes()
        assert (got.rows, got.cols, got.text) == (want.rows, want.cols, want.text)
        assert {name: values.tobytes() for name, values in got.beside.items()} == {
            name: values.tobytes() for name, values in want.beside.items()
        }
    else:
        assert isinstance(want, Table)
        assert repr(got.rows) == repr(want.rows)


class Watched(InPlace):
    """Jobs in place, with what is said on the way, and something that is done at a stage."""

    def __init__(self, bench: Lent, at: Callable[[str, int], None] = lambda stage, done: None) -> None:
        super().__init__(bench, None)
        self.stages: list[str] = []
        self.partials: list[Result] = []
        self._at = at

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        self.stages.append(stage)
        self._at(stage, done)

    def partial(self, result: Result) -> None:
        self.partials.append(result)


def opened(bench: Lent) -> ModelInfo:
    """The demo on every worker; at once where it is open already."""
    there = list(bench.crew.there())
    if len(there) == 2 and bench.crew.info is not None:
        return bench.crew.info
    info: ModelInfo = Watched(bench).get(Open(str(DEMO), device="cpu", dtype="float32"))
    return info


def prepared(ctx: Any, info: ModelInfo, rows: tuple[PromptRow, ...]) -> Prompts:
    made: Prompts = ctx.get(PreparePrompts(info.key, "file", rows, True))
    return made


def run_of(ctx: Any, info: ModelInfo, text: str) -> Run:
    tokens = ctx.get(Tokenize(info.key, text, True))
    return Run(info.key, tokens.ids, tokens.bos)


class Given:
    """The workers that were given batches, and which; the batches of the sweep that was last."""

    def __init__(self) -> None:
        self.shares: list[tuple[int, int]] = []
        self.jobs: tuple[Job, ...] = ()


@pytest.fixture
def given(cluster: Lent, monkeypatch: pytest.MonkeyPatch) -> Given:
    out = Given()
    give = Lane.give

    def noted(self: Lane, sweep: int, jobs: tuple[Job, ...], index: int) -> None:
        out.shares.append((self.number, index))
        out.jobs = jobs
        give(self, sweep, jobs, index)

    monkeypatch.setattr(Lane, "give", noted)
    return out


def every_job(desk: Desk) -> dict[str, Job]:
    """One of each kind: of a run, of weights, and every kind of sweep."""
    key, info = desk.key, desk.info
    clean, corrupted = (run_of(desk, info, PAIRS[0].text), run_of(desk, info, PAIRS[0].corrupted))
    pairs = prepared(desk, info, PAIRS)
    lines = ("the capital of France is", "the king and the queen of England", "a cat", "the king of Spain is") * 12
    prompts = prepared(desk, info, tuple(PromptRow(line) for line in lines))
    paris = pairs.targets[0]
    assert isinstance(paris, Target)
    return {
        "pattern": Pattern(clean, 1, 2),
        "OV": OV(key, 1, 2, clean.ids, clean.ids),
        "QK against the vocabulary": QK(key, 1, 2, clean.ids, clean.ids, normalize="zscore", baseline="vocabulary"),
        "next tokens": NextTokens(clean, -1, 10),
        "head scores": HeadScores(key, Repeats(rows=40)),
        "head scores over a file": HeadScores(key, prompts),
        "copying": CopyingScores(key),
        "lens over a file": LensOver(key, prompts),
        "attribution over a file": AttributionOver(key, prompts),
        "pattern over a file": PatternOver(key, prompts, 1, 2),
        "contexts": Contexts(key, prompts, 1, 2, clean.ids[1]),
        "pair search": PairSearch(key, ((clean.ids[1], clean.ids[2]), (clean.ids[3], clean.ids[4]))),
        "pair search in OV": PairSearch(key, ((clean.ids[1], clean.ids[2]),), "ov"),
        "patching": PatchingGrid(clean, corrupted, paris, by="head-position"),
        "patching over pairs": PatchingOver(key, pairs),
    }


def test_the_same_numbers_as_on_one_machine(cluster: Lent, desk: Desk, given: Given) -> None:
    info = opened(cluster)
    assert info.key == desk.key
    context = Watched(cluster)
    for name, job in every_job(desk).items():
        got, want = context.get(job), desk.get(job)
        same(got, want)
        if isinstance(want, Grid):
            assert got.values.base is None or got.values.flags.owndata, f"{name} keeps Ray's memory"
    shares = [worker for worker, _ in given.shares]
    assert min(shares.count(1), shares.count(2)) > 3, "both workers had a share"
    assert context.partials
    assert all(partial.header.partial for partial in context.partials)  # type: ignore[union-attr]


def test_tensors_stay_where_they_are(cluster: Lent, desk: Desk) -> None:
    """A forward pass is a part that the engine's cache holds by a handle: no second one for another head."""
    info = opened(cluster)
    context = Watched(cluster)
    run = run_of(context, info, "the queen of France is")
    same(context.get(Pattern(run, 0, 0)), desk.get(Pattern(run, 0, 0)))
    held = context.known(Forward(run))
    assert isinstance(held, Held)
    assert held.nbytes > 1000
    assert context.stages.count("forward pass") == 1
    same(context.get(Pattern(run, 1, 1)), desk.get(Pattern(run, 1, 1)))
    assert context.stages.count("forward pass") == 1


def test_a_refusal_is_the_same(cluster: Lent, desk: Desk) -> None:
    info = opened(cluster)
    said = []
    for place in (Watched(cluster), desk):
        clean, corrupted = (run_of(place, info, text) for text in ("the king is", "the king of France is"))
        with pytest.raises(Refusal) as raised:
            place.get(PatchingGrid(clean, corrupted, Target((5,))))
        said.append((raised.value.message, raised.value.hint))
    assert said[0] == said[1]
    context = Watched(cluster)
    rows = (PAIRS[0], PromptRow("the king is", "Paris", corrupted="the king of France is"), PAIRS[1])
    over = PatchingOver(info.key, prepared(context, info, rows))
    with pytest.raises(Refusal, match="Pair 2 of file"):  # in a batch, on whichever worker
        context.get(over)
    assert Watched(cluster).get(Tokenize(info.key, "and on", True)).ids


def settle(cluster: Lent) -> None:
    """Wait until both workers are there again."""
    context, until = Watched(cluster), time.monotonic() + 3 * MINUTE
    while len(list(cluster.crew.there())) < 2:
        assert time.monotonic() < until, "the lost worker did not come again"
        cluster.crew.admit(context)
        time.sleep(0.05)


def kill(lane: Lane) -> None:
    assert lane.about is not None
    os.kill(lane.about.pid, signal.SIGKILL)


def test_a_job_that_is_not_wanted_any_more(
    cluster: Lent, engine: tuple[Engine, list[Any]], given: Given,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """It is stopped on all workers within a second, and what was done of it is not done again."""
    info = opened(cluster)
    settle(cluster)
    made, events = engine
    long = HeadScores(info.key, Repeats(seed=3, rows=4000))
    made.want([long])
    wait_until(lambda: any(isinstance(event, Progress) and event.done >= 40 for event in list(events)), MINUTE)
    started = time.monotonic()
    quick = Tokenize(info.key, "something else", True)
    made.want([quick])
    wait_until(lambda: any(isinstance(event, Done) and event.job == quick for event in list(events)), MINUTE)
    record_property("cancelled after, s", round(time.monotonic() - started, 3))
    assert time.monotonic() - started < 1
    rows = max(event.done for event in events if isinstance(event, Progress) and event.job == long)
    done = rows * len(given.jobs) // 4000
    assert 0 < done <= len(given.shares) < len(given.jobs)
    given.shares.clear()
    made.want([long])
    wait_until(lambda: len(given.shares) > 3, MINUTE)
    made.want([])
    assert min(index for _, index in given.shares) >= done


def test_workers_must_be_alike() -> None:
    ours = versions()
    mine, theirs = About("here", ours, "", 1), About("gpu-7", (*ours[:-1], ("transformer-lens", "4.0.0")), "", 1)
    alike(mine, mine)
    with pytest.raises(Refusal) as raised:
        alike(theirs, mine)
    assert raised.value.message.startswith("gpu-7 has transformer-lens 4.0.0, and this machine ")
    assert "gpu-7" in raised.value.hint
    with pytest.raises(Refusal, match="gpu-8 has NVIDIA A100, and here no GPU"):
        alike(About("gpu-8", ours, "NVIDIA A100", 1), mine)


def test_other_weights_are_refused_by_the_name_of_their_node(
    cluster: Lent, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = opened(cluster)
    settle(cluster)
    read = Lane.read

    def other(self: Lane) -> None:
        read(self)
        if self.number == 2:
            for place, word in enumerate(self.reports):
                if isinstance(getattr(word, "value", None), Opened):
                    self.reports[place] = type(word)(Opened(word.value.info, "other"))  # type: ignore[call-arg, union-attr]

    with monkeypatch.context() as patch:
        patch.setattr(Lane, "read", other)
        with pytest.raises(Refusal) as raised:
            Watched(cluster).get(Open(str(DEMO), device="cpu", dtype="float32"))
    about = cluster.crew.lanes[1].about
    assert about is not None
    assert raised.value.message == f"Worker 2 on {about.node} has other weights of demo than the first worker."
    assert about.node in raised.value.hint
    assert opened(cluster).key == info.key
    assert Watched(cluster).get(NextTokens(Run(info.key, (5, 6), False), -1, 5)).rows


def test_the_first_worker_is_killed_in_mid_sweep(cluster: Lent, desk: Desk, given: Given) -> None:
    """The one that runs the sweep: another does, behind what is done; the numbers are the same, and it is said."""
    info = opened(cluster)
    settle(cluster)
    victim, killed = cluster.crew.lanes[0], list[int]()

    def at(stage: str, done: int) -> None:
        if stage.startswith("pattern scores") and done >= 40 and not killed:
            killed.append(done)
            kill(victim)

    job = HeadScores(info.key, Repeats(seed=1, rows=600))
    context = Watched(cluster, at)
    same(context.get(job), desk.get(job))
    assert killed
    said = "worker 1 was lost: its share runs again"
    assert f"{said} · pattern scores" in context.stages
    assert len(given.shares) <= len(given.jobs) + 4, "what was done is not done again"


START = Lane.start


def gone(self: Lane) -> bool:
    """In place of ``Lane.start``: it was lost too often."""
    self.end()
    return False


def test_no_worker_left_is_said(
    cluster: Lent, desk: Desk, engine: tuple[Engine, list[Any]], given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app goes on, and has new ones when a model is opened again."""
    info = opened(cluster)
    made, events = engine
    monkeypatch.setattr(Lane, "start", gone)
    for lane in cluster.crew.lanes:
        if lane.about is not None:
            kill(lane)
        else:
            lane.end()  # it was coming in place of one that was killed
    job = NextTokens(Run(info.key, (5, 6, 7), False), -1, 5)
    made.want([job])
    wait_until(lambda: any(isinstance(event, Failed) for event in list(events)), MINUTE)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.error == crew.GONE
    assert failed.hint == crew.ALONE
    monkeypatch.setattr(Lane, "start", START)
    opening = Open(str(DEMO), device="cpu", dtype="float32")  # as m does
    made.want([opening])
    made.want([opening, job])
    wait_until(lambda: any(isinstance(event, Done) and event.job == job for event in list(events)), 3 * MINUTE)
    made.want([])
    again = HeadScores(info.key, Repeats(seed=10, rows=100))
    same(Watched(cluster).get(again), desk.get(again))
    assert {worker for worker, _ in given.shares} == {1, 2}


def test_arrays_are_copied_once(cluster: Lent) -> None:
    from tui.cluster.values import owned, travels

    whole = np.arange(6.0)
    whole.flags.writeable = False
    part = whole[1:4]
    made = owned({"a": (part, 1), "b": "text"})
    assert made["a"][0].flags.owndata
    assert not made["a"][0].flags.writeable
    assert owned(whole) is whole
    assert travels({"a": (part, 1, None)})
    assert not travels([object()])
