"""What a folder holds that is no model by itself: Git LFS pointers, GGUF files, PEFT adapters, prefixed names.

Told by names and first bytes, before anything is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModelError, first_line
from .steps import is_beside

OPENS = (
    "What opens: a Hugging Face folder (config.json, tokenizer files, and model.safetensors or pytorch_model.bin, "
    "whole or in shards) or a TransformerLens checkpoint (config.json and a .pt, .pth or .safetensors state dict)."
)
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024
"""No pointer is longer: the format's own limit."""
_READ = {".safetensors", ".bin", ".pt", ".pth", ".json", ".model", ".txt", ".jinja"}
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
RENAMES = {r"^((_orig_mod|module)\.)+": "", r"(?<=\.)_orig_mod\.": ""}
"""What wrappers put before the names of weights (torch.compile, DistributedDataParallel): pattern → in its place."""
_WRAPPERS = {"_orig_mod.": "torch.compile", "module.": "DistributedDataParallel"}


def refuse_pointers(folder: Path) -> None:
    """ModelError where a file that would be read is a Git LFS pointer: a clone without the large files."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in _READ and file.is_file()]
    pointers = [file for file in files if is_pointer(file)]
    if any(file.suffix == ".safetensors" and file not in pointers for file in files):
        pointers = [file for file in pointers if file.suffix not in (".bin", ".pt", ".pth")]  # those are not read
    pointers = [file for file in pointers if not is_beside(file)]
    if pointers:
        raise pointed(pointers, folder)


def pointed(pointers: Sequence[Path], folder: Path) -> ModelError:
    """What to say of pointers in a folder."""
    more = f" (and {len(pointers) - 1} more)" if len(pointers) > 1 else ""
    return ModelError(
        f"{pointers[0]}{more} is a Git LFS pointer of {pointers[0].stat().st_size} bytes, not the file itself.",
        f"Run: git -C {folder} lfs pull",
    )


def is_pointer(file: Path) -> bool:
    """Whether a file only says where Git LFS keeps what belongs here."""
    if file.stat().st_size > POINTER_BYTES:
        return False
    with file.open("rb") as stream:
        return stream.read(len(POINTER)) == POINTER


def refuse_gguf(path: Path) -> None:
    """ModelError for a GGUF file, or for a folder that holds nothing else."""
    if path.is_dir():
        if (path / "config.json").exists() or not (files := sorted(path.glob("*.gguf"))):
            return
        path = files[0]
    if path.suffix.lower() == ".gguf":
        raise ModelError(f"{path} is a GGUF file, which is not supported: its weights are quantised.", OPENS)


# --- adapters ---


@dataclass(frozen=True)
class Adapter:
    """A PEFT adapter: small weights on top of another model's."""

    folder: Path
    base: str
    """What it calls the model that it was trained on: a hub name or a folder."""
    revision: str = ""


def read_adapter(folder: Path) -> Adapter | None:
    """The adapter that a folder holds; None where it holds none. ModelError where it cannot be merged here."""
    file = folder / "adapter_config.json"
    if not file.exists() or not any((folder / name).exists() for name in _ADAPTERS):
        return None
    if any((folder / name).exists() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise ModelError(
            f"{folder} holds whole weights and a PEFT adapter, so it is not known which are meant.",
            "Move adapter_config.json and the adapter_model file to a folder of their own, and open one of the two.",
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        base, revision = config["base_model_name_or_path"], config.get("revision")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file} does not name the adapter's base model: {first_line(error)}.",
            'Write "base_model_name_or_path": "FOLDER or hub name" into it.',
        ) from error
    if not isinstance(base, str) or not base.strip():
        raise ModelError(
            f"{file} does not name the adapter's base model.",
            'Write "base_model_name_or_path": "FOLDER or hub name" into it.',
        )
    if importlib.util.find_spec("peft") is None:
        raise ModelError(
            f"{folder} is a PEFT adapter of {base}, and peft, which merges it, is not installed.",
            f"Run: pip install peft; or merge it where peft is, and open the result: "
            f'PeftModel.from_pretrained(base, "{folder}").merge_and_unload().save_pretrained("merged")',
        )
    return Adapter(folder, base.strip(), revision if isinstance(revision, str) else "")


def merged(model: Any, adapter: Adapter) -> Any:
    """The base model with the adapter added into its weights, by peft."""
    try:
        peft = importlib.import_module("peft")
        return peft.PeftModel.from_pretrained(model, str(adapter.folder)).merge_and_unload()
    except Exception as error:
        raise ModelError(
            f"The adapter {adapter.folder} cannot be merged into {adapter.base}: {first_line(error)}.",
            "Merge it where it was trained (model.merge_and_unload().save_pretrained(FOLDER)) and open FOLDER.",
        ) from error


# --- names ---


def plain_name(name: str) -> str:
    """A weight's name without what wrappers put before it."""
    for pattern, put in RENAMES.items():
        name = re.sub(pattern, put, name)
    return name


def prefix_note(names: Iterable[str]) -> str:
    """What was taken off these names, in a sentence; "" where they are plain."""
    wrapped = [name for name in names if plain_name(name) != name]
    found = [f"{prefix} ({by})" for prefix, by in _WRAPPERS.items() if any(prefix in name for name in wrapped)]
    return f"{' and '.join(found)} was taken off the names of the weights" if found else ""
