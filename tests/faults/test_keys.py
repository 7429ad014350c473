"""Sequences of real commands, their names, values and answers, drawn from a grammar: after each the app
takes a key."""

from __future__ import annotations

import os
import random

import pytest
from textual import events

from tests.app.driving import driven, settled, until
from tests.e2e.player import TEXTS
from tests.faults import grammar
from tests.views.apps import burst
from tui import commands, pages

NOT_HERE = {"quit", "export", "copy"}
"""Leaving, and writing files, have tests of their own."""
KEYS = [key for command in commands.every() if command.id not in NOT_HERE for key in command.keys]
SEEDS, OF_EACH = 3, int(os.environ.get("CIRCUIT_TUI_SEQUENCES", "8"))
"""So many in the suite; 170 and more of each where there is time."""


def sequence(dice: random.Random) -> list[str]:
    """``KEYS* (command by its name | question, answer | option by its value)? KEYS* closing``."""
    out = dice.choices(KEYS, k=dice.randint(0, 5))
    match dice.randrange(4):
        case 0:
            name = dice.choice([one.label for one in commands.every() if one.id not in NOT_HERE])
            out += ["colon", *name, "enter"]
        case 1:
            asked = dice.choice([command for command in commands.every() if "ask(" in command.action and command.keys])
            answer = grammar.text(dice) if dice.random() < 0.5 else dice.choice(TEXTS)
            out += [asked.keys[0], f"paste {answer}", "enter"]
        case 2:
            options = [option for page in pages.every() for option in page.options]
            out += ["colon", *dice.choice(options).name[:8], *dice.choice([["tab"], ["down"], []]), "enter"]
        case _:
            pass
    return [*out, *dice.choices(KEYS, k=dice.randint(0, 5))]


@pytest.mark.timeout(120 + 10 * OF_EACH)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_sequences(seed: int) -> None:
    dice = random.Random(seed)
    async with driven(size=dice.choice([(80, 24), (120, 40), (30, 8)])) as (explorer, pilot):
        for _ in range(OF_EACH):
            keys = sequence(dice)
            for key in keys:
                if key.startswith("paste "):
                    explorer.app.post_message(events.Paste(key[6:]))
                else:
                    burst(explorer.app, [key])
            for _ in range(10):
                burst(explorer.app, ["escape"] * 3)
                await pilot.pause(0.01)
                if explorer.app.screen is explorer and explorer.app.focused is None:
                    break
            burst(explorer.app, ["2", "1"])
            await until(pilot, lambda: explorer.selection.page == "pattern", 10)
            assert explorer.app.is_running, keys
        await settled(explorer, pilot)
