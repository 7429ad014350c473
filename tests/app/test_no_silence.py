"""No key is silent: on every page each does something that is seen, or says why not and what does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.app.driving import driven, notice, settled
from tests.app.recorded import RecordedBench
from tests.app.selected import loaded
from tui import commands, moves, pages, stack
from tui.contrast import here_on
from tui.declared import Command, Say
from tui.engine.jobs import Job
from tui.explorer import Explorer
from tui.results import Result
from tui.selection import Selection

pytestmark = pytest.mark.timeout(900)
CURSOR = {"up", "down", "left", "right", "top", "bottom", "row_start", "row_end", "page_down", "page_up"}
"""At an edge they stay where they are, as everywhere."""
_BENCH = RecordedBench()


def cached(job: Job) -> Result | None:
    try:
        result: Result = _BENCH.compute(job, None)
    except Exception:  # what the bench refuses is not known
        return None
    return result


def _named(command: Command) -> tuple[str, str, int]:
    """``move('head', -1)`` → ("move", "head", -1)."""
    found = re.fullmatch(r"(\w+)(?:\('(\w+)'(?:, (-?\d+))?\))?", command.action)
    return (found[1], found[2] or "", int(found[3] or 0)) if found else ("", "", 0)


@pytest.mark.parametrize("page", [page.name for page in pages.every()])
def test_each_key_of_the_model_says_or_changes_something_on_every_page(page: str) -> None:
    s = loaded(page=page, layer=1, head=1)
    here = here_on(pages.of(s), s, cached)
    silent = []
    for command in commands.every():
        action, name, by = _named(command)
        made: Selection | Say | str
        if action == "move":
            made = moves.move(s, name, by)
        elif action == "cycle":
            there, sentence = moves.cycle(s, name, command.label)
            made = Say(sentence) if sentence else there
        elif action == "stack" and name != "write":  # that one asks
            made = stack.pressed(name, here, "", None)
        else:
            continue
        if made == s or (isinstance(made, Say) and len(made.sentence) < 15):
            silent.append(command.id)
    assert silent == []


def seen(explorer: Explorer) -> tuple[object, ...]:
    """All that a key can change."""
    strips = explorer._compositor.render_strips()
    panes = [strip.text for strip in strips[4 : explorer.size.height - 3]]
    heatmap = explorer.main.heatmap
    return (explorer.selection, explorer.app.screen, explorer.focused, notice(explorer), panes, heatmap.numbers,
            explorer.scene.pinned, explorer.scene.own_scale)  # fmt: skip


@pytest.mark.parametrize("page", ["1", "D"], ids=["a matrix", "a curve"])
async def test_each_command_does_something_that_is_seen(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what is exported goes there
    async with driven(size=(132, 32)) as (explorer, pilot):
        await pilot.press(page)
        await settled(explorer, pilot)
        base, silent = explorer.selection, []
        for command in commands.every():
            action, _, _ = _named(command)
            if command.id in CURSOR or action in ("move", "cycle", "stack", "quit", "show", "ask"):
                continue  # they are held to it above, leave, or ask
            explorer.scene.change(base)
            explorer.notice.say("")
            await pilot.pause()
            before = seen(explorer)
            if command.keys:
                await pilot.press(command.keys[0])
            else:
                explorer.directory.run(command.id)
            await pilot.pause()
            await pilot.pause()
            if before == seen(explorer):
                silent.append(command.id)
            while explorer.app.screen is not explorer:
                await pilot.press("escape")
                await pilot.pause()
            if isinstance(explorer.focused, Input):
                await pilot.press("escape")
        assert silent == []
        await pilot.press("percent_sign")
        await pilot.pause()
        assert ("and none is shown here" in notice(explorer)) == (page != "1")
