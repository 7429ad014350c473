"""Notes on heads: what is kept, what is not lost, and what is said of a file that cannot be read."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tui import formats, notes
from tui.notes import Note
from tui.results import ModelInfo, ModelKey

KEY = ModelKey("/models/demo", "0123456789abcdef", "float32", "cpu")
FIRST, SECOND = Note("L0H2", "country → capital\nand back", True), Note("L2H0", "", True)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "circuit-tui" / "notes"


def file_of(text: str | bytes) -> Path:
    """The model's file with something in it."""
    path = notes.notes_file(KEY, "demo")
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_none_at_first(state: Path) -> None:
    assert notes.read(KEY, "demo") == ({}, "")
    assert not state.exists()


def test_kept_and_read_back(state: Path) -> None:
    odd = Note("L10H11", '\x1b[31m é 🎉 \ud800 " \\ \0', False)
    for note in (odd, FIRST, SECOND):
        assert notes.write(KEY, "demo", note) == ""
    assert notes.read(KEY, "demo") == ({"L0H2": FIRST, "L2H0": SECOND, "L10H11": odd}, "")
    assert [path.name for path in state.iterdir()] == ["demo-0123456789abcdef.json"]
    document = json.loads(notes.notes_file(KEY, "demo").read_text())
    assert [note["head"] for note in document["notes"]] == ["L0H2", "L2H0", "L10H11"]


def test_changed_and_taken_away() -> None:
    notes.write(KEY, "demo", FIRST, SECOND)
    notes.write(KEY, "demo", Note("L0H2", "new", False), Note("L2H0", "", False))
    assert notes.read(KEY, "demo")[0] == {"L0H2": Note("L0H2", "new", False)}


def test_two_windows_on_one_model() -> None:
    """Each has read the notes before the other wrote one."""
    notes.write(KEY, "demo", FIRST)
    notes.write(KEY, "demo", SECOND)
    assert notes.read(KEY, "demo")[0] == {"L0H2": FIRST, "L2H0": SECOND}


def test_models_are_not_mixed() -> None:
    notes.write(KEY, "demo", FIRST)
    other = ModelKey(KEY.folder, "fedcba9876543210", KEY.dtype, KEY.device)
    assert notes.read(other, "demo") == ({}, "")
    assert notes.read(KEY, "gpt2") == ({}, "")
    # The same weights in another number format, or elsewhere, are the same model.
    elsewhere = ModelKey("/copy", KEY.fingerprint, "bfloat16", "cuda:0")
    assert notes.read(elsewhere, "demo")[0] == {"L0H2": FIRST}


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../etc/passwd", "my model\n", "é🎉" * 200, ".hidden", "x" * 300])
def test_any_name_makes_a_file_in_one_place(name: str, state: Path) -> None:
    assert notes.write(KEY, name, FIRST) == ""
    (path,) = state.iterdir()
    assert not path.name.startswith(".")
    assert path.name.endswith("-0123456789abcdef.json")
    assert notes.read(KEY, name)[0] == {"L0H2": FIRST}


@pytest.mark.parametrize("head", ["", "L1", "H2", "l1h2", "L01H2", "L1H2 ", "L-1H2", "L1H2H3", "L1H²", "L1H2\n"])
def test_a_note_is_on_a_head(head: str) -> None:
    with pytest.raises(ValueError, match="not a head"):
        Note(head, "text", False)


def entry(**values: Any) -> str:
    """A file with one note, changed."""
    note = {"head": "L0H2", "text": "text", "bookmarked": True, **values}
    return json.dumps({"model": "demo", "notes": [note]})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        ("not json", "Expecting value"),
        ('{"model": "demo", "notes": [', "Expecting value"),
        (b"\xff\xfe", "not UTF-8"),
        ("\0" * 100, "Expecting value"),
        ("[" * 100_000, "too deeply"),
        ("[]", "not an object of a model"),
        ("3", "not an object of a model"),
        ("null", "not an object of a model"),
        ('{"model": "demo"}', "not an object of a model"),
        ('{"model": "demo", "notes": {}}', "not an object of a model"),
        ('{"model": 3, "notes": []}', "not an object of a model"),
        ('{"model": "demo", "notes": [], "later": 1}', "not an object of a model"),
        ('{"model": "demo", "notes": [3]}', "note 1 is not"),
        ('{"model": "demo", "notes": [{"head": "L0H2"}]}', "note 1 is not"),
        (entry(text=3), "note 1 is not"),
        (entry(text=None), "note 1 is not"),
        (entry(bookmarked=1), "note 1 is not"),
        (entry(bookmarked="yes"), "note 1 is not"),
        (entry(head=["L0H2"]), "note 1 is not"),
        (entry(color="red"), "note 1 is not"),
        (entry(head="L0"), "'L0' is not a head"),
        (entry().replace("[{", '[{"head": "L0H2", "text": "", "bookmarked": true}, {'), "two notes on L0H2"),
    ],
)  # fmt: skip
def test_a_broken_file_is_moved_aside(content: str | bytes, reason: str) -> None:
    path = file_of(content)
    before = path.read_bytes()
    found, told = notes.read(KEY, "demo")
    assert found == {}
    assert reason in told
    assert str(path) in told
    assert path.read_bytes() == before
    told = notes.write(KEY, "demo", FIRST)
    aside = path.with_name("demo-0123456789abcdef.unread-1.json")
    assert reason in told
    assert aside.name in told
    assert aside.read_bytes() == before
    assert notes.read(KEY, "demo") == ({"L0H2": FIRST}, "")
    assert {*path.parent.iterdir()} == {path, aside}


def test_nothing_that_was_moved_aside_is_written_over() -> None:
    path = file_of("one")
    for content in ("one", "two", "three"):
        path.write_text(content)
        assert notes.write(KEY, "demo", FIRST)
    aside = sorted(path.parent.glob("*.unread-*"))
    assert [kept.read_text() for kept in aside] == ["one", "two", "three"]


def test_a_file_that_is_something_else() -> None:
    path = file_of("")
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("kept")
    assert "not a file" in notes.read(KEY, "demo")[1]
    assert notes.write(KEY, "demo", FIRST)
    assert (path.with_name(f"{path.stem}.unread-1.json") / "inside").read_text() == "kept"
    assert notes.read(KEY, "demo")[0] == {"L0H2": FIRST}


def test_a_pipe_is_not_waited_for() -> None:
    path = file_of("")
    path.unlink()
    os.mkfifo(path)
    done = threading.Thread(target=notes.read, args=(KEY, "demo"), daemon=True)
    done.start()
    done.join(5)
    assert not done.is_alive()


def test_a_file_without_the_right_to_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(entry())
    reading = Path.read_text

    def refused(self: Path, *arguments: Any) -> str:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return reading(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refused)
        assert "Permission denied" in notes.read(KEY, "demo")[1]
        assert "Permission denied" in notes.write(KEY, "demo", SECOND)
    assert path.with_name(f"{path.stem}.unread-1.json").read_text() == entry()
    assert notes.read(KEY, "demo")[0] == {"L2H0": SECOND}


def test_nowhere_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    told = notes.write(KEY, "demo", FIRST)
    assert "cannot be kept" in told
    assert "export" in told
    assert notes.read(KEY, "demo") == ({}, "")


@pytest.mark.parametrize("before", [entry(), "broken"])
def test_whole_or_not_at_all(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: what was there stays where it was, and nothing else is left."""
    path = file_of(before)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in notes.write(KEY, "demo", FIRST)
    assert path.read_text() == before
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("form", ["json", "csv", "npz", "txt"])
def test_exported(form: str) -> None:
    table = notes.as_table({note.head: note for note in (SECOND, Note("L10H1", "=1+1", False), FIRST)})
    assert table.columns == ("head", "bookmarked", "note")
    assert [row[0] for row in table.rows] == ["L0H2", "L2H0", "L10H1"]
    model = cast(ModelInfo, SimpleNamespace(name="demo", key=KEY))
    data = formats.encode(table, form, model)
    if form == "json":
        assert json.loads(data)["values"][0] == ["L0H2", True, FIRST.text]
    elif form == "csv":
        rows = [*csv.reader(io.StringIO(data.decode()))]
        assert rows[0] == ["head", "bookmarked", "note"]
        assert rows[2] == ["L2H0", "True", ""]
    elif form == "npz":
        arrays = np.load(io.BytesIO(data))
        assert arrays["bookmarked"].tolist() == [True, True, False]
        assert arrays["note"].tolist() == [FIRST.text, "", "=1+1"]
    else:
        assert "country → capital⏎and back" in data.decode()
    assert formats.encode(notes.as_table({}), form, model)
