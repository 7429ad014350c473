"""From what a user calls a model to the absolute folder that holds it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .aliases import official_name
from .errors import ModelError, first_line
from .formats import Adapter, read_adapter, refuse_gguf, refuse_pointers
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
    "adapter_config.json",
    "chat_template*",
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
    adapter: Adapter | None = None
    """What is added into the weights of ``folder``."""

    @property
    def own_folder(self) -> Path:
        """The folder that was asked for: an adapter's, not that of the model under it."""
        return self.adapter.folder if self.adapter is not None else self.folder

    @property
    def source(self) -> str:
        """What opens it, as ``steps`` has it."""
        return str(self.weights or self.own_folder)

    @property
    def digest(self) -> str:
        """Changes when weights are replaced."""
        own = fingerprint(self.folder, self.weights)
        return own + (fingerprint(self.adapter.folder) if self.adapter is not None else "")


def find_model(source: str, progress: Callable[[str], None] = lambda stage: None) -> Found:
    """``demo``, a folder, or a hub name (``name@revision``) → its folder. ModelError with what to do when there is
    none."""
    source = source.strip() or "demo"
    if source == "demo":
        return _found(demo_folder(), "demo")
    if "@" in source and not Path(source).expanduser().exists():
        source, _, revision = source.rpartition("@")
        return _at_revision(source, revision, progress)
    path = Path(source).expanduser()
    looks_local = source.startswith(("/", "~", ".")) or (os.sep in source.rstrip(os.sep) and source.count("/") > 1)
    if path.is_file():
        refuse_gguf(path)
        return _of_file(path.absolute(), source)
    if path.is_dir() and (looks_local or config_of(path) or run_folders(path) or not _HUB_NAME.fullmatch(source)):
        return _found(path.absolute(), path.absolute().name, progress)
    if looks_local or not _HUB_NAME.fullmatch(source):
        raise ModelError(
            f"There is no folder {source}.", "Give a folder with config.json in it, or a hub name like gpt2."
        )
    folder = _cached(source)
    if folder is None and path.is_dir():
        return _found(path.absolute(), path.absolute().name, progress)  # which says that config.json is missing
    return _found(folder or _on_hub(source, "", progress), source.rsplit("/", 1)[-1], progress)


def _at_revision(source: str, revision: str, progress: Callable[[str], None]) -> Found:
    """A hub name at a branch, tag or commit."""
    if source == "demo" or Path(source).expanduser().exists():
        what = "comes with the app" if source == "demo" else "is a folder"
        raise ModelError(
            f"A revision ({revision}) is for hub names, and {source} {what}.", f"Open {source} without it."
        )
    if not _HUB_NAME.fullmatch(source) or not revision:
        raise ModelError(
            f"There is no folder {source}@{revision}.", "Give a folder, or a hub name and a revision like gpt2@main."
        )
    folder = _cached(source, revision) or _on_hub(source, revision, progress)
    return _found(folder, f"{source.rsplit('/', 1)[-1]}@{revision}", progress)


def _on_hub(source: str, revision: str, progress: Callable[[str], None]) -> Path:
    """The folder of a hub name that is not in the cache as it is written: under the name that TransformerLens' short
    name stands for, else downloaded."""
    official = official_name(source)
    if official is None:
        return _download(source, revision, progress)
    if (folder := _cached(official, revision)) is not None:
        return folder
    try:
        return _download(official, revision, progress)
    except ModelError as error:
        raise ModelError(f"{source} is TransformerLens' name of {official}. {error.message}", error.hint) from error


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


def _found(
    folder: Path, name: str, progress: Callable[[str], None] = lambda stage: None, weights: Path | None = None
) -> Found:
    refuse_pointers(folder)
    refuse_gguf(folder)
    if weights is None and (adapter := read_adapter(folder)) is not None:
        return _under(adapter, name, progress)
    inside = run_folders(folder) if config_of(folder) is None and not weight_files(folder) else []
    if inside:  # a training run: its last checkpoint
        return _found(inside[-1], f"{name}/{inside[-1].name}", progress)
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


def _under(adapter: Adapter, name: str, progress: Callable[[str], None]) -> Found:
    """The model that an adapter was trained on, with the adapter."""
    base = f"{adapter.base}@{adapter.revision}" if adapter.revision else adapter.base
    try:
        found = find_model(base, progress)
    except ModelError as error:
        raise ModelError(
            f"{adapter.folder} is a PEFT adapter of {base}. {error.message}",
            f"{error.hint} Or write the base model's folder into {adapter.folder / 'adapter_config.json'}: "
            "base_model_name_or_path.",
        ) from error
    if found.kind != "huggingface" or found.adapter is not None:
        raise ModelError(
            f"{adapter.folder} is a PEFT adapter of {base}, which is no whole model in Hugging Face format.",
            "Merge the adapters in peft (model.merge_and_unload().save_pretrained(FOLDER)) and open FOLDER.",
        )
    return replace(found, name=name, adapter=adapter, steps=steps_of(adapter.folder, None))
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
    return _found(folder, folder.name, weights=file)


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


def _cached(name: str, revision: str = "") -> Path | None:
    """The snapshot folder of a hub name that was downloaded before, if its weights are there. Asks no network."""
    silence()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision or None, local_files_only=True)).absolute()
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
    files = [file for end in ("safetensors", "bin", "pth", "pt") for file in folder.glob(f"*.{end}")]
    weights = [file for file in files if not is_beside(file)]
    shards = {shard for index in folder.glob("*.index.json") for shard in _shards(index)}
    whole = weights and all((folder / shard).exists() for shard in shards)
    named = any((folder / config).exists() for config in ("config.json", "adapter_config.json"))
    return folder if whole and named else None


def cached_tokenizer(name: str) -> Path | None:
    """The folder in the cache that holds ``tokenizer.json`` of a hub name; None where it was not downloaded."""
    from huggingface_hub import try_to_load_from_cache

    try:
        file = try_to_load_from_cache(name, "tokenizer.json")
    except ValueError:  # no hub name
        return None
    return Path(file).parent if isinstance(file, str) else None


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return set()


def _download(name: str, revision: str, progress: Callable[[str], None]) -> Path:
    silence()
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    called = f"{name}@{revision}" if revision else name
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"{called} is not in the local cache, and HF_HUB_OFFLINE is set.", FOLDER_FORM)
    progress(f"looking for {name} on the hub")
    if not _reachable(constants.ENDPOINT):
        raise ModelError(
            f"{called} is not in the local cache, and {constants.ENDPOINT} cannot be reached.", FOLDER_FORM
        )
    progress(f"downloading {called}")

    def fetch(*patterns: str) -> Path:
        whole = snapshot_download(
            name, revision=revision or None, allow_patterns=[*patterns], ignore_patterns=["*/*"]
        )
        return Path(whole)

    try:
        folder = fetch(*_WEIGHTS, *_OTHERS)
        if not list(folder.glob("*.safetensors")):
            fetch("pytorch_model*.bin*", "adapter_model.bin", "*.pth", "*.pt")
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{name} has no revision {revision} on {constants.ENDPOINT}.",
            f"Its branches and tags are listed at {constants.ENDPOINT}/{name}/refs; main is the newest.",
        ) from error
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
