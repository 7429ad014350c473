"""Two random models, one of each kind, on disk: read by the app and, apart from it, by the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.circuits import reference
from tests.circuits.desk import Desk
from tests.models import folders
from tests.models.conftest import ARCHITECTURES
from tests.models.folders import gpt2_folder, induction_checkpoint, llama_folder

IDS = (65, 257, 259, 260, 70, 259, 3)
"""Tokens of every kind (bytes, words, one twice), fewer than the sliding windows of other tests."""


CHECKPOINTS = {
    "checkpoint": {},
    "checkpoint without norms": {"normalization_type": None},
    "checkpoint, rotary": {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True},
    "checkpoint, attention only": {"attn_only": True},
}
"""Random TransformerLens checkpoints: name → what is changed."""
EVERY = (*ARCHITECTURES, *CHECKPOINTS)


@dataclass
class Pair:
    """The app's answers and the reference's for one model."""

    name: str
    desk: Desk
    want: reference.Model
    run: reference.Pass


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = {"gpt2": gpt2_folder, "llama": llama_folder}[request.param](tmp_path_factory.mktemp(request.param))
    want = getattr(reference, request.param)(folder)
    return Pair(request.param, Desk(folder), want, want.forward(list(IDS)))


@pytest.fixture(scope="session")
def induction(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(induction_checkpoint(tmp_path_factory.mktemp("induction")))


@pytest.fixture(scope="session")
def desk_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Desk]:
    """Architecture of ``EVERY`` and dtype → the model open on a desk."""
    written: dict[str, Path] = {}
    made: dict[tuple[str, str], Desk] = {}

    def desk(name: str, dtype: str = "float32") -> Desk:
        if name not in written:
            path = tmp_path_factory.mktemp("every")
            if name in CHECKPOINTS:
                written[name] = folders.tl_checkpoint(path, *folders.random_checkpoint(**CHECKPOINTS[name]))
            else:
                written[name] = getattr(folders, f"{name}_folder")(path)
        if (name, dtype) not in made:
            made[name, dtype] = Desk(written[name], dtype)
        return made[name, dtype]

    return desk
