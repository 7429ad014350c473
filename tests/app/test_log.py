"""The log: steps as lines, on the screen and in a file, and the same view when they are done again without a screen."""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import OptionList, Static

from tests.app.driving import driven, placed, pressed, settled, until
from tests.app.recorded import RecordedBench, info
from tests.readme import table
from tui import pages, replay, steps
from tui.choices import bare
from tui.engine import jobs
from tui.export import InPlace
from tui.log import CHUNK, LENGTH, Log
from tui.pages.circuit import CircuitLook, OwnTokens
from tui.replay import known, step
from tui.results import Tokens
from tui.selection import Answer, Entry, Pair, Selection
from tui.steps import described, done
from tui.trail import Trail
from tui.undo import Undo
from tui.views.log import LogScreen

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
NOON = datetime(2026, 11, 30, 12, 0)


def in_place() -> Callable[[jobs.Job], Any]:
    return InPlace(RecordedBench(), None).get  # type: ignore[arg-type]


def replayed(script: str) -> Selection:
    """What ``export --replay`` makes of a log, on the recorded bench."""
    get, s = in_place(), Selection(open=jobs.Open(how="first"))
    for line in script.split("\n"):
        s, _ = step(s, line, get)
    return s


JOURNEYS = {
    "options": ("m", "2", "n", "b", "f", "3", "u", "w", "B", "5", "m", "6", "u", "7", "m", "8", "m"),
    "prompt and answer": ("i", "ctrl+u", *"France is in Paris", "enter", "A", *"London - Paris", "enter", "5", "up"),
    "changes": ("a", "}", "space", "]", "space", "a", "E", "x", "@", "d", "d", "G", "ctrl+u", *"L2.mlp@1-2", "enter"),
    "a list": ("a", "}", "a", "^", "backspace", "c", "}", "c", "K", "down", "c"),
    "a pair": ("P", "ctrl+u", *"Rome of Rome is of Rome is | Paris - London", "enter", "9", "m", "Y", "down", "enter"),
    "tokens": ("2", "t", *"France, Paris", "enter", "left", ";", *"3+", "enter", "N", "p", "p"),
    "back and undone": ("3", "}", "4", ",", "m", "w", "backspace", "backspace", "ctrl+r", "."),
    "another prompt undone": ("up", "left", "i", *" king", "enter", "left", "backspace", "2", "B", "w", "up",
                               "backspace"),
    "direct": ("3", "D", "]", "+", "~", *"5 0.8 seed 3", "enter", "="),
}
NAMES = {"}": "right_curly_bracket", "]": "right_square_bracket", "@": "at", "^": "circumflex_accent", ";": "semicolon",
         ",": "comma", ".": "full_stop", "+": "plus", "~": "tilde", "=": "equals_sign"}  # fmt: skip


@pytest.mark.parametrize("journey", JOURNEYS)
async def test_the_lines_lead_to_the_same_view(journey: str) -> None:
    async with driven() as (explorer, pilot):
        for key in JOURNEYS[journey]:
            await pilot.press(NAMES.get(key, key) if explorer.app.screen is explorer and not editing(explorer) else key)
        await settled(explorer, pilot)
        script = explorer.keeping.script
        assert bare(replayed(script)) == bare(explorer.selection), script


def editing(explorer: Any) -> bool:
    return explorer.focused is not None and explorer.focused.id == "prompt-input"


async def test_a_file_of_prompts_is_told_by_its_path(tmp_path: Path) -> None:
    facts = tmp_path / "my facts.csv"
    facts.write_text("text,answer\nRome is in,Rome\nThe king of France is,Paris\n")
    async with driven() as (explorer, pilot):
        await placed(explorer, pilot, f"prompts {facts} --fields prompt=text")
        await pressed(explorer, pilot, "greater_than_sign", "F", "E", "E", "a")
        script = explorer.keeping.script
        assert f"prompts {facts} --fields prompt=text\n" in script
        assert bare(replayed(script)) == bare(explorer.selection), script


async def test_the_screen_shows_it_and_a_key_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2", "n", "right_square_bracket", "up", "up", "left")
        await pilot.press("colon")
        await until(pilot, lambda: explorer.app.screen is not explorer)
        await pilot.press(*"log", "enter")
        await until(pilot, lambda: isinstance(explorer.app.screen, LogScreen))
        shown = [str(option.prompt) for option in explorer.app.screen.query_one(OptionList).options]
        assert [line[10:] for line in shown][-4:] == ["page qk", "set qk.normalize \"centered\"", "L1H0", "cursor 3 4"]
        await pilot.press("w", "w")
        await pilot.pause()
        said = str(explorer.app.screen.query_one("#log-said", Static).render())
        assert said == f"written: {tmp_path / 'circuit-tui-log-2.txt'}"
        await pilot.press("escape", "3")
        await settled(explorer, pilot)
        assert explorer.selection.page == "ov"
    written = (tmp_path / "circuit-tui-log.txt").read_text()
    assert written.startswith("# circuit-tui ")
    assert replayed(written).page == "qk"


async def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with driven() as (explorer, pilot):
        monkeypatch.setattr("tui.keeping.write", full)
        explorer.keeping.run("log")
        await until(pilot, lambda: isinstance(explorer.app.screen, LogScreen))
        await pilot.press("w")
        await pilot.pause()
        assert "No space left" in str(explorer.app.screen.query_one("#log-said", Static).render())


def test_moves_of_the_cursor_and_a_visit_to_the_prompt_are_one_step_and_old_steps_go() -> None:
    log, s = Log(Selection(), lambda: NOON), Selection()
    for row in range(5):
        after = replace(s, row=row)
        log.add(s, after, cursor=True)
        s = after
    for text in ("a", "ab", "abc"):
        after = replace(s, text=text)
        log.add(s, after, visit=1)
        s = after
    assert [line for _, line in log.lines][-2:] == ["cursor 4 -1", "prompt abc"]
    assert [line for _, line in log.lines][-3:] == ["model demo", "cursor 4 -1", "prompt abc"]
    for layer in range(LENGTH + CHUNK):
        after = replace(s, layer=layer + 1)
        log.add(s, after)
        s = after
    lines = [line for _, line in log.lines]
    assert lines[:4] == ["model demo", "prompt abc", f"L{CHUNK - 2}H0", "cursor 4 -1"]
    assert lines[4:] == [f"L{layer}H0" for layer in range(CHUNK - 1, LENGTH + CHUNK + 1)]


def test_a_long_run_holds_no_more_selections_than_a_short_one() -> None:
    """Each would hold the tokens of its prompt and the model that it was on."""
    log, undo, trail, s = Log(Selection(), lambda: NOON), Undo(), Trail(), Selection()
    tokens: list[weakref.ref[Tokens]] = []
    for n in range(2 * LENGTH):
        of_prompt = Tokens((n,), ("a",), (False,), False)
        tokens.append(weakref.ref(of_prompt))
        after = replace(s, text=f"prompt {n}", tokens=of_prompt, layer=n, model=info())
        del of_prompt
        log.add(s, after)
        undo.record(s, after)
        trail.leave(s)
        s = after
    gc.collect()
    alive = sum(ref() is not None for ref in tokens)
    assert alive <= LENGTH // CHUNK + 3, "where each chunk began, and the last step"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("fly", "“fly” is no step: "),
        ("page nowhere", "“nowhere” is none of pattern, qk"),
        ("set qk.nothing 1", "there is no qk.nothing to set"),
        ("set Popen.args 1", "there is no Popen.args to set"),
        ("set qk.normalize", " is no JSON"),
        ('set qk.normalize "x"', 'qk.normalize: found "x", wanted "none", "centered"'),
        ("cursor 1", "“” is no number"),
        ("cursor 1 99999999999", "“99999999999” is no number"),
        ("row 3", "there is no prompt 3 of a file"),
        ("over on", "no file of prompts is open"),
        ("drop 1", "there is no change 1"),
        ("change L99 fly", "“fly” is no way of changing a part"),
        ('change {"is": "Run"}', "change: found Run, wanted Change"),
        ("bos maybe", "“maybe” is none of auto, on, off"),
        ("prompts /nowhere/at all", "/nowhere/at all"),
        ("answer xyzzy", "xyzzy"),
    ],
)
def test_what_is_no_step_is_said(line: str, sentence: str) -> None:
    get = in_place()
    with pytest.raises(Exception, match=r".") as caught:
        done(known(Selection(), get), line, get)
    assert sentence in str(getattr(caught.value, "message", caught.value))


def test_the_lines_of_the_readme_are_steps() -> None:
    script = README.split("Lines can be written by hand:")[1].split("```")[1]
    s = replayed(script.replace("Berlin", "London"))  # a word of the recorded bench
    assert (s.page, s.name, len(s.stack), s.look(CircuitLook).normalize) == ("ov", "L0H2", 1, "centered")
    assert s.answer is not None
    rows = table(README, "## Sessions, undo and the log")
    named = {line.split()[0] for cells in rows for line in re.findall(r"`([^`]+)`", cells[0])}
    assert {*steps.WORDS, "set"} <= named


def test_every_choice_of_every_page_has_a_line() -> None:
    """Each option at each of its values, and each value that ``described`` writes as JSON."""
    model = info()
    for page in pages.every():
        s = Selection(model=model, page=page.name)
        for option in page.options:
            for value in option.choices(s):
                there = option.put(s, value)
                lines = described(s, there)
                again = s
                for line in lines:
                    again = done(again, line, in_place())
                assert again == there, lines


def test_any_two_selections_are_told_by_lines() -> None:
    draw = random.Random(3)
    texts = ("", "a b", ' "x', "{", "# no", "é\n", "\x1b[2J", " ")
    vector = jobs.SteeringDirection("x", "given", numbers=(1.0, 2.0))
    changes = [jobs.Ablation("L1H3"), jobs.CutEdge("L0H0", 3, 1), jobs.Ablation("L2.mlp", "scale", (1, 3), 0.25),
               jobs.AddVector(1, vector)]  # fmt: skip
    made = [Selection(model=info())]
    for _ in range(60):
        stack = tuple(Entry(draw.choice(changes), draw.random() < 0.8) for _ in range(draw.randrange(3)))
        s = made[0].put(
            draw.choice([CircuitLook(normalize="zscore"), OwnTokens(draw.choice(texts), row=2)]),
            text=draw.choice(texts), bos=draw.choice([None, True, False]), stack=stack, weights="raw",
            pair=draw.choice([None, Pair(draw.choice(texts)), Pair("x", answer=Answer(jobs.Target((1,)), "t"))]),
            answer=draw.choice([None, Answer(jobs.Target((2,), (3,)), draw.choice(texts), "l", sides=("a", "b"))]),
            page=draw.choice([page.name for page in pages.every()]), layer=draw.randrange(4),
            head=draw.choice([None, 0, 3]), row=draw.randrange(-1, 5), col=2, panel=draw.choice(texts),
        )  # fmt: skip
        made.append(replace(s, contrast=draw.choice(["changed", "clean", "difference"])))
    for before, after in pairwise(made):
        s = before
        for line in described(before, after):
            assert "\n" not in line
            s = done(s, line, in_place())
        assert bare(s) == bare(after), described(before, after)


REFUSED = ["prompt " + " cat" * 90, "page qk"]


@pytest.mark.parametrize("after", [["prompt The cat"], []])
def test_a_prompt_that_was_refused_on_the_way_is_no_end(
    tmp_path: Path, after: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the app, which says it and goes on; where nothing has taken its place the line is named."""
    log, out = tmp_path / "log.txt", tmp_path / "out.json"
    log.write_text("\n".join(["model demo", *REFUSED, *after]))
    parser = argparse.ArgumentParser()
    replay.add_arguments(parser)
    code = replay.export(parser.parse_args(["--replay", str(log), "--device", "cpu", "--out", str(out)]))
    said = capsys.readouterr().err
    if after:
        assert (code, said) == (0, "")
        assert json.loads(out.read_text())["view"] == "qk"
    else:
        assert code == 1
        assert f"Line 2 of {log}: The prompt is" in said
        assert not out.exists()
