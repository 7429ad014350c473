"""What a failed self-check and a library's error are as sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.models.zoo import FAMILIES
from tui.models import explain, load
from tui.models.check import _IDENTITIES, self_check
from tui.models.errors import ModelError, first_line
from tui.models.live import LiveModel, never


def test_every_identity_has_a_likely_cause() -> None:
    names = [*_IDENTITIES, "logits = transformers' own", "pattern = transformers' own"]
    for name in names:
        said = explain.sentence(name, 0.5, 1e-4, 3)
        assert said.startswith(f"On this model “{name}” does not hold in L3 (error 5.0e-01, limit 1e-04): likely ")
        assert said.endswith(".")
    assert len(explain.CAUSES) == len(names), "no cause is of an identity that is gone"


def test_identity_layer_cause_and_what_still_works(
    monkeypatch: pytest.MonkeyPatch, model_of: Callable[[str], LiveModel]
) -> None:
    live = model_of("gpt2")
    read = live.head
    monkeypatch.setattr(
        live, "head", lambda layer, head: replace(read(layer, head), W_V=2 * read(layer, head).W_V)
        if layer == 1 else read(layer, head),
    )  # fmt: skip
    found, _ = self_check(live, None, never)
    assert found.ov.startswith("On this model “v = norm(stream) W_V + b_V” does not hold in L1 (error ")
    assert "likely values are clipped" in found.ov
    rest = "patterns, scores, QK circuits, residual sums, lens and attribution, the MLP's neurons."
    assert found.ov.endswith(f" Still right: {rest}")
    assert not found.qk


def test_a_clipped_model_says_so(tmp_path: Path) -> None:
    live = load.load(str(FAMILIES["OLMo, clipped"].folder(tmp_path / "m")), device="cpu")
    off = live.info.capabilities
    for reason in (off.qk, off.ov):
        assert "are clipped" in reason
        rest = "Still right: patterns, scores, residual sums, lens and attribution, the MLP's neurons."
        assert reason.endswith(rest)


@pytest.mark.parametrize("error", [KeyError("layer_types"), AttributeError("no rotary_emb"), IndexError("list index")])
def test_a_library_s_error_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, folder_of: Callable[[str], Path], error: Exception
) -> None:
    def broken(bridge: object) -> float:
        raise error

    monkeypatch.setattr(load, "embedding_factor", broken)
    with pytest.raises(ModelError) as raised:
        load.load(str(folder_of("gpt2")), device="cpu")
    assert " cannot be opened: " in raised.value.message
    assert raised.value.hint


def test_a_cancel_is_none_and_memory_is_memory(
    monkeypatch: pytest.MonkeyPatch, folder_of: Callable[[str], Path]
) -> None:
    def full(bridge: object) -> float:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(load, "embedding_factor", full)
    with pytest.raises(torch.OutOfMemoryError):
        load.load(str(folder_of("gpt2")), device="cpu")


def test_the_key_that_is_missing_is_named() -> None:
    assert first_line(KeyError("layer_types")) == "there is no 'layer_types'"
    assert first_line(ValueError("one.\ntwo")) == "one"
