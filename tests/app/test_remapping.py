"""Keys of the user's own: what the config file asks for is what the keys do, and what footer, help and palette show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from tests.app.driving import driven, notice, pressed, settled, text_of
from tui import commands, config, remapping
from tui.views.help import Help


@pytest.fixture(autouse=True)
def _defaults_again() -> Iterator[None]:
    yield
    commands.remap({})


def wrong(**keys: str) -> str:
    """What is said of one command's keys."""
    (sentence,) = remapping.checked(keys)[1].values()
    return sentence


def test_keys_as_they_are_written() -> None:
    wanted = {"help": "?,f1", "quit": "ctrl+g", "head_next": "f2 , comma", "back": "f3", "mode": "u", "unit": "m"}
    good, said = remapping.checked(wanted)
    assert said == {}
    assert good == {"help": ("question_mark", "f1"), "quit": ("ctrl+g",), "head_next": ("f2", "comma"),
                    "back": ("f3",), "mode": ("u",), "unit": ("m",)}  # fmt: skip


@pytest.mark.parametrize(
    ("id", "keys", "words"),
    [
        ("next_head", "f2", ["no command 'next_head'", "nearest is head_next", "config --print"]),
        ("qwzx", "f2", ["no command 'qwzx'; circuit-tui config --print"]),
        ("quit", "ctrl+i", ["ctrl+i is tab", "another key"]),
        ("quit", "escape", ["closes and goes back"]),
        ("quit", "alt+q", ["no key 'alt+q'", "f1 to f12"]),
        ("quit", "Q1", ["no key 'Q1'"]),
        ("quit", "x,", ["no key ''"]),
        ("quit", "\x1b", ["no key '\\x1b'"]),
        ("head_next", "n", ["n is normalize's", "give normalize another key too", "such as ", "ctrl+e"]),
        ("quit", "?", ["? is help's"]),
    ],
)
def test_what_cannot_be_says_what_can(id: str, keys: str, words: list[str]) -> None:
    sentence = wrong(**{id: keys})
    assert all(word in sentence for word in words), sentence


def test_one_key_for_two_commands() -> None:
    good, said = remapping.checked({"quit": "f5", "help": "f5,f1"})
    assert list(good) == ["quit"]
    assert "f5 is quit's" in said["help"]


def test_a_key_that_is_taken_back_is_in_the_way_again() -> None:
    """``mode`` would have moved to a key that does not exist, so its own is not free for ``unit``."""
    good, said = remapping.checked({"mode": "alt+x", "unit": "m"})
    assert good == {}
    assert "m is mode's" in said["unit"]


def test_what_is_offered_is_free() -> None:
    offered = wrong(head_next="n").rpartition("such as ")[2].rstrip(".").split(", ")
    assert len(offered) == 6
    for key in offered:
        assert remapping.checked({"head_next": key})[1] == {}, key


async def test_keys_footer_help_and_palette() -> None:
    keys = {"head_next": "J", "prompt": "f2", "help": "f9", "mode": "u", "unit": "m", "cycle_back": "less_than_sign",
            "prompt_previous": "minus"}  # fmt: skip
    async with driven((160, 40), keys=keys) as (explorer, pilot):
        footer = " ".join(str(key.render()) for key in explorer.query("FooterKey"))
        assert "f9" in footer
        assert "J" in footer
        await pressed(explorer, pilot, "J")
        assert (explorer.selection.layer, explorer.selection.head) == (0, 1)
        await pressed(explorer, pilot, "right_curly_bracket")  # the key that it had
        assert explorer.selection.head == 1
        await pressed(explorer, pilot, "u")
        assert text_of(explorer, "#badges").strip() == "u 2/4"
        await pressed(explorer, pilot, "less_than_sign")
        assert text_of(explorer, "#badges").strip() == "u 1/4"
        await pressed(explorer, pilot, "f2")
        assert isinstance(explorer.focused, Input)
        before = explorer.query_one("#prompt-input", Input).value
        await pilot.press("J", "escape")
        assert explorer.query_one("#prompt-input", Input).value == before + "J", "letters are text in a field"
        await settled(explorer, pilot)
        await pilot.press("f9")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Help)
        await pilot.press(*"head")
        await pilot.pause()
        listed = pilot.app.screen.query_one(OptionList)
        shown = [str(listed.get_option_at_index(n).prompt) for n in range(listed.option_count)]
        assert any(line.startswith("J ") and "head +" in line for line in shown), shown
        assert ("J", "head +") in {(entry.keys, entry.label) for entry in explorer.directory.entries()}


async def test_what_is_wrong_in_the_file_is_said_with_its_line_and_the_app_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = config.config_file()
    file.parent.mkdir()
    file.write_text('[keys]\nhead_next = "n"\nquit = "ctrl+g"\nnext = "f2"\n')
    opt = config.load()
    async with driven(keys=opt.keys, origins=opt.origins, notice=opt.notice) as (explorer, pilot):
        said = notice(explorer)
        assert f"{file}:2: n is normalize's" in said
        assert "1 more" in said
        assert "circuit-tui doctor" in said
        await pressed(explorer, pilot, "right_curly_bracket")
        assert explorer.selection.head == 1
        await pilot.press("ctrl+g")
        await pilot.pause()
    assert pilot.app.return_code == 0
