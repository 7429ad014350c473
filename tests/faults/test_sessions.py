"""Sessions and logs broken in hundreds of ways: each opens, or is a sentence; none is ever written over."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.app.driving import driven, placed, pressed, settled
from tests.app.recorded import RecordedBench, Refused, info
from tests.faults import grammar
from tests.faults.test_files import is_a_sentence
from tui import replay, session
from tui.asked import Missing
from tui.engine.trouble import told
from tui.export import InPlace
from tui.selection import Selection, with_model

MODEL = replace(info(), vocabulary="v")
KEYS = ("2", "n", "a", "right_curly_bracket", "A", *"London", "enter", "3", "c", "4", "m", "E", "5", "u", "comma", "P",
        *"The king", "enter", "9", "m", "I", *"2: Paris", "enter", "d", "1", "vertical_line", "6")  # fmt: skip
"""A walk that leaves something in every part of a session."""


def bench() -> RecordedBench:
    return RecordedBench(MODEL)


async def walked() -> tuple[bytes, str]:
    """A session and a log of a real walk."""
    async with driven(bench=bench()) as (explorer, pilot):
        for key in KEYS:
            await pilot.press(key)
        await settled(explorer, pilot)
        await placed(explorer, pilot, "save whole")
        return session.of_name("whole").read_bytes(), explorer.keeping.script


async def test_five_hundred_broken_sessions(tmp_path: Path) -> None:
    """As values that were read: restored onto the model, or Unreadable."""
    whole, _ = await walked()
    dice, opened, file = random.Random(12), 0, tmp_path / "broken.json"
    document = json.loads(whole)
    context = InPlace(bench(), None)
    here = replay.known(Selection(), context.get)
    assert here.key is not None
    for number in range(500):
        data = grammar.document(dice, document)
        file.write_bytes(data)
        try:
            kept = session.read(file)
            wanted, said = session.restored(here, kept, kept.on(here.key)[0])
        except session.Unreadable as error:
            is_a_sentence(str(error))
        else:
            opened += 1
            assert isinstance(wanted, Selection)
            assert not said or said.isprintable(), (number, said)
        assert file.read_bytes() == data
    assert 50 < opened < 450, "the grammar breaks some and leaves some"


@pytest.mark.parametrize("seed", range(1))
async def test_broken_sessions_on_the_screen(tmp_path: Path, seed: int) -> None:
    """Opened one after the other: the app says why not, or shows them, and takes keys."""
    whole, _ = await walked()
    dice, document = random.Random(seed), json.loads(whole)
    async with driven(bench=bench()) as (explorer, pilot):
        for number in range(4):
            file = tmp_path / f"broken-{number}.json"
            data = grammar.document(dice, document)
            file.write_bytes(data)
            await placed(explorer, pilot, f"open {file}")
            await pressed(explorer, pilot, "2", "1")
            assert explorer.selection.page == "pattern"
            assert file.read_bytes() == data


async def test_five_hundred_broken_logs() -> None:
    """Every line does something, or is a ValueError with a sentence."""
    _, script = await walked()
    lines, dice, refused = script.splitlines(), random.Random(12), 0
    context = InPlace(bench(), None)

    def get(job: Any) -> Any:
        return context.get(job)

    start = replay.known(with_model(Selection(), Selection().open, MODEL), get)
    for _ in range(500):
        s = start
        for line in grammar.broken(dice, "\n".join(dice.sample(lines, 4))).decode("utf-8", "replace").split("\n"):
            if line.startswith("model"):
                continue
            try:
                s, _ = replay.step(s, line, get)
            except (ValueError, Refused) as error:
                refused += 1
                is_a_sentence(told(Missing(f"Line 1: {error}.", "See the README.")))
                break
    assert 100 < refused < 500, "the grammar breaks some and leaves some"
