"""A direction that is added to the stream: how it is written, looked up, refused, and what the screen then says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.app.driving import driven, pressed, text_of
from tests.app.recorded import KEY
from tests.app.selected import loaded
from tui import notation, questions, steering
from tui.declared import Problem
from tui.engine.jobs import AddVector, FindTarget, SteeringDirection
from tui.results import Found, Tokens
from tui.selection import Selection
from tui.steering import How, how


def answer(s: Selection, text: str) -> object:
    return questions.named("steer", s).answered(s, text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", How(1.0, 2, (3,))),
        ("4", How(4.0, 2, (3,))),
        ("-2.5 L3", How(-2.5, 3, (3,))),
        ("+1 l0 @all", How(1.0, 0, None)),
        ("@-1", How(1.0, 2, (-1,))),
        ("2 L1 @2-4", How(2.0, 1, (2, 3, 4))),
    ],
)
def test_how_much_and_where(text: str, want: How) -> None:
    assert how(loaded(layer=2, row=3), text) == want


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("much: Paris", "no amount"),
        ("4 L9: Paris", "no stream before layer 9"),
        ("4 @5-2: Paris", "goes upwards"),
        ("4:", "no direction is named"),
        ("svd L9H0 0", "is no head"),
        ("svd L0H0 99", "no singular direction 99"),
        ("pair", "P takes one"),
        ("4: nowhere.npy", "cannot be read"),
    ],
)
def test_what_cannot_be_added(text: str, sentence: str) -> None:
    got = answer(loaded(pair=None), text)
    assert isinstance(got, Problem)
    assert sentence in got.sentence


def test_tokens_are_looked_up_and_keep_what_stood_before_them() -> None:
    s = loaded(layer=1, row=2)
    asked = answer(s, "-2 L3 @all: Paris - London")
    assert asked == FindTarget(KEY, "Paris - London", "-2 L3 @all: ")
    sides = (Tokens((6,), (" Paris",), (False,), False), Tokens((7,), (" London",), (False,), False))
    found = Found(*sides, "·Paris − ·London")
    made = questions.named("steer", s).found(s, asked, found)  # type: ignore[arg-type]
    towards = SteeringDirection("·Paris − ·London", "token", (6, 7))
    assert made.stack[0].change == AddVector(3, towards, -2.0, None)
    assert str(made.stack[0].change) == "-2 · ·Paris − ·London before L3"


def test_directions_that_need_no_look_up(tmp_path: Path) -> None:
    s = loaded(layer=1, row=2)
    made = answer(s, "3: svd l1h2 4")
    assert isinstance(made, Selection)
    assert made.stack[0].change == AddVector(1, SteeringDirection("L1H2 σ4", "singular", (1, 2, 4)), 3.0, (2,))
    np.save(tmp_path / "v.npy", np.arange(128, dtype=np.float32))
    made = answer(s, f"0.5 L0 @all: {tmp_path / 'v.npy'}")
    assert isinstance(made, Selection)
    change = made.stack[0].change
    assert isinstance(change, AddVector)
    assert (change.amount, change.unit, change.direction.numbers[:3]) == (0.5, False, (0.0, 1.0, 2.0))
    np.save(tmp_path / "v.npy", np.arange(5.0))
    got = answer(s, str(tmp_path / "v.npy"))
    assert isinstance(got, Problem)
    assert "has shape [5]" in got.sentence


def test_a_tensor_of_a_safetensors_file(tmp_path: Path) -> None:
    s, path = loaded(layer=1, row=2), tmp_path / "found.safetensors"
    vectors = {"mean": torch.arange(128).bfloat16(), "short": torch.ones(5), "none": torch.full((128,), torch.nan)}
    save_file(vectors, path)
    for typed in (f"0.5 L2 @all: {path}:mean", f"{path}:mean"):
        made = answer(s, typed)
        assert isinstance(made, Selection)
        change = made.stack[0].change
        assert isinstance(change, AddVector)
        assert (change.direction.name, change.unit) == ("found.safetensors:mean", False)
        assert change.direction.numbers[:3] == (0.0, 1.0, 2.0)
    for typed, sentence in (
        (f"1: {path}", f"has 3 tensors: mean, none, short; write {path}:mean"), (f"1: {path}:other", "has 3 tensors"),
        (f"1: {path}:short", "has shape [5]"), (f"1: {path}:none", "128 finite numbers"),
        ("1: nowhere.safetensors", "there is no such file"),
    ):  # fmt: skip
        got = answer(s, typed)
        assert isinstance(got, Problem)
        assert sentence in got.sentence
    save_file({"only": torch.ones(128)}, path)
    made = answer(s, f"-1: {path}")
    assert isinstance(made, Selection)
    assert str(made.stack[0].change) == "-1 · found.safetensors before L1 @2"
    path.write_text("not one")
    got = answer(s, f"1: {path}")
    assert isinstance(got, Problem)
    assert "is no .safetensors file" in got.sentence


def test_vectors_are_read_from_a_file_of_changes(tmp_path: Path) -> None:
    text = "4 L2 @-1: Paris - London  # toward\n# 1 L2: x\nL1H3\n"
    lines = notation.read_file(text, None, "raw", lambda line: f"({line})")
    assert lines == (1, "(4 L2 @-1: Paris - London)"), "a comment is none of it"
    assert steering.is_placed("4 L2 @-1: #258")
    assert not steering.is_placed("4 @-1: Paris")
    assert not steering.is_placed("4 L2: Paris")


async def test_by_keys() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "I", *"2:", *"Paris", "enter")
        assert [str(entry.change) for entry in explorer.selection.stack] == ["+2 · Paris before L0 @5"]
        assert text_of(explorer, "#title").strip().startswith("changed · ")
        before = explorer.selection
        await pressed(explorer, pilot, "I", *"2:", *"Zanzibar", "enter", "down", "enter")
        assert len(explorer.selection.stack) == 2, "a word of several tokens is picked from, and the amount stays"
        assert str(explorer.selection.stack[1].change).startswith("+2")
        explorer.scene.change(replace(before, stack=()))
