"""Mean and spread of tensors that come one at a time, against numpy on all of them at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tui.circuits.over import Running


def over(values: np.ndarray) -> Running:
    running = Running()
    for x in values:
        running = running.add(torch.from_numpy(x))
    return running


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
@pytest.mark.parametrize("shape", [(1,), (3, 4), (2, 0)])
def test_as_numpy_has_it(offset: float, shape: tuple[int, ...]) -> None:
    """Also far from zero, where a mean of squares minus a square of means has no digit left."""
    values = offset + np.random.default_rng(0).normal(size=(200, *shape))
    found = over(values)
    assert found.count == 200
    np.testing.assert_allclose(found.mean.numpy(), values.mean(0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(found.spread.numpy(), values.std(0), rtol=1e-7)


def test_one_and_none() -> None:
    one = Running().add(torch.tensor([2.5, -1.0]))
    assert (one.mean.tolist(), one.spread.tolist()) == ([2.5, -1.0], [0.0, 0.0])
    assert (float(Running().mean), float(Running().spread)) == (0.0, 0.0)


def test_equal_numbers_have_no_spread() -> None:
    found = over(np.full((1000, 1), 0.1))
    assert (found.mean.item(), found.spread.item()) == (0.1, 0.0)


def test_what_is_masked_once_stays_masked() -> None:
    found = over(np.array([[1.0, np.nan], [3.0, 2.0]]))
    np.testing.assert_array_equal(found.mean.numpy(), [2.0, np.nan])
    np.testing.assert_array_equal(found.spread.numpy(), [1.0, np.nan])


def test_half_precision_is_summed_in_double() -> None:
    found = over(np.zeros((0, 1)))
    for value in (1.0, 1.0078125, 1.015625):
        found = found.add(torch.tensor([value], dtype=torch.bfloat16))
    assert found.mean.dtype == torch.float64
    assert found.mean.item() == pytest.approx(1.0078125, abs=1e-15)
