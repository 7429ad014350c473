"""Every error of a TOML file with its line, and the line of every value that is right."""

from __future__ import annotations

import random
import tomllib

import pytest

from tui import toml

PIECES = ["a", "=", '"', "\n", "[", "]", "'", " ", "#", "1", ",", ".", "\x0b", "\r", "{", "}", "keys", "true", '"""',
          "\x00", "é", "\ud800"]  # fmt: skip


def test_lines_of_values() -> None:
    text = '# head\na = 1\n\nb = [\n  1,\n]\n[keys]  # table\nquit = "x"\n"odd name" = """\nlong\n"""\n'
    text += "[other.table]\nc.d = 2\n"
    found = toml.read(text)
    assert found.errors == ()
    assert found.values == tomllib.loads(text)
    assert {path: line for path, line in found.lines.items() if path != ("keys",)} == {
        ("a",): 2, ("b",): 4, ("keys", "quit"): 8, ("keys", "odd name"): 9, ("other", "table"): 12,
        ("other", "table", "c", "d"): 13,
    }  # fmt: skip
    assert (found.line("keys"), found.line("other"), found.line("nowhere")) == (7, 12, 1)


def test_every_error_and_what_is_right_all_the_same() -> None:
    found = toml.read('a = 1\nb = \na = 2\n[keys]\nx = ]\ny = "z"\n[keys]\nc = "open\n')
    assert [line for line, _ in found.errors] == [2, 3, 5, 7, 8]
    assert found.errors[0][1] == "Invalid value, column 5"
    assert found.values == {"a": 1, "keys": {"y": "z"}}


@pytest.mark.parametrize(
    ("text", "line"),
    [('a = 1\nb = """\nc = 3\n', 2), ("a = 1\n\nb = [1,\n", 3), ("x = " + "[" * 5000, 1), ("x = 1" + "0" * 5000, 1)],
)
def test_what_is_never_closed_is_said_where_it_begins(text: str, line: int) -> None:
    assert toml.read(text).errors[0][0] in (line, line + 1)


def test_a_file_that_is_no_config_file_is_given_up() -> None:
    found = toml.read("no toml\n" * 5000)
    assert len(found.errors) == toml.MOST
    assert found.values == {}


def test_anything_can_be_read() -> None:
    for seed in range(500):
        rng = random.Random(seed)
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(200)))
        found = toml.read(text)
        assert all(1 <= line <= text.count("\n") + 1 for line, _ in found.errors), seed


@pytest.mark.parametrize("text", ["", 'a"b\\c', "\x1b[31m\x7f\x9b\u202e", "é 日本 🎉", "tab\tnew\nline"])
def test_quoted_is_read_back_and_obeyed_by_no_terminal(text: str) -> None:
    written = toml.quoted(text)
    assert tomllib.loads(f"x = {written}") == {"x": text}
    assert written.isprintable()


def test_a_byte_that_is_no_text_becomes_the_replacement_sign() -> None:
    assert tomllib.loads(f"x = {toml.quoted('a' + chr(0xDC80))}") == {"x": "a�"}
