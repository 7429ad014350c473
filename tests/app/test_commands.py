"""One table of commands: no key twice, only keys that survive terminals, every action exists."""

from __future__ import annotations

import re
from pathlib import Path

from tui.commands import COMMANDS, display, key_table
from tui.explorer import Explorer

README = Path(__file__).parents[2] / "README.md"
TAKEN_BY_TERMINALS = {f"ctrl+{letter}" for letter in "abszhim"} | {"ctrl+enter"}
NAMED = {"up", "down", "left", "right", "home", "end", "pageup", "pagedown", "enter", "space", "tab", "f1"}
PUNCTUATION = {
    "question_mark", "colon", "comma", "full_stop", "left_square_bracket", "right_square_bracket",
    "left_curly_bracket", "right_curly_bracket", "left_parenthesis", "right_parenthesis", "less_than_sign",
    "greater_than_sign", "slash", "semicolon",
}  # fmt: skip


def test_no_key_and_no_id_twice() -> None:
    keys = [key for command in COMMANDS for key in command.keys]
    assert len(keys) == len(set(keys))
    ids = [command.id for command in COMMANDS]
    assert len(ids) == len(set(ids))


def test_only_keys_that_reach_the_program() -> None:
    for command in COMMANDS:
        for key in command.keys:
            assert key not in TAKEN_BY_TERMINALS, command.id
            assert key in NAMED | PUNCTUATION or re.fullmatch(r"[a-zA-Z0-9]|ctrl\+[a-z]", key), key


def test_every_action_is_a_method_of_the_explorer() -> None:
    for command in COMMANDS:
        assert hasattr(Explorer, "action_" + command.action.split("(")[0]), command.id


def test_the_readme_shows_this_very_table() -> None:
    assert key_table() in README.read_text("utf-8"), "run: python -m tui.commands to print the table"


def test_keys_are_shown_as_people_read_them() -> None:
    assert display("question_mark") == "?"
    assert display("ctrl+p") == "ctrl+p"
