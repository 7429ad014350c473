"""A model folder that is gone: before it is opened, after its files were read, while it is read by slice, and while the
list of models shows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from tests.app.driving import notice, settled, until
from tests.engine.fakes import Events, wait_until
from tests.models.folders import gpt2_folder
from tui import label, needs, pages
from tui.app import CircuitApp
from tui.config import Options
from tui.engine import jobs
from tui.engine.engine import Engine
from tui.engine.events import Failed
from tui.engine.jobs import Opening
from tui.engine.run import Bench
from tui.engine.trouble import FAULT_HINT
from tui.results import ModelInfo
from tui.selection import Selection, with_model
from tui.views.models import Models


class Asked:
    """An engine on its own."""

    def __init__(self) -> None:
        self.events = Events()
        self.engine = Engine(self.events.append, Bench)
        self.engine.start()

    def ask(self, *wanted: jobs.Job) -> list[Any]:
        """Their results, None for what failed."""
        self.events.clear()
        there = self.engine.want(wanted)
        wait_until(lambda: {*wanted} <= {*there, *self.events.done, *self.events.failed}, 60.0)
        return [self.engine.cached(job) for job in wanted]

    def failures(self) -> list[Failed]:
        return self.events.of(Failed)

    def opened(self, folder: Path, how: Opening) -> Selection:
        opening = jobs.Open(str(folder), device="cpu", how=how)
        (info,) = self.ask(opening)
        assert isinstance(info, ModelInfo), self.failures()
        s = with_model(Selection(open=opening, text="the king of France is"), opening, info)
        if how == "weights":
            return s
        job = needs.tokenizing(s)
        assert job is not None
        (tokens,) = self.ask(job)
        return needs.told(s, job, tokens)


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    assert made.engine.close(5.0)


@pytest.mark.parametrize("how", ["load", "first", "weights", "stream"])
def test_after_it_was_opened(asked: Asked, tmp_path: Path, how: Opening) -> None:
    """Every page gives its result or says which file cannot be read; another model opens after that."""
    folder = gpt2_folder(tmp_path / "model")
    s = asked.opened(folder, how)
    shutil.rmtree(folder)
    shown = [needs.shown(replace(s, page=page.name)) for page in pages.every()]
    wanted = [job for job in dict.fromkeys(shown) if job is not None]
    asked.ask(*wanted)
    for failure in asked.failures():
        assert failure.hint != FAULT_HINT, (how, failure)
        assert failure.error.isprintable()
    if how == "load":
        assert len(asked.failures()) < len(wanted), "what is in memory stays"
    (info,) = asked.ask(jobs.Open("demo", device="cpu"))
    assert isinstance(info, ModelInfo)


def test_before_it_is_opened_the_one_before_stays(asked: Asked, tmp_path: Path) -> None:
    folder = gpt2_folder(tmp_path / "model")
    s = asked.opened(gpt2_folder(tmp_path / "other", seed=1), "load")
    shutil.rmtree(folder)
    asked.ask(jobs.Open(str(folder), device="cpu"))
    (failure,) = asked.failures()
    assert failure.hint
    assert str(folder) in failure.error
    job = needs.shown(s)
    assert job is not None
    assert asked.ask(job) != [None]


async def test_while_the_list_of_models_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One goes between its being found and read, one when it is on the screen: enter on that one says which folder it
    is, and the model before stays."""
    quick, listed = gpt2_folder(tmp_path / "a" / "quick"), gpt2_folder(tmp_path / "b" / "listed")
    monkeypatch.chdir(tmp_path)
    read = label.read

    def late(folder: Path, *names: str) -> label.Label:
        if folder == quick:
            shutil.rmtree(quick)
        return read(folder, *names)

    monkeypatch.setattr("tui.label.read", late)
    app = CircuitApp(Options())
    async with app.run_test(size=(120, 40)) as pilot:
        explorer = app.explorer
        await until(pilot, lambda: explorer.selection.model is not None)
        await settled(explorer, pilot)
        await pilot.press("M")
        models = explorer.app.screen
        assert isinstance(models, Models)
        await until(pilot, lambda: "found" in str(models.query_one("#models-keys", Static).content))
        await pilot.press(*"quick")
        await pilot.pause()
        assert str(quick) in "".join(str(models.query_one("#models-card", Static).content).split()), "broken into lines"
        await pilot.press("ctrl+u", *"listed")
        await pilot.pause()
        assert models.chosen is not None
        assert models.chosen.folder == str(listed)
        shutil.rmtree(listed)
        await pilot.press("enter")
        await until(pilot, lambda: str(listed) in notice(explorer))
        assert explorer.selection.model is not None
        assert explorer.selection.model.name == "demo"
        await pilot.press("right_curly_bracket")
        await settled(explorer, pilot)
        assert explorer.selection.name == "L0H1"
