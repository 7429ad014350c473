"""Files of prompts: what is read from them, and what is said of those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui import prompts
from tui.engine.jobs import PromptRow
from tui.prompts import PromptsError, read


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "prompts.jsonl"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("The capital of France is\n", ["The capital of France is"]),
        ("one\n\n  two \r\n\t\nthree", ["one", "  two ", "three"]),
        ("\ufeffone\ntwo", ["one", "two"]),
        ("a\u2028b\x0bc\n[1]\n# no comment\n{", ["a\u2028b\x0bc", "[1]", "# no comment", "{"]),
    ],
)
def test_plain_text(written: Path, text: str, rows: list[str]) -> None:
    written.write_text(text, "utf-8", newline="")
    assert read(written) == tuple(PromptRow(row) for row in rows)


def test_json_lines(written: Path) -> None:
    written.write_text(
        "\ufeff\n"
        '{"prompt": "The capital of France is", "answer": "Paris", "distractor": "London"}\r\n'
        "\n"
        '  {"answer": ["Paris", " king "], "prompt": " two\\nlines ", "distractor": ["#17", "a"]}\n'
        '{"prompt": "alone"}\n'
        '{"prompt": " ", "answer": null, "distractor": []}\n'
        '{"prompt": "\\ud800 ⏰", "answer": "a, b"}',
        "utf-8",
        newline="",
    )
    assert read(str(written)) == (
        PromptRow("The capital of France is", "Paris", "London"),
        PromptRow(" two\nlines ", "Paris, king", "#17, a"),
        PromptRow("alone"),
        PromptRow(" "),
        PromptRow("\ud800 ⏰", "a, b"),
    )


ANSWERED = '{"prompt": "x", "answer": "a"}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no prompt in {path}."),
        ("\n \r\n\t\n", "There is no prompt in {path}."),
        (
            f'{ANSWERED}\n{{"prompt": "y", "answr": "b"}}',
            "Line 3 of {path} has a key 'answr'.",
        ),
        (f"{ANSWERED}The capital", "Line 2 of {path} is not JSON: Expecting value at column 1."),
        ('{"prompt": "x"', "Line 1 of {path} is not JSON: Expecting ',' delimiter at column 15."),
        (f"{ANSWERED}[1, 2]", "Line 2 of {path} is no JSON object."),
        ('{"answer": "a"}', "Line 1 of {path} has no prompt."),
        ('{"prompt": ""}', "Line 1 of {path} has no prompt."),
        ('{"prompt": ["x"]}', "Line 1 of {path} has no prompt."),
        ('{"prompt": "x", "answer": 3}', "Line 1 of {path}: answer must be a word or a list of words."),
        ('{"prompt": "x", "answer": ["a", 3]}', "Line 1 of {path}: answer must be a word or a list of words."),
        ('{"prompt": "x", "answer": "a", "distractor": " "}', "Line 1 of {path}: distractor must be a word or"),
        ('{"prompt": "x", "distractor": "a"}', "Line 1 of {path} has a distractor and no answer."),
        ('{"prompt": ' + "[" * 100_000, "Line 1 of {path} is not JSON: maximum recursion depth exceeded"),
        ('{"prompt": ' + "9" * 5000 + "}", "Line 1 of {path} is not JSON: Exceeds the limit"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file(written: Path, text: str, message: str) -> None:
    written.write_text(text, "utf-8")
    refused(written, message.format(path=written))


def test_not_a_text_file(written: Path, tmp_path: Path) -> None:
    refused(tmp_path / "missing", f"{tmp_path / 'missing'} could not be read: No such file or directory.")
    refused(tmp_path, f"{tmp_path} could not be read: Is a directory.")
    refused("a\0b", "a\0b could not be read: embedded null byte.")
    refused("~nobody-of-this-name/x", "~nobody-of-this-name/x could not be read: Could not determine home directory.")
    refused("", " could not be read: Is a directory.")
    written.write_bytes("Zürich".encode("latin-1"))
    refused(written, f"{written} is not text in UTF-8.")


def test_too_much(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.write_text("x\n" * prompts.LINES)
    assert len(read(written)) == prompts.LINES == 100_000
    for more in ("y", "\n"):
        written.write_text("x\n" * prompts.LINES + more)
        refused(written, f"{written} has 100,001 lines.")
    with written.open("wb") as file:
        file.truncate(prompts.BYTES + 1)
    refused(written, f"{written} is larger than 64 MB.")
    refused("/dev/zero", "/dev/zero is larger than 64 MB.")


def test_a_home_is_found(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.write_text("one")
    monkeypatch.setenv("HOME", str(written.parent))
    assert read(f"~/{written.name}") == (PromptRow("one"),)


def refused(path: Path | str, message: str) -> None:
    with pytest.raises(PromptsError) as raised:
        read(path)
    assert raised.value.message.startswith(message)
    assert raised.value.hint
