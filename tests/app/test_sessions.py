"""Sessions: what was chosen is there again at the next start, under a name, and from a file that somebody sent."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.app.driving import driven, notice, placed, pressed, settled, typed, until
from tests.app.recorded import RecordedBench, info
from tui import session
from tui.choices import bare
from tui.results import ModelInfo
from tui.selection import Selection

MODEL = replace(info(), vocabulary="v")


def bench(**changes: Any) -> RecordedBench:
    return RecordedBench(replace(MODEL, **changes))


def chosen(s: Selection) -> Selection:
    return bare(s)


async def test_the_next_start_goes_on_where_the_last_one_ended() -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "i", "ctrl+u", *"France is in Paris", "enter")
        await pressed(explorer, pilot, "A", *"London", "enter", "2", "n", "right_square_bracket", "a", "B", "w")
        await pressed(explorer, pilot, "up", "left")
        left = explorer.selection
        assert (left.text, left.page, left.layer, left.weights) == ("France is in Paris", "qk", 1, "raw")
    async with driven(bench=bench()) as (explorer, pilot):
        assert chosen(explorer.selection) == chosen(left)
        assert explorer.selection.tokens == left.tokens
        assert "back where you were" in notice(explorer)
        assert ":fresh" in notice(explorer)
        await typed(explorer, pilot, "fresh")
        assert (explorer.selection.text, explorer.selection.page) == (Selection().text, "pattern")
        assert explorer.selection.stack == ()
        await pressed(explorer, pilot, "backspace")
        assert (explorer.selection.text, explorer.selection.stack) == (left.text, left.stack), "nothing is lost"


async def test_fresh_leaves_the_session_alone_and_what_is_written_then_does_not_cost_it() -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "3", "a")
    async with driven(bench=bench(), fresh=True) as (explorer, pilot):
        assert (explorer.selection.page, explorer.selection.stack) == ("pattern", ())
    async with driven(bench=bench()) as (explorer, pilot):
        assert explorer.selection.page == "ov", "a run that changes nothing keeps nothing"
    async with driven(bench=bench(), fresh=True) as (explorer, pilot):
        await pressed(explorer, pilot, "4")
    [(name, path)] = session.listed()
    assert name.endswith(".before")
    async with driven(bench=bench()) as (explorer, pilot):
        assert explorer.selection.page == "residual"
        await placed(explorer, pilot, f"open {name}")
        assert (explorer.selection.page, len(explorer.selection.stack)) == ("ov", 1)
        assert str(path) in notice(explorer)


async def test_what_the_command_line_asks_for_wins() -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "2", "w", "A", *"London", "enter")
    asked = {"prompt": "of France", "asked": frozenset({"prompt"})}
    async with driven(bench=bench(), **asked) as (explorer, pilot):
        s = explorer.selection
        assert (s.text, s.page, s.weights, s.answer) == ("of France", "qk", "raw", None)
        assert s.tokens is not None
        assert s.tokens.texts[1:] == (" of", " France")


async def test_keys_that_come_while_the_model_loads_stand() -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "2", "w", "right_square_bracket")
    slow = bench()
    slow.gate.clear()
    async with driven(bench=slow) as (explorer, pilot):
        await pilot.press("3")
        slow.gate.set()
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        assert (explorer.selection.page, explorer.selection.weights, explorer.selection.layer) == ("ov", "raw", 1)


async def test_a_file_of_prompts_a_pair_and_an_answer_of_ones_own_come_back(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    rows = {"The capital of France is": "Paris", "Rome is in": "Rome"}
    facts.write_text("\n".join(json.dumps({"prompt": text, "answer": answer}) for text, answer in rows.items()))
    async with driven(bench=bench(), prompts=str(facts)) as (explorer, pilot):
        await pressed(explorer, pilot, "greater_than_sign", "A", "ctrl+u", *"London", "enter")
        left = explorer.selection
        assert left.file is not None
        assert (left.file.at, left.text) == (1, "Rome is in")
    async with driven(bench=bench()) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await settled(explorer, pilot)
        assert explorer.selection.answer == left.answer, "not that of the file's row"
        assert chosen(explorer.selection) == chosen(left)
    facts.unlink()
    async with driven(bench=bench()) as (explorer, pilot):
        assert explorer.selection.file is None
        assert "Without its file of prompts" in notice(explorer)
        assert explorer.selection.text == "Rome is in"


async def test_what_was_pinned_and_the_places_are_there_again() -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "3", "vertical_line", "i", *" king", "enter", "2")
        pinned = explorer.scene.pinned
        assert pinned is not None
    async with driven(bench=bench()) as (explorer, pilot):
        await until(pilot, lambda: explorer.scene.pinned is not None)
        await settled(explorer, pilot)
        again = explorer.scene.pinned
        assert again is not None
        assert (again.page, again.text, again.tokens) == (pinned.page, pinned.text, pinned.tokens)
        assert (explorer.selection.page, explorer.selection.text) == ("qk", pinned.text + " king")
        await pressed(explorer, pilot, "comma")
        assert explorer.selection.page == "ov"


async def test_a_session_with_a_name_is_listed_and_opened() -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "2", "n", "a")
        left = explorer.selection
        await placed(explorer, pilot, "save facts 1")
        assert "saved" in notice(explorer)
        assert session.of_name("facts 1").is_file()
        await pressed(explorer, pilot, "5", "backspace", "backspace")
        assert [name for name, *_ in explorer.keeping.places("open")] == ["open", "open facts 1"]
        await placed(explorer, pilot, "open")
        assert "sessions: facts 1" in notice(explorer), "enter on the word alone opens none"
        await placed(explorer, pilot, "open facts 1")
        assert chosen(explorer.selection) == chosen(left)
        await placed(explorer, pilot, "save facts 1")
        assert "facts 1.before" in notice(explorer)
        await placed(explorer, pilot, "save ../up")
        assert "is no name" in notice(explorer)
        await typed(explorer, pilot, "save")
        assert "save NAME" in notice(explorer)


async def test_a_colleague_opens_the_file_on_weights_of_another_folder(tmp_path: Path) -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        await pressed(explorer, pilot, "2", "a", "E", "c", "A", *"London", "enter")
        left = explorer.selection
        await placed(explorer, pilot, "save mine")
    sent = tmp_path / "sent.json"
    session.of_name("mine").rename(sent)
    assert "/recorded" not in sent.read_text(), "no folder of the sender's machine"
    elsewhere = replace(MODEL.key, folder="/elsewhere", device="cuda:0")
    async with driven(bench=bench(key=elsewhere), session=str(sent), fresh=True) as (explorer, pilot):
        assert chosen(explorer.selection) == chosen(left)
        assert explorer.selection.stack == left.stack
        assert f"{sent} is open" in notice(explorer)
    other = replace(elsewhere, fingerprint="f" * 16)
    async with driven(bench=bench(key=other), session=str(sent), fresh=True) as (explorer, pilot):
        assert chosen(explorer.selection) == chosen(left)
        assert "demo had other weights then" in notice(explorer)
    async with driven(bench=bench(key=other, vocabulary="w"), session=str(sent), fresh=True) as (explorer, pilot):
        assert (explorer.selection.page, explorer.selection.stack, explorer.selection.answer) == ("qk", (), None)
        assert "another vocabulary" in notice(explorer)


def written(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(session.written(Selection(model=MODEL, page="qk")))
    return made | changes


BROKEN: dict[str, bytes] = {
    "not JSON": b'{"circuit-tui session": 1,',
    "not UTF-8": b"\xff\xfe",
    "nested too deeply": b"[" * 100_000,
    "has no entry": b"[]",
    "is no number": json.dumps(written(**{session.MARK: "1"})).encode(),
    "a newer circuit-tui wrote it": json.dumps(written(**{session.MARK: 2})).encode(),
    "names no model": json.dumps(written(model=[])).encode(),
    'selection.head: found "x"': json.dumps(written(selection={"is": "Selection", "head": "x"})).encode(),
    "there is no page “nowhere”": json.dumps(written(selection={"is": "Selection", "page": "nowhere"})).encode(),
    'there is no "Popen"': json.dumps(written(selection={"is": "Popen"})).encode(),
    "selection.stack[0].change.reference: there are no such": json.dumps(written(selection={
        "is": "Selection", "stack": [{"is": "Entry", "change": {"is": "Ablation", "part": "L0H0", "reference": "x"}}],
    })).encode(),
    "a value that no key makes": json.dumps(written(selection={
        "is": "Selection", "page": "patching", "looks": [{"is": "PatchingLook", "of": "\x1b[2J"}]})).encode(),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_session_is_said_and_never_written_over(what: str) -> None:
    path = session.of_model(MODEL)
    path.parent.mkdir(parents=True)
    path.write_bytes(BROKEN[what])
    async with driven(bench=bench()) as (explorer, pilot):
        said = notice(explorer)
        assert what in said.replace("\n", " ")
        assert "app" in said
        assert "\x1b" not in said
        assert explorer.selection.page == "pattern"
        assert explorer.main.heatmap.grid is not None
        await pressed(explorer, pilot, "2")
    kept = [other for other in path.parent.glob("*.json") if other.read_bytes() == BROKEN[what]]
    assert len(kept) == 1, "it is there still"
    assert session.read(path).on(MODEL.key)[0].page == "qk"


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
async def test_what_is_no_file_is_said(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "there.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    async with driven(bench=bench(), session=str(path)) as (explorer, pilot):
        assert str(path) in notice(explorer).replace("\n", "")
        assert explorer.main.heatmap.grid is not None
        await placed(explorer, pilot, f"open {path}")
        assert "What is open stays" in notice(explorer)


async def test_a_place_that_cannot_be_written_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(bench=bench()) as (explorer, pilot):
        monkeypatch.setattr("tui.saver.write", lambda path, data: (_ for _ in ()).throw(OSError(28, "No space left")))
        await pressed(explorer, pilot, "2")
        explorer.keeping.flush()
        await until(pilot, lambda: "No space left" in notice(explorer))
        await pressed(explorer, pilot, "3")
        explorer.keeping.flush()
        await pilot.pause()
        assert "No space left" not in notice(explorer)


def test_the_file_can_be_read_by_a_person() -> None:
    text = session.written(Selection(model=MODEL, page="qk", layer=2, text="Où est Paris ?")).decode()
    assert '"text": "Où est Paris ?"' in text
    assert '"page": "qk"' in text
    assert "tokens" not in text


def test_half_a_character_is_kept() -> None:
    data = session.written(Selection(model=MODEL, text="\ud83d"))
    assert json.loads(data)["selection"]["text"] == "\ud83d"


def test_a_model_of_any_name_has_a_file() -> None:
    made: ModelInfo = replace(MODEL, name="../../etc/passwd")
    assert session.of_model(made).parent == session.folder()
