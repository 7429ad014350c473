"""Jobs and results through a frame: every class of either, bit for bit."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.remote import made
from tui import results
from tui.engine.jobs import Ablation, AddVector, NextTokens, Open, Pattern, PatternOver, Prompts, Run, SteeringDirection
from tui.engine.jobs.base import Job
from tui.remote import coding, talk
from tui.remote.coding import Heard, Told
from tui.results import ModelKey

KEY = ModelKey("/models/gpt2", "f00d", "float32", "cpu")
RUN = Run(KEY, (1, 2, 3), True)
JOBS = sorted(name for name, kind in coding.known().items() if issubclass(kind, Job))
RESULTS = ("Grid", "Gallery", "Table", "Curve", "Graph", "Tokens", "ModelInfo", "Split", "Found", "Pairs", "Prompts")


def passed(message: talk.Message) -> talk.Message:
    """What the other side makes of it."""
    header, arrays = coding.encode(message)
    return coding.decode(json.loads(json.dumps(header)), arrays)


def told(told: Told, heard: Heard, *jobs: Job) -> list[Job]:
    """What the other side takes a wish list to be."""
    numbers, more = told.wish(jobs)
    heard.learn(json.loads(json.dumps(more)))
    return [heard.job(number) for number in numbers]


def test_every_job_has_a_class_here() -> None:
    from tui.engine.run import ANSWERS

    assert {kind.__name__ for kind in ANSWERS} <= set(JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_every_job(name: str) -> None:
    ours, theirs, draw = Told(), Heard(), Random(name)
    for _ in range(20):
        job = made.of_class(coding.known()[name], draw)
        (came,) = told(ours, theirs, job)
        assert made.differs(job, came) == ""


@pytest.mark.parametrize("name", RESULTS)
def test_every_result(name: str) -> None:
    draw = Random(name)
    for _ in range(20):
        result = made.of_class(coding.known()[name], draw)
        came = passed(talk.Came(3, result, 0.25))
        assert isinstance(came, talk.Came)
        assert made.differs(result, came.result) == ""


def test_results_are_all_that_there_are() -> None:
    assert {kind.__name__ for kind in results.Result.__args__} <= set(RESULTS)


@pytest.mark.parametrize("kind", talk.Message.__args__, ids=lambda kind: kind.__name__)
def test_every_message(kind: type) -> None:
    draw = Random(kind.__name__)
    if kind in (talk.Came, talk.Part):
        message: Any = kind(1, made.a(results.Grid, draw), *((1.5,) if kind is talk.Came else (3, 4)))
    else:
        message = made.of_class(kind, draw)
    assert made.differs(message, passed(message)) == ""


def test_what_was_told_once_is_a_number() -> None:
    ours, theirs = Told(), Heard()
    prompts = Prompts("key", "file", tuple(Run(KEY, (n, n + 1), True) for n in range(100)), (None,) * 100, ("",) * 100)
    told(ours, theirs, PatternOver(KEY, prompts, 0, 0))
    numbers, more = ours.wish([PatternOver(KEY, prompts, 0, 0), PatternOver(KEY, prompts, 0, 1)])
    assert len(json.dumps(more)) < 300, "the file is not told again with the next head"
    theirs.learn(more)
    job = theirs.job(numbers[1])
    assert isinstance(job, PatternOver)
    assert made.differs(job.prompts, prompts) == ""


def test_a_number_is_forgotten_on_both_sides() -> None:
    ours, theirs = Told(), Heard()
    first = NextTokens(RUN, 0)
    told(ours, theirs, first)
    number = ours.number(first)
    assert number is not None
    for at in range(coding.REMEMBERED + 2):
        told(ours, theirs, NextTokens(RUN, at + 1))
    assert ours.number(first) is None
    with pytest.raises(ValueError, match="nothing with the number"):
        theirs.job(number)
    assert told(ours, theirs, first) == [first], "and it can be told again"


def test_changes_within_changes() -> None:
    reference = Prompts("r", "reference", (RUN,), (None,), ("text",))
    direction = SteeringDirection("d", "given", numbers=(0.1, -0.0))
    run = Run(KEY, (4,), False, (Ablation("L1H3", "mean", reference=reference), AddVector(2, direction)))
    job = Pattern(run, 1, 2)
    assert made.differs(job, told(Told(), Heard(), job)[0]) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"learn": 3},
        {"learn": [[1]]},
        {"learn": [["1", {"is": "Open"}]]},
        {"learn": [[1, {"is": "system"}]]},
        {"learn": [[1, {"is": "Open", "source": 3}]]},
        {"learn": [[1, {"is": "NextTokens", "run": {"number": 9}, "position": 0}]]},
        {"learn": [[1, {"is": "NextTokens", "run": {"is": "Run"}, "position": 0}]]},
        {"forget": {}},
    ],
)
def test_what_cannot_be_learnt(more: dict[str, Any]) -> None:
    heard = Heard()
    with pytest.raises(ValueError, match=r"."):
        heard.learn(more)


def test_a_number_of_something_else_is_no_job() -> None:
    ours, theirs = Told(), Heard()
    told(ours, theirs, NextTokens(RUN, 0))
    shared = ours.number(RUN)
    assert shared is not None
    with pytest.raises(ValueError, match="wanted a job"):
        theirs.job(shared)


@pytest.mark.parametrize(
    "header",
    [{}, {"says": 3}, {"says": {"is": "Open"}}, {"says": {"is": "Came"}}, {"says": {"is": "Ping", "number": "1"}},
     {"says": {"is": "Want", "jobs": [[]], "known": []}},
     {"says": {"is": "Came", "job": 1, "seconds": 1, "result": {"is": "Grid", "values": {"array": 4}}}}],
)  # fmt: skip
def test_what_is_no_message(header: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        coding.decode(header, ())


def test_the_schema_is_that_of_the_classes() -> None:
    assert coding.schema() == coding.schema()
    assert len(coding.schema()) == 16
    assert Open.__name__ in coding.known()
