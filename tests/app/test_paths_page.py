"""Paths: who receives is followed from sender to sender, the variant and the metric are chosen, back goes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import KEY, RecordedBench, info
from tests.app.selected import PAIR, PARIS, here, loaded
from tui import moves, pages
from tui.declared import Nothing, Say
from tui.engine.jobs import Ablation, PathEdges, PathEstimate, PathGrid, Run, Target
from tui.names import ReceiverAt, receiver_at
from tui.page import offered
from tui.pages.paths import PathsHow, PathsLook, to_receiver
from tui.results import Grid, Table
from tui.selection import Entry, Look, Selection, settle


def paired(*looks: Look, **changes: Any) -> Selection:
    return loaded(*looks, pair=PAIR, page="paths", likeliest=PARIS, **changes)


def job_of(s: Selection) -> PathGrid:
    job = pages.of(s).shown(s)
    assert isinstance(job, PathGrid)
    return job


def test_the_job_names_both_runs_and_everything_chosen() -> None:
    s = paired()
    assert s.run is not None
    assert job_of(s) == PathGrid(s.run, Run(KEY, PAIR.tokens.ids, True), Target((6,), (7,)))  # type: ignore[union-attr]
    chosen = paired(PathsLook("L2H1", "k"), PathsHow("ioi", "probability"))
    job = job_of(chosen)
    assert (job.receiver, job.variant, job.metric) == ("L2H1.k", "ioi", "probability")
    assert job_of(paired(PathsLook("L2.mlp", "k"))).receiver == "L2.mlp"
    assert (job.patching.base, job_of(s).patching.base) == (job.clean, job.corrupted)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"pair": None}, "press P"), ({"stack": (Entry(Ablation("L0H0")),)}, "unchanged model"),
        ({"tokens": None}, "type a prompt"), ({"pair": replace(PAIR, likeliest=None)}, ""),
    ],
)  # fmt: skip
def test_why_there_is_nothing_yet(changes: dict[str, Any], why: str) -> None:
    s = replace(paired(), **changes)
    job = pages.of(s).shown(s)
    assert isinstance(job, Nothing)
    assert why in job.why
    panel = offered(pages.of(s), s)[1]
    assert panel.job(here(s)) == job


def test_receiver_variant_and_both_prompts_are_in_the_title() -> None:
    s = paired(PathsLook("L2H1", "k"))
    words = pages.of(s).words(s)
    assert words[0] == "to L2H1.k"
    assert words[1].startswith("direct: clean into corrupted")
    assert "·Paris − ·London" in words[2]
    assert words[3] == "The [capital|king] of"
    assert pages.of(s).words(s.put(PathsHow("ioi")))[1].startswith("ioi: corrupted into clean")


@pytest.mark.parametrize("part", ["logits", "L3.mlp", "L3H2"])
def test_the_cursor_is_the_cell(part: str) -> None:
    page, s = pages.named("paths"), paired(PathsLook(part))
    drawn = here(s).drawn
    assert isinstance(drawn, Grid)
    assert drawn.values.shape == (4, 5)
    assert drawn.cols.labels[-1] == "MLP"
    for row in range(4):
        for col in range(5):
            assert page.cell(page.at(s, row, col)) == (row, col)


def test_enter_makes_the_sender_the_receiver() -> None:
    page, s = pages.named("paths"), paired()
    there = page.at(s, 2, 1)
    opened = moves.open_cell(here(there), 2, 1)
    assert isinstance(opened, Selection)
    assert (opened.look(PathsLook).receiver, opened.layer) == ("L2H1.q", 1)
    mlp = moves.open_cell(here(page.at(s, 2, 4)), 2, 4)
    assert isinstance(mlp, Selection)
    assert mlp.look(PathsLook).receiver == "L2.mlp"
    late = page.at(opened, 3, 0)
    assert "sends nothing" in page.line(here(late))[0][0]
    said = moves.open_cell(here(late), 3, 0)
    assert isinstance(said, Say)
    assert said.sentence == "L3H0 does not come before L2H1.q: it sends nothing to it"


def test_enter_in_the_lists() -> None:
    s = paired()
    ranked, edges = offered(pages.of(s), s)[:2]
    result = here(s).result(job_of(s))
    assert result is not None
    table = ranked.shape(here(s), result)
    assert isinstance(table, Table)
    assert table.columns == ("part", "recovered", "estimate")
    sizes = [abs(float(row[1] or 0)) for row in table.rows]
    assert sizes == sorted(sizes, reverse=True)
    names = [row[0] for row in table.rows]
    to_embed = ranked.opens(here(s), table, names.index("embed"))
    assert isinstance(to_embed, Say)
    to_head = ranked.opens(here(s), table, names.index("L1H2"))
    assert isinstance(to_head, Selection)
    assert to_head.look(PathsLook).receiver == "L1H2.q"
    job = edges.job(here(s))
    assert isinstance(job, PathEdges)
    listed = here(s).result(job)
    assert isinstance(listed, Table)
    followed = edges.opens(here(s), listed, 0)
    assert isinstance(followed, Selection)
    assert followed.look(PathsLook).receiver == "L2H1.k"
    last = edges.opens(here(followed), listed, 2)
    assert isinstance(last, Selection)
    assert last.look(PathsLook).receiver == "logits"


def test_the_inspector_has_the_estimate_and_the_embedding() -> None:
    s = paired(layer=1, head=2)
    line = "".join(text for text, _ in pages.of(s).line(here(s)))
    assert line.startswith(" L1H2 → logits   recovered ")
    assert "estimate ≈" in line
    assert "embed" in line
    assert pages.of(s).inspects(s) == (PathEstimate(*(getattr(job_of(s), name) for name in (
        "clean", "corrupted", "target", "receiver", "metric"))),)  # fmt: skip


@pytest.mark.parametrize("how", [PathsHow("ioi"), PathsHow(measured="rank")])
def test_there_is_not_always_an_estimate(how: PathsHow) -> None:
    s = paired(how)
    assert pages.of(s).inspects(s) == ()
    edges = offered(pages.of(s), s)[1].job(here(s))
    assert isinstance(edges, Nothing if how.measured == "rank" else PathEdges)


def test_a_receiver_that_the_model_does_not_have_is_the_logits() -> None:
    small = info(n_layers=2, has_mlp=False)
    for part in ("L2H1", "L1.mlp", "L0H9"):
        assert settle(replace(paired(PathsLook(part)), model=small)).look(PathsLook).part == "logits"
    assert settle(paired(PathsLook("L3H1"))).look(PathsLook).part == "L3H1"
    assert to_receiver(paired(layer=3), "L0.mlp").layer == 0


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("L2H1.q", ReceiverAt("q", 2, 1)), (" l2h1.K ", ReceiverAt("k", 2, 1)), ("L2.mlp", ReceiverAt("mlp", 2)),
        ("Logits", ReceiverAt("logits")), ("L2H1", None), ("L2", None), ("L2.attn", None), ("", None), ("embed", None),
    ],
)  # fmt: skip
def test_receivers_as_they_are_typed(text: str, at: ReceiverAt | None) -> None:
    assert receiver_at(text) == at


async def test_senders_are_followed_by_keys() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "Y")
        assert "to logits" in text_of(explorer, "#title")
        assert "The capital of [France|Germany] is" in text_of(explorer, "#title"), "a pair that the demo knows"
        await pressed(explorer, pilot, "m")
        assert "has no query, key and value" in notice(explorer)
        await pressed(explorer, pilot, "j", "j", "l", "enter")
        assert explorer.selection.look(PathsLook).receiver == "L2H1.q"
        await pressed(explorer, pilot, "m")
        assert "to L2H1.k" in text_of(explorer, "#title")
        assert "L1H1 → L2H1.k" in text_of(explorer, "#inspector")
        await pressed(explorer, pilot, "enter")
        assert explorer.selection.look(PathsLook).receiver == "L1H1.q"
        await pressed(explorer, pilot, "u", "f6")
        assert explorer.selection.look(PathsHow) == PathsHow("ioi", "log-probability")
        assert "ioi: corrupted into clean" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "comma")
        assert explorer.selection.look(PathsLook).receiver == "L2H1.k"
        assert explorer.selection.look(PathsHow).variant == "ioi", "how stays as it was chosen"
        await pressed(explorer, pilot, "comma")
        assert explorer.selection.look(PathsLook).receiver == "logits"
        await pressed(explorer, pilot, "p")
        rows = explorer.panel.bars.table
        assert rows is not None
        assert rows.columns == ("sender", "receiver", "estimate")
        assert any(isinstance(job, PathEdges) for job in bench.computed)


async def test_the_other_prompt_is_typed_here_and_the_page_stays() -> None:
    from textual.widgets import Input

    from tui.views.ask import Ask

    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "Y", "P")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
        explorer.app.screen.query_one(Input).value = "The capital of Rome is"
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(explorer.app.screen, Ask))
        await settled(explorer, pilot)
        assert explorer.selection.page == "paths"
        assert "[France|Rome]" in text_of(explorer, "#title")
