"""Two random models, one of each kind, on disk: read by the app and, apart from it, by the float64 reference."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.circuits import reference
from tests.circuits.desk import Desk
from tests.models.folders import gpt2_folder, induction_checkpoint, llama_folder

IDS = (65, 257, 259, 260, 70, 259, 3)
"""Tokens of every kind (bytes, words, one twice), fewer than the sliding windows of other tests."""


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
