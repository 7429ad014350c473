"""``--stack`` over a file of prompts, on random tokens, and with vectors: the numbers of the app's jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.circuits.desk import Desk
from tests.export.headless import run
from tests.models.folders import gpt2_folder
from tui.engine.jobs import (
    Ablation,
    AddVector,
    AttributionOver,
    Change,
    HeadScores,
    Job,
    PatternOver,
    PreparePrompts,
    PromptRow,
    Prompts,
    Repeats,
    SteeringDirection,
)

GONE = Ablation("L0H1")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("stack") / "tiny")


@pytest.fixture(scope="module")
def desk(gpt2: Path) -> Desk:
    return Desk(gpt2)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.txt"
    path.write_text("the capital of France is\nthe king and the queen\n")
    return path


def prompts(desk: Desk, rows: Path, *changes: Change) -> Prompts:
    made = tuple(map(PromptRow, rows.read_text().splitlines()))
    return replace(desk.get(PreparePrompts(desk.key, rows.name, made, desk.info.bos_default)), changes=changes)


def written(model: Path, tmp_path: Path, stack: str, *arguments: str) -> dict:  # type: ignore[type-arg]
    changes, out = tmp_path / "changes.txt", tmp_path / "out.json"
    changes.write_text(stack)
    assert run(model, *arguments, "--stack", str(changes), "--out", str(out)) == 0
    return json.loads(out.read_text())  # type: ignore[no-any-return]


def test_over_a_file_and_on_random_tokens(gpt2: Path, desk: Desk, rows: Path, tmp_path: Path) -> None:
    file = prompts(desk, rows, GONE)
    cases: list[tuple[list[str], Job]] = [
        (["pattern", "--head", "L1H2", "--prompts", str(rows)], PatternOver(desk.key, file, 1, 2)),
        (["attribution", "--prompts", str(rows)], AttributionOver(desk.key, file)),
        (["head-scores", "--prompts", str(rows)], HeadScores(desk.key, file)),
        (["head-scores", "--rows", "2"], HeadScores(desk.key, Repeats(rows=2, bos=desk.info.bos_default), (GONE,))),
    ]
    for arguments, job in cases:
        got = written(gpt2, tmp_path, "L0H1\n", *arguments)
        want = desk.get(job)
        np.testing.assert_allclose(np.array(got["values"], dtype=float), want.values, rtol=1e-5, atol=1e-7)
        assert got["convention"]["changed"] == "L0H1 zero"


def test_the_mean_is_over_the_prompts_themselves(gpt2: Path, desk: Desk, rows: Path, tmp_path: Path) -> None:
    got = written(gpt2, tmp_path, "L0H1 mean\n", "attribution", "--prompts", str(rows))
    reference = prompts(desk, rows)
    want = desk.get(AttributionOver(desk.key, prompts(desk, rows, Ablation("L0H1", "mean", reference=reference))))
    np.testing.assert_allclose(np.array(got["values"], dtype=float), want.values, rtol=1e-5, atol=1e-7)


def test_vectors(gpt2: Path, desk: Desk, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"d": torch.linspace(-1, 1, desk.info.d_model)}, tmp_path / "v.safetensors")
    numbers = tuple(torch.linspace(-1, 1, desk.info.d_model).double().tolist())
    given = AddVector(1, SteeringDirection("v.safetensors", "given", numbers=numbers), 0.5, None, unit=False)
    token = AddVector(0, SteeringDirection("·Paris", "token", (260,)), 4.0, (-1,))
    stack = f"0.5 L1 @all: {tmp_path / 'v.safetensors'}\n4 L0 @-1: Paris\n"
    got = written(gpt2, tmp_path, stack, "attribution", "--prompts", str(rows))
    want = desk.get(AttributionOver(desk.key, prompts(desk, rows, given, token)))
    np.testing.assert_allclose(np.array(got["values"], dtype=float), want.values, rtol=1e-5, atol=1e-7)
    changes = tmp_path / "changes.txt"
    for line, sentence in (("4: Paris", "names no layer or no position"), ("1 L1 @all: Zanzibar", "Zanzibar")):
        changes.write_text(f"L0H1\n{line}\n")
        assert run(gpt2, "attribution", "--prompts", str(rows), "--stack", str(changes)) == 1
        said = capsys.readouterr().err
        assert "Line 2" in said
        assert sentence in said
