"""The README's tables are those that the registry gives, and its command lines are ones that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.readme import table
from tui import cli, commands, export, flags, pages, replay
from tui.page import Page
from tui.pages.__main__ import export_names, view_table

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
EXPORTS = re.findall(r"^circuit-tui (export .+)$", README, re.MULTILINE)


def test_views() -> None:
    assert f"\n\n{view_table()}\n\n" in README, "python -m tui.pages prints the table"
    assert len(table(README, "## What it shows")) == len(pages.every())


def test_exports() -> None:
    others = ", ".join(f"`{name}`" for name in export.OTHERS)
    assert f"VIEW is {others} or one of {export_names()};" in README, "python -m tui.pages prints the names"


def test_keys() -> None:
    assert f"\n\n{commands.key_table()}\n\n" in README, "python -m tui.commands prints the table"


def test_another_page_would_be_missed() -> None:
    class Toy(Page):
        name, title, key, help, says = "toy", "Toy", "J", "A toy.", ("cell", "what it says")

    toy = Toy()
    pages.register(toy)
    try:
        assert "| `J` Toy | cell | what it says |" in view_table().splitlines()
        assert view_table() not in README
        assert commands.key_table() not in README
    finally:
        pages.withdraw(toy)


@pytest.mark.parametrize("line", EXPORTS)
def test_its_exports_are_taken(line: str) -> None:
    parser, arguments = cli.Parser(), shlex.split(line)[1:]
    if replay.asked_for(arguments):
        replay.add_arguments(parser)
        assert parser.parse_args(arguments).out
        return
    export.add_arguments(parser)
    options = parser.parse_args(arguments)
    flags.check(options, {**export.OTHERS, **pages.exports()}[options.view])


def test_every_option_of_the_app_is_named() -> None:
    options = {option for action in cli.parser()._actions for option in action.option_strings if option[:2] == "--"}
    assert {option for option in options - {"--help", "--version"} if option not in README} == set()


def test_of_a_table() -> None:
    text = "\n## One\ntext\n\n| a | b |\n| --- | --- |\n| `x` | 1 |\n| y | 2 |\n\n## Two\n"
    assert table(text, "## One") == [("`x`", "1"), ("y", "2")]
