"""What is on the screen is never another thing than its name says: every page and every side panel, while jobs hang, fail
and pages change.

The bench writes the job into each result, so that the widgets alone tell what they show. They are read at every frame that
is sent, and compared with the places that were to be drawn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.app import App
from textual.content import Content
from textual.pilot import Pilot

from tests.app.driving import driven, settled, text_of, until
from tests.app.recorded import RecordedBench, Refused, info
from tui import needs, pages
from tui.engine.jobs import Job
from tui.explorer import Explorer
from tui.page import Page, Panel, here_on, offered, panel_of
from tui.pane import Pane, Side, title
from tui.results import Capabilities, Curve, Gallery, Grid, Table
from tui.selection import Selection, settle
from tui.views.chart import Bars, Plot
from tui.views.gallery import Thumbnails
from tui.views.heatmap import Heatmap
from tui.views.side_panel import SidePanel
from tui.views.still import Still

pytestmark = pytest.mark.timeout(120)

Drawn = Grid | Gallery | Table | Curve
PROMPTS = "The capital of France is\nThe king of Rome is in\nThe queen of France is in London\n"


class SignedBench(RecordedBench):
    """Writes into every result which job it answers; holds and refuses the jobs that a test names."""

    def __init__(self) -> None:
        super().__init__(info(positions="rotary", capabilities=Capabilities()))  # every side panel exists
        self.signs: dict[Job, str] = {}
        self.held: Callable[[Job], bool] = lambda job: False
        self.refused: Callable[[Job], bool] = lambda job: False

    def compute(self, job: Job, ctx: Any) -> Any:
        while self.held(job):
            ctx.check()
            self.gate.wait(0.005)
        if self.refused(job):
            raise Refused("This job is refused on purpose.", "Press another key.")
        return self.answer(job)

    def answer(self, job: Job) -> Any:
        """The result, signed; the bench's own refusals are raised."""
        result = getattr(self, f"_{type(job).__name__.lower()}")(job)
        if not isinstance(result, Grid | Gallery | Table | Curve):
            return result
        header = replace(result.header, explanation=self.sign(job), checks={self.sign(job): 0.0}, details={})
        return replace(result, header=header)

    def sign(self, job: Job) -> str:
        return self.signs.setdefault(job, f"job-{len(self.signs)}.")

    def known(self, job: Job) -> Any:
        """What will be known of a job in the end: nothing if the bench refuses it."""
        try:
            return self.answer(job)
        except Refused:
            return None


@dataclass(frozen=True)
class Place:
    """What was to be drawn at one moment."""

    s: Selection
    page: Page
    title: str
    job: Job | None
    panel: Panel | None
    panel_title: str
    panel_job: Job | None
    rows: Drawn | None
    """The panel's result, arranged for it."""


class Watch:
    """Reads the widgets at every frame, and keeps what was wrong."""

    def __init__(self, explorer: Explorer, bench: SignedBench) -> None:
        self.explorer, self.bench = explorer, bench
        self.places: list[Place] = []
        self.wrong: list[str] = []
        self.frames = 0

    def note(self, s: Selection) -> None:
        """A selection is about to be drawn."""
        page, cached = pages.of(s), self.explorer.scene.wishes.cached
        here, panel = here_on(page, s, cached), panel_of(page, s)
        made = panel.job(here) if panel is not None else None
        job, main = made if isinstance(made, Job) else None, page.shown(s)
        known = here.result(job)
        rows = None if known is None or panel is None else panel.shape(here, known)
        assert rows is None or isinstance(rows, Drawn)
        self.places.append(Place(s, page, title(page, s), main if isinstance(main, Job) else None, panel,
                                 panel.title(here) if panel is not None else "", job, rows))  # fmt: skip

    def frame(self) -> None:
        """A frame is sent."""
        if self.places:
            self.frames += 1
            self.wrong += misnamed(self.explorer, self.places, self.bench)


def misnamed(explorer: Explorer, places: list[Place], bench: SignedBench) -> list[str]:
    """What the widgets show that is not what their titles say. ``places``: what was to be drawn so far, in order."""
    wrong = []
    key, name = current_tab(explorer)
    here = [place for place in places if (place.page.key, place.page.title) == (key, name)]

    said = text_of(explorer, "#title").strip()
    words = text_of(explorer, "#explanation").strip(), text_of(explorer, "#checks").strip()
    picture = explorer.main.picture
    drawn = drawn_in(picture)
    titled = [place for place in here if place.title == said]
    if not titled:
        wrong.append(f"title {said!r} under tab {key} {name}")
    elif drawn is None:
        if any(words) or not picture.message:
            wrong.append(f"{said!r} has no picture, but {words}, {picture.message!r}")
    else:
        own = [place for place in titled if place.job is not None and bench.sign(place.job) == signature(drawn)]
        if not own:
            wrong.append(f"{said!r} over the picture of {named(drawn, bench)}")
        elif not all(signature(drawn) in line for line in words):
            wrong.append(f"{said!r} with words {words} of another picture")
        elif not any(same(drawn, place.page.shape(place.s, bench.known(place.job))) for place in own if place.job):
            wrong.append(f"{said!r} with other rows or columns")
        if not picture.stale and (said, name) != (places[-1].title, places[-1].page.title):
            wrong.append(f"{said!r} is not marked as old")

    panel = explorer.panel
    if panel.display and explorer.panel_open:
        said, below = str(panel.border_title), str(panel.border_subtitle)
        rows = drawn_in(panel.picture)
        beside = [place for place in here if place.panel_title == said]
        if not beside:
            wrong.append(f"side panel {said!r} beside {key} {name}")
        elif rows is None:
            if below or not panel.picture.message:
                wrong.append(f"side panel {said!r} is empty, but {below!r}, {panel.picture.message!r}")
        elif not any(place.rows is not None and same(rows, place.rows) for place in beside):
            wrong.append(f"side panel {said!r} over the rows of {named(rows, bench)}")
        elif signature(rows) not in below:
            wrong.append(f"side panel {said!r} with the checks {below!r} of other rows")
    return wrong


def current_tab(explorer: Explorer) -> list[str]:
    """Key and title of the tab that is marked."""
    border = Content.from_markup(str(explorer.main.border_title))
    marked = next(span for span in border.spans if "reverse" in str(span.style))
    return border.plain[marked.start : marked.end].strip().split(maxsplit=1)


def drawn_in(widget: Heatmap | Thumbnails | Bars | Plot | Still) -> Drawn | None:
    """The result that a widget draws."""
    if isinstance(widget, Heatmap | Still):
        return widget.grid
    if isinstance(widget, Bars):
        return widget.table
    return widget.gallery if isinstance(widget, Thumbnails) else widget.curve


def signature(result: Drawn) -> str:
    """Which job a result answers; arranged it may say more before that."""
    return result.header.explanation.split(" · ")[-1]


def named(result: Drawn, bench: SignedBench) -> str:
    """The job behind a result, for a message."""
    return next((type(job).__name__ for job, sign in bench.signs.items() if sign == signature(result)), "nothing")


def same(one: Drawn, other: Drawn) -> bool:
    """Whether two results are one, with their rows and columns."""
    if one is other:
        return True
    if type(one) is not type(other) or signature(one) != signature(other):
        return False
    if isinstance(one, Grid) and isinstance(other, Grid):
        axes = (one.rows, one.cols) == (other.rows, other.cols)
        return axes and np.array_equal(one.values, other.values, equal_nan=True)
    if isinstance(one, Table) and isinstance(other, Table):
        return (one.columns, repr(one.rows)) == (other.columns, repr(other.rows))
    return True  # curves and galleries are not arranged


@asynccontextmanager
async def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Page
) -> AsyncIterator[tuple[Explorer, Pilot[None], SignedBench, Watch]]:
    """The explorer on one prompt of a file, on a head in the middle, at a page that is not the one to be tried."""
    path = tmp_path / "prompts.txt"
    path.write_text(PROMPTS)
    bench = SignedBench()
    async with driven(bench=bench, prompts=str(path)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        watch = Watch(explorer, bench)
        for part in (Pane, Side):
            monkeypatch.setattr(part, "draw", noted(part.draw, watch))
        display = App._display

        def displayed(self: App[None], *args: Any) -> None:
            watch.frame()
            display(self, *args)

        monkeypatch.setattr(App, "_display", displayed)
        await pilot.press("F", *["right_square_bracket"] * 2, "right_curly_bracket", "k", "h", away(page).key)
        await settled(explorer, pilot)
        yield explorer, pilot, bench, watch
        bench.held = lambda job: False
        assert watch.frames
        assert not watch.wrong, "\n".join(dict.fromkeys(watch.wrong))


def noted(draw: Callable[..., None], watch: Watch) -> Callable[..., None]:
    def drawing(self: Pane | Side, s: Selection) -> None:
        watch.note(s)
        draw(self, s)

    return drawing


def away(page: Page) -> Page:
    """A page to come from."""
    return next(other for other in pages.every() if other.name != page.name and other.key.isdigit())


def walks(page: Page, s: Selection) -> list[tuple[Selection, list[Panel]]]:
    """What the page can be entered as, so that each of its side panels is offered once: those panels and the selection
    in which the options are so."""
    found: list[tuple[Selection, list[Panel]]] = []
    missing = list(page.panels)
    entered = page.entered(replace(s, page=page.name, panel=""))
    for there in (entered, *(option.put(entered, v) for option in page.options for v in option.choices(entered))):
        there = settle(page.settled(there))
        new = [panel for panel in offered(page, there) if panel in missing]
        if new:
            missing = [panel for panel in missing if panel not in new]
            found.append((there, new))
    assert not missing, f"{[panel.name for panel in missing]} of {page.name} are never offered"
    return found


async def walk(
    explorer: Explorer, pilot: Pilot[None], page: Page, there: Selection, panel: Panel
) -> None:
    """To a page by its key and to its side panel by ``p``, with cursor keys right behind, waiting for nothing."""
    explorer.scene.change(replace(explorer.selection, looks=there.looks))
    await pilot.press(page.key, "j", "l")
    await pilot.pause(0.02)
    for _ in range([other.name for other in offered(page, there)].index(panel.name)):
        await pilot.press("p")
    await pilot.pause(0.12)
    assert explorer.selection.page == page.name
    assert panel_of(page, explorer.selection) is panel


def panel_job(bench: SignedBench, page: Page, s: Selection, panel: Panel) -> Job | None:
    """The panel's job, once everything else is known."""
    job = panel.job(here_on(page, replace(s, panel=panel.name), bench.known))
    return job if isinstance(job, Job) else None


def is_complete(explorer: Explorer) -> None:
    """Everything is there, and it is what the selection asks for."""
    assert explorer.engine.cached(needs.shown(explorer.selection)) is not None
    assert drawn_in(explorer.main.picture) is not None
    assert not explorer.main.picture.stale


@pytest.mark.parametrize("page", pages.every(), ids=lambda page: page.name)
async def test_the_panel_hangs(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench, watch):
        for there, panels in walks(page, explorer.selection):
            for panel in panels:
                awaited, main = panel_job(bench, page, there, panel), page.shown(there)
                bench.held = lambda job, kind=type(awaited), main=main: isinstance(job, kind) and job != main  # type: ignore[misc]
                await walk(explorer, pilot, page, there, panel)
                await pilot.press(away(page).key)
                await pilot.pause(0.1)
                assert explorer.selection.page == away(page).name
                await walk(explorer, pilot, page, there, panel)
                bench.held = lambda job: False
                await settled(explorer, pilot)
                is_complete(explorer)
                await pilot.press(away(page).key)
                await settled(explorer, pilot)


@pytest.mark.parametrize("page", pages.every(), ids=lambda page: page.name)
async def test_the_page_hangs_and_its_panels_are_there(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench, watch):
        for there, panels in walks(page, explorer.selection):
            main = page.shown(there)
            assert isinstance(main, Job)
            for panel in panels:
                known = panel_job(bench, page, there, panel)
                if known is not None and known != main:
                    explorer.app.engine.cache.put(known, bench.answer(known))  # type: ignore[attr-defined]
            bench.held = lambda job, kind=type(main): isinstance(job, kind)  # type: ignore[misc]
            for panel in panels:
                await walk(explorer, pilot, page, there, panel)
                await pilot.press("right_curly_bracket", away(page).key)
                await pilot.pause(0.1)
                await pilot.press("left_curly_bracket")
            await walk(explorer, pilot, page, there, panels[0])
            bench.held = lambda job: False
            await settled(explorer, pilot)
            is_complete(explorer)


@pytest.mark.parametrize("page", pages.every(), ids=lambda page: page.name)
async def test_the_panel_fails(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench, watch):
        for there, panels in walks(page, explorer.selection):
            for panel in panels:
                awaited, main = panel_job(bench, page, there, panel), page.shown(there)
                bench.refused = lambda job, kind=type(awaited), main=main: isinstance(job, kind) and job != main  # type: ignore[misc]
                await walk(explorer, pilot, page, there, panel)
                await settled(explorer, pilot)
                is_complete(explorer)
                if drawn_in(explorer.panel.picture) is None:
                    assert "refused on purpose" in explorer.panel.picture.message
                await pilot.press(away(page).key)
                await settled(explorer, pilot)


@pytest.mark.parametrize("page", pages.every(), ids=lambda page: page.name)
async def test_the_page_fails(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench, watch):
        for there, panels in walks(page, explorer.selection):
            main = page.shown(there)
            bench.refused = lambda job, kind=type(main): isinstance(job, kind)  # type: ignore[misc]
            for panel in panels:
                await walk(explorer, pilot, page, there, panel)
                await settled(explorer, pilot)
                assert drawn_in(explorer.main.picture) is None
                assert "refused on purpose" in explorer.main.picture.message
                await pilot.press(away(page).key)
                await settled(explorer, pilot)


async def test_rows_of_another_panel_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above look for is found where it is: rows, pictures and words that stay under another name."""
    compose = pages.named("compose")
    async with watched(tmp_path, monkeypatch, compose) as (explorer, pilot, bench, watch):
        assert not watch.wrong
        monkeypatch.setattr(SidePanel, "blank", lambda self, why, title: self._tell(title, ""))
        bench.held = lambda job: type(job).__name__ == "Composition"
        await pilot.press(compose.key)
        await pilot.pause(0.2)
        assert any("side panel 'heads, ranked' over the rows of NextTokens" in said for said in watch.wrong)
        watch.wrong.clear()
        monkeypatch.undo()
