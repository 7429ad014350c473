"""How checkpoints are saved: wrappers' prefixes, configurations inside and beside, several files, runs of a Trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.folders import gpt2_folder, random_checkpoint, tl_checkpoint
from tui.models.errors import ModelError
from tui.models.find import find_model, fingerprint
from tui.models.load import load

IDS = [3, 1, 4, 1, 5]


def logits(path: Path) -> Tensor:
    return load(str(path), device="cpu").trace(IDS).logits


@pytest.fixture(scope="module")
def saved() -> tuple[dict[str, Any], dict[str, Tensor]]:
    return random_checkpoint()


@pytest.fixture(scope="module")
def want(saved: tuple[dict[str, Any], dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return logits(tl_checkpoint(tmp_path_factory.mktemp("plain"), *saved))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model.", "_orig_mod.module.", "module._orig_mod.model."])
def test_prefixes_are_taken_off(tmp_path: Path, saved: Any, want: Tensor, prefix: str) -> None:
    config, state = saved
    folder = tl_checkpoint(tmp_path / "toy", config, {prefix + key: value for key, value in state.items()})
    live = load(str(folder), device="cpu")
    assert torch.equal(live.trace(IDS).logits, want)
    assert live.info.notes[0] == f"names begin with {prefix}: taken off"


def test_compiled_blocks(tmp_path: Path, saved: Any, want: Tensor) -> None:
    config, state = saved
    named = {key.replace("blocks.0.", "blocks.0._orig_mod."): value for key, value in state.items()}
    assert torch.equal(logits(tl_checkpoint(tmp_path / "toy", config, named)), want)


def test_cfg_json(tmp_path: Path, saved: Any, want: Tensor) -> None:
    folder = tl_checkpoint(tmp_path / "toy", *saved)
    (folder / "config.json").rename(folder / "cfg.json")
    assert torch.equal(logits(folder), want)


@pytest.mark.parametrize("names", [("model", "config"), ("state_dict", "cfg"), ("model_state_dict", "model_config")])
def test_a_file_that_holds_its_config(tmp_path: Path, saved: Any, want: Tensor, names: tuple[str, str]) -> None:
    config, state = saved
    held = {names[0]: state, names[1]: {**config, "dtype": torch.float32}, "step": 3}
    torch.save(held, tmp_path / "toy.pth")
    assert torch.equal(logits(tmp_path / "toy.pth"), want)
    assert torch.equal(logits(tmp_path), want)
    # A config beside it is somebody's word on it: it comes first.
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_layers": 3}))
    with pytest.raises(ModelError, match=r"blocks\.2"):
        logits(tmp_path / "toy.pth")


def test_several_files_are_steps(tmp_path: Path, saved: Any, want: Tensor) -> None:
    config, state = saved
    folder = tl_checkpoint(tmp_path / "run", config, {})
    (folder / "model.pt").unlink()
    half = {key: value / 2 if value.is_floating_point() else value for key, value in state.items()}
    for name, weights in (("step_900.pt", half), ("step_1000.pt", state), ("step_20.pt", half)):
        torch.save(weights, folder / name)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin", "scaler.pt"):
        (folder / name).write_bytes(b"nothing that torch could read")
    info = load(str(folder), device="cpu").info
    assert [name for name, _ in info.steps] == ["step_20.pt", "step_900.pt", "step_1000.pt"]
    assert (info.step, info.name, info.key.folder) == (2, "run/step_1000.pt", str(folder / "step_1000.pt"))
    assert torch.equal(logits(folder), want)
    one = load(str(folder / "step_20.pt"), device="cpu")
    assert (one.info.step, one.info.name, one.info.steps) == (0, "run/step_20.pt", info.steps)
    assert not torch.equal(one.trace(IDS).logits, want)
    # A run that still trains adds files: what was computed of this one stays known.
    before = fingerprint(folder, folder / "step_20.pt")
    torch.save(state, folder / "step_2000.pt")
    assert fingerprint(folder, folder / "step_20.pt") == before != fingerprint(folder, folder / "step_900.pt")
    for name in ("optimizer.pt", "training_args.bin"):
        with pytest.raises(ModelError, match="is what training left beside the weights"):
            find_model(str(folder / name))


def test_one_file_is_no_run(tmp_path: Path, saved: Any) -> None:
    folder = tl_checkpoint(tmp_path / "toy", *saved)
    for source in (folder, folder / "model.pt"):
        info = load(str(source), device="cpu").info
        assert (info.steps, info.name) == ((), "toy")


def trainer(folder: Path, step: int, seed: int) -> Path:
    made = gpt2_folder(folder / f"checkpoint-{step}", seed=seed)
    for name in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth", "trainer_state.json"):
        (made / name).write_text("{}")
    return made


def test_a_run_of_the_trainer(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first, last = trainer(run, 500, 1), trainer(run, 1000, 2)
    (run / "runs").mkdir()
    opened = load(str(run), device="cpu")
    assert opened.info.steps == (("checkpoint-500", str(first)), ("checkpoint-1000", str(last)))
    assert (opened.info.step, opened.info.name, opened.info.key.folder) == (1, "run/checkpoint-1000", str(last))
    assert torch.equal(opened.trace(IDS).logits, logits(last))
    other = load(str(first), device="cpu")
    assert (other.info.step, other.info.name, other.info.steps) == (0, "run/checkpoint-500", opened.info.steps)
    assert other.info.vocabulary == opened.info.vocabulary
    assert not torch.equal(other.trace(IDS).logits, opened.trace(IDS).logits)


def test_a_run_with_its_last_weights_in_its_own_folder(tmp_path: Path) -> None:
    run = gpt2_folder(tmp_path / "run", seed=3)
    first = trainer(run, 500, 1)
    steps = (("checkpoint-500", str(first)), ("last", str(run)))
    for source, at, name in ((run, 1, "run"), (first, 0, "run/checkpoint-500")):
        info = load(str(source), device="cpu").info
        assert (info.steps, info.step, info.name) == (steps, at, name)


def test_checkpoints_in_folders(tmp_path: Path, saved: Any, want: Tensor) -> None:
    for step in (9, 10):
        tl_checkpoint(tmp_path / "run" / f"epoch_{step}", *saved)
    info = load(str(tmp_path / "run"), device="cpu").info
    assert (info.name, [name for name, _ in info.steps]) == ("run/epoch_10", ["epoch_9", "epoch_10"])
    assert torch.equal(logits(tmp_path / "run"), want)


def test_models_beside_each_other_are_no_run(tmp_path: Path) -> None:
    gpt2_folder(tmp_path / "gpt2")
    gpt2_folder(tmp_path / "opt125")
    assert find_model(str(tmp_path / "gpt2")).steps == ()


def test_two_wrappers_in_one_file(tmp_path: Path, saved: Any) -> None:
    """Weights of two models under one name: neither is chosen."""
    config, state = saved
    both = {**{f"module.{key}": value for key, value in state.items()}, **state}
    live = load(str(tl_checkpoint(tmp_path / "toy", config, both)), device="cpu")
    assert live.info.notes[0].startswith("not read: module.blocks.0")
