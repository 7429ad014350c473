"""A model that is not loaded: the first heatmap from its files, and circuits of models of any size read by slice.

Folders are written here, in Llama's format; of the large one only the layers that are looked at have numbers, the rest
are holes in its files.
"""

from __future__ import annotations

import json
import math
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Row, seconds
from tests.benchmarks.screen import Child, shown

ROUNDS = 5
SMALL: Mapping[str, int] = {
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 15, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 32000,
}  # fmt: skip
"""0.8 B parameters."""
LARGE: Mapping[str, int] = {
    "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
    "num_key_value_heads": 40, "vocab_size": 32000,
}  # fmt: skip
"""13 B."""
LOOKED_AT = (0, 1, 20)
NOTEBOOK = """
import sys, torch
from transformer_lens.model_bridge import TransformerBridge
bridge = TransformerBridge.boot_transformers(sys.argv[1], device="cpu")
logits, cache = bridge.run_with_cache(bridge.to_tokens(sys.argv[2]))
assert cache["blocks.0.attn.hook_pattern"].shape[1] == bridge.cfg.n_heads
"""
ALONE = """
import json, resource, sys, time
import torch
from tui.engine.jobs import QK, Composition, Open, OVRow, Spectrum
from tui.engine.run import Bench
from tui.export import InPlace

def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

before, start = resident(), time.perf_counter()
desk = InPlace(Bench(), None)
info = desk.get(Open(sys.argv[1], "cpu", how="weights"))
out = {"opened": time.perf_counter() - start, "parameters": info.n_parameters}
key, ids = info.key, tuple(range(5, 29))
layer = int(sys.argv[2])
desk.get(QK(key, layer, 3, ids, ids))
out |= {"qk": time.perf_counter() - start, "extra": resident() - before}
if layer:
    desk.get(OVRow(key, layer, 3, 7))
    desk.get(Spectrum(key, layer, 3))
    desk.get(Composition(key, 1, 3, "v"))
out["peak"] = resident()
print(json.dumps(out))
"""


def main() -> list[Row]:
    """Launch in pairs with the notebook way; then folders that are opened for their weights alone."""
    return [launch(), *small(), *large()]


def launch() -> Row:
    """A cold process until the first heatmap of the demo is on its screen, against the notebook way to a pattern."""
    from tui.models.find import demo_folder
    from tui.selection import EXAMPLE

    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", NOTEBOOK, str(demo_folder()), EXAMPLE], check=True, capture_output=True)
        theirs.append(time.monotonic() - start)
        with Child("run") as child:
            while not shown(child.text).matrix:
                assert child.process.poll() is None, child.text
                time.sleep(0.005)
            ours.append(time.monotonic() - child.begun)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Row("launch until the first heatmap of the demo", seconds(statistics.median(ours)),
               f"notebook: import, boot, run_with_cache {seconds(statistics.median(theirs))}", ratio, "≤ 0.40 ×",
               ratio <= 0.40)  # fmt: skip


def small() -> list[Row]:
    """One head's QK of a model of 0.8 B in bfloat16."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_llama(path, SMALL, "BF16", range(SMALL["num_hidden_layers"]))
        alone(path, 0)  # warms the disk's cache
        taken = [alone(path, 0) for _ in range(3)]
    extra, time_taken = (statistics.median(one[name] for one in taken) for name in ("extra", "qk"))
    what = f"first QK of one head, Llama of {taken[0]['parameters'] / 1e9:.1f} B in bfloat16"
    return [
        Row(f"{what}: memory over the app's own", f"{extra / 1e6:.0f} MB", "", None, "≤ 300 MB", extra <= 300e6),
        Row("the same: time after torch is there", seconds(time_taken), "", None, "≤ 0.5 s", time_taken <= 0.5),
    ]


def large() -> list[Row]:
    """QK, an OV row, the SVD of a head and a composition of a folder of the size of 13 B."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_llama(path, LARGE, "F16", LOOKED_AT, shards=6)
        alone(path, LOOKED_AT[-1])
        taken = alone(path, LOOKED_AT[-1])
    what = f"a folder of {taken['parameters'] / 1e9:.0f} B, weights only"
    return [
        Row(f"{what}: opens", seconds(taken["opened"]), "", None, "≤ 3 s", taken["opened"] <= 3),
        Row("the same: peak memory after QK, OV row, SVD, composition", f"{taken['peak'] / 1e9:.2f} GB", "", None,
            "≤ 1.5 GB", taken["peak"] <= 1.5e9),
    ]  # fmt: skip


def alone(folder: Path, layer: int) -> dict[str, float]:
    """What a process of its own measures."""
    command = [sys.executable, "-c", ALONE, str(folder), str(layer)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured: dict[str, float] = json.loads(found.splitlines()[-1])
    return measured


# --- folders ----------------------------------------------------------------------------------------------------------


def write_llama(folder: Path, shape: Mapping[str, int], dtype: str, filled: Collection[int], shards: int = 1) -> None:
    """A folder in the hub's format; layers that are not ``filled`` are holes in its files."""
    from tests.models.folders import tokenizer_files

    tokenizer_files(folder)
    stored = {"BF16": "bfloat16", "F16": "float16"}[dtype]
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": stored, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 2048, "hidden_act": "silu", "tie_word_embeddings": False,
        "attention_bias": False, "mlp_bias": False, "rope_scaling": None, **shape,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    tensors = list(_tensors(shape))
    per, index = math.ceil(len(tensors) / shards), {}
    for number in range(shards):
        name = "model.safetensors" if shards == 1 else f"model-{number + 1:05}-of-{shards:05}.safetensors"
        held = tensors[number * per : (number + 1) * per]
        _write(folder / name, held, dtype, filled)
        index |= {tensor: name for tensor, _, _ in held}
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def _tensors(shape: Mapping[str, int]) -> Iterator[tuple[str, tuple[int, ...], int | None]]:
    """Name, shape, layer."""
    d, wide, vocab = shape["hidden_size"], shape["intermediate_size"], shape["vocab_size"]
    shared = d // shape["num_attention_heads"] * shape["num_key_value_heads"]
    yield "model.embed_tokens.weight", (vocab, d), None
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, rows in (("q", d), ("k", shared), ("v", shared), ("o", d)):
            yield f"{at}self_attn.{name}_proj.weight", (rows, d), layer
        for name, size in (("gate", (wide, d)), ("up", (wide, d)), ("down", (d, wide))):
            yield f"{at}mlp.{name}_proj.weight", size, layer
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}{name}.weight", (d,), layer
    yield "model.norm.weight", (d,), None
    yield "lm_head.weight", (vocab, d), None


def _write(
    file: Path, tensors: list[tuple[str, tuple[int, ...], int | None]], dtype: str, filled: Collection[int]
) -> None:
    import torch

    header: dict[str, dict[str, Any]] = {}
    end = 0
    for name, shape, _ in tensors:
        size = 2 * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    torch.manual_seed(0)
    # Some numbers over and over: what they are does not matter, and to draw a billion takes minutes.
    stored = torch.bfloat16 if dtype == "BF16" else torch.float16
    block = (0.02 * torch.randn(1 << 22)).to(stored).view(torch.uint8).numpy().tobytes()
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, _, layer in tensors:
            first, last = header[name]["data_offsets"]
            if layer is not None and layer not in filled:
                continue
            out.seek(8 + len(text) + first)
            for start in range(0, last - first, len(block)):
                out.write(block[: min(len(block), last - first - start)])
        out.truncate(8 + len(text) + end)
