"""From what a user calls a model to the absolute folder that holds it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import ModelError, first_line
from .pickled import config_inside
from .quiet import silence
from .steps import LAST, STATES, Step, config_of, is_beside, run_folders, steps_of, weight_files

Kind = Literal["huggingface", "transformerlens"]

FOLDER_FORM = "Check its name and the network, or give a folder in Hugging Face format: /path/to/folder"
_HUB_NAME = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_OTHERS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*tokens*.json",
    "spiece.model",
)
_PROBE_SECONDS = 6.0
_PROBE = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout=float(sys.argv[2]))
except urllib.error.HTTPError:
    pass
"""


@dataclass(frozen=True)
class Found:
    """A model's folder, before anything in it was read but ``config.json``."""

    folder: Path
    """Absolute, links resolved only where the user's own path had them."""
    name: str
    """Short name: ``demo``, the hub name, or the folder's own name."""
    kind: Kind
    config: dict[str, object]
    weights: Path | None = None
    """The file of weights that was asked for, or the last of several; None: what the folder holds."""
    steps: tuple[Step, ...] = ()
    """All steps of the training run that it is one of; empty where it is by itself."""

    @property
    def source(self) -> str:
        """What opens it, as ``steps`` has it."""
        return str(self.weights or self.folder)


def find_model(source: str, progress: Callable[[str], None] = lambda stage: None) -> Found:
    """``demo``, a folder, or a hub name → its folder. ModelError with what to do when there is none."""
    source = source.strip() or "demo"
    if source == "demo":
        return _found(demo_folder(), "demo")
    path = Path(source).expanduser()
    looks_local = source.startswith(("/", "~", ".")) or (os.sep in source.rstrip(os.sep) and source.count("/") > 1)
    if path.is_file():
        return _of_file(path.absolute(), source)
    if path.is_dir() and (looks_local or config_of(path) or run_folders(path) or not _HUB_NAME.fullmatch(source)):
        return _found(path.absolute(), path.absolute().name)
    if looks_local or not _HUB_NAME.fullmatch(source):
        raise ModelError(
            f"There is no folder {source}.", "Give a folder with config.json in it, or a hub name like gpt2."
        )
    folder = _cached(source)
    if folder is None and path.is_dir():
        return _found(path.absolute(), path.absolute().name)  # which says that config.json is missing
    return _found(folder or _download(source, progress), source.rsplit("/", 1)[-1])


def demo_folder() -> Path:
    """The model that ships with the app: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    places = (package / "assets" / "demo", package.parent / "assets" / "demo")
    for place in places:
        if (place / "config.json").exists():
            return place
    raise ModelError(
        "The embedded model is missing from this installation.",
        f"Install again, or make it anew; looked in {places[-1]}.",
    )


def fingerprint(folder: Path, weights: Path | None = None) -> str:
    """Digest of names, sizes and modification times of the folder's files: changes when weights are replaced.
    ``weights``: the one state dict that is read; a run that still trains adds others."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and (weights is None or file == weights or file.suffix not in STATES):
            stat = file.stat()
            digest.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _found(folder: Path, name: str, weights: Path | None = None) -> Found:
    inside = run_folders(folder) if config_of(folder) is None and not weight_files(folder) else []
    if inside:  # a training run: its last checkpoint
        folder, name = inside[-1], f"{name}/{inside[-1].name}"
    config = read_config(folder, weights)
    if not _is_checkpoint(config):
        steps = steps_of(folder, None)
        return Found(folder, _called(folder, name, steps), "huggingface", config, steps=steps)
    files = weight_files(folder)
    if weights is None and len(files) > 1:
        weights = files[-1]
    if weights is None or len(files) < 2:
        steps = steps_of(folder, None)
        return Found(folder, _called(folder, name, steps), "transformerlens", config, None, steps)
    return Found(folder, f"{name}/{weights.name}", "transformerlens", config, weights, steps_of(folder, weights))


def _called(folder: Path, name: str, steps: tuple[Step, ...]) -> str:
    """``run/checkpoint-500`` for a step of a run that was opened by its own folder."""
    own = next((step for step, source in steps if source == str(folder)), LAST)
    return name if own == LAST or name != folder.name else f"{folder.parent.name}/{name}"


def _of_file(file: Path, source: str) -> Found:
    """A file of weights, with the configuration of its folder or its own."""
    folder, whole = file.parent, f"Give the folder that holds it: {file.parent}"
    if is_beside(file):
        raise ModelError(f"{source} is what training left beside the weights, not a model.", whole)
    if file.suffix not in STATES and file.suffix != ".bin":
        raise ModelError(f"{source} is a file, not a model folder.", whole)
    if config_of(folder) is not None and not _is_checkpoint(read_config(folder)):
        if file.name.startswith(("model", "pytorch_model")):
            return _found(folder, folder.name)
        raise ModelError(f"{source} lies in a folder in Hugging Face format, whose weights it is not.", whole)
    if file.suffix == ".bin":
        raise ModelError(
            f"{source} lies in no folder in Hugging Face format: config.json is missing beside it.",
            f"Download the whole folder; `circuit-tui describe {source}` prints what the weights imply.",
        )
    return _found(folder, folder.name, file)


def read_config(folder: Path, weights: Path | None = None) -> dict[str, object]:
    """``config.json`` (or ``cfg.json``, or what the file of weights holds) as a dict. ModelError when it is missing, no
    JSON, or not an object."""
    file = config_of(folder)
    if file is None:
        files = weight_files(folder) if weights is None else [weights]
        if files and (held := config_inside(files[-1])) is not None:
            return held
        raise ModelError(
            f"{folder} has no config.json.",
            f"`circuit-tui describe {files[-1]}` prints one that its weights imply, to be saved there."
            if files
            else "Give a folder in Hugging Face or TransformerLens format.",
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file} cannot be read as JSON: {first_line(error)}.", "Copy or download the file again."
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} is not a model configuration.", "It must be a JSON object.")
    return config


def _is_checkpoint(config: dict[str, object]) -> bool:
    """TransformerLens' own keys, and none of those by which transformers knows an architecture."""
    own = {"n_layers", "d_model", "n_ctx"} <= config.keys() and bool({"d_head", "n_heads"} & config.keys())
    return own and "model_type" not in config


def _cached(name: str) -> Path | None:
    """The snapshot folder of a hub name that was downloaded before, if its weights are there. Asks no network."""
    silence()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True)).absolute()
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
    weights = [file for end in ("safetensors", "bin", "pth", "pt") for file in folder.glob(f"*.{end}")]
    shards = {shard for index in folder.glob("*.index.json") for shard in _shards(index)}
    whole = weights and all((folder / shard).exists() for shard in shards)
    return folder if whole and (folder / "config.json").exists() else None


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return set()


def _download(name: str, progress: Callable[[str], None]) -> Path:
    silence()
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"{name} is not in the local cache, and HF_HUB_OFFLINE is set.", FOLDER_FORM)
    progress(f"looking for {name} on the hub")
    if not _reachable(constants.ENDPOINT):
        raise ModelError(f"{name} is not in the local cache, and {constants.ENDPOINT} cannot be reached.", FOLDER_FORM)
    progress(f"downloading {name}")
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_WEIGHTS, *_OTHERS], ignore_patterns=["*/*"]))
        if not list(folder.glob("*.safetensors")):
            snapshot_download(name, allow_patterns=["pytorch_model*.bin*", "*.pth", "*.pt"], ignore_patterns=["*/*"])
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is on the hub, but needs a login that accepted its terms.", "Run: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no model {name} on {constants.ENDPOINT} (or it is private).", FOLDER_FORM
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"Downloading {name} failed: {first_line(error)}.", FOLDER_FORM) from error
    return folder.absolute()


def _reachable(url: str) -> bool:
    """Whether anything answers within a few seconds: the hub's own client retries for minutes.

    A process of its own, because no timeout of Python's reaches into the name resolution.
    """
    command = [sys.executable, "-c", _PROBE, url, str(_PROBE_SECONDS)]
    try:
        return (
            subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROBE_SECONDS + 2
            ).returncode
            == 0
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
