"""What the files of a model say of it before it is opened: JSON and the headers of its weights, no tensor.

Neither torch nor a library of models is needed: a list of a hundred models is read in a second.
"""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of one parameter, in the dtypes that a model can run in."""
WEIGHTS = ("safetensors", "bin", "pt", "pth")
"""How files of weights end."""
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_HEADER = 100 << 20
"""Bytes that the header of a safetensors file has at most."""
_POINTER = b"version https://git-lfs"
_NAMES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "key_value_heads": ("num_key_value_heads", "n_key_value_heads", "num_kv_heads"),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "d_head": ("head_dim", "d_head"),
    "vocabulary": ("vocab_size", "d_vocab"),
    "context": ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len", "seq_length"),
}
_ROTARY = ("rope_theta", "rope_parameters", "rope_scaling", "rotary_pct", "rotary_dim")


@dataclass(frozen=True)
class Label:
    """A model in a list of them."""

    source: str
    """What opens it: ``demo``, a hub name or a folder."""
    name: str
    group: str
    """Where it was found, as the list is divided: ``opened before``, ``hub cache``."""
    folder: str
    """Absolute; empty where nothing of the model is here."""
    architecture: str = ""
    layers: int = 0
    heads: int = 0
    key_value_heads: int = 0
    d_model: int = 0
    d_head: int = 0
    vocabulary: int = 0
    context: int = 0
    parameters: int = 0
    """0: unknown before it is loaded."""
    file_bytes: int = 0
    """Of its files of weights."""
    stored: str = ""
    """dtype of most parameters."""
    tokenizer: str = ""
    conventions: tuple[str, ...] = ()
    trouble: str = ""
    """Why it cannot be opened, and what to do; empty: nothing speaks against it."""

    @property
    def sizes(self) -> str:
        """``12 layers × 12 heads``."""
        kept = self.key_value_heads
        shared = f" on {kept} key-value heads" if 0 < kept < self.heads else ""
        return f"{self.layers} layers × {self.heads} heads{shared}" if self.layers and self.heads else ""

    def runs_in(self, dtype: str, device: str) -> str:
        """The dtype that it would run in; ``auto`` is float32 on a CPU and the stored one elsewhere."""
        if dtype != "auto":
            return dtype
        return "float32" if device == "cpu" or self.stored not in BYTES else self.stored

    def memory(self, dtype: str, device: str) -> int:
        """Bytes that it takes once it is open; 0 where that is unknown. The weights; in 16 bits embedding and
        unembedding a second time, in float32."""
        run = self.runs_in(dtype, device)
        count = self.parameters or self.file_bytes // BYTES.get(self.stored, 4)
        return needed(count, self.vocabulary * self.d_model, run)


def needed(parameters: int, embedding: int, dtype: str) -> int:
    """Bytes that a model of so many parameters takes, ``embedding`` of them in one end."""
    ends = 2 * 4 * embedding if BYTES[dtype] < 4 else 0
    return parameters * BYTES[dtype] + ends if parameters else 0


def is_model(folder: Path) -> bool:
    """Whether a folder has a config and weights."""
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return "config.json" in names and any(name.rpartition(".")[2] in WEIGHTS for name in names)


def read(folder: Path, source: str, name: str, group: str) -> Label:
    """The label of one folder. What cannot be read is the label's trouble."""
    config, trouble = _config(folder)
    files = tuple(sorted(weights(folder)))
    shapes, stored, wrong = _headers(folder, files)
    trouble = trouble or wrong or ("" if files else f"{folder} has no weights: give the folder that has them.")
    text = config.get("text_config")
    inner = {**config, **text} if isinstance(text, dict) else config
    facts = {key: _number(inner, names) for key, names in _NAMES.items()}
    own = "model_type" not in config and "n_layers" in config
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else "TransformerLens" if own else ""
    return Label(
        source, name, group, str(folder), architecture or str(config.get("model_type") or ""), **facts,
        parameters=shapes, file_bytes=sum(_size(folder / file) for file in files),
        stored=stored or str(inner.get("dtype") or inner.get("torch_dtype") or "").removeprefix("torch."),
        tokenizer=_tokenizer(folder), conventions=tuple(_conventions(inner, facts)), trouble=trouble,
    )  # fmt: skip


def weights(folder: Path) -> set[str]:
    """Names of the files of weights: those of an index where there is one, safetensors before others."""
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    for ending in ("safetensors", "bin"):
        for index in (name for name in names if name.endswith(f".{ending}.index.json")):
            listed = _json(folder / index).get("weight_map")
            if isinstance(listed, dict):
                return {str(file) for file in listed.values()}
    for ending in WEIGHTS:
        if found := {name for name in names if name.endswith(f".{ending}") and not _of_training(name)}:
            return found
    return set()


def free_memory(device: str) -> int | None:
    """Free bytes of a device, ``cpu`` or ``cuda:N``; None where nobody says."""
    if device.startswith("cuda"):
        return _free_of_card(device.partition(":")[2] or "0")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    group = Path("/sys/fs/cgroup")
    try:  # a container has less than the machine
        left = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return max(0, min(free, left))


def _free_of_card(index: str) -> int | None:
    command = ["nvidia-smi", f"--id={index}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=5, text=True).stdout
        return int(said.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _config(folder: Path) -> tuple[dict[str, Any], str]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}, f"{folder} has no config.json: give a folder in Hugging Face or TransformerLens format."
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{file} cannot be read ({error}): copy it again."
    return (config, "") if isinstance(config, dict) else ({}, f"{file} is no JSON object: copy it again.")


def _headers(folder: Path, files: tuple[str, ...]) -> tuple[int, str, str]:
    """Parameters, the dtype of most of them, and what is wrong with a file; 0 where the files have no headers."""
    total: Counter[str] = Counter()
    for file in files:
        path = folder / file
        try:
            with path.open("rb") as opened:
                start = opened.read(len(_POINTER))
                if start == _POINTER:
                    return 0, "", f"{file} is a Git LFS pointer, not the weights: run git lfs pull in {folder}."
                if not file.endswith(".safetensors"):
                    continue
                (length,) = struct.unpack("<Q", start[:8])
                if length > _HEADER:
                    return 0, "", f"{file} is no safetensors file: copy or download it again."
                opened.seek(8)
                header = json.loads(opened.read(length))
            for name, tensor in header.items():
                if name != "__metadata__":
                    total[tensor["dtype"]] += math.prod(tensor["shape"])
        except FileNotFoundError:
            return 0, "", f"{file} is missing: download it again."
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
            return 0, "", f"{file} cannot be read: copy or download it again."
    if not total:
        return 0, "", ""
    return total.total(), _DTYPES.get(most := total.most_common(1)[0][0], most), ""


def _conventions(config: Mapping[str, Any], facts: Mapping[str, int]) -> list[str]:
    out = []
    if any(config.get(name) is not None for name in _ROTARY) or config.get("positional_embedding_type") == "rotary":
        out.append("rotary positions")
    elif config.get("alibi"):
        out.append("ALiBi")
    elif any(name in config for name in ("n_positions", "n_ctx")):
        out.append("learned positions")
    norm = {"LN": "LayerNorm", "LNPre": "LayerNorm", "RMS": "RMSNorm", "RMSPre": "RMSNorm"}.get(
        str(config.get("normalization_type")), ""
    )
    if norm or "rms_norm_eps" in config or any(name.startswith("layer_norm") for name in config):
        out.append(norm or ("RMSNorm" if "rms_norm_eps" in config else "LayerNorm"))
    if config.get("sliding_window"):
        out.append(f"window of {config['sliding_window']} tokens")
    if config.get("attn_only"):
        out.append("attention only")
    experts = config.get("num_local_experts") or config.get("num_experts")
    if isinstance(experts, int):
        out.append(f"{experts} experts")
    if config.get("tie_word_embeddings"):
        out.append("W_U is W_E")
    if isinstance(config.get("quantization_config"), dict):
        out.append(f"quantized: {config['quantization_config'].get('quant_method', 'yes')}")
    return out


def _tokenizer(folder: Path) -> str:
    for name in ("tokenizer.json", "tokenizer.model", "spiece.model", "merges.txt", "vocab.txt", "vocab.json"):
        if (folder / name).exists():
            kind = _json(folder / "tokenizer_config.json").get("tokenizer_class")
            return f"{kind}, {name}" if isinstance(kind, str) else name
    return "none: prompts are token ids"


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((config[name] for name in names if isinstance(config.get(name), int) and config[name] > 0), 0)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _of_training(name: str) -> bool:
    """Files that a trainer leaves beside the weights."""
    return name.startswith(("optimizer", "scheduler", "training_args", "rng_state", "scaler"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def short(count: int) -> str:
    """A number of parameters: ``124 M``, ``0.81 B``, ``3.1 k``."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size * (0.5 if letter == "B" else 1):
            value = count / size
            return f"{value:.3g} {letter}" if value < 1000 else f"{value:,.0f} {letter}"
    return str(count)


def in_bytes(count: int) -> str:
    """A size: ``1.62 GB``, ``47 MB``, ``3.9 kB``, ``28 B``."""
    unit, name = next((one for one in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if count >= one[0] / 2), (1, "B"))
    return f"{count / unit:.3g} {name}"
