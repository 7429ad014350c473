"""Checks of a folder in Hugging Face format before a weight is loaded.

transformers is forgiving where it should not be: layers that are missing from the file are initialised at random, and
without tokenizer files every text becomes the same two ids. So names and shapes in the files are compared with those of
the model that the config describes, built without memory on torch's meta device.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModelError, first_line
from .find import Found
from .formats import OPENS, plain_name, prefix_note
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


@dataclass(frozen=True)
class Opening:
    """What is known of a folder in Hugging Face format before a weight is loaded."""

    config: Any
    """transformers' config object, its architecture one with a head."""
    headless: str = ""
    """The base model's class where its files hold no head, and none is tied to the embedding."""
    wrapped: bool = False
    """Whether the names of the weights carry what wrappers put before them."""
    notes: tuple[str, ...] = ()


def check_files(found: Found) -> Opening:
    """Everything that can be known without loading. ModelError with the reason."""
    config, base = _read_architecture(found)
    if not has_tokenizer(found.folder) and not (found.adapter and has_tokenizer(found.adapter.folder)):
        raise ModelError(
            f"{found.folder} has no tokenizer files, so text cannot be turned into tokens.",
            "Put tokenizer.json (or tokenizer.model, or vocab.json and merges.txt) beside config.json.",
        )
    shapes = read_shapes(found.folder)
    headless = check_shapes(shapes, config, found.folder, base)
    wrapped = prefix_note(shapes)
    return Opening(config, base if headless else "", bool(wrapped), (wrapped,) if wrapped else ())


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds what text is turned into tokens with."""
    return any(all((folder / name).exists() for name in names) for names in _TOKENIZERS)


def _read_architecture(found: Found) -> tuple[Any, str]:
    """transformers' config, and the class that it names where that is a model without a head."""
    silence()
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    given = found.config
    model_type = given.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(
            f"{found.folder / 'config.json'} names no model_type.",
            f'Write the one of its architecture into it, such as "model_type": "llama". {TEXT_DECODERS}',
        )
    names = given.get("architectures") or []
    architecture = names[0] if isinstance(names, list) and names else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or given.get("is_encoder_decoder"):
        raise ModelError(f"{architecture or model_type} is not a text decoder that transformers knows.", TEXT_DECODERS)
    base = ""
    if not str(architecture).endswith(("ForCausalLM", "LMHeadModel")):
        if not str(architecture).endswith("Model"):
            raise ModelError(f"{architecture} is not a text decoder.", TEXT_DECODERS)
        base, architecture = str(architecture), MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
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
    return config, base


def read_shapes(folder: Path) -> Shapes:
    """Name → shape of every tensor in the folder's weight files, from their headers alone."""
    for whole, header in (("model.safetensors", safetensors_header), ("pytorch_model.bin", _binary)):
        if (folder / whole).exists():
            return header(folder / whole)
        if (index := folder / f"{whole}.index.json").exists():
            return _sharded(index, header)
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        raise ModelError(
            f"{folder} has no model.safetensors, but {others[0].name}.",
            f"Run: mv {others[0]} {folder / 'model.safetensors'}",
        )
    if others:
        raise ModelError(
            f"{folder} has {len(others)} weight files, such as {others[0].name}, and no index that says what is where.",
            "Copy model.safetensors.index.json from where they came from.",
        )
    raise ModelError(f"{folder} has no weights.", OPENS)


def _sharded(index: Path, header: Callable[[Path], Shapes]) -> Shapes:
    try:
        where: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{index} is broken.", AGAIN) from error
    shapes: Shapes = {}
    for name in sorted(set(where.values())):
        if not (index.parent / name).exists():
            raise ModelError(f"{index.parent} lacks {name}, one of the model's weight files.", AGAIN)
        held = header(index.parent / name)
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
    """``pytorch_model.bin`` or a shard of it: read lazily, and without running the code that a pickle may carry."""
    import torch

    try:
        # What torch wrote before 1.6 is no archive, and is read whole.
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
        return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:
        raise ModelError(
            f"{file} cannot be read safely: it is broken, or holds more than tensors.",
            "Copy it again, or where you trust it: safetensors.torch.save_file(torch.load(FILE, weights_only=False), "
            '"model.safetensors").',
        ) from error


def expected_shapes(config: Any) -> tuple[Shapes, set[str], str, set[str]]:
    """Name → shape that the config asks for; names that may be absent (tied weights); the body's prefix; the head's
    names."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:
        found = _unknown(error, config.to_dict()) or first_line(error)
        raise ModelError(
            f"config.json describes no model that can be built: {found}.", "Compare it with the original."
        ) from error
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters(remove_duplicate=False)}
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    outputs = model.get_output_embeddings()
    head = {name for name, module in model.named_modules() if module is outputs and outputs is not None}
    heads = {f"{name}.{part}" for name in head for part in ("weight", "bias")} & shapes.keys()
    return shapes, set(tied), f"{model.base_model_prefix}.", heads


def _unknown(error: Exception, config: dict[str, Any]) -> str:
    """What a KeyError of a table of names is about: the config's key and value; "" where it is not that."""
    if not isinstance(error, KeyError) or not error.args:
        return ""
    inside = [items for items in (config, *config.values()) if isinstance(items, dict)]
    named = [key for items in inside for key, value in items.items() if value == error.args[0]]
    return f'{named[0]} "{error.args[0]}" is not known to transformers' if named else ""


def check_shapes(given: Shapes, config: Any, folder: Path, base: str = "") -> bool:
    """The names and shapes in the files against those that the config asks for.

    A name may carry the body's prefix (``transformer.h.0…``) or not (``h.0…``), and those of wrappers (``_orig_mod.``):
    all are found on the hub. Weights that transformers renames, merges or multiplies out as it loads (experts, FP8) are
    judged after loading (``load``). ``base``: the class of a model without a head; returns whether its head is missing.
    """
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    packed = bool(getattr(config, "quantization_config", None))
    merged = packed or get_checkpoint_conversion_mapping(config.model_type) is not None
    expected, tied, prefix, head = expected_shapes(config)
    plain = {plain_name(key): shape for key, shape in given.items()}
    found = {key if key in expected else prefix + key: shape for key, shape in plain.items()}
    wrong = [key for key, shape in found.items() if key in expected and shape != expected[key]]
    if wrong:
        key = wrong[0]
        raise ModelError(
            f"{key} has shape {_sized(found[key])}, but config.json asks for {_sized(expected[key])}.",
            f"The weights and config.json in {folder} do not belong together: copy both from one place.",
        )
    absent = [key for key in expected if key not in found and key not in tied]
    renamed = {shape for key, shape in found.items() if key not in expected}
    headless = bool(base) and any(key in head for key in absent)
    lost = [key for key in absent if expected[key] not in renamed and not (headless and key in head)]
    if lost and not merged:
        raise missing_weights(lost, folder)
    return headless


def missing_weights(keys: list[str], folder: Path) -> ModelError:
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return ModelError(
        f"Weights are missing from {folder}: {keys[0]}{more}.", "Copy or download all weight files again."
    )


def _sized(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
