"""What ``:`` completes, remembers and stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from tests.app.driving import driven, notice, settled, until
from tests.app.selected import loaded
from tui import aliases, config
from tui.completing import completions, is_there
from tui.explorer import Explorer
from tui.views.palette import Palette


def offered(text: str, **more: object) -> list[str]:
    return [one.text for one in completions(loaded(text="The capital of France is"), text, **more)]  # type: ignore[arg-type]


def test_words_heads_tokens_and_columns() -> None:
    assert offered("") == []
    assert offered("fi") == ["find "]
    assert {"continue ", "continuation"} <= set(offered("cont"))
    assert offered("l2h") == ["L2H0", "L2H1", "L2H2", "L2H3"]
    assert offered("head 1 ") == ["head L1H0", "head L1H1", "head L1H2", "head L1H3"]
    assert offered("find Fr") == ["find France"]
    assert offered("pos ca") == ["position capital"]
    assert offered("find ,i") == ["find ,is"]
    assert offered("sort va", columns=("head", "value")) == ["sort value"]
    assert offered("fa", aliases={"facts": "prompts facts.json"}) == ["facts"]
    assert len(offered("L")) <= 40


def test_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facts.json").write_text("[]")
    (tmp_path / "facts.png").write_text("")
    (tmp_path / "far").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert offered("prompts fa") == ["prompts facts.json", "prompts far/"]
    assert offered("prompts in") == ["prompts indirect object", "prompts induction"]
    assert offered(f"model {tmp_path}/m") == [f"model {tmp_path}/model"]
    assert offered("model d") == ["model demo"]
    for nothing in ("prompts /nowhere/at/all/x", "model \0", "model ~nobody-at-all/x"):
        assert offered(nothing) == []


def test_aliases_stand_for_what_follows_them() -> None:
    mine = {"facts": "prompts facts.json", "f": "facts", "a": "b", "b": "a"}
    said = {text: aliases.expanded(text, mine) for text in ("h 10 2", "pos 12", "pos France", "f", "f x", "qk", "a")}
    assert said == {
        "h 10 2": "10 2", "pos 12": "12", "pos France": "find France", "f": "prompts facts.json",
        "f x": "prompts facts.json x", "qk": "qk", "a": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('loop = "loop"', "stands for itself in the end"),
        ('"two words" = "x"', "must be one word that begins with a letter"),
        ("facts = 3", "must stand for what is typed"),
        ('facts = " "', "must stand for what is typed"),
    ],
)
def test_an_alias_that_cannot_be_is_said_with_its_file(lines: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[aliases]\n{lines}\n")
    notice = config.load(path).notice
    assert said in notice
    assert str(path) in notice
    path.write_text('aliases = "x"\n')
    assert "[aliases] must hold lines" in config.load(path).notice
    path.write_text('[aliases]\nfacts = "prompts facts.json"\n')
    assert config.load(path).aliases == {"facts": "prompts facts.json"}


async def listed(explorer: Explorer, pilot: Pilot[None], text: str) -> list[str]:
    """The lines of the palette for a text."""
    await pilot.press("colon")
    await until(pilot, lambda: isinstance(explorer.app.screen, Palette))
    await pilot.press(*text)
    await until(pilot, lambda: not any(w.node is explorer.app.screen and not w.is_finished for w in explorer.workers))
    return lines(explorer)


def lines(explorer: Explorer) -> list[str]:
    listing = explorer.app.screen.query_one(OptionList)
    return [str(listing.get_option_at_index(i).prompt) for i in range(listing.option_count)]


def field(explorer: Explorer) -> str:
    return explorer.app.screen.query_one(Input).value


async def test_an_alias_goes_where_it_stands_for() -> None:
    async with driven(aliases={"strong": "L2H1"}) as (explorer, pilot):
        for text, name in (("h 1 3", "L1H3"), ("strong", "L2H1")):
            await listed(explorer, pilot, text)
            await pilot.press("enter")
            await until(pilot, lambda name=name: explorer.app.screen is explorer and explorer.selection.name == name)
        await listed(explorer, pilot, "pos France")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.prompt_cell[0] == 4)
        await listed(explorer, pilot, "qk")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.page == "qk")
        await settled(explorer, pilot)


async def test_tab_completes_and_enter_on_half_a_text_goes_on() -> None:
    async with driven() as (explorer, pilot):
        first = await listed(explorer, pilot, "fi")
        at = next(i for i, line in enumerate(first) if line.startswith("find \n"))
        explorer.app.screen.query_one(OptionList).highlighted = at
        await pilot.press("enter")
        await until(pilot, lambda: field(explorer) == "find ")
        await pilot.press(*"Fr")
        await until(pilot, lambda: any(line.startswith("find France") for line in lines(explorer)))
        at = next(i for i, line in enumerate(lines(explorer)) if line.startswith("find France"))
        explorer.app.screen.query_one(OptionList).highlighted = at
        await pilot.press("tab")
        await until(pilot, lambda: field(explorer) == "find France")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.app.screen is explorer and explorer.selection.prompt_cell[0] == 4)


async def test_half_a_file_goes_on_before_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facts.jsonl").write_text('{"prompt": "The king of France"}\n')
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        first = (await listed(explorer, pilot, "prompts fa"))[0]
        assert first == "prompts facts.jsonl\nA file."
        await pilot.press("tab")
        assert explorer.app.screen.query_one(Input).value == "prompts facts.jsonl"
        await pilot.press("escape")
        await until(pilot, lambda: explorer.app.screen is explorer)
        await listed(explorer, pilot, "prompts fa")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.file is not None)


async def test_tab_on_the_line_that_is_typed_takes_the_next_that_goes_on() -> None:
    async with driven(prompt="The capital of France is") as (explorer, pilot):
        await listed(explorer, pilot, "pos Fr")
        await pilot.press("tab")
        assert explorer.app.screen.query_one(Input).value == "position France"


def test_a_name_of_the_hub_is_not_half_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpt2-runs").mkdir()
    monkeypatch.chdir(tmp_path)
    there = ("model gpt2", "prompts induction", f"model {tmp_path}", "model ./gpt2-runs")
    assert [text for text in (*there, "model ./gpt2", "prompts gp") if is_there(text)] == [*there]


async def test_what_was_run_is_walked_and_kept_between_runs() -> None:
    async with driven() as (explorer, pilot):
        for text in ("L1H2", "find France"):
            await listed(explorer, pilot, text)
            await pilot.press("enter")
            await until(pilot, lambda: explorer.app.screen is explorer)
        await listed(explorer, pilot, "")
        for key, said in (("up", "find France"), ("up", "L1H2"), ("up", "L1H2"), ("down", "find France"), ("down", "")):
            if said == "L1H2" and field(explorer) == said:
                continue
            await pilot.press(key)
            await until(pilot, lambda said=said: field(explorer) == said)
        await pilot.press("L", "up")
        await until(pilot, lambda: field(explorer) == "L1H2")
        await pilot.press("escape")
    assert config.read_history("commands")[-2:] == ["L1H2", "find France"]
    async with driven() as (explorer, pilot):
        await listed(explorer, pilot, "")
        await pilot.press("up")
        await until(pilot, lambda: field(explorer) == "find France")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.prompt_cell[0] == 4)


async def test_the_list_is_sorted_by_a_columns_name() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("7")
        await settled(explorer, pilot)
        await listed(explorer, pilot, "sort head")
        await pilot.press("enter")
        await until(pilot, lambda: explorer.panel.bars.how.column == 0)
        await listed(explorer, pilot, "sort nothing")
        await pilot.press("enter")
        await until(pilot, lambda: "there is no column nothing: there are head" in notice(explorer))
