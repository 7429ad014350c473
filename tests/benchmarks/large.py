"""A Llama of 0.8 B parameters with random weights in bfloat16: what loading it takes at most, and whether a sweep of
patches stays within the memory that it is given beside the model. By itself, since it takes minutes."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.benchmarks.depth import extra_memory, mb
from tests.benchmarks.measure import Row, seconds
from tests.benchmarks.patching import Timed
from tui.engine.jobs import Open, PatchingGrid, Run, Target
from tui.models.load import BRIDGE

SHAPE = {
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 15, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 2048,
}  # fmt: skip
TOKENS, APART = 8, 3
OPEN = partial(Open, device="cpu", dtype="float32")
LIMIT = 1 << 30
"""What a sweep may take unless told otherwise."""


def main() -> list[Row]:
    """All cells of ``resid_pre`` by layer and position, with the estimate that comes first."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "tests.benchmarks.large", folder], check=True)  # what it takes is its own
        hand = Timed()
        importlib.import_module(BRIDGE)
        importlib.import_module("transformers.models.llama.modeling_llama")
        loaded = extra_memory(lambda: hand.get(OPEN(folder)))
        info = hand.get(OPEN(folder))
        assert 0.7e9 < info.n_parameters < 0.9e9, info.n_parameters
        weights = 4 * info.n_parameters
        clean = tuple((17 + 389 * i) % info.d_vocab for i in range(TOKENS))
        corrupted = (*clean[:APART], clean[APART] + 1000, *clean[APART + 1 :])
        runs = [Run(info.key, ids, False) for ids in (clean, corrupted)]
        job = PatchingGrid(*runs, Target((262,), (318,)), "resid_pre", by="position", memory=LIMIT)
        hand.begin()
        start = time.perf_counter()
        used = extra_memory(lambda: hand.get(job))
        taken = time.perf_counter() - start
        hand.bench.close()
    what = f"patching resid_pre, {info.n_layers} × {TOKENS}, {TOKENS} tokens, Llama of {info.n_parameters / 1e9:.1f} B"
    return [
        Row("load of the same Llama, stored in bfloat16, run in float32: memory at most", mb(loaded),
            f"its weights in float32 {mb(weights)}", loaded / weights, "≤ 1.15 ×", loaded <= 1.15 * weights),
        Row(f"{what}: memory beside the model", mb(used), f"{seconds(taken)}", None, "≤ 1 GB", used <= LIMIT),
        Row("the same: longest time without a place to cancel", seconds(hand.longest), "", None, "", True),
    ]


def write(folder: Path) -> None:
    """The model as people have it: in bfloat16."""
    import torch

    from tests.models.folders import llama_folder

    torch.set_default_dtype(torch.bfloat16)
    llama_folder(folder, **SHAPE, dtype="bfloat16")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
