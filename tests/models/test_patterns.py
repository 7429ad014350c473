"""Patterns read while a forward pass runs: those that a whole pass keeps, and nothing is computed after the last."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.models.conftest import ARCHITECTURES
from tests.models.test_batches import PROMPTS
from tests.models.test_trace import Cancelled, cancel_after, hooks_left
from tui.models.errors import ModelError
from tui.models.live import LiveModel


def read(live: LiveModel, check: Callable[[], None] = lambda: None) -> dict[int, Tensor]:
    seen: dict[int, Tensor] = {}
    live.patterns(PROMPTS, seen.__setitem__, check)
    return seen


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_as_a_whole_pass_keeps_them(name: str, model_of: Callable[[str], LiveModel]) -> None:
    live = model_of(name)
    hooks = hooks_left(live)
    traces = live.traces(PROMPTS, range(live.n_layers))
    seen = read(live)
    assert list(seen) == list(range(live.n_layers))
    for layer, pattern in seen.items():
        assert pattern.dtype == torch.float32
        assert torch.equal(pattern, torch.stack([trace.patterns[layer] for trace in traces]))
    assert hooks_left(live) == hooks


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_pass_ends_with_the_last_pattern(name: str, model_of: Callable[[str], LiveModel]) -> None:
    live, ran = model_of(name), []
    handles = [
        module.register_forward_pre_hook(lambda *_: ran.append(1))
        for module in (live.bridge.blocks[1].mlp, live.bridge.unembed)
    ]
    try:
        read(live)
        assert not ran
        live.trace(PROMPTS[0])
        assert len(ran) >= 2
    finally:
        for handle in handles:
            handle.remove()


def test_a_cancel_leaves_nothing(gpt2: LiveModel) -> None:
    hooks, calls = hooks_left(gpt2), []
    before = read(gpt2, lambda: calls.append(1))
    assert len(calls) == 5
    for after in range(len(calls)):
        with pytest.raises(Cancelled):
            read(gpt2, cancel_after(after))
        assert hooks_left(gpt2) == hooks
    again = read(gpt2)
    assert all(torch.equal(again[layer], pattern) for layer, pattern in before.items())


def test_an_error_of_the_reader_goes_through(gpt2: LiveModel) -> None:
    hooks = hooks_left(gpt2)

    def broken(layer: int, pattern: Tensor) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gpt2.patterns(PROMPTS, broken)
    assert hooks_left(gpt2) == hooks


def test_bad_prompts_are_refused_before_the_pass(gpt2: LiveModel) -> None:
    with pytest.raises(ModelError, match="Token id 270 does not exist"):
        gpt2.patterns([(1, 2), (3, 270)], lambda layer, pattern: None)
