"""Back and forward: places come back, prompts and models stay."""

from __future__ import annotations

from dataclasses import replace

from tui.state import Selection

from tui.trail import LENGTH, Trail


def test_back_and_forward_walk_the_places() -> None:
    trail, here = Trail(), Selection(view="ov", layer=2)
    trail.leave(Selection(view="pattern"))
    trail.leave(Selection(view="qk", layer=1))
    back = trail.back(here)
    assert back is not None
    assert (back.view, back.layer) == ("qk", 1)
    again = trail.forward(back)
    assert again is not None
    assert (again.view, again.layer) == ("ov", 2)
    assert trail.forward(again) is None


def test_what_is_typed_stays() -> None:
    trail = Trail()
    trail.leave(Selection(text="old", weights="raw"))
    back = trail.back(Selection(text="new", view="ov"))
    assert back is not None
    assert (back.text, back.weights, back.view) == ("new", "processed", "pattern")


def test_a_jump_forgets_what_lay_ahead_and_the_far_past() -> None:
    trail = Trail()
    for layer in range(LENGTH + 5):
        trail.leave(Selection(layer=layer))
    here = trail.back(Selection(layer=999))
    assert here is not None
    trail.leave(replace(here, head=1))
    assert trail.forward(here) is None
    steps = 0
    while (place := trail.back(here)) is not None:
        here, steps = place, steps + 1
    assert steps == LENGTH
