"""What is on the screen is never another thing than its name says: every page and every side panel, while jobs hang,
fail and pages change.

The bench writes the job into each result, so that the widgets alone tell what they show. They are read at every frame
that is sent, and compared with the places that were to be drawn.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.app import App
from textual.content import Content
from textual.pilot import Pilot

from tests.app.driving import driven, notice, settled, text_of, until
from tests.app.recorded import RecordedBench, Refused, info
from tui import needs, pages
from tui.contrast import here_on
from tui.declared import Panel
from tui.engine.events import Failed
from tui.engine.jobs import Composition, Job
from tui.explorer import Explorer
from tui.page import Page, offered, panel_of
from tui.pages import wiring
from tui.pages.chosen import ChosenLook
from tui.pane import Pane, Side, title
from tui.results import Capabilities, Curve, Gallery, Graph, Grid, Table
from tui.selection import Pair, Selection, settle
from tui.views.chart import Bars, Plot
from tui.views.gallery import Thumbnails
from tui.views.graph import GraphView
from tui.views.heatmap import Heatmap
from tui.views.main_view import MainView, Words
from tui.views.side_panel import SidePanel
from tui.views.still import Still

Drawn = Grid | Gallery | Table | Curve | Graph
PROMPTS = "The capital of France is\nThe king of Rome is in\nThe queen of France is in London\n"


def of_kind(kind: type, but: object = None) -> Callable[[Job], bool]:
    """Jobs of a type, all but one."""
    return lambda job: isinstance(job, kind) and job != but


def nothing(job: Job) -> bool:
    """No job."""
    return False


class SignedBench(RecordedBench):
    """Writes into every result which job it answers; holds and refuses the jobs that a test names."""

    def __init__(self) -> None:
        super().__init__(info(positions="rotary", capabilities=Capabilities()))  # every side panel exists
        self.signs: dict[Job, str] = {}
        self.held = self.refused = nothing

    def compute(self, job: Job, ctx: Any) -> Any:
        while self.held(job):
            ctx.check()
            time.sleep(0.005)
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
        """Its type and a number of its own."""
        return self.signs.setdefault(job, f"{type(job).__name__}-{len(self.signs)}.")

    def known(self, job: Job) -> Any:
        """What will be known of a job in the end: nothing if the bench refuses it."""
        try:
            return self.answer(job)
        except Refused:
            return None


@dataclass(frozen=True)
class Place:
    """What was to be drawn at one moment."""

    page: str
    title: str
    sign: str
    """Of the job whose picture it is; "" where there is none."""
    panel_title: str
    panel_sign: str
    picture: Drawn | None = field(compare=False)
    """As the page arranges it; None where the bench has none."""
    rows: Drawn | None = field(compare=False)
    """As the panel arranges them."""


class Watch:
    """Reads the widgets at every frame, and keeps what was wrong."""

    def __init__(self, explorer: Explorer, bench: SignedBench) -> None:
        self.explorer, self.bench = explorer, bench
        self.places: dict[Place, Place] = {}
        """What was to be drawn so far, the last one last."""
        self.wrong: list[str] = []
        self.frames = 0

    def note(self, s: Selection) -> None:
        """A selection is about to be drawn."""
        page = pages.of(s)
        here, panel = here_on(page, s, self.explorer.scene.wishes.cached), panel_of(page, s)
        main, beside = page.shown(s), panel.job(here) if panel is not None else None
        result = here.result(beside)
        rows = None if result is None or panel is None else panel.shape(here, result)
        assert here.drawn is None or isinstance(here.drawn, Drawn)
        assert rows is None or isinstance(rows, Drawn)
        place = Place(f"{page.key} {page.title}", title(page, s), self.sign(main),
                      panel.title(here) if panel is not None else "", self.sign(beside), here.drawn, rows)  # fmt: skip
        self.places.pop(place, None)
        self.places[place] = place

    def sign(self, job: object) -> str:
        return self.bench.sign(job) if isinstance(job, Job) else ""

    def frame(self) -> None:
        """A frame is sent."""
        if self.places:
            self.frames += 1
            self.wrong += misnamed(self.explorer, list(self.places))


def misnamed(explorer: Explorer, places: list[Place]) -> list[str]:
    """What the widgets show that is not what their titles say. ``places``: what was to be drawn so far, in order."""
    wrong = []
    tab = current_tab(explorer)
    here = [place for place in places if place.page == tab]

    said = text_of(explorer, "#title").strip()
    words = text_of(explorer, "#explanation").strip(), text_of(explorer, "#checks").strip()
    picture = explorer.main.picture
    drawn = drawn_in(picture)
    titled = [place for place in here if place.title == said]
    if not titled:
        wrong.append(f"title {said!r} under tab {tab}")
    elif drawn is None:
        if any(words) or not picture.message:
            wrong.append(f"{said!r} has no picture, but {words}, {picture.message!r}")
    else:
        own = [place for place in titled if place.sign == signature(drawn)]
        if not own:
            wrong.append(f"{said!r} over the picture of {signature(drawn)}")
        elif not all(signature(drawn) in line for line in words):
            wrong.append(f"{said!r} with words {words} of another picture")
        elif not any(place.picture is not None and same(drawn, place.picture) for place in own):
            wrong.append(f"{said!r} with other rows or columns")
        if not picture.stale and (tab, said) != (places[-1].page, places[-1].title):
            wrong.append(f"{said!r} is not marked as old")

    panel = explorer.panel
    if panel.display and explorer.panel_open:
        said, below = re.sub(r"^p \d/\d · ", "", str(panel.border_title)), str(panel.border_subtitle)
        rows = drawn_in(panel.picture)
        beside = [place for place in here if place.panel_title == said]
        if not beside:
            wrong.append(f"side panel {said!r} beside {tab}")
        elif rows is None:
            if below or not panel.picture.message:
                wrong.append(f"side panel {said!r} is empty, but {below!r}, {panel.picture.message!r}")
        elif not any(place.rows is not None and same(rows, place.rows) for place in beside):
            wrong.append(f"side panel {said!r} over the rows of {signature(rows)}")
        elif signature(rows) not in below:
            wrong.append(f"side panel {said!r} with the checks {below!r} of other rows")
    return wrong


def current_tab(explorer: Explorer) -> str:
    """Key and title of the tab that is marked."""
    border = Content.from_markup(str(explorer.main.border_title))
    marked = next(span for span in border.spans if "reverse" in str(span.style))
    return border.plain[marked.start : marked.end].strip()


def drawn_in(widget: Heatmap | Thumbnails | Bars | Plot | GraphView | Still) -> Drawn | None:
    """The result that a widget draws."""
    if isinstance(widget, Heatmap | Still):
        return widget.grid
    if isinstance(widget, Bars):
        return widget.table
    if isinstance(widget, GraphView):
        return widget.graph
    return widget.gallery if isinstance(widget, Thumbnails) else widget.curve


def signature(result: Drawn) -> str:
    """Which job a result answers; arranged it may say more before that."""
    return result.header.explanation.split(" · ")[-1]


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
    if isinstance(one, Graph) and isinstance(other, Graph):
        return (one.nodes, one.links) == (other.nodes, other.links)
    return True  # curves and galleries are not arranged


@asynccontextmanager
async def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Page
) -> AsyncIterator[tuple[Explorer, Pilot[None], SignedBench]]:
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
        explorer.pace.typing_pause = 0.0
        circuit = [ChosenLook(("L0H1", "L1H2", "L2H0"))] if page is wiring.PAGE else []
        explorer.scene.change(explorer.selection.put(*circuit, pair=Pair("The capital of Rome is")))
        await pilot.press("F", *["right_square_bracket"] * 2, "right_curly_bracket", "k", "h", away(page).key)
        await settled(explorer, pilot)
        yield explorer, pilot, bench
        bench.held = nothing
        assert watch.frames
        assert not watch.wrong, "\n".join(dict.fromkeys(watch.wrong))


def noted(draw: Callable[..., None], watch: Watch) -> Callable[..., None]:
    def drawing(self: Pane | Side, s: Selection, *rest: object) -> None:
        watch.note(s)
        draw(self, s, *rest)

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


async def enter(explorer: Explorer, pilot: Pilot[None], page: Page, there: Selection, panel: Panel) -> None:
    """To a page by its key, with a cursor key right behind, and to its side panel, waiting for no result."""
    explorer.scene.change(replace(explorer.selection, looks=there.looks))
    await pilot.press(page.key, "j")
    explorer.scene.change(replace(explorer.selection, panel=panel.name))
    await pilot.pause(0.1)  # longer than a change waits for its result
    assert explorer.selection.page == page.name
    assert panel_of(page, explorer.selection) is panel


async def leave(explorer: Explorer, pilot: Pilot[None], page: Page) -> None:
    """To another page, all of whose results are there."""
    await pilot.press(away(page).key)
    await until(pilot, lambda: current_tab(explorer).startswith(away(page).key))


def panel_job(bench: SignedBench, page: Page, s: Selection, panel: Panel) -> Job | None:
    """The panel's job, once everything else is known."""
    job = panel.job(here_on(page, replace(s, panel=panel.name), bench.known))
    return job if isinstance(job, Job) else None


def forget(explorer: Explorer) -> None:
    """Nothing is computed yet."""
    explorer.engine.want([])
    explorer.app.engine.cache.clear()  # type: ignore[attr-defined]
    explorer.scene.want()


def is_complete(explorer: Explorer) -> None:
    """Everything is there, and it is what the selection asks for."""
    assert explorer.engine.cached(needs.shown(explorer.selection)) is not None
    assert drawn_in(explorer.main.picture) is not None
    assert not explorer.main.picture.stale


PAGES = pytest.mark.parametrize("page", pages.every(), ids=lambda page: page.name)


@PAGES
async def test_its_panels_hang(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench):
        for there, panels in walks(page, explorer.selection):
            main = page.shown(there)
            for panel in panels:
                kind = type(panel_job(bench, page, there, panel))
                bench.held = of_kind(kind, main)
                await enter(explorer, pilot, page, there, panel)
                await leave(explorer, pilot, page)
            await enter(explorer, pilot, page, there, panels[0])
            bench.held = nothing
            await settled(explorer, pilot)
            is_complete(explorer)


@PAGES
async def test_it_hangs_and_its_panels_are_there(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench):
        for there, panels in walks(page, explorer.selection):
            main = page.shown(there)
            assert isinstance(main, Job)
            bench.held = of_kind(type(main))
            forget(explorer)
            for panel in panels:
                known = panel_job(bench, page, there, panel)
                if known is not None and known != main:
                    explorer.app.engine.cache.put(known, bench.answer(known))  # type: ignore[attr-defined]
            for panel in panels:
                await enter(explorer, pilot, page, there, panel)
                assert explorer.engine.cached(main) is None
                await pilot.press("right_curly_bracket")
                await leave(explorer, pilot, page)
                await pilot.press("left_curly_bracket")
            await enter(explorer, pilot, page, there, panels[0])
            bench.held = nothing
            await settled(explorer, pilot)
            is_complete(explorer)


@PAGES
async def test_its_panels_fail(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench):
        for there, panels in walks(page, explorer.selection):
            main = page.shown(there)
            for panel in panels:
                kind = type(panel_job(bench, page, there, panel))
                bench.refused = of_kind(kind, main)
                await enter(explorer, pilot, page, there, panel)
                await settled(explorer, pilot)
                is_complete(explorer)
                if drawn_in(explorer.panel.picture) is None:
                    assert "refused on purpose" in explorer.panel.picture.message
                await leave(explorer, pilot, page)


@PAGES
async def test_it_fails(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path, monkeypatch, page) as (explorer, pilot, bench):
        for there, panels in walks(page, explorer.selection):
            bench.refused = of_kind(type(page.shown(there)))
            forget(explorer)
            for panel in panels:
                await enter(explorer, pilot, page, there, panel)
                await settled(explorer, pilot)
                assert drawn_in(explorer.main.picture) is None
                assert "refused on purpose" in explorer.main.picture.message
                await leave(explorer, pilot, page)


async def test_rows_and_pictures_under_another_name_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above look for is found where it is."""
    compose = pages.named("compose")
    monkeypatch.setattr(SidePanel, "blank", lambda self, why, title: setattr(self, "border_title", title))
    monkeypatch.setattr(MainView, "blank", lambda self, why, title, tabs: self.show(
        self.heatmap.grid, (0, 0), Words(title), tabs))  # fmt: skip
    with pytest.raises(AssertionError) as wrong:  # noqa: PT012
        async with watched(tmp_path, monkeypatch, compose) as (explorer, pilot, bench):
            bench.held = of_kind(Composition)
            await enter(explorer, pilot, compose, explorer.selection, compose.panels[0])
    assert "side panel 'heads, ranked' over the rows of NextTokens-" in str(wrong.value)
    assert "'heads that feed the key of L2H1 · z, processed weights' over the picture of Pattern-" in str(wrong.value)


async def test_without_a_model_every_pane_says_why() -> None:
    """Nothing is being computed, and nothing of it may seem to be."""
    async with driven(model="nowhere") as (explorer, pilot):
        await until(pilot, lambda: bool(explorer.scene.wishes.failed))
        for page in pages.every():
            explorer.scene.change(replace(explorer.selection, page=page.name))
            explorer.draw()
            await pilot.pause()
            assert "There is no model called nowhere." in explorer.main.heatmap.message
            if explorer.panel_open:
                assert "There is no model called nowhere." in explorer.panel.bars.message, page.name
                assert str(explorer.panel.border_title) in [panel.name for panel in page.panels]


async def test_what_is_refused_after_its_page_was_left_is_not_said_of_another() -> None:
    """The worker's answer is on its way when a key leaves the page: under the next picture it would be its own."""
    async with driven() as (explorer, pilot):
        there = replace(explorer.selection, page="compose", layer=1)
        job = pages.named("compose").shown(there)
        assert isinstance(job, Composition)
        explorer.scene.said(Failed(job, "This job is refused on purpose.", "Press another key."))
        await settled(explorer, pilot)
        assert notice(explorer) == ""
        explorer.scene.change(there)
        explorer.scene.said(Failed(job, "This job is refused on purpose.", "Press another key."))
        explorer.draw()
        assert "refused on purpose" in explorer.main.picture.message
