"""Folders that cannot be used: each is refused before it is loaded, with one sentence and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tui.models.errors import ModelError
from tui.models.load import load


@pytest.fixture
def folder(tmp_path: Path, folder_of: Callable[[str], Path]) -> Path:
    """A good GPT-2 folder of one's own, to be broken."""
    return Path(shutil.copytree(folder_of("gpt2"), tmp_path / "model"))


def refusal(folder: Path) -> ModelError:
    stages: list[str] = []
    with pytest.raises(ModelError) as raised:
        load(str(folder), device="cpu", progress=stages.append)
    assert "loading weights" not in stages, "refused before any weight is loaded"
    error = raised.value
    assert error.hint
    assert "\n" not in error.message
    return error


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    file.unlink()
    save_file(weights, file, metadata={"format": "pt"})


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refusal(folder).message == f"{folder} has no config.json."


@pytest.mark.parametrize("text", ["{", "[]", '"gpt2"', "\x00\xff"])
def test_config_is_no_json_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert "config.json" in refusal(folder).message


def test_config_without_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"hidden_size": 3}')
    assert "names no model_type" in refusal(folder).message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "vit", "architectures": ["ViTModel"]},
            "ViTModel is not a text decoder that transformers knows.",
        ),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "not a text decoder"),
        ({"model_type": "nonsense"}, "GPT2LMHeadModel is not a text decoder that transformers knows."),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "GPT2ForSequenceClassification is not a text decoder."),
        ({"quantization_config": {"quant_method": "gptq"}}, "are quantised with gptq, which nothing here"),
        ({"n_layer": "two"}, "is not valid"),
    ],
)
def test_other_architectures(folder: Path, changes: dict[str, Any], message: str) -> None:
    change_config(folder, **changes)
    assert message in refusal(folder).message


def test_no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    error = refusal(folder)
    assert error.message == f"{folder} has no tokenizer files, so text cannot be turned into tokens."
    assert "tokenizer.json" in error.hint


def test_broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer files" in refusal(folder).message


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert refusal(folder).message == f"{folder} has no weights."


@pytest.mark.parametrize("content", [b"", b"\x10", b"no tensors at all", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_no_safetensors_file(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert refusal(folder).message == f"{folder / 'model.safetensors'} is broken: it is not a safetensors file."


def test_truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert refusal(folder).message == f"{file} is cut short: 100 of {len(whole):,} bytes are missing."


def test_layers_missing(folder: Path) -> None:
    change_weights(folder, lambda w: [w.pop(key) for key in list(w) if ".h.1." in key] and None)
    message = refusal(folder).message
    assert message == f"Weights are missing from {folder}: transformer.h.1.ln_1.weight and 11 more."


def test_more_layers_in_the_config(folder: Path) -> None:
    change_config(folder, n_layer=3)
    assert "transformer.h.2.ln_1.weight" in refusal(folder).message


def test_wrong_shape(folder: Path) -> None:
    change_config(folder, n_positions=48)
    message = refusal(folder).message
    assert message == "transformer.wpe.weight has shape 32×32, but config.json asks for 48×32."


def test_shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: weights[key] for key in keys}, folder / file, metadata={"format": "pt"})
    where = {key: file for file, keys in parts.items() for key in keys}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert load(str(folder), device="cpu").info.n_layers == 2
    (folder / "b.safetensors").rename(folder / "c.safetensors")
    assert refusal(folder).message == f"{folder} lacks b.safetensors, one of the model's weight files."
    (folder / "c.safetensors").rename(folder / "b.safetensors")
    index.write_text(json.dumps({"weight_map": {**where, names[0]: "b.safetensors"}}))
    assert f"b.safetensors lacks {names[0]}" in refusal(folder).message
    index.write_text("{}")
    assert refusal(folder).message == f"{index} is broken."


def test_names_without_the_body_prefix_and_old_buffers(folder: Path) -> None:
    """GPT-2 on the hub: ``h.0.attn.…`` and a causal mask among the weights."""

    def rename(weights: dict[str, torch.Tensor]) -> None:
        for key in list(weights):
            weights[key.removeprefix("transformer.")] = weights.pop(key)
        weights["h.0.attn.bias"] = torch.ones(1, 1, 32, 32)

    own = load(str(folder), device="cpu").trace([1, 2, 3]).logits
    change_weights(folder, rename)
    assert torch.equal(load(str(folder), device="cpu").trace([1, 2, 3]).logits, own)


def test_untied_unembedding_missing(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=False)
    assert refusal(folder).message == f"Weights are missing from {folder}: lm_head.weight."


def test_pickled_weights(folder: Path) -> None:
    own = load(str(folder), device="cpu").trace([1, 2, 3]).logits
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert torch.equal(load(str(folder), device="cpu").trace([1, 2, 3]).logits, own)
    torch.save({"oops": print}, folder / "pytorch_model.bin")
    file = folder / "pytorch_model.bin"
    assert refusal(folder).message == f"{file} cannot be read safely: it is broken, or holds more than tensors."


def test_weights_under_another_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    assert refusal(folder).message == f"{folder} has no model.safetensors, but weights.safetensors."


def test_config_that_loads_but_cannot_run(tmp_path: Path) -> None:
    """Mixtral's 8 key/value heads by default, on a model of 4: shapes agree, the forward does not."""
    from tests.models.folders import _ROTARY, hf_folder

    config = {**_ROTARY, "num_local_experts": 2}
    other = hf_folder(tmp_path / "mixtral", "MixtralConfig", "MixtralForCausalLM", **config)
    with pytest.raises(ModelError, match="transformers cannot run this model"):
        load(str(other), device="cpu")
