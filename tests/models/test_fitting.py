"""What does not fit is refused with the figure, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.test_reading import Direct
from tui.circuits.errors import Refusal
from tui.engine import opened
from tui.engine.jobs import Open, Run
from tui.engine.run import Bench
from tui.label import Label
from tui.models import fitting
from tui.models import load as loading
from tui.models.errors import ModelError
from tui.models.fitting import forward_bytes, free_on, refuse_model
from tui.models.load import load

LLAMA = Label("70b", "Llama-70B", "", "/70b", d_model=8192, vocabulary=128_256, parameters=70_000_000_000,
              stored="bfloat16")  # fmt: skip


def test_a_model_that_is_too_large_is_refused_with_the_figures() -> None:
    with pytest.raises(ModelError) as refused:
        refuse_model(LLAMA, "float32", "cpu", 0, 64_000_000_000)
    assert refused.value.message == "Llama-70B takes 280 GB in float32 on cpu, and 64 GB are free."
    # 70 B in two bytes, and both ends of 128,256 × 8,192 in four.
    assert refused.value.hint.startswith("Use --dtype bfloat16 (148 GB, still too much), or a smaller model")
    refuse_model(LLAMA, "float32", "cpu", 0, 280_000_000_000)
    refuse_model(LLAMA, "float32", "cpu", 216_000_000_000, 64_000_000_000)
    refuse_model(LLAMA, "float32", "cpu", 0, None)


def test_another_place_is_named_where_it_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "free_memory", lambda device: 200_000_000_000)
    with pytest.raises(ModelError) as refused:
        refuse_model(LLAMA, "bfloat16", "cuda:0", 0, 80_000_000_000)
    assert "--device cpu (200 GB free)" in refused.value.hint
    assert "--dtype" not in refused.value.hint


def test_it_is_refused_before_the_weights_are_read(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    monkeypatch.setattr(loading, "free_on", lambda device: 1000)
    with pytest.raises(ModelError, match=r"takes .*B in float32 on cpu, and 1 kB are free"):
        load(str(folder_of("gpt2")), device="cpu", progress=stages.append)
    assert "loading weights" not in stages


def test_what_the_open_model_gives_back_counts(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    info = bench.compute(Open(str(folder_of("llama")), device="cpu"), Direct())
    assert bench.live.nbytes == 4 * info.n_parameters
    monkeypatch.setattr(loading, "free_on", lambda device: 1000)
    assert bench.compute(Open(str(folder_of("llama")), device="cpu"), Direct()).key == info.key
    with pytest.raises(ModelError):
        bench.compute(Open(str(folder_of("neox")), device="cpu"), Direct())
    assert bench.is_open, "what is refused takes nothing away"


def test_a_prompt_that_is_too_long_for_the_memory(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    info = bench.compute(Open(str(folder_of("gpt2")), device="cpu"), Direct())
    run = Run(replace(info.key), (1, 2, 3), False)
    monkeypatch.setattr(opened, "SMALL", 0)
    monkeypatch.setattr(opened, "free_on", lambda device: 10_000)
    with pytest.raises(Refusal) as refused:
        bench.trace(run, 0, Direct())
    assert re.match(r"A forward pass of 3 tokens takes about [\d.]+ kB", refused.value.message), refused.value.message
    assert "shorter prompt" in refused.value.hint


def test_the_estimate_of_a_pass_grows_with_the_square_of_the_prompt() -> None:
    assert forward_bytes(131_072, 32, 32, 4096, 128_000) > 4 * 3 * 32 * 131_072**2
    assert forward_bytes(16, 12, 12, 768, 50_257) < fitting.SMALL
    free = free_on("cpu")
    assert free is None or free > 0
