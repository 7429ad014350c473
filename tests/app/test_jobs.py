"""The list of jobs, driven by keys on recorded results: what runs, waits, is kept; one is stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from tests.app.driving import driven, notice, pressed, settled, until
from tests.app.recorded import KEY, RecordedBench
from tests.app.test_snapshots import SIZES, colours, recorded_app
from tui import memory, underway
from tui.engine.jobs import HeadScores, Job, Open, Pattern, Repeats, Run, Spectrum, TopPairs
from tui.engine.load import Kept, Load, Running
from tui.explorer import Explorer
from tui.views.jobs import Jobs

assert colours  # the fixture that snapshots need


class Slow(RecordedBench):
    """Holds jobs of one type until it is told to let them go."""

    held: type[Job] = TopPairs
    holding = True

    def compute(self, job: Job, ctx: Any) -> Any:
        if isinstance(job, self.held) and self.holding:
            ctx.progress("slow on purpose", 3, 7)
            self.gate.clear()
            try:
                while self.holding:
                    ctx.check()
                    self.gate.wait(0.01)
            finally:
                self.gate.set()
        return super().compute(job, ctx)


async def opened(explorer: Explorer, pilot: Pilot[None]) -> Jobs:
    await pilot.press("J")
    await until(pilot, lambda: isinstance(explorer.app.screen, Jobs) and explorer.app.screen.chosen is not None)
    screen = explorer.app.screen
    assert isinstance(screen, Jobs)
    return screen


def listed(screen: Jobs) -> list[str]:
    listing = screen.query_one(OptionList)
    return [str(listing.get_option_at_index(i).prompt) for i in range(listing.option_count)]


def line(screen: Jobs, name: str) -> str:
    return str(screen.query_one(f"#jobs-{name}", Static).render())


async def test_what_runs_waits_and_is_kept_is_listed_with_time_and_memory() -> None:
    bench = Slow()
    bench.held = Spectrum
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("D")
        await until(pilot, lambda: bool(explorer.engine.load().waiting))
        screen = await opened(explorer, pilot)
        lines = listed(screen)
        assert lines[0].startswith("runs    SVD · L0H0")
        assert any(line.startswith("waits   ") for line in lines)
        kept = next(line for line in lines if line.startswith("kept") and "pattern · L0H0" in line)
        assert kept.rstrip().endswith("B"), "its bytes"
        assert "slow on purpose 3/7" in line(screen, "lines")
        assert "process " in line(screen, "lines")
        assert "threads" in line(screen, "lines")
        await pilot.press("escape")
        await until(pilot, lambda: explorer.app.screen is explorer)


async def test_the_job_under_the_cursor_is_stopped_and_asked_for_again() -> None:
    bench = Slow()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("V")
        await until(pilot, lambda: bool(explorer.engine.load().running))
        screen = await opened(explorer, pilot)
        await pilot.press("x")
        await until(pilot, lambda: "is stopped: x asks for it again" in line(screen, "said"))
        await until(pilot, lambda: not any(isinstance(one.job, TopPairs)
                                           for one in explorer.engine.load().running))  # fmt: skip
        assert any("stopped top pairs · L0H0" in line for line in listed(screen))
        await pilot.press("escape")
        await until(pilot, lambda: "J lists it" in explorer.main.heatmap.message)
        bench.holding = False
        screen = await opened(explorer, pilot)
        at = next(i for i, line in enumerate(listed(screen)) if line.startswith("stopped"))
        screen.query_one(OptionList).highlighted = at
        await pilot.press("x", "escape")
        await settled(explorer, pilot)
        assert explorer.main.bars.table is not None


async def test_a_key_that_asks_for_a_stopped_job_computes_it() -> None:
    bench = Slow()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("V")
        await until(pilot, lambda: bool(explorer.engine.load().running))
        await opened(explorer, pilot)
        await pilot.press("x", "escape")
        bench.holding = False
        await pressed(explorer, pilot, "2", "V")
        assert explorer.main.bars.table is not None


async def test_it_reads_itself_anew_keeps_its_cursor_and_what_is_kept_is_let_be() -> None:
    bench = Slow()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("V")
        await until(pilot, lambda: bool(explorer.engine.load().running))
        screen = await opened(explorer, pilot)
        await pilot.press("end")
        assert screen.chosen is not None
        name, state = screen.chosen.name, screen.chosen.state
        assert state == "kept"
        bench.holding = False
        await until(pilot, lambda: not any(line.startswith("runs") for line in listed(screen)))
        assert screen.chosen is not None
        assert screen.chosen.name == name
        await pilot.press("x")
        await until(pilot, lambda: "is computed: it goes by itself" in line(screen, "said"))
        await pilot.press("t")
        await until(pilot, lambda: "t means nothing in this list" in line(screen, "said"))
        await pilot.press("q")
        await until(pilot, lambda: explorer.app.screen is explorer)
        assert notice(explorer) == ""


def test_a_job_is_named_by_what_tells_it_from_others() -> None:
    run = Run(KEY, (1, 2, 3), True)
    assert underway.name_of(Pattern(run, 1, 3, "scores")) == "pattern · L1H3 · 3 tokens · scores"
    assert underway.name_of(Open("/a\x1b[31m/b")) == "model · /a␛[31m/b"
    assert underway.name_of(HeadScores(KEY, Repeats(0, 8, 9, True))).startswith("head scores")


def test_a_part_ends_with_the_jobs_that_ask_for_it() -> None:
    run = Run(KEY, (1, 2, 3), True)
    first, second = Pattern(run, 0, 0), Pattern(run, 0, 1)
    part = next(iter(first.needs()))
    load = Load((Running(first, 1.0), Running(part, 0.5)), ("", 0, 0), (second,), (Kept(second, 5, 0.1),), 5, 10)
    assert underway.stopped_with(part, load) == [first, second]
    assert underway.stopped_with(second, load) == [second]
    assert underway.stopped_with(Open("elsewhere"), load) == []
    assert [entry.state for entry in underway.entries(load, [part])] == ["runs", "part", "waits", "stopped", "kept"]


def test_the_process_has_memory_and_a_cpu_is_no_card() -> None:
    assert memory.resident() > 10 << 20
    assert memory.of_card("cpu") is None


async def test_the_memory_of_this_machine_is_not_said_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    monkeypatch.setattr("tui.memory.of_card", asked.append)
    async with driven() as (explorer, pilot):
        await settled(explorer, pilot)
        s = explorer.selection
        assert s.model is not None
        far = replace(s.model, key=replace(s.model.key, device="cuda:0"))
        monkeypatch.setattr(type(explorer.scene), "selection", replace(s, model=far))
        monkeypatch.setattr(explorer.engine, "load", lambda: Load((), ("", 0, 0), (), (), 0, 1, "box"))
        await pilot.press("J")
        await until(pilot, lambda: isinstance(screen := explorer.app.screen, Jobs) and "idle" in line(screen, "lines"))
        told = line(cast("Jobs", explorer.app.screen), "lines")
        assert told.startswith("worker: box, idle\nprocess here "), told
        assert "cuda" not in told
    assert asked == []


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_snapshot(snap_compare: Callable[..., bool], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.memory.resident", lambda: 612 << 20)
    monkeypatch.setattr("tui.working.threading.active_count", lambda: 3)
    app = recorded_app()

    async def run(pilot: Pilot[None]) -> None:
        explorer = app.explorer
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        results = (Pattern(Run(KEY, (0, 1, 2), True), 1, 3), HeadScores(KEY, Repeats(0, 8, 9, True)))
        load = Load((Running(TopPairs(KEY, 2, 1, "ov"), 12.5),), ("products", 40, 128), (results[1],),
                    (Kept(results[0], 5000, 0.012),), 5000, 48 << 20)  # fmt: skip
        monkeypatch.setattr(explorer.engine, "load", lambda: load)
        explorer.scene.wishes.activity = ""  # which job came last is a race
        explorer.draw()
        await opened(explorer, pilot)
        await pilot.pause()

    assert snap_compare(app, run_before=run, terminal_size=size)


@pytest.mark.parametrize("key", ["J", "y", "e"])
async def test_a_page_of_a_list_that_has_no_room(key: str) -> None:
    async with driven() as (explorer, pilot):
        await pilot.press(key)
        await pilot.pause()
        await pilot.resize_terminal(3, 30)
        await pilot.press("pagedown", "pageup")
        await pilot.resize_terminal(1, 1)
        await pilot.press("pagedown", "pageup", "escape")
        await pilot.pause()
        assert explorer.app.screen is explorer
