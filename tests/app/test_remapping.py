"""Keys of the user's own: what the config file asks for is what the keys do, and what footer, help and palette show."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from tests.app.driving import driven, notice, pressed, settled, text_of
from tui import commands, config, remapping
from tui.commands import display
from tui.views.help import Help


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A history of its own, and the keys of before afterwards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    commands.remap({})


def wrong(**keys: str) -> str:
    """What is said of one command's keys."""
    (sentence,) = remapping.checked(keys).wrong.values()
    return sentence


def test_keys_as_they_are_written() -> None:
    wanted = {"help": "?,f1", "quit": "ctrl+g", "head_next": "f2 , ctrl+e", "back": "F3", "mode": "u", "unit": "m"}
    asked = remapping.checked(wanted)
    assert (asked.wrong, asked.remarks) == ({}, {})
    assert asked.keys == {
        "help": ("question_mark", "f1"), "quit": ("ctrl+g",), "head_next": ("f2", "ctrl+e"), "back": ("f3",),
        "mode": ("u",), "unit": ("m",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("id", "keys", "words"),
    [
        ("next_head", "f2", ["no command 'next_head'", "nearest is head_next", "config --print"]),
        ("qwzx", "f2", ["no command 'qwzx'; circuit-tui config --print"]),
        ("quit", "ctrl+i", ["ctrl+i is tab", "another key"]),
        ("quit", "escape", ["closes and goes back"]),
        ("quit", "alt+q", ["no key 'alt+q'", "f1 to f12"]),
        ("quit", "Q1", ["no key 'Q1'"]),
        ("quit", "x,", ["a key is missing", "f1 to f12"]),
        ("quit", " ", ["a key is missing"]),
        ("quit", "\x1b", ["no key '\\x1b'"]),
    ],
)
def test_what_cannot_be_says_what_can(id: str, keys: str, words: list[str]) -> None:
    sentence = wrong(**{id: keys})
    assert all(word in sentence for word in words), sentence


def test_a_command_without_a_key_may_stay_so_or_be_given_one() -> None:
    asked = remapping.checked({"save": "", "log": "f5"})
    assert (asked.keys, asked.wrong, asked.remarks) == ({"save": (), "log": ("f5",)}, {}, {})


def test_one_key_for_two_commands() -> None:
    asked = remapping.checked({"quit": "f5", "help": "f5,f1"})
    assert asked.keys == {"quit": ("f5",)}
    assert "F5 is given to quit already; free are " in asked.wrong["help"]


@pytest.mark.parametrize(
    ("wanted", "keys", "remark"),
    [
        ({"head_next": "n"}, {"head_next": "n", "normalize": "}"}, "n was normalize's, which has } now: normalize = "),
        ({"quit": "?"}, {"quit": "?", "help": "f1"}, "? was help's, which has F1 now"),
        ({"mode": "alt+x", "unit": "m"}, {"unit": "m", "mode": "u"}, "m was mode's, which has u now"),
        ({"help": "q,?,f1"}, {"help": "q,?,f1", "quit": "ctrl+e"}, "q was quit's, which has ctrl+e now"),
    ],
)
def test_whose_key_is_taken_has_another(wanted: dict[str, str], keys: dict[str, str], remark: str) -> None:
    asked = remapping.checked(wanted)
    assert {id: ",".join(map(display, has)).lower() for id, has in asked.keys.items()} == {
        id: has.lower() for id, has in keys.items()
    }
    (said,) = asked.remarks.values()
    assert remark in said


def test_no_command_is_without_a_key_and_no_key_does_two_things() -> None:
    table = {command.id: command.keys for command in commands.defaults()}
    for seed in range(200):
        rng = random.Random(seed)
        keys = [key for keys in table.values() for key in keys if key not in remapping.TAKEN]
        wanted = {id: ",".join(rng.sample(keys, rng.randint(1, 3))) for id in rng.sample([*table], rng.randint(1, 30))}
        asked = remapping.checked(wanted)
        has = [key for keys in (table | asked.keys).values() for key in keys]
        free = remapping.TAKEN.keys() | {key for key in commands.punctuation() if key not in has}
        without = [id for id, keys in (table | asked.keys).items() if table[id] and not keys]
        assert not without or free == remapping.TAKEN.keys(), "no sign is free either"
        assert len(has) == len(set(has)), wanted
        assert asked.wrong.keys() <= wanted.keys()


def test_what_is_offered_is_free() -> None:
    (said,) = remapping.checked({"head_next": "n"}).remarks.values()
    offered = said.rpartition("free are ")[2].rstrip(".").split(", ")
    assert len(offered) == 6
    for key in offered:
        asked = remapping.checked({"head_next": "n", "normalize": key})
        assert (asked.wrong, asked.remarks) == ({}, {}), key


async def test_keys_footer_help_and_palette() -> None:
    keys = {"head_next": "J", "jobs": "f5", "prompt": "f2", "help": "f9", "mode": "u", "unit": "m",
            "cycle_back": "less_than_sign", "prompt_previous": "minus"}  # fmt: skip
    async with driven((160, 40), keys=keys) as (explorer, pilot):
        footer = " ".join(str(key.render()) for key in explorer.query("FooterKey"))
        assert "F9" in footer
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
    file.write_text('bos = 3\n[keys]\nhead_next = "n"\nquit = "ctrl+g"\nnext = "f2"\n')
    opt = config.load()
    remarks = remapping.sentences(remapping.checked(opt.keys).remarks, opt.origins)
    assert remarks[0].startswith(f"{file}:3: n was normalize's")
    async with driven(keys=opt.keys, origins=opt.origins, problems=opt.problems) as (explorer, pilot):
        said = notice(explorer)
        assert f"{file}:1: bos must be one of" in said
        assert "2 more" in said
        assert "circuit-tui doctor" in said
        await pressed(explorer, pilot, "n")
        assert explorer.selection.head == 1
        await pilot.press("ctrl+g")
        await pilot.pause()
    assert pilot.app.return_code == 0
