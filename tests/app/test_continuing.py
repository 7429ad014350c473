"""What the model says next by keys: how many tokens, drawn or greedy, and the same numbers without a screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app.driving import driven, pressed
from tests.app.recorded import RecordedBench
from tests.app.selected import loaded
from tests.circuits.desk import Desk
from tests.export.headless import run
from tests.models.folders import gpt2_folder
from tui import moves
from tui.declared import Say
from tui.engine.jobs import Continuation, Run, Tokenize
from tui.explorer import Explorer
from tui.pages.continuing import ContinueLook, read
from tui.selection import Selection


def asked(bench: RecordedBench) -> Continuation:
    return [job for job in bench.computed if isinstance(job, Continuation)][-1]


def border(explorer: Explorer) -> str:
    return str(explorer.panel.border_title)


async def test_it_is_drawn_by_temperature_and_seed_and_the_title_says_so() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "plus")
        assert border(explorer).endswith("greedy: says next")
        await pressed(explorer, pilot, "tilde", "ctrl+u", *"5 0.8 seed 3", "enter")
        job = asked(bench)
        assert (job.n, job.temperature, job.seed) == (5, 0.8, 3)
        assert border(explorer).endswith("T 0.8 seed 3: says next")
        await pressed(explorer, pilot, "plus", "plus")
        assert border(explorer).endswith("T 0.8 seed 3: says next"), "how it was asked for stays"
        await pressed(explorer, pilot, "a")
        assert border(explorer).endswith("T 0.8 seed 3: clean and changed")
        await pressed(explorer, pilot, "tilde", "ctrl+u", *"7", "enter")
        job = asked(bench)
        assert (job.n, job.temperature, job.seed) == (7, 0.0, 0)
        assert "greedy" in border(explorer)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", ContinueLook(True)),
        ("40", ContinueLook(True, 40)),
        ("20 0.8", ContinueLook(True, 20, 0.8)),
        ("5 1 seed=4", ContinueLook(True, 5, 1.0, 4)),
        ("20 0", ContinueLook(True)),
    ],
)
def test_how_it_is_written(text: str, want: ContinueLook) -> None:
    assert read(text) == want


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("0", "1 to 256"), ("257", "1 to 256"), ("5 seed 3", "write 20 0.8 seed 3"), ("much", "or 20 0.8 seed 3")],
)
def test_what_cannot_be_asked_for(text: str, sentence: str) -> None:
    said = read(text)
    assert isinstance(said, str)
    assert sentence in said


def test_the_palette_takes_it_too() -> None:
    ((name, _, move),) = moves.typed(loaded(), "continue 20 0.8 seed 3")
    assert name == "continue 20 0.8 seed 3"
    there = move()
    assert isinstance(there, Selection)
    assert there.look(ContinueLook) == ContinueLook(True, 20, 0.8, 3)
    assert there.panel == "continuation"
    ((_, _, move),) = moves.typed(loaded(), "continue forever")
    assert isinstance(move(), Say)


def test_the_export_has_the_screen_s_numbers(tmp_path: Path) -> None:
    folder, out = gpt2_folder(tmp_path / "tiny"), tmp_path / "out.json"
    prompt = "the capital of France is"
    arguments = ("--top", "5", "--temperature", "0.8", "--seed", "3", "--out", str(out))
    assert run(folder, "continue", "--prompt", prompt, *arguments) == 0
    desk = Desk(folder)
    ids = desk.get(Tokenize(desk.key, prompt, desk.info.bos_default)).ids
    table = desk.get(Continuation(Run(desk.key, ids, desk.info.bos_default), 5, 0.8, 3))
    assert json.loads(out.read_text())["values"] == [list(row) for row in table.rows]
