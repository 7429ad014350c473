"""Any keys in any order: the app stays alive and ends up showing what its selection needs."""

from __future__ import annotations

import random

import pytest

from tests.app.driving import driven, settled
from tui import commands

NOT_HERE = {"quit", "export", "themes", "palette"}
"""Leaving and writing files have tests of their own."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
async def test_any_keys_in_any_order(seed: int) -> None:
    dice = random.Random(seed)
    keys = [key for command in commands.every() if command.id not in NOT_HERE for key in command.keys]
    keys += ["tab", "escape"] * 4
    size = dice.choice([(80, 24), (120, 40), (40, 12)])
    async with driven(size=size) as (explorer, pilot):
        for _ in range(60):
            await pilot.press(dice.choice(keys))
        await pilot.press("escape", "escape", "escape")
        await settled(explorer, pilot)
        assert explorer.app.is_running
        for key in "1234":
            await pilot.press(key)
            await settled(explorer, pilot)
            assert explorer.main.heatmap.grid is not None or explorer.main.heatmap.message
