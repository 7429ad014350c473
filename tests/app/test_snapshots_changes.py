"""How a changed model looks over a file of prompts, in scores, in lists and beside another picture, at both sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual import constants

from tests.app.test_snapshots import SIZES, press, recorded_app

SCREENS: dict[str, tuple[str, ...]] = {
    "pattern": ("a",),
    "lens": ("5", "a", "d", "d"),
    "scores": ("7", "a"),
}
ALONE: dict[str, tuple[str, ...]] = {
    "own_scale": ("2", "vertical_line", "right_square_bracket", "equals_sign"),
    "drawn": ("a", "tilde", "ctrl+u", "5", "space", "0", "full_stop", "8", "enter"),
    "placed": ("a", "right_curly_bracket", "a", "1", "G", "ctrl+u", *"L0H1@2", "enter", "p", "p", "p"),
}
"""Of one prompt."""


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_over_a_file(snap_compare: Callable[..., bool], name: str, size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"prompt": "The capital of France is", "answer": "Paris"}\n{"prompt": "The king"}\n')
    app = recorded_app(prompts=str(path))
    assert snap_compare(app, run_before=press(app, SCREENS[name]), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ALONE)
def test_of_one_prompt(snap_compare: Callable[..., bool], name: str, size: tuple[int, int]) -> None:
    app = recorded_app()
    shown = ("p",) if name == "placed" and size[0] < 100 else ()  # on a small screen the first panel waits too
    assert snap_compare(app, run_before=press(app, (*ALONE[name], *shown)), terminal_size=size)
