"""How the menus of copies and files look, at both sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual import constants

from tests.app.test_snapshots import SIZES, press, recorded_app

SCREENS: dict[str, tuple[str, ...]] = {
    "copies": ("2", "y"),
    "why_not": ("a", "right_square_bracket", "d", "d", "y", "down", "s"),
    "files": ("e", "down"),
    "how_figures_are": ("e", "o"),
}


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot plugin imports Textual, which reads its environment then, before any test can set it."""
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    monkeypatch.setattr("tui.snippets.CHECKED", {"gpt2": ()})


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_menu(snap_compare: Callable[..., bool], name: str, size: tuple[int, int]) -> None:
    app = recorded_app()
    assert snap_compare(app, run_before=press(app, SCREENS[name]), terminal_size=size)
