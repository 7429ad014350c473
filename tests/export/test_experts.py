"""Mixtures of experts without a screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.circuits.desk import Desk
from tests.export.headless import run
from tests.models.folders import gpt2_folder
from tests.models.zoo import FAMILIES
from tui.engine.jobs import Experts, ResidualParts, Target

PROMPT = ("--prompt", "the capital of France is", "--bos", "off")


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES["Mixtral"].folder(tmp_path_factory.mktemp("experts") / "mixtral")


def document(model: Path, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    assert run(model, *arguments, "--out", str(tmp_path / "out.json")) == 0
    read: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    return read


def test_the_jobs_of_the_screen(mixtral: Path, tmp_path: Path) -> None:
    desk = Desk(mixtral)
    got = document(mixtral, tmp_path, "experts", "--layer", "1", *PROMPT)
    prompt = desk.run(*(token["id"] for token in got["tokens"]))
    assert got["rows"]["labels"] == ["L1E0", "L1E1", "L1E2", "L1E3"]
    assert np.array_equal(np.array(got["values"], dtype=np.float32), desk.get(Experts(prompt, 1)).values)
    got = document(mixtral, tmp_path, "experts", "--layer", "0", *PROMPT, "--answer", " Paris")
    answer = next(i for i in range(270) if desk.bench.texts((i,)) == (" Paris",))
    want = desk.get(Experts(prompt, 0, "answer", Target((answer,))))
    assert np.array_equal(np.array(got["values"], dtype=np.float32), want.values)
    got = document(mixtral, tmp_path, "residual", *PROMPT, "--unit", "expert", "--position", "2")
    parts = [row[0] for row in desk.get(ResidualParts(prompt, 2, unit="expert")).rows]
    assert "L1E3" in parts
    assert [row[0] for row in got["values"]] == parts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("experts", *PROMPT), "experts needs --layer L2"),
        (("experts", "--layer", "0", "--measure", "answer", *PROMPT), "--measure answer needs --answer"),
        (("experts", "--layer", "0", "--measure", "norm", "--answer", " Paris", *PROMPT), "--answer changes nothing"),
    ],
)
def test_wrong_options(
    mixtral: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run(mixtral, *arguments) == 2
    assert words in capsys.readouterr().err


def test_a_model_without_experts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = gpt2_folder(tmp_path / "gpt2")
    assert run(model, "experts", "--layer", "0", *PROMPT) == 1
    assert "no mixtures of experts" in capsys.readouterr().err
