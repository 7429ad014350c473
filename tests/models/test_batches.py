"""Several prompts in one forward pass: the same as one at a time, on every architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models import folders
from tests.models.conftest import ARCHITECTURES
from tests.models.test_trace import Cancelled, cancel_after, hooks_left
from tui.circuits.tensors import Trace
from tui.models.errors import ModelError
from tui.models.live import LiveModel
from tui.models.load import load

PROMPTS = (
    (3, 200, 260, 261, 7, 262, 9, 48, 20, 15),
    (269, 5, 5, 264, 100, 31, 2, 260, 7, 1),
    (3, 200, 260, 261, 7, 262, 9, 48, 20, 16),
)
"""Longer than the windows of 6; two begin alike."""
STREAM = ("embed", "pos", "resid_pre", "resid_mid", "attn_out", "mlp_out", "z", "attn_post_scale", "logits")


def tensors(trace: Trace) -> dict[str, Tensor]:
    """Everything in a trace by name, what is kept by layer as ``patterns 1``."""
    out: dict[str, Tensor] = {}
    for field in fields(trace):
        value = getattr(trace, field.name)
        if isinstance(value, Mapping):
            out |= {f"{field.name} {layer}": tensor for layer, tensor in value.items()}
        elif value is not None:
            out[field.name] = value
    return out


def same(got: Trace, want: Trace, limit: float) -> None:
    ours, theirs = tensors(got), tensors(want)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].shape == tensor.shape, name
        apart = float((ours[name].double() - tensor.double()).abs().max())
        # A softmax shows the rounding of its scores, not relative to them: 1e-6 of a pattern is 1e-7 of scores of ten.
        most = 3 * limit if name.startswith("patterns") else limit
        assert apart <= most * float(tensor.double().abs().max()), name


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_as_one_at_a_time(name: str, model_of: Callable[[str], LiveModel]) -> None:
    live = model_of(name)
    layers = range(live.n_layers)
    alone = [live.trace(ids, layers) for ids in PROMPTS]
    for got, want in zip(live.traces(PROMPTS, layers), alone, strict=True):
        same(got, want, 1e-6)
    assert not torch.equal(alone[0].logits, alone[2].logits)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_last_position_alone(name: str, model_of: Callable[[str], LiveModel]) -> None:
    """Stream and logits at some positions, attention at all of them."""
    live = model_of(name)
    for got, want in zip(live.traces(PROMPTS, [1], positions=slice(-1, None)), live.traces(PROMPTS, [1]), strict=True):
        last, whole = tensors(got), tensors(want)
        assert last.keys() == whole.keys()
        for kind, tensor in whole.items():
            if kind in STREAM:
                tensor = tensor[-1:] if kind in ("embed", "pos", "logits") else tensor[:, -1:]
            assert torch.equal(last[kind], tensor), kind


@pytest.mark.parametrize("changes", [{}, {"attn_only": True, "normalization_type": None}], ids=["whole", "attention"])
def test_checkpoints(changes: dict[str, object], tmp_path: Path) -> None:
    live = load(str(folders.tl_checkpoint(tmp_path, *folders.random_checkpoint(**changes))), device="cpu")
    prompts = [[token % 50 for token in ids] for ids in PROMPTS]
    for got, ids in zip(live.traces(prompts, [0, 1]), prompts, strict=True):
        same(got, live.trace(ids, [0, 1]), 1e-6)


def test_bfloat16(folder_of: Callable[[str], Path]) -> None:
    live = load(str(folder_of("llama")), device="cpu", dtype="bfloat16")
    for got, ids in zip(live.traces(PROMPTS, [0]), PROMPTS, strict=True):
        same(got, live.trace(ids, [0]), 3e-2)
        assert got.logits.dtype == got.patterns[0].dtype == torch.float32


def test_only_what_is_asked_for_is_kept(gpt2: LiveModel) -> None:
    for trace in gpt2.traces(PROMPTS, [1]):
        for kept in (trace.patterns, trace.queries, trace.keys, trace.values):
            assert set(kept) == {1}
    last = gpt2.traces(PROMPTS, positions=slice(-1, None))[0]
    assert last.logits.untyped_storage().nbytes() == len(PROMPTS) * 270 * 4


def test_a_cancel_inside_the_pass_leaves_nothing(gpt2: LiveModel) -> None:
    hooks, calls = hooks_left(gpt2), []
    before = gpt2.traces(PROMPTS, [0], lambda: calls.append(1))
    for after in range(len(calls)):
        with pytest.raises(Cancelled):
            gpt2.traces(PROMPTS, [0], cancel_after(after))
        assert hooks_left(gpt2) == hooks
    for got, want in zip(gpt2.traces(PROMPTS, [0]), before, strict=True):
        assert torch.equal(got.logits, want.logits)


def test_an_intervention_changes_every_prompt(gpt2: LiveModel) -> None:
    changed = gpt2.traces(PROMPTS, [0], interventions=[("blocks.0.attn.hook_pattern", torch.zeros_like)])
    assert not any(trace.z[0].any() for trace in changed)


def test_one_bad_prompt_is_refused_before_the_pass(gpt2: LiveModel) -> None:
    with pytest.raises(ModelError, match="Token id 270 does not exist"):
        gpt2.traces([(1, 2), (3, 270)])
    with pytest.raises(ModelError, match="There is no layer 2"):
        gpt2.traces(PROMPTS, [2])
