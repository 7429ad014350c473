"""Files of prompts: what is read from them, and what is said of those that are none or something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tui import prompts, samples
from tui.engine.jobs import PromptRow
from tui.prompts import PromptFile, PromptsError, is_file, parse_fields, read, read_pairs, split_fields


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "prompts.txt"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("The capital of France is\n", ["The capital of France is"]),
        ("one\n\n  two \r\n\t\nthree", ["one", "  two ", "three"]),
        ("\ufeffone\ntwo", ["one", "two"]),
        ("a\u2028b\x0bc\n[1]\n# no comment\n{", ["a\u2028b\x0bc", "[1]", "# no comment", "{"]),
        ("[start] ( ( ) ) [end]\n[start] ( ) [end]", ["[start] ( ( ) ) [end]", "[start] ( ) [end]"]),
        ("[]\n[[]]\n[[], []]", ["[]", "[[]]", "[[], []]"]),
        ("[\n[ [\n[ ]", ["[", "[ [", "[ ]"]),
        ("[" * 100_000, ["[" * 100_000]),
        ('["a", "b"] + ["c"] ==\n["x"].index(', ['["a", "b"] + ["c"] ==', '["x"].index(']),
        ("{name} went to the store\n{ int x = 1;", ["{name} went to the store", "{ int x = 1;"]),
        ("{\n{ }", ["{", "{ }"]),
        ("When Mary and John, the king, went to\nParis, London; and", None),
        ("prompt\nanswer", ["prompt", "answer"]),
        ('"Hello," she said\n"x"', ['"Hello," she said', '"x"']),
        ("<s> the\n<|endoftext|>a\n<p>", ["<s> the", "<|endoftext|>a", "<p>"]),
    ],
)
def test_plain_text(written: Path, text: str, rows: list[str] | None) -> None:
    """Also text that begins as JSON does, or has commas."""
    written.write_text(text, "utf-8", newline="")
    assert read(written) == PromptFile(tuple(PromptRow(row) for row in rows or text.split("\n")))


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
    assert read(str(written)).rows == (
        PromptRow("The capital of France is", "Paris", "London"),
        PromptRow(" two\nlines ", "Paris, king", "#17, a"),
        PromptRow("alone"),
        PromptRow(" "),
        PromptRow("\ud800 ⏰", "a, b"),
    )


ROWS = (
    PromptRow("The capital, of France is", "Paris", "London"),
    PromptRow(' "two"\nlines', "Paris, king"),
    PromptRow("x"),
)
SAME = {
    "lines.txt": '{"prompt": "The capital, of France is", "answer": "Paris", "distractor": "London"}\n'
    '{"prompt": " \\"two\\"\\nlines", "answer": ["Paris", "king"]}\n{"prompt": "x"}\n',
    "array.txt": '[{"prompt": "The capital, of France is", "answer": "Paris", "distractor": "London"},\n'
    ' {"prompt": " \\"two\\"\\nlines", "answer": ["Paris", "king"]}, "x"]',
    "array.jsonl": '\n[\n{"prompt": "The capital, of France is", "answer": "Paris", "distractor": "London"},\n'
    '{"prompt": " \\"two\\"\\nlines", "answer": ["Paris", "king"]},\n{"prompt": "x"}\n]\n',
    "table.csv": "distractor,Prompt,answer\r\nLondon,\"The capital, of France is\",Paris\r\n"
    ',\" \"\"two\"\"\nlines\","Paris, king"\r\n\r\n,,\r\n,x\r\n',
    "table.txt": "\ufeffprompt,answer,distractor\n\"The capital, of France is\",Paris,London\n"
    '\" \"\"two\"\"\nlines\","Paris, king"\nx,,\n',
    "excel.csv": 'prompt;answer;distractor\nThe capital, of France is;Paris;London\n" ""two""\nlines";Paris, king\nx\n',
    "table.tsv": 'prompt\tanswer\tdistractor\nThe capital, of France is\tParis\tLondon\n'
    '" ""two""\nlines"\tParis, king\t\nx\n',
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_one_list_in_every_form(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SAME[name], "utf-8", newline="")
    assert read(tmp_path / name) == PromptFile(ROWS)


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_texts(written: Path, indent: int | None) -> None:
    written.write_text(json.dumps(["[1]", "The capital of\n", "{"], indent=indent))
    assert read(written) == PromptFile((PromptRow("[1]"), PromptRow("The capital of\n"), PromptRow("{")))


def test_one_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt\nThe capital\nanswer\n")
    assert read(path) == PromptFile((PromptRow("The capital"), PromptRow("answer")))


MAPPED = {"prompt": "text", "answer": "label"}


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "Paris", "text": "The capital", "prompt": 3}\n{"text": "x"}',
        '[{"label": "Paris", "text": "The capital"}, {"text": "x", "prompt": "y"}]',
        "id,text,prompt,label\n1,The capital,,Paris\n2,x,y\n",
        "text\tprompt\tlabel\nThe capital\ty\tParis\nx\ty\t\n",
    ],
)
def test_fields_that_have_other_names(written: Path, text: str) -> None:
    written.write_text(text)
    file = read(written, MAPPED)
    assert file.rows == (PromptRow("The capital", "Paris"), PromptRow("x"))
    (note,) = file.notes
    assert "not used" in note
    assert "'prompt'" in note
    assert ("'id'" in note) == text.startswith("id")


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("id,text,label\n1,x,a", {"prompt": "txt"}, "is plain text, one prompt a line"),
        ("id,text,label\n1,x,a", {**MAPPED, "answer": "lable"}, "has no column 'lable': it has the columns 'id', "),
        ('{"text": "x"}', MAPPED, "has no key 'label': it has the key 'text'."),
        ('["a", "b"]', MAPPED, "has no key 'label': it has the key 'text'."),
        ("one\ntwo", MAPPED, "is plain text, one prompt a line: it has no keys to map."),
    ],
)  # fmt: skip
def test_fields_that_a_file_has_not(written: Path, text: str, fields: Mapping[str, str], message: str) -> None:
    written.write_text(text)
    refused(written, f"{written} {message}", fields)


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"prompt": "x", "answr": "a"}\n{"prompt": "y", "answer": "b", "id": 3}')
    assert read(path) == PromptFile(
        (PromptRow("x"), PromptRow("y", "b")), ("facts.jsonl has keys that are not used: 'answr', 'id'.",)
    )
    path.write_text('{"prompt": "x", "label": "a", "\\u001b[31m": "b"}')
    assert read(path).notes == (
        "facts.jsonl has keys that are not used: 'label', '\\x1b[31m'; --fields answer=label reads answers from there.",
    )
    table = tmp_path / "facts.csv"
    table.write_text(",prompt," + ",".join(f"c{i}" for i in range(10)) + "\n0,x\n")
    assert read(table).notes == (
        "facts.csv has columns that are not used: 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7' and 2 more.",
    )


@pytest.mark.parametrize(
    ("clean", "corrupted"),
    [
        ("clean", "corrupted"), ("clean", "corrupt"), ("clean_prompt", "corrupted_prompt"),
        ("clean text", "Corrupted Text"), ("text_clean", "text_counterfactual"), ("CleanInput", "CorruptInput"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "txt"])
def test_pairs_for_patching(tmp_path: Path, form: str, clean: str, corrupted: str) -> None:
    path = tmp_path / f"pairs.{form}"
    pair = {corrupted: "The capital of Italy is", clean: "The capital of France is", "answer": "Paris"}
    lines = [",".join(pair), ",".join(pair.values())]
    path.write_text({"jsonl": json.dumps(pair), "json": json.dumps([pair])}.get(form, "\n".join(lines)))
    file = read(path)
    assert file.rows == (PromptRow("The capital of France is", "Paris", "", "The capital of Italy is"),)
    (note,) = file.notes
    assert note.startswith(f"pairs.{form} has pairs: Patching (9) and Paths (Y) take both prompts")
    assert read_pairs(path) == file
    alone = read(path, parse_fields(f"prompt={clean}"))
    assert alone.rows == (PromptRow("The capital of France is", "Paris"),)
    (note,) = alone.notes
    assert note.startswith(f"pairs.{form} has corrupted prompts too ('{corrupted}')")


def test_pairs_that_are_none(written: Path) -> None:
    written.write_text('{"clean": "x", "corrupted": "y"}\n{"clean": "x"}')
    refused(written, f"Line 2 of {written} has no corrupted prompt.")
    written.write_text('{"prompt": "x"}')
    with pytest.raises(PromptsError, match="has no clean and corrupted prompts"):
        read_pairs(written)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("pairs.jsonl", True), ("/tmp/a b/pairs.CSV", True), ("The capital of Italy is", False), ("x.txt", False),
     ("first\nsecond.json", False)],
)  # fmt: skip
def test_a_path_is_told_from_a_prompt(text: str, is_one: bool) -> None:
    assert is_file(text) == is_one


def test_prompts_with_corrupted_ones_beside_them(written: Path) -> None:
    written.write_text('{"prompt": "x", "corrupted": "y", "id": 1}')
    file = read(written)
    assert file.rows == (PromptRow("x"),)
    assert [note.split(" (")[0].split(": ")[0] for note in file.notes] == [
        "prompts.txt has corrupted prompts too", "prompts.txt has keys that are not used",
    ]  # fmt: skip


ANSWERED = '{"prompt": "x", "answer": "a"}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no prompt in {path}."),
        ("\n \r\n\t\n", "There is no prompt in {path}."),
        (f"{ANSWERED}The capital", "Line 2 of {path} is not JSON: Expecting value at column 1."),
        ('{"prompt": "x"', "Line 1 of {path} is not JSON: Expecting ',' delimiter at column 15."),
        (f"{ANSWERED}[1, 2]", "Line 2 of {path} is no JSON object."),
        ('{"answer": "a"}', "Line 1 of {path} has no prompt: it has the key 'answer'."),
        ('{"prompt": ""}', "Line 1 of {path} has no prompt."),
        ('{"prompt": ["x"]}', "Line 1 of {path} has no prompt."),
        ('{"prompt": "x", "answer": 3}', "Line 1 of {path}: answer must be a word or a list of words."),
        ('{"prompt": "x", "answer": ["a", 3]}', "Line 1 of {path}: answer must be a word or a list of words."),
        ('{"prompt": "x", "answer": "a", "distractor": " "}', "Line 1 of {path}: distractor must be a word or"),
        ('{"prompt": "x", "distractor": "a"}', "Line 1 of {path} has a distractor and no answer."),
        ('{"prompt": ' + "[" * 100_000, "Line 1 of {path} is not JSON: maximum recursion depth exceeded"),
        ('{"prompt": ' + "9" * 5000 + "}", "Line 1 of {path} is not JSON: Exceeds the limit"),
        ('{"prompt": "x"},\n{"prompt": "y"}', "Line 1 of {path} is not JSON: Extra data at column 16."),
        ("{'prompt': 'x'}", "Line 1 of {path} is not JSON: Expecting property name enclosed in double quotes at"),
        ('{\n  "prompt": "x"\n  "answer": "a"\n}', "Line 3 of {path} is not JSON: Expecting ',' delimiter at"),
        ('[\n  "one",\n  "two"\n', "Line 4 of {path} is not JSON: Expecting ',' delimiter at column 1."),
        ('\n["one",\n "two" "three"]', "Line 3 of {path} is not JSON: Expecting ',' delimiter at column 8."),
        ('[{"prompt": "x"},]', "Line 1 of {path} is not JSON: "),
        ('[{"id": ' + "9" * 5000 + "}]", "{path} is not JSON: Exceeds the limit"),
        ('[{"prompt": "x"}, 3]', "Entry 2 of {path} is neither a text nor an object."),
        ("[[1, 2], [3]]", "Entry 1 of {path} is neither a text nor an object."),
        ('[{"prompt": "x"}, {"prompt": ""}]', "Entry 2 of {path} has no prompt."),
        ('["x", ""]', "Entry 2 of {path} has no prompt."),
        ("[]", "There is no prompt in {path}."),
        ('["a", "b"]\n["c", "d"]', "Line 1 of {path} is no JSON object."),
        ('{"text": "x", "id": 1}', "Line 1 of {path} has no prompt: it has the keys 'text', 'id'."),
        ('[{"text": "x"}]', "Entry 1 of {path} has no prompt: it has the key 'text'."),
        ('{\n"name": "x",\n"size": 3\n}', "Line 1 of {path} has no prompt: it has the keys 'name', 'size'."),
        ('{"version": 1, "data": [{"prompt": "x"}]}', "{path} is a JSON object, not a list of prompts."),
        ("answer,question\na,x\n", "Line 2 of {path} has no prompt: it has the columns 'answer', 'question'."),
        ("prompt,answer\n", "There is no prompt in {path}."),
        ("prompt,answer\nx,a\nThe capital, of France is,Paris\n", "Line 3 of {path} has 3 cells for 2 columns."),
        ('prompt,answer\n"two\nlines",a\n,b\n', "Line 4 of {path} has no prompt."),
        ('prompt,answer\nx,a\n"Hello," she said,a\n', "{path} is no table after its line 2: "),
        ('prompt,answer\nx,a\n"Hello\nx,b\n', "{path} is no table after its line 2: unexpected end of data."),
        ("prompt,answer,distractor\nx,,a", "Line 2 of {path} has a distractor and no answer."),
        ("prompt,id,prompt\nx,1,y", "{path} has two columns 'prompt'."),
        ("<!DOCTYPE html>\n<html>", "{path} is a web page or other markup."),
        ('\n<?xml version="1.0"?>', "{path} is a web page or other markup."),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "{path} is a pointer of git-lfs"),
        ("one\0two", "{path} is not a text file."),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file(written: Path, text: str, message: str) -> None:
    written.write_text(text, "utf-8")
    refused(written, message.format(path=written))


@pytest.mark.parametrize(
    ("name", "text", "message", "step"),
    [
        ("a.csv", "The capital of France is\nThe king, the queen\n",
         "{path} has no column of prompts: its header is 'The capital of France is'.", "one a line as a .txt file"),
        ("a.csv", "id,Text\n1,x\n", "{path} has no column of prompts: its header is 'id', 'Text'.", "prompt=Text."),
        ("a.tsv", "id\tbody\n1\tx\n", "{path} has no column of prompts: its header is 'id', 'body'.", "prompt=COLUMN."),
        ("a.csv", "id;body\n1;x\n", "{path} has no column of prompts: its header is 'id', 'body'.", "prompt=COLUMN."),
        ("a.csv", '{"prompt": "x"}\n', "{path} has no column of prompts: its header is ", "Write a header"),
        ("a.csv", "text\nx\n", "{path} has no column of prompts: its header is 'text'.", "--fields prompt=text."),
        ("a.csv", '"', "{path} is no table after its line 0: unexpected end of data.", "doubled"),
        ("a.json", "The capital\nof", "Line 1 of {path} is not JSON: Expecting value at column 1.", "object a line"),
        ("a.jsonl", "The capital\nof", "Line 1 of {path} is not JSON: Expecting value at column 1.", "object a line"),
        ("a.ndjson", "[start] ( )", "Line 1 of {path} is not JSON: Expecting value at column 2.", "one object a line"),
        ("a.json", '"x"', "{path} is one JSON value, not a list of prompts.", '["…", "…"]'),
        ("a.json", '{"a": [{"prompt": "x"}]}', "{path} is a JSON object, not a list of prompts.", "under 'a' alone"),
    ],
)  # fmt: skip
def test_a_file_is_what_it_is_called(tmp_path: Path, name: str, text: str, message: str, step: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert step in refused(path, message.format(path=path)).hint


def test_json_lines_may_be_called_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(ANSWERED * 2)
    assert read(path) == PromptFile((PromptRow("x", "a"),) * 2)
    path.write_text('{\n  "prompt": "x"\n}\n')
    assert read(path) == PromptFile((PromptRow("x"),))


def test_fields_as_they_are_typed() -> None:
    assert parse_fields("prompt=text") == {"prompt": "text"}
    assert parse_fields(" answer = the label ,prompt=a=b") == {"answer": "the label", "prompt": "a=b"}
    assert split_fields("my file.csv") == ("my file.csv", {})
    assert split_fields("my file.csv  --fields prompt=text,answer=label") == ("my file.csv", MAPPED)
    assert split_fields("a --fields.csv") == ("a --fields.csv", {})
    for wrong in ("", "prompt", "prompt=", "=text", "text=prompt", "prompt=a,prompt=b", "prompt=a,", "prompt:text"):
        with pytest.raises(PromptsError) as raised:
            parse_fields(wrong)
        assert raised.value.message == f"--fields {wrong}: fields are prompt, answer, distractor."
        assert "prompt=text,answer=label" in raised.value.hint
        with pytest.raises(PromptsError):
            split_fields(f"my file.csv --fields {wrong}")


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
    assert len(read(written).rows) == prompts.LINES == 100_000
    for more in ("y", "\n"):
        written.write_text("x\n" * prompts.LINES + more)
        refused(written, f"{written} has 100,001 lines.")
    for text in ('["x"' + ', "x"' * prompts.LINES + "]", "prompt,id\n" + "x,1\n" * (prompts.LINES + 1)):
        written.write_text(text)
        refused(written, f"{written} has 100,001 ")
    with written.open("wb") as file:
        file.truncate(prompts.BYTES + 1)
    refused(written, f"{written} is larger than 64 MB.")
    refused("/dev/zero", "/dev/zero is larger than 64 MB.")


def test_a_home_is_found(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.write_text("one")
    monkeypatch.setenv("HOME", str(written.parent))
    assert read(f"~/{written.name}").rows == (PromptRow("one"),)


def test_prompts_that_come_with_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("Induction").rows[0] == PromptRow("robin silk volcano robin", "silk", "volcano")
    assert [len(read(name).rows) for name in samples.PROMPTS] == [8, 8, 6]
    for rows in samples.PROMPTS.values():
        assert sorted(answer for _, answer, _ in rows) == sorted(other for *_, other in rows)
    refused("induction", "induction comes with the app", {"prompt": "text"})
    assert "or capital, indirect object, induction" in refused("inductions", "inductions could not be read").hint
    Path("induction").write_text("one")
    assert read("induction").rows == (PromptRow("one"),), "somebody's own file"


def refused(path: Path | str, message: str, fields: Mapping[str, str] | None = None) -> PromptsError:
    with pytest.raises(PromptsError) as raised:
        read(path, fields or {})
    assert raised.value.message.startswith(message)
    assert raised.value.hint
    return raised.value
