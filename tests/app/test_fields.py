"""``--prompts FILE --fields prompt=text``: from the command line to the screen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tests.app.driving import driven, notice, text_of
from tui import cli
from tui.engine.jobs import PromptRow


def given(*arguments: object) -> dict[str, object]:
    """What the command line makes of arguments, as the app takes it."""
    return asdict(cli.options([str(argument) for argument in arguments]))


async def test_fields_are_mapped_and_what_is_not_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "some facts.csv"
    path.write_text("id,text,label\n1,the capital of,Paris\n2,the king and,queen\n")
    async with driven(**given("--prompts", path, "--fields", "prompt=text, answer=label")) as (explorer, _):
        file = explorer.selection.file
        assert file is not None
        assert file.rows == (PromptRow("the capital of", "Paris"), PromptRow("the king and", "queen"))
        assert notice(explorer) == "some facts.csv has columns that are not used: 'id'."
        assert text_of(explorer, "#prompt-file") == "some facts.csv · 2 prompts"


async def test_fields_that_the_file_has_not_are_said(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("id,text\n1,the capital of\n")
    async with driven(**given("--prompts", path, "--fields", "prompt=txt")) as (explorer, _):
        assert explorer.selection.file is None
        assert "no column of prompts" in notice(explorer)
        assert explorer.query_one("#prompt-input").display
