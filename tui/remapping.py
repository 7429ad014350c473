"""Keys that the user gives to commands, checked against the table: what cannot be is left out, and said with what can.

A key does one thing, and no command that has a key is left without: one whose key was given away gets the key that
was given up for it, which is said, until it is given one in the file too.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

from . import commands
from .commands import display
from .text import plain

Keys = Mapping[str, tuple[str, ...]]
"""Command id → keys in Textual's names."""

NAMED = frozenset(
    {"up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete", "enter", "space",
     "backspace", "ctrl+home", "ctrl+end"}
    | {f"f{number}" for number in range(1, 13)}
)  # fmt: skip
FORMS = "a letter, a digit, a sign such as ? (a comma is written comma), f1 to f12, ctrl+LETTER, an arrow, home, end, \
pageup, pagedown, insert, delete, enter, space or backspace"
TAKEN = {
    "tab": "goes from field to field", "shift+tab": "goes from field to field", "escape": "closes and goes back",
    "ctrl+c": "copies or quits", "ctrl+q": "quits", "ctrl+p": "is of the palette in every dialog",
    "ctrl+a": "is of screen and many a tmux", "ctrl+b": "is of tmux", "ctrl+s": "stops many terminals",
    "ctrl+z": "stops the program in many terminals", "ctrl+h": "is backspace in many terminals",
    "ctrl+i": "is tab in all terminals", "ctrl+m": "is enter in all terminals", "ctrl+j": "is enter in many terminals",
}  # fmt: skip
"""Keys that do not reach the program everywhere, or mean one thing in it whatever has the focus."""


@dataclass(frozen=True)
class Checked:
    """What becomes of the keys that are wanted. Ids in the order in which they were wanted."""

    keys: Mapping[str, tuple[str, ...]]
    """Command id → its keys, of all commands that do not have their own."""
    wrong: Mapping[str, str]
    """Id → why it cannot have what is wanted, and what it could; it keeps its own."""
    remarks: Mapping[str, str]
    """Id → whose key it has taken, and which that one has now."""


def checked(wanted: Mapping[str, str]) -> Checked:
    """``wanted`` is ``[keys]`` of the config file: command id → keys with commas between them."""
    own = {command.id: command.keys for command in commands.defaults()}
    good, wrong, owners = dict[str, tuple[str, ...]](), dict[str, str](), dict[str, str]()
    for id, text in wanted.items():
        none = not text.strip() and own.get(id) == ()  # as it has none anyway
        keys = () if none else tuple(commands.key_named(key.strip()) for key in text.split(","))
        problem = _unknown(id, own) or next(filter(None, (_impossible(key, own[id]) for key in keys)), "")
        if twice := next((key for key in keys if key in owners), ""):
            free = _some_free(own | good)
            problem = problem or f"{display(twice)} is given to {owners[twice]} already; free are {free}."
        if problem:
            wrong[id] = problem
        else:
            good[id] = keys
            owners |= dict.fromkeys(keys, id)
    moved, remarks = dict[str, tuple[str, ...]](), dict[str, str]()
    for id, keys in own.items():
        lost = [key for key in keys if key in owners]
        if id in good or not lost:
            continue
        left, taker = tuple(key for key in keys if key not in owners), owners[lost[0]]
        used = _used(own | good | moved)
        moved[id] = left or tuple(key for key in own[taker] if key not in used) or tuple(_free(used)[:1])
        has = " and ".join(map(display, moved[id])) or "none, as none is free,"
        free = _some_free(own | good | moved)
        other = f"; free are {free}" if free else ""
        remarks[taker] = f"{display(lost[0])} was {id}'s, which has {has} now: {id} = \"KEY\" gives it another{other}."
    return Checked(good | moved, wrong, {id: remarks[id] for id in good if id in remarks})


def _unknown(id: str, table: Keys) -> str:
    if id in table:
        return ""
    words = sorted(table, key=lambda known: (-len({*id.split("_")} & {*known.split("_")}), len(known)))
    near = [words[0]] if {*id.split("_")} & {*words[0].split("_")} else difflib.get_close_matches(id, table, 1)
    nearest = f"the nearest is {near[0]}, and " if near else ""
    return f"there is no command {id!r}; {nearest}circuit-tui config --print lists all."


def _impossible(key: str, own: tuple[str, ...]) -> str:
    if not key:
        return f"a key is missing: it takes {FORMS}."
    if key in TAKEN and key not in own:
        return f"{key} {TAKEN[key]}: take another key."
    if key in NAMED or key in commands.punctuation() or re.fullmatch(r"[a-zA-Z0-9]|ctrl\+[a-z]", key):
        return ""
    return f"there is no key {key!r} that reaches every terminal; a key is {FORMS}."


def _used(table: Keys) -> set[str]:
    return {key for keys in table.values() for key in keys}


def _free(used: set[str]) -> list[str]:
    """Keys that no command has."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    every = (*letters, *string.digits, *commands.punctuation(),
             *(f"ctrl+{letter}" for letter in string.ascii_lowercase),
             *(f"f{number}" for number in range(2, 13)))  # fmt: skip
    return [key for key in every if key not in used and key not in TAKEN]


def _some_free(table: Keys) -> str:
    return ", ".join(map(display, _free(_used(table))[:6]))


def sentences(said: Mapping[str, str], origins: Mapping[str, str]) -> list[str]:
    """``wrong`` or ``remarks``, each with the line of the config file that it is about (``Options.origins``)."""
    return [plain(f"{origins.get(f'keys.{id}', '[keys]')}: {sentence}") for id, sentence in said.items()]
