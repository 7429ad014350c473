"""One forward pass: what it refuses, how it is cancelled, and that it leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tui.models.errors import ModelError
from tui.models.live import LiveModel

IDS = [3, 200, 260, 261, 7, 262]


class Cancelled(Exception):
    """What the engine's check raises."""


def cancel_after(calls: int) -> Callable[[], None]:
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cancelled

    return check


def hooks_left(live: LiveModel) -> int:
    """Hooks of any kind on any module, but those that TransformerLens installs for good."""
    points = [p for p in live.bridge.hook_dict.values() if p.fwd_hooks or p.bwd_hooks]
    torch_hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in live.bridge.modules())
    return 1000 * len(points) + torch_hooks


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neo"])
def test_a_cancel_inside_the_pass_leaves_nothing(name: str, model_of: Callable[[str], LiveModel]) -> None:
    live = model_of(name)
    before = live.trace(IDS, [0, 1])
    hooks, calls = hooks_left(live), []
    live.trace(IDS, [0, 1], check=lambda: calls.append(1))
    assert len(calls) > 10
    for after in range(len(calls)):
        with pytest.raises(Cancelled):
            live.trace(IDS, [0, 1], cancel_after(after))
        assert hooks_left(live) == hooks
    again = live.trace(IDS, [0, 1])
    assert torch.equal(before.logits, again.logits)
    assert torch.equal(before.patterns[1], again.patterns[1])
    assert hooks_left(live) == hooks


def test_a_cancel_stops_early(gpt2: LiveModel) -> None:
    """A check that raises in the first block keeps the second from running."""
    ran = []
    handle = gpt2.bridge.blocks[1].register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        with pytest.raises(Cancelled):
            gpt2.trace(IDS, (), cancel_after(3))
    finally:
        handle.remove()
    assert not ran


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "There is nothing to run: the prompt has no tokens."),
        ([1] * 33, "The prompt is 33 tokens long, but this model takes at most 32."),
        ([1, 270], "Token id 270 does not exist in this model."),
        ([-1, 2], "Token id -1 does not exist in this model."),
    ],
)
def test_ids_are_checked_first(gpt2: LiveModel, ids: list[int], message: str) -> None:
    with pytest.raises(ModelError) as raised:
        gpt2.trace(ids, [0])
    assert raised.value.message == message
    assert raised.value.hint


def test_only_what_is_asked_for_is_kept(gpt2: LiveModel) -> None:
    trace = gpt2.trace(IDS, [1])
    for kept in (trace.patterns, trace.queries, trace.keys, trace.values):
        assert set(kept) == {1}
    assert set(trace.visible) == {0, 1}
    assert not gpt2.trace(IDS).patterns
    with pytest.raises(ModelError, match="There is no layer 2"):
        gpt2.trace(IDS, [2])


def test_one_token(llama: LiveModel) -> None:
    trace = llama.trace([5], [0, 1])
    assert trace.logits.shape == (1, 270)
    assert torch.equal(trace.patterns[0], torch.ones(4, 1, 1))


def test_full_context(gpt2: LiveModel) -> None:
    assert gpt2.trace(range(32), [0]).logits.shape == (32, 270)


def test_interventions_change_this_pass_alone(gpt2: LiveModel) -> None:
    plain = gpt2.trace(IDS, [0])
    changed = gpt2.trace(IDS, [0], interventions=[("blocks.0.attn.hook_pattern", torch.zeros_like)])
    assert not changed.patterns[0].any()
    assert not changed.z[0].any()
    assert not torch.allclose(plain.logits, changed.logits)
    assert torch.equal(plain.logits, gpt2.trace(IDS, [0]).logits)


def test_activations_are_copies(gpt2: LiveModel) -> None:
    trace = gpt2.trace(IDS, [0])
    with torch.inference_mode():
        trace.resid_pre.zero_()
        trace.queries[0].zero_()
    assert gpt2.trace(IDS, [0]).resid_pre.any()


def test_attention_that_runs_again_is_cancelled_and_changed_as_its_pass_was(gpt2: LiveModel) -> None:
    change = [("blocks.1.attn.hook_q", lambda q: 2 * q)]
    bare, whole = gpt2.trace(IDS, again=True, interventions=change), gpt2.trace(IDS, [1], interventions=change)
    assert torch.equal(gpt2.with_attention(bare, 1, interventions=change).patterns[1], whole.patterns[1])
    hooks = hooks_left(gpt2)
    for after in range(4):
        with pytest.raises(Cancelled):
            gpt2.with_attention(bare, 1, cancel_after(after))
        assert hooks_left(gpt2) == hooks
