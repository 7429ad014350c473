"""Weights read tensor by tensor: the same numbers, counted, and the model before gone by then."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from tests.models.folders import hf_folder, random_checkpoint, tl_checkpoint
from tui.circuits.errors import Refusal
from tui.engine.jobs import Job, Open, Tokenize
from tui.engine.run import Bench
from tui.models import load as loading
from tui.models.errors import ModelError
from tui.models.load import load
from tui.models.reading import pieces, weight_files


class Direct:
    """A bench's context, in place."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []

    def get(self, job: Job) -> Any:
        raise AssertionError(job)

    def check(self) -> None: ...

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        self.stages.append((stage, done, total))

    def partial(self, result: Any) -> None: ...


def sharded(path: Path) -> Path:
    """Llama in 16 bits, in three files."""
    folder = hf_folder(path, "LlamaConfig", "LlamaForCausalLM", hidden_size=32, intermediate_size=48,
                       num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(folder, max_shard_size="16KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


def test_the_numbers_are_those_of_the_files_and_every_byte_is_counted(tmp_path: Path) -> None:
    folder, told = sharded(tmp_path / "llama"), []
    live = load(str(folder), device="cpu", read=lambda done, total: told.append((done, total)))
    stored = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    for side, name in (("Q", "q_proj"), ("V", "v_proj")):
        W = stored[f"model.layers.1.self_attn.{name}.weight"].float()
        assert torch.equal(getattr(live.head(1, 0), f"W_{side}"), W[:8].T)
    assert torch.equal(live.ends.W_E, stored["model.embed_tokens.weight"].float())
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == sum(tensor.nbytes for tensor in stored.values())
    assert {total for _, total in told} == {sum(file.stat().st_size for file in folder.glob("*.safetensors"))}


def test_a_load_can_be_cancelled_between_two_tensors(folder_of: Callable[[str], Path]) -> None:
    class Stop(BaseException):
        pass

    seen: list[int] = []

    def check() -> None:
        if len(seen) == 3:
            raise Stop

    with pytest.raises(Stop):
        load(str(folder_of("gpt2")), device="cpu", check=check, read=lambda done, total: seen.append(done))
    assert len(seen) == 3


def test_files_that_transformers_reads(tmp_path: Path) -> None:
    assert weight_files(tmp_path) == []
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}}')
    assert weight_files(tmp_path) == [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    index.write_text("[]")
    assert weight_files(tmp_path) == []
    with pieces([], lambda done, total: None, lambda: None) as state:
        assert state == {}


def test_the_model_before_is_gone_when_the_weights_of_the_next_are_read(folder_of: Callable[[str], Path]) -> None:
    bench, ctx = Bench(), Direct()
    bench.compute(Open(str(folder_of("gpt2")), device="cpu"), ctx)
    parameters = [weakref.ref(p) for p in bench.live.bridge.original_model.parameters()]
    gc.collect()
    left: list[int] = []

    def progress(stage: str, done: int = 0, total: int = 0) -> None:
        if stage == "loading weights":
            left.append(sum(ref() is not None for ref in parameters))

    ctx.progress = progress  # type: ignore[method-assign]
    info = bench.compute(Open(str(folder_of("llama")), device="cpu"), ctx)
    assert left == [0]
    assert info.architecture == "LlamaForCausalLM"


def test_a_model_that_cannot_be_found_leaves_the_one_that_is_open(folder_of: Callable[[str], Path]) -> None:
    bench = Bench()
    info = bench.compute(Open(str(folder_of("gpt2")), device="cpu"), Direct())
    live = bench.live
    with pytest.raises(ModelError):
        bench.compute(Open("/nowhere", device="cpu"), Direct())
    assert bench.live is live
    assert bench.info == info


def test_a_model_that_fails_late_makes_way_for_the_one_before(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    info = bench.compute(Open(str(folder_of("gpt2")), device="cpu"), Direct())
    toy = tl_checkpoint(tmp_path / "toy", *random_checkpoint())
    with monkeypatch.context() as broken:

        def fails(*arguments: object) -> None:
            raise ModelError("This model gives no number.", "Choose another.")

        broken.setattr(loading, "self_check", fails)
        with pytest.raises(ModelError):
            bench.compute(Open(str(toy), device="cpu"), Direct())
    assert not bench.is_open
    with pytest.raises(Refusal):
        bench.compute(Tokenize(type(info.key)("/other", "", "", ""), "the", False), Direct())
    tokens = bench.compute(Tokenize(info.key, " the king", False), Direct())
    assert tokens.texts == (" the", " king")
    assert bench.is_open


def test_bytes_are_told_in_megabytes(folder_of: Callable[[str], Path]) -> None:
    ctx = Direct()
    Bench().compute(Open(str(folder_of("gpt2")), device="cpu"), ctx)
    assert {stage for stage, _, _ in ctx.stages} >= {"loading weights", "MB of weights", "self-check"}
