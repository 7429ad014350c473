"""How the screens look, at both sizes: recorded results and a clock that stands still, so nothing in them drifts.

``pytest tests/app/test_snapshots.py --snapshot-update`` draws them anew; look at the report before you commit them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual import constants
from textual.pilot import Pilot

from tests.app.driving import settled, until
from tests.app.recorded import RecordedBench
from tests.app.test_models import FOUND
from tui.app import CircuitApp
from tui.config import Options

SIZES = [(80, 24), (120, 40)]
SCREENS: dict[str, tuple[str, ...]] = {
    "pattern": ("}",),
    "scores": ("m",),
    "all_heads": ("m", "m", "m"),
    "qk_centered": ("2", "n"),
    "ov": ("3", "k"),
    "residual": ("4", "j", "j"),
    "panel": ("4", "p"),
    "lens": ("5", "u", "k"),
    "attribution": ("6", "j", "l"),
    "neuron_parts": ("6", "u", "u"),
    "sources": ("S", "h"),
    "knockout": ("K", "j", "l"),
    "why": ("right_square_bracket", "h", "W"),
    "states": ("4", "m", "m"),
    "write_cosines": ("4", "m", "m", "m", "m", "j", "j"),
    "neurons": ("U", "j"),
    "directions": ("6", "j", "v"),
    "lens_curve": ("5", "p", "p"),
    "head_scores": ("7", "j", "l"),
    "compose": ("8", "right_square_bracket", "right_square_bracket"),
    "virtual_qk": ("8", "right_square_bracket", "l", "l", "X"),
    "patching": ("9", "j", "l"),
    "patching_by_position": ("9", "u", "u", "u", "u", "u", "u", "j"),
    "knocked_out": ("a", "right_curly_bracket", "x"),
    "difference": ("a", "right_square_bracket", "d", "d"),
    "changes": ("a", "right_curly_bracket", "a", "1", "p", "p", "p"),
    "continuation": ("a", "plus"),
    "pinned": ("vertical_line", "right_curly_bracket", "k"),
    "pinned_difference": ("2", "vertical_line", "right_square_bracket", "vertical_line"),
    "paths": ("Y", "j", "l"),
    "paths_to_a_key": ("Y", "j", "j", "l", "enter", "m", "p"),
    "top_pairs": ("V", "j"),
    "svd": ("D", "j", "j"),
    "card": ("right_square_bracket", "C"),
    "sorted_tree": ("L",),
    "help": ("question_mark",),
}


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot plugin imports Textual, which reads its environment then, before any test can set it."""
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")


def recorded_app(**options: object) -> CircuitApp:
    bench = RecordedBench()
    app = CircuitApp(Options(**options), bench=lambda: bench, clock=lambda: 0.0)  # type: ignore[arg-type]
    pace = app.explorer.pace
    pace.draw_pause, pace.panel_pause = 0.0, 0.01
    return app


def press(app: CircuitApp, keys: tuple[str, ...]) -> Callable[[Pilot[None]], object]:
    async def run(pilot: Pilot[None]) -> None:
        explorer = app.explorer
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        for key in keys:
            await pilot.press({"}": "right_curly_bracket"}.get(key, key))
            await settled(explorer, pilot)
        explorer.scene.wishes.activity = ""  # which job came last is a race
        explorer.draw()
        await pilot.pause()

    return run


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_screen(snap_compare: Callable[..., bool], name: str, size: tuple[int, int]) -> None:
    app = recorded_app()
    assert snap_compare(app, run_before=press(app, SCREENS[name]), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", ["pattern", "lens", "attribution"])
def test_over_a_file(snap_compare: Callable[..., bool], view: str, size: tuple[int, int], tmp_path: Path) -> None:
    """Mean and spread over two prompts."""
    path = tmp_path / "facts.jsonl"
    path.write_text('{"prompt": "The capital of France is", "answer": "Paris"}\n{"prompt": "The king"}\n')
    app = recorded_app(prompts=str(path))
    key = {"pattern": "1", "lens": "5", "attribution": "6"}[view]
    assert snap_compare(app, run_before=press(app, (key,)), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_over_pairs(snap_compare: Callable[..., bool], size: tuple[int, int], tmp_path: Path) -> None:
    """Patching over two pairs: ratio of means, spread, same sign."""
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"clean": "The king", "corrupted": "The queen"}\n{"clean": "France is", "corrupted": "Rome is"}\n')
    app = recorded_app(prompts=str(path))
    assert snap_compare(app, run_before=press(app, ("9", "j", "l", "escape")), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_circuit(
    snap_compare: Callable[..., bool], size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its panel, over two prompts."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")  # the sentence of where it is kept is the same for everyone
    monkeypatch.setattr("tui.kept.write", lambda key, name, called, circuit: "")
    monkeypatch.setattr("tui.session.folder", lambda: tmp_path)  # a session has a place, and says nothing
    path = tmp_path / "facts.jsonl"
    path.write_text('{"prompt": "The king", "answer": "Rome"}\n{"prompt": "The", "answer": "in"}\n')
    app = recorded_app(prompts=str(path))
    shown = ("p",) if size[0] < 130 else ()  # on a small screen the panel waits to be asked for
    assert snap_compare(app, run_before=press(app, ("6", "j", "l", "c", "k", "c", *shown)), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("colour", ["truecolor", "none"])
def test_a_circuit_as_a_graph(
    snap_compare: Callable[..., bool], size: tuple[int, int], colour: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Four parts, the cursor on one that receives and sends; without colour marks and numbers say the same."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    monkeypatch.setattr("tui.kept.write", lambda key, name, called, circuit: "")
    monkeypatch.setattr("tui.session.folder", lambda: tmp_path)
    if colour == "none":
        monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    app = recorded_app(color=colour)
    keys = ("6", "c", "l", "c", "j", "c", "j", "c", "P", *"The capital of England is", "enter", "Q", "j", "j")
    keys = tuple({" ": "space"}.get(key, key) for key in keys)
    assert snap_compare(app, run_before=press(app, keys), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_without_colour(
    snap_compare: Callable[..., bool], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Magnitude by glyphs, sign by + and −."""
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    app = recorded_app(color="none")
    assert snap_compare(app, run_before=press(app, ("2",)), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_lens_without_colour(
    snap_compare: Callable[..., bool], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")
    app = recorded_app(color="none")
    assert snap_compare(app, run_before=press(app, ("5",)), terminal_size=size)


def test_light_theme(snap_compare: Callable[..., bool]) -> None:
    app = recorded_app(theme="circuit-light")
    assert snap_compare(app, run_before=press(app, ("2",)), terminal_size=(120, 40))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_both_prompts_of_a_pair(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    """The other prompt as it is typed, token under token."""
    app = recorded_app(prompt="The capital of France is")
    typed = ("P", "ctrl+u", *"The", "space", *"king", "space", *"of", "space", *"Rome", "space", *"is")
    assert snap_compare(app, run_before=press(app, typed), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_models(snap_compare: Callable[..., bool], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of models, the cursor on one of them."""
    monkeypatch.setattr("tui.shelf.look", lambda here, opened: iter(FOUND))
    monkeypatch.setattr("tui.label.free_memory", lambda device: 8_000_000_000)
    app = recorded_app()
    assert snap_compare(app, run_before=press(app, ("M", "down")), terminal_size=size)
