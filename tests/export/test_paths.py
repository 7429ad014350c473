"""``circuit-tui export paths``: the app's own jobs, what they say, every refusal, the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.circuits.desk import Desk
from tests.export import headless
from tests.models.folders import gpt2_folder, induction_checkpoint, llama_folder, neox_folder
from tui.circuits.errors import Refusal
from tui.engine.jobs import PatchingGrid, PathEdges, PathEstimate, PathGrid, Target, Tokenize

CLEAN, CORRUPTED = "the capital of France is", "the capital of England is"
PAIR = ("--clean", CLEAN, "--corrupted", CORRUPTED)
AIM = ("--answer", "Paris", "--distractor", "London")
INDUCTION = ("--clean", "a b c d e a", "--corrupted", "f b c d e a", "--answer", "b")
TARGET = Target((260,), (264,))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("paths") / "tiny")


@pytest.fixture(scope="module")
def desk(gpt2: Path) -> Desk:
    return Desk(gpt2)


def run(model: Path, *arguments: str) -> int:
    """The exit code of ``circuit-tui export paths …``."""
    return headless.run(model, "paths", *arguments)


@pytest.fixture
def document(gpt2: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def made(*arguments: str, model: Path = gpt2) -> dict[str, Any]:
        out = tmp_path / "out.json"
        assert run(model, *arguments, "--out", str(out)) == 0
        read: dict[str, Any] = json.loads(out.read_text())
        return read

    return made


def of_pair(desk: Desk, kind: Any, *options: Any, target: Target = TARGET) -> Any:
    clean, corrupted = (
        desk.run(*desk.get(Tokenize(desk.key, text, True)).ids, bos=True) for text in (CLEAN, CORRUPTED)
    )
    return desk.get(kind(clean, corrupted, target, *options))


def known(values: Any) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in values], dtype=np.float32)


@pytest.mark.parametrize("variant", ["direct", "ioi"])
@pytest.mark.parametrize("receiver", ["L1H2.q", "L1H2.k", "L1H2.v", "L1.mlp", "logits"])
def test_exact_paths_are_the_pages_own(
    desk: Desk, document: Callable[..., dict[str, Any]], receiver: str, variant: str
) -> None:
    got = document(*PAIR, *AIM, "--receiver", receiver.lower(), "--variant", variant)
    want = of_pair(desk, PathGrid, receiver, variant)
    assert np.array_equal(known(got["values"]), want.values, equal_nan=True)
    assert got["rows"]["labels"] == list(want.rows.labels)
    assert (got["convention"]["receiver"], got["convention"]["variant"]) == (receiver, variant)
    sends = np.isfinite(want.values[:, 0])
    last = {"L": 11 if receiver[-1] != "p" else 10, "l": 11}[receiver[0]]
    assert sends[0]
    assert sends.sum() == {"logits": last, "L1.mlp": last}.get(receiver, 6)


def test_defaults_are_the_logits_direct_and_the_likeliest_tokens(
    desk: Desk, document: Callable[..., dict[str, Any]]
) -> None:
    got = document(*PAIR)
    assert (got["convention"]["receiver"], got["convention"]["variant"]) == ("logits", "direct")
    assert "answer" in got["convention"]
    assert known(document(*PAIR, *AIM)["values"]).tolist() == of_pair(desk, PathGrid).values.tolist()


def test_estimates(desk: Desk, document: Callable[..., dict[str, Any]]) -> None:
    got = document(*PAIR, *AIM, "--receiver", "L1H2.v", "--estimate", "--metric", "log-probability")
    want = of_pair(desk, PathEstimate, "L1H2.v", "log-probability")
    assert np.array_equal(known(got["values"]), want.values, equal_nan=True)
    assert "estimate" in got["details"]
    edges = document(*PAIR, *AIM, "--estimate")
    table = of_pair(desk, PathEdges)
    assert edges["values"] == [list(row) for row in table.rows]
    assert edges["columns"] == ["sender", "receiver", "estimate"]
    sizes = [abs(row[2]) for row in edges["values"]]
    assert sizes == sorted(sizes, reverse=True)
    alone = of_pair(desk, PathEstimate, "L1H2.v")
    row = next(row for row in table.rows if row[:2] == ("L0H1", "L1H2.v"))
    assert row[2] == pytest.approx(float(alone.values[alone.rows.labels.index("L0H1"), 0]), rel=1e-5)
    # To the logits of a model without a cap there is nothing to estimate.
    exact, guess = of_pair(desk, PathGrid), of_pair(desk, PathEstimate)
    assert np.allclose(exact.values, guess.values, atol=1e-4)


def test_the_ends_are_those_of_patching(desk: Desk) -> None:
    paths, patched = of_pair(desk, PathGrid), of_pair(desk, PatchingGrid)
    for name in ("logit difference clean", "corrupted"):
        assert paths.header.details[name] == patched.header.details[name]


def test_shared_keys_are_said_and_one_node(tmp_path: Path, document: Callable[..., dict[str, Any]]) -> None:
    folder = llama_folder(tmp_path / "llama")
    one, other = (document(*PAIR, *AIM, "--receiver", f"L1H{head}.k", model=folder) for head in (2, 3))
    assert one["values"] == other["values"]
    assert one["details"]["shared"].startswith("H2–3 share")
    assert "shared" not in document(*PAIR, *AIM, "--receiver", "L1H2.q", model=folder)["details"]


def test_parallel_blocks_say_that_neither_half_sends_to_the_other(
    tmp_path: Path, document: Callable[..., dict[str, Any]]
) -> None:
    got = document(*PAIR, *AIM, "--receiver", "L1.mlp", model=neox_folder(tmp_path / "neox"))
    values = dict(zip(got["rows"]["labels"], known(got["values"])[:, 0].tolist(), strict=True))
    assert np.isnan(values["L1H0"])
    assert np.isfinite(values["L0.mlp"])
    assert "parallel blocks" in got["details"]


@pytest.mark.parametrize("variant", ["direct", "ioi"])
def test_the_induction_heads_key_reads_the_previous_token_head(
    tmp_path: Path, document: Callable[..., dict[str, Any]], variant: str
) -> None:
    folder = induction_checkpoint(tmp_path / "induction")
    got = document(*INDUCTION, "--distractor", "c", "--receiver", "L1H0.k", "--variant", variant, model=folder)
    values = dict(zip(got["rows"]["labels"], known(got["values"])[:, 0].tolist(), strict=True))
    assert values["L0H0"] == pytest.approx(1.0 if variant == "direct" else 0.0, abs=1e-3)
    for name in ("embed", "L0H1"):
        assert values[name] == pytest.approx(0.0 if variant == "direct" else 1.0, abs=1e-6)


USAGE = [
    ((), "paths needs --clean TEXT and --corrupted TEXT"),
    (("--clean", CLEAN), "paths needs --clean TEXT and --corrupted TEXT"),
    (("--prompt", CLEAN, *PAIR), "reads --clean and --corrupted"),
    ((*PAIR, "--receiver", "L1H2"), "--receiver L1H2: receivers are L2H1.q"),
    ((*PAIR, "--receiver", "embed"), "receivers are"),
    ((*PAIR, "--estimate", "--variant", "ioi"), "--estimate is of direct paths"),
    ((*PAIR, "--estimate", "--memory", "5"), "--memory is for exact paths"),
    ((*PAIR, "--variant", "both"), "invalid choice"),
    ((*PAIR, "--metric", "loss"), "--metric loss is not for paths"),
    ((*PAIR, "--distractor", "Paris"), "needs --answer"),
    ((*PAIR, "--weights", "raw"), "paths does not depend on it"),
    ((*PAIR, "--site", "z"), "paths does not depend on it"),
    ((*PAIR, "--pairs", "a.jsonl"), "paths does not depend on it"),
    ((*PAIR, "--head", "L1H2"), "does not depend on it"),
]
FAILURES = [
    ((*PAIR, "--receiver", "L9H2.q"), "L9H2.q does not exist: the layers of"),
    ((*PAIR, "--receiver", "L1H9.q"), "L1H9.q does not exist: the heads of"),
    (("--clean", CLEAN, "--corrupted", CLEAN), "Both prompts are the same"),
    (("--clean", CLEAN, "--corrupted", "the capital of"), "they are not aligned"),
    ((*PAIR, "--estimate", "--metric", "rank"), "A rank has no gradient"),
    ((*PAIR, "--answer", "Franceland"), "tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), USAGE, ids=[" ".join(a)[-40:] for a, _ in USAGE])
def test_usage(gpt2: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gpt2, *arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), FAILURES, ids=[" ".join(a)[-40:] for a, _ in FAILURES])
def test_failures_are_one_sentence(
    gpt2: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gpt2, *arguments) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_a_layer_without_an_mlp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = induction_checkpoint(tmp_path / "induction")
    assert run(folder, *INDUCTION, "--receiver", "L1.mlp") == 1
    assert "has no MLP" in capsys.readouterr().err


def test_an_answer_that_both_prompts_have_alike(desk: Desk) -> None:
    with pytest.raises(Refusal, match="no effect to recover"):
        of_pair(desk, PathGrid, target=Target((260,), (260,)))


def test_a_stop_is_asked_for_between_layers(desk: Desk) -> None:
    before = desk.checks
    of_pair(desk, PathGrid, "L1H3.q", "ioi")
    assert desk.checks > before + 3
