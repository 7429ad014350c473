"""Checks of a folder in Hugging Face format before a weight is loaded.

transformers is forgiving where it should not be: layers that are missing from the file are initialised at random, and
without tokenizer files every text becomes the same two ids. So names and shapes in the files are compared with those of
the model that the config describes, built without memory on torch's meta device.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from .errors import ModelError, first_line
from .find import Found
from .quantised import refuse_quantised
from .quiet import silence

Shapes = dict[str, tuple[int, ...]]

AGAIN = "Copy or download the file again."
TEXT_DECODERS = "Models that continue text work: GPT-2, Llama, Mistral, Qwen, Gemma, Pythia and their like."
_TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)


def check_files(found: Found) -> Any:
    """Everything that can be known without loading → transformers' config object. ModelError with the reason."""
    config = _read_architecture(found)
    if not any(all((found.folder / name).exists() for name in names) for names in _TOKENIZERS):
        raise ModelError(
            f"{found.folder} has no tokenizer files, so text cannot be turned into tokens.",
            "Put tokenizer.json (or tokenizer.model, or vocab.json and merges.txt) beside config.json.",
        )
    check_shapes(read_shapes(found.folder), config, found.folder)
    return config


def _read_architecture(found: Found) -> Any:
    silence()
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    given = found.config
    model_type = given.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(f"{found.folder / 'config.json'} names no model_type.", TEXT_DECODERS)
    names = given.get("architectures") or []
    architecture = names[0] if isinstance(names, list) and names else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or given.get("is_encoder_decoder"):
        raise ModelError(f"{architecture or model_type} is not a text decoder that transformers knows.", TEXT_DECODERS)
    if not str(architecture).endswith(("ForCausalLM", "LMHeadModel")):
        if not str(architecture).endswith("Model"):
            raise ModelError(f"{architecture} is not a text decoder.", TEXT_DECODERS)
        architecture = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    if architecture not in SUPPORTED_ARCHITECTURES:
        raise ModelError(f"TransformerLens does not know {architecture}.", TEXT_DECODERS)
    refuse_quantised(given, found.folder)
    try:
        config = AutoConfig.from_pretrained(found.folder, local_files_only=True)
    except Exception as error:
        raise ModelError(
            f"{found.folder / 'config.json'} is not valid: {first_line(error)}.", "Compare it with the original."
        ) from error
    config.architectures = [str(architecture)]
    return config


def read_shapes(folder: Path) -> Shapes:
    """Name → shape of every tensor in the folder's weight files, from their headers alone."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.exists() and not single.exists():
        return _sharded(index)
    if single.exists():
        return safetensors_header(single)
    binary = folder / "pytorch_model.bin"
    if binary.exists():
        return _binary(binary)
    if (folder / "pytorch_model.bin.index.json").exists():
        raise ModelError(f"{folder} holds its weights in several pickled files.", "Convert them to safetensors.")
    others = sorted(folder.glob("*.safetensors"))
    if others:
        raise ModelError(
            f"{folder} has no model.safetensors.", "Name the weights model.safetensors, or add their index file."
        )
    raise ModelError(f"{folder} has no weights.", "Put model.safetensors beside config.json.")


def _sharded(index: Path) -> Shapes:
    try:
        where: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{index} is broken.", AGAIN) from error
    shapes: Shapes = {}
    for name in sorted(set(where.values())):
        if not (index.parent / name).exists():
            raise ModelError(f"{index.parent} lacks {name}, one of the model's weight files.", AGAIN)
        held = safetensors_header(index.parent / name)
        absent = [key for key, file in where.items() if file == name and key not in held]
        if absent:
            raise ModelError(f"{name} lacks {absent[0]}, which the index says it holds.", AGAIN)
        shapes.update(held)
    return shapes


def safetensors_header(file: Path) -> Shapes:
    """Name → shape from one file's header; ModelError when the header is broken or the file is cut short."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size - 8:
                raise ValueError("header longer than the file")
            header: dict[str, Any] = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        shapes = {key: tuple(int(n) for n in entry["shape"]) for key, entry in header.items()}
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{file} is broken: it is not a safetensors file.", AGAIN) from error
    if 8 + length + end > size:
        missing = 8 + length + end - size
        raise ModelError(f"{file} is cut short: {missing:,} of {8 + length + end:,} bytes are missing.", AGAIN)
    return shapes


def _binary(file: Path) -> Shapes:
    """``pytorch_model.bin``: read lazily, and without running the code that a pickle may carry."""
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:
        raise ModelError(f"{file} cannot be read safely.", "Convert it to model.safetensors.") from error


def expected_shapes(config: Any) -> tuple[Shapes, set[str], str]:
    """Name → shape that the config asks for; names that may be absent (tied weights); the body's prefix."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:
        raise ModelError(
            f"config.json describes no model that can be built: {first_line(error)}.", "Compare it with the original."
        ) from error
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters(remove_duplicate=False)}
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    return shapes, set(tied), f"{model.base_model_prefix}."


def check_shapes(given: Shapes, config: Any, folder: Path) -> None:
    """The names and shapes in the files against those that the config asks for.

    A name may carry the body's prefix (``transformer.h.0…``) or not (``h.0…``): both are found on the hub. Weights that
    transformers renames, merges or multiplies out as it loads (experts, FP8) are judged after loading (``load``).
    """
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    packed = bool(getattr(config, "quantization_config", None))
    merged = packed or get_checkpoint_conversion_mapping(config.model_type) is not None
    expected, tied, prefix = expected_shapes(config)
    found = {key if key in expected else prefix + key: shape for key, shape in given.items()}
    wrong = [key for key, shape in found.items() if key in expected and shape != expected[key]]
    if wrong:
        key = wrong[0]
        raise ModelError(
            f"{key} has shape {_sized(found[key])}, but config.json asks for {_sized(expected[key])}.",
            f"The weights and config.json in {folder} do not belong together.",
        )
    absent = [key for key in expected if key not in found and key not in tied]
    renamed = {shape for key, shape in found.items() if key not in expected}
    lost = [key for key in absent if expected[key] not in renamed]
    if lost and not merged:
        raise missing_weights(lost, folder)


def missing_weights(keys: list[str], folder: Path) -> ModelError:
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return ModelError(
        f"Weights are missing from {folder}: {keys[0]}{more}.", "Copy or download all weight files again."
    )


def _sized(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
