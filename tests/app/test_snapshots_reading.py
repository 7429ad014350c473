"""What a picture says at a glance, at every size: numbers in cells, headers, scales, room."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from textual import constants

from tests.app.test_snapshots import press, recorded_app

SIZES = [(80, 24), (100, 30), (120, 40), (200, 55)]
SCREENS: dict[str, tuple[str, ...]] = {
    "numbers": ("2", "k"),
    "colours_alone": ("2", "k", "percent_sign"),
    "lens_with_values": ("5", "u", "k"),
    "why": ("right_square_bracket", "h", "W"),
    "why_picture": ("right_square_bracket", "h", "W", "p"),
    "why_less_the_mean": ("right_square_bracket", "h", "W", "m"),
    "scale_locked": ("2", "equals_sign", "right_curly_bracket"),
    "all_heads": ("m", "m", "m"),
    "patched": ("9", "j", "l"),
    "panel": ("4", "p"),
}
LONG = " ".join(["The capital of France is Paris and the king of Rome is in England"] * 4)
"""More rows than lines."""


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")


def at(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("size", SIZES, ids=at)
@pytest.mark.parametrize("name", SCREENS)
def test_screen(snap_compare: Callable[..., bool], name: str, size: tuple[int, int]) -> None:
    app = recorded_app()
    assert snap_compare(app, run_before=press(app, SCREENS[name]), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=at)
@pytest.mark.parametrize("zoom", [0, 1, 2], ids=["cells", "halves", "whole"])
def test_a_long_prompt(snap_compare: Callable[..., bool], zoom: int, size: tuple[int, int]) -> None:
    app = recorded_app(prompt=LONG)
    assert snap_compare(app, run_before=press(app, ("k", "k", *("z",) * zoom)), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=at)
@pytest.mark.parametrize("colour", ["256", "none"])
@pytest.mark.parametrize("view", ["2", "5"])
def test_few_colours_or_none(
    snap_compare: Callable[..., bool], view: str, colour: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if colour == "none":
        monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    app = recorded_app(color=colour)
    assert snap_compare(app, run_before=press(app, (view, "k")), terminal_size=size)
