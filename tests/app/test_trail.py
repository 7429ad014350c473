"""Back and forward: places come back, prompts and models stay."""

from __future__ import annotations

from dataclasses import replace

from tui.pages.circuit import CircuitLook
from tui.pages.lens import LensLook
from tui.pages.residual import FlowLook
from tui.selection import Selection
from tui.trail import LENGTH, Trail


def test_back_and_forward_walk_the_places() -> None:
    trail, here = Trail(), Selection(page="ov", layer=2)
    trail.leave(Selection(page="pattern"))
    trail.leave(Selection(page="qk", layer=1))
    back = trail.back(here)
    assert back is not None
    assert (back.page, back.layer) == ("qk", 1)
    again = trail.forward(back)
    assert again is not None
    assert (again.page, again.layer) == ("ov", 2)
    assert trail.forward(again) is None


def test_what_is_typed_stays() -> None:
    trail = Trail()
    trail.leave(Selection(text="old", weights="raw"))
    back = trail.back(Selection(text="new", page="ov"))
    assert back is not None
    assert (back.text, back.weights, back.page) == ("new", "processed", "pattern")


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


def test_where_a_page_was_comes_back_and_how_things_are_shown_stays() -> None:
    """A look says itself whether it is a place (what of the stream is drawn) or a manner (how circuits are taken)."""
    there = Selection().put(FlowLook("states"), CircuitLook(form="scaled"), page="residual", panel="parts")
    trail = Trail()
    trail.leave(there)
    here = Selection().put(CircuitLook(basis="normed"), LensLook("rank"), page="lens")
    back = trail.back(here)
    assert back == here.put(FlowLook("states"), page="residual", panel="parts")
    forward = trail.forward(there)
    assert forward is not None
    assert (forward.page, forward.look(FlowLook)) == ("lens", FlowLook()), "a default is a place as well"
