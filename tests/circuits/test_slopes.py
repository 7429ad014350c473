"""The gradients behind estimates against central differences of the float64 reference, at every point and layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.circuits.conftest import IDS, Pair
from tests.circuits.reference import Array
from tests.circuits.test_patching import ANSWERS, DISTRACTORS, difference
from tui.circuits.estimate import slopes
from tui.circuits.patching import Measured

STEP = 1e-4
NAMES = {"resid_pre": "stream", "mlp_out": "mlp", "z": "z"}
"""Point → the reference's name for it."""


def moved(point: str, layer: int, head: int, step: Array) -> Callable[[str, int, int, Array], Array]:
    def change(name: str, one: int, index: int, value: Array) -> Array:
        return value + step if (name, one) == (NAMES[point], layer) and index in (head, -1) else value

    return change


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("point", NAMES)
def test_a_gradient_is_the_slope_in_float64(pair: Pair, point: str, layer: int) -> None:
    """Along random directions at each position: the error is that of one float32 pass back."""
    live = pair.desk.bench.live
    value = Measured(live.forward, "logit difference", ANSWERS, DISTRACTORS)
    found = slopes(live.forward, torch.tensor(IDS), live.reach(len(IDS)), value)[1].at[point, layer].double().numpy()
    drawn = np.random.default_rng(0)
    got, want = [], []
    for head in range(4) if point == "z" else [-1]:
        gradient = found[:, head] if point == "z" else found
        for place in range(len(IDS)):
            step = np.zeros_like(gradient)
            step[place] = drawn.normal(size=gradient.shape[1])
            ahead, behind = (
                difference(pair.want.forward(list(IDS), moved(point, layer, head, sign * STEP * step)).logits)
                for sign in (1, -1)
            )
            want.append((ahead - behind) / (2 * STEP))
            got.append(float((gradient * step).sum()))
    assert np.abs(np.array(got) - want).max() <= 1e-4 * np.abs(want).max()
