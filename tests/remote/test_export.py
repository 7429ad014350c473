"""The export on a bench over a line: every answer as it is here, and what goes wrong in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.app.recorded import KEY, RecordedBench
from tests.engine.fakes import wait_until
from tests.remote import made
from tests.remote.rig import Rig
from tui import needs, pages
from tui.engine.jobs import Open, Tokenize
from tui.engine.jobs.base import Job
from tui.export import InPlace
from tui.remote.asking import FarBench, Unanswered
from tui.remote.reach import NoLine
from tui.selection import Selection, with_model

TEXT = "The capital of France is"


@pytest.fixture
def bench(rig: Rig) -> FarBench:
    return FarBench(rig.reached())


def everything() -> list[Job]:
    """What the pages show and inspect of one prompt, and what their panels and the tree ask."""
    there = RecordedBench()
    selection = with_model(Selection(text=TEXT), Open("demo"), there.model)
    selection = needs.told(selection, Tokenize(KEY, TEXT, True), there.compute(Tokenize(KEY, TEXT, True), None))
    wanted: list[Job] = []
    for page in pages.every():
        wanted += needs.needs(replace(selection, page=page.name), lambda job: None)
    return list(dict.fromkeys(wanted))


def test_every_answer_of_every_page(rig: Rig, bench: FarBench) -> None:
    context, here = InPlace(bench, None), RecordedBench()
    context.get(Open("demo"))
    jobs = everything()
    assert len({type(job) for job in jobs}) > 10
    for job in jobs:
        try:
            expected = here.compute(job, None)
        except Exception:
            with pytest.raises(Unanswered) as raised:
                context.get(job)
            assert raised.value.message

            continue
        assert made.differs(expected, context.get(job), type(job).__name__) == ""
    bench.close()
    wait_until(rig.keeper.is_over)


def test_what_fails_there_is_said_as_there(rig: Rig, bench: FarBench) -> None:
    with pytest.raises(Unanswered) as raised:
        InPlace(bench, None).get(Open("nowhere"))
    assert (raised.value.message, raised.value.hint) == (
        "There is no model called nowhere.", "Give a folder in Hugging Face format.",
    )  # fmt: skip
    bench.close()


def test_it_goes_on_after_a_cut(rig: Rig, bench: FarBench) -> None:
    context = InPlace(bench, None)
    context.get(Open("demo"))
    rig.network.cut()
    assert context.get(Tokenize(KEY, TEXT, True)) is not None
    assert rig.computed.count(Open("demo")) == 1
    bench.close()


def test_it_does_not_wait_for_ever(rig: Rig) -> None:
    bench = FarBench(rig.reached(), patience=0.1)
    context = InPlace(bench, None)
    context.get(Open("demo"))
    rig.network.there.clear()
    rig.network.cut()
    with pytest.raises(NoLine, match="No route to host"):
        context.get(Tokenize(KEY, TEXT, True))
    bench.close()
