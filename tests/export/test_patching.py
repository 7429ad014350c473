"""``circuit-tui export patching``: the app's own jobs, and the words for what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.circuits.desk import Desk
from tests.export.test_export import document, run
from tests.models.folders import gpt2_folder
from tui.engine.jobs import PatchingEstimate, PatchingGrid, Target

CLEAN, CORRUPTED = "the capital of France is", "the capital of London is"
ASKED = ("patching", "--clean", CLEAN, "--corrupted", CORRUPTED, "--answer", "Paris", "--distractor", "king")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("patching") / "tiny")


@pytest.fixture(scope="module")
def grid(folder: Path) -> tuple[Desk, PatchingGrid]:
    desk = Desk(folder)
    encode = desk.bench.live.tokens.encode
    runs = [desk.run(*encode(text, True).ids, bos=True) for text in (CLEAN, CORRUPTED)]
    ids = [desk.bench.live.tokens.single(word) for word in ("Paris", "king")]
    return desk, PatchingGrid(*runs, Target((ids[0],), (ids[1],)))  # type: ignore[misc]


def test_it_is_the_job_of_the_app(folder: Path, grid: tuple[Desk, PatchingGrid], tmp_path: Path) -> None:
    desk, job = grid
    got = document(folder, tmp_path, *ASKED)
    assert (np.array(got["values"], dtype=np.float32) == desk.get(job).values).all()
    assert (got["view"], got["rows"]["labels"], got["cols"]["labels"][-1]) == ("patching", ["L0", "L1"], "H3")
    said = {"site": "z", "by": "head", "metric": "logit difference", "toward": "denoise", "answer": " Paris"}
    assert said.items() <= got["convention"].items()
    assert "text" not in got, "everything is exact"
    guess = document(folder, tmp_path, *ASKED, "--estimate")
    assert (np.array(guess["values"], dtype=np.float32) == desk.get(job.estimate).values).all()
    assert "estimate" in guess["quantity"]


@pytest.mark.parametrize(
    ("options", "rows", "cols"),
    [
        (("--site", "resid_pre"), 2, 8), (("--site", "attn_out", "--by", "position", "--noise"), 2, 8),
        (("--site", "q", "--by", "head-position"), 8, 8), (("--site", "v", "--position", "4"), 2, 4),
        (("--metric", "KL", "--site", "pattern"), 2, 4), (("--site", "neuron", "--layer", "L1", "--estimate"), 64, 1),
    ],
)  # fmt: skip
def test_sites(folder: Path, tmp_path: Path, options: tuple[str, ...], rows: int, cols: int) -> None:
    got = document(folder, tmp_path, *ASKED, *options)
    values = np.array(got["values"], dtype=np.float32)
    assert values.shape == (rows, cols) or options[1] == "neuron"
    assert np.isfinite(values).all()
    assert got["convention"]["toward"] == ("noise" if "--noise" in options else "denoise")


def test_without_an_answer_the_likeliest_tokens_tell_the_prompts_apart(folder: Path, tmp_path: Path) -> None:
    got = document(folder, tmp_path, *ASKED[:5], "--format", "json")
    assert got["convention"]["answer"]


def test_the_loss_on_a_continuation(folder: Path, grid: tuple[Desk, PatchingGrid], tmp_path: Path) -> None:
    got = document(folder, tmp_path, *ASKED, "--metric", "loss", "--continuation", " king of")
    desk, job = grid
    after = desk.bench.live.tokens.encode(" king of", False).ids
    longer = replace(job, clean=replace(job.clean, ids=(*job.clean.ids, *after)), metric="loss", continuation=after,
                     corrupted=replace(job.corrupted, ids=(*job.corrupted.ids, *after)))  # fmt: skip
    made = desk.get(longer)
    assert (np.array(got["values"], dtype=np.float32) == made.values).all()
    assert (got["convention"]["metric"], got["convention"]["continuation"]) == ("loss", " king of")
    for name, values in made.beside.items():
        assert (np.array(got["beside"][name], dtype=np.float32) == values).all()


def test_a_file_of_pairs(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    pair = {"clean": CLEAN, "corrupted": CORRUPTED, "answer": "Paris", "distractor": "king"}
    path.write_text("\n".join(json.dumps(row) for row in (pair, {**pair, "clean": "the king of France is", "corrupted":
                                                                 "the king of London is"})))  # fmt: skip
    got = document(folder, tmp_path, "patching", "--pairs", str(path))
    assert got["cols"]["labels"] == ["ratio of means", "spread", "same sign"]
    assert got["rows"]["labels"][-1] == "L1H3"
    assert got["convention"]["pairs"] == "2 of pairs.jsonl"
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("just a line\n")


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("just a line\n")
    for options, code, sentence in (
        (("patching",), 2, "--clean TEXT and --corrupted TEXT, or --pairs FILE"),
        (("patching", "--clean", "a"), 2, "--clean TEXT and --corrupted TEXT"),
        ((*ASKED, "--pairs", "x"), 2, "or --pairs FILE"),
        (("patching", "--pairs", "x", "--by", "head"), 2, "leave --by"),
        ((*ASKED, "--prompt", "a"), 2, "leave --prompt"),
        ((*ASKED, "--metric", "loss"), 2, "needs --continuation TEXT"),
        (("patching", "--pairs", "x", "--continuation", " a"), 2, "no one text"),
        (("ablation", "--prompt", CLEAN, "--ablate", "L0H0", "--metric", "loss"), 2, "needs --continuation TEXT"),
        ((*ASKED, "--site", "neuron"), 2, "--layer go together"),
        ((*ASKED, "--by", "head-position", "--position", "2"), 2, "a cell of its own"),
        (("lens", "--prompt", "a", "--noise"), 2, "--noise is for patching"),
        (("patching", "--pairs", str(lines)), 1, "has no clean and corrupted prompts"),
        (("patching", "--clean", CLEAN, "--corrupted", "the capital of France is is"), 1, "from position 8 on"),
        (("patching", "--clean", CLEAN, "--corrupted", CLEAN), 1, "Both prompts are the same"),
        ((*ASKED, "--site", "resid_pre", "--by", "head"), 1, "it has no heads"),
        ((*ASKED, "--metric", "rank", "--estimate"), 1, "no gradient"),
    ):
        assert run(folder, *options) == code, options
        assert sentence in capsys.readouterr().err, options


def test_an_estimate_is_a_job_of_its_own(grid: tuple[Desk, PatchingGrid]) -> None:
    assert isinstance(grid[1].estimate, PatchingEstimate)
