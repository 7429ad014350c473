"""One table of commands: no key twice, only keys that survive terminals, every action exists."""

from __future__ import annotations

import re
from pathlib import Path

from tui import commands, keeping, keys, moves, pages, questions, stack
from tui.commands import display, key_table
from tui.explorer import Explorer
from tui.selection import Selection

README = Path(__file__).parents[2] / "README.md"
TAKEN_BY_TERMINALS = {f"ctrl+{letter}" for letter in "abszhim"} | {"ctrl+enter"}
NAMED = {"up", "down", "left", "right", "home", "end", "ctrl+home", "ctrl+end", "pageup", "pagedown", "enter", "space",
         "tab", "f1", "f4", "f6", "f7", "f8", "backspace"}  # fmt: skip
PUNCTUATION = {
    "question_mark", "colon", "comma", "full_stop", "left_square_bracket", "right_square_bracket",
    "left_curly_bracket", "right_curly_bracket", "left_parenthesis", "right_parenthesis", "less_than_sign",
    "greater_than_sign", "slash", "semicolon", "plus", "vertical_line", "at", "equals_sign",
    "percent_sign", "tilde", "circumflex_accent", "quotation_mark", "apostrophe", "minus", "asterisk", "number_sign",
    "underscore", "exclamation_mark", "dollar_sign", "ampersand", "backslash",
}  # fmt: skip


def test_no_key_and_no_id_twice() -> None:
    keys = [key for command in commands.every() for key in command.keys]
    assert len(keys) == len(set(keys))
    ids = [command.id for command in commands.every()]
    assert len(ids) == len(set(ids))


def test_only_keys_that_reach_the_program() -> None:
    for command in commands.every():
        for key in command.keys:
            assert key not in TAKEN_BY_TERMINALS, command.id
            assert key in NAMED | PUNCTUATION or re.fullmatch(r"[a-zA-Z0-9]|ctrl\+[a-z]", key), key


def test_every_action_is_a_method_of_the_explorer() -> None:
    for command in commands.every():
        assert hasattr(Explorer, "action_" + command.action.split("(")[0]), command.id


def test_every_argument_of_an_action_is_known() -> None:
    """``show('x')`` a page, ``cycle('x')`` an option, ``ask('x')`` a question, ``move('x')`` a move."""
    options = {option.key for page in pages.every() for option in page.options}
    for command in commands.every():
        action, _, rest = command.action.partition("('")
        name = rest.split("'")[0]
        if action == "show":
            assert pages.named(name).title == command.label
        elif action == "cycle":
            assert name in options
            assert name == command.id, "its label is looked up by the option's key"
        elif action == "ask":
            assert questions.named(name, Selection()).id == name
        elif action == "move":
            moves.move(Selection(), name, 1)
        elif action == "arrange":
            assert name in ("sort", "filter", "hide")
        else:
            assert not rest or name in {*stack.KEYS, *stack.OF_ENTRY, *keeping.COMMANDS}, command.id


def test_every_command_is_explained() -> None:
    for command in commands.every():
        assert command.help.strip().endswith("."), command.id
        assert command.label


def test_a_key_that_pages_answer_differently_is_explained_by_them() -> None:
    said = commands.by_id("mode").help, next(c.help for c in commands.every() if c.id == "mode")
    for option in (option for page in pages.every() for option in page.options if option.key == "mode" and option.help):
        assert option.help in said[1]
        assert option.help not in said[0]


def test_every_command_has_its_keys_in_textuals_table() -> None:
    bound = {}
    for binding in keys.every():
        for key in binding.key.split(","):
            assert key not in bound
            bound[key] = binding
    for command in commands.every():
        assert {bound[key].id for key in command.keys} <= {command.id}
        assert all(bound[key].priority for key in commands.typed_keys(command)), "before a slow link's next key"


def test_the_readme_shows_this_very_table() -> None:
    assert key_table() in README.read_text("utf-8"), "run: python -m tui.pages to print the table"


def test_keys_are_shown_as_people_read_them() -> None:
    assert display("question_mark") == "?"
    assert display("ctrl+p") == "ctrl+p"
