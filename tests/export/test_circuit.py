"""``circuit-tui export circuit FILE``: the app's own job, every refusal, the exit codes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.circuits.desk import Desk
from tests.models.folders import gpt2_folder, induction_checkpoint
from tui import export, kept
from tui.engine.jobs import CircuitScores, PreparePrompts, PromptRow
from tui.names import Circuit

ROWS = ({"prompt": "the capital of France is", "answer": "Paris", "distractor": "London"},
        {"prompt": "the capital of England is", "answer": "London", "distractor": "Paris"},
        {"prompt": "the king and the", "answer": "queen", "distractor": "king"})  # fmt: skip
FILES = {
    "facts.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "same.txt": "the capital of Paris is\nthe king of London is\n",
    "empty.txt": "",
    "some.circuit": "# what names the town\nL1H3\nL0.mlp # its MLP\nL0H1\n",
    "none.circuit": "# nothing yet\n",
    "bad.circuit": "L0H1\nL1.attn\n",
    "late.circuit": "L7H0\n",
    "edged.circuit": "L0H1 -> L1H3.k\nembed -> L0H1.v\nL1H3 -> logits\n",
    "two.circuit": "[a]\nL0H1\n[b]\nL0H2\n",
    "back.circuit": "L1H1 -> L0H1.q\n",
}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("circuit") / "tiny")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def run(model: Path, folder: Path, *arguments: str) -> int:
    """The exit code of ``circuit-tui export circuit …``, in this process."""
    parser = argparse.ArgumentParser(prog="circuit-tui export")
    export.add_arguments(parser)
    named = [str(folder / word) if word in FILES or word == "nothing.txt" else word for word in arguments]
    try:
        options = parser.parse_args([*named, "--model", str(model), "--device", "cpu"])
    except SystemExit as exit:
        return int(exit.code or 0)
    return export.export(options)


@pytest.fixture
def document(gpt2: Path, files: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def made(
        *arguments: str, model: Path = gpt2, folder: Path = files, view: str = "circuit"
    ) -> dict[str, Any]:
        out = tmp_path / "out.json"
        assert run(model, folder, view, *arguments, "--out", str(out)) == 0
        read: dict[str, Any] = json.loads(out.read_text())
        return read

    return made


@pytest.mark.parametrize("more", [(), ("--reference", "same.txt", "--seed", "3")], ids=["own", "another"])
def test_it_is_the_job(gpt2: Path, document: Callable[..., dict[str, Any]], more: tuple[str, ...]) -> None:
    got, desk = document("some.circuit", "--prompts", "facts.jsonl", *more), Desk(gpt2)
    prompts = desk.get(PreparePrompts(desk.key, "facts.jsonl", tuple(PromptRow(*row.values()) for row in ROWS), True))
    texts = FILES["same.txt"].splitlines() if more else [row["prompt"] for row in ROWS]
    name = "same.txt" if more else "facts.jsonl"
    reference = desk.get(PreparePrompts(desk.key, name, tuple(map(PromptRow, texts)), True))
    seed = 3 if more else 0
    want = desk.get(CircuitScores(desk.key, prompts, ("L0H1", "L0.mlp", "L1H3"), reference, seed))
    assert got["columns"] == list(want.columns)
    assert got["values"] == [list(row) for row in want.rows]
    said = got["convention"]
    assert (said["circuit"], said["seed"], said["kind"]) == ("L0H1, L0.mlp, L1H3", seed, "mean")
    assert said["reference"].startswith(name)
    names = [row[0] for row in got["values"]]
    assert names[:6] == ["F(full)", "F(circuit)", "F(empty)", "faithfulness", "completeness", "minimality"]
    assert names[6:] == ["minimality of L0H1", "minimality of L0.mlp", "minimality of L1H3"]
    for row in got["values"]:
        if row[0] not in ("F(full)", "F(empty)"):
            assert None not in row, "no number without its baseline"
    full, own, empty = (row[1] for row in got["values"][:3])
    assert got["values"][3][1] == pytest.approx((own - empty) / (full - empty))


def test_edges_and_a_circuit_that_was_kept(
    gpt2: Path, document: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the app kept is there by its name; edges have rows of their own, each beside random ones."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    desk = Desk(gpt2)
    edges = (("embed", "L0H1.v"), ("L0H1", "L1H3.k"), ("L1H3", "logits"))
    assert kept.write(desk.key, desk.info.name, "mine", Circuit(("L0H1", "L1H3"), edges)) == ""
    got = document("mine", "--prompts", "facts.jsonl")
    assert got["values"] == document("edged.circuit", "--prompts", "facts.jsonl")["values"]
    assert got["convention"]["circuit"] == "L0H1, L1H3, embed → L0H1.v, L0H1 → L1H3.k, L1H3 → logits"
    values = {row[0]: row[1:] for row in got["values"]}
    full, own, empty = (values[name][0] for name in ("F(full)", "F(circuit) by edges", "F(empty) by edges"))
    assert values["faithfulness by edges"][0] == pytest.approx((own - empty) / (full - empty))
    assert None not in values["faithfulness by edges"]
    assert "the embedding too" in got["details"]["by edges"]


def test_its_graph_is_a_table_of_edges(document: Callable[..., dict[str, Any]]) -> None:
    pair = ("--clean", "the capital of France is", "--corrupted", "the capital of England is", "--answer", "Paris")
    got = document("edged.circuit", *pair, view="circuit-graph")
    assert got["columns"] == ["sender", "receiver", "recovered"]
    assert {tuple(row[:2]) for row in got["values"]} == {
        ("embed", "L0H1.v"), ("L0H1", "L1H3.k"), ("L1H3", "logits")
    }  # fmt: skip
    assert got["convention"]["variant"] == "direct"
    weights = document("some.circuit", view="circuit-graph")
    assert {tuple(row[:2]) for row in weights["values"]} == {("L0H1", f"L1H3.{side}") for side in "qkv"}
    assert weights["columns"][2] == "z"


def test_answers_for_a_file_without(document: Callable[..., dict[str, Any]]) -> None:
    got = document("some.circuit", "--prompts", "same.txt", "--answer", "Paris", "--distractor", "London")
    assert (got["convention"]["answer"], got["convention"]["distractor"]) == (" Paris", " London")
    assert got["convention"]["mean"] == "per position"


def test_the_induction_circuit_is_the_hand_built_model(
    tmp_path: Path, document: Callable[..., dict[str, Any]]
) -> None:
    """Its two heads are all that there is: random pairs of heads are not."""
    folder = induction_checkpoint(tmp_path / "induction")
    rows = (("a b c d e a", "b"), ("f g h i j f", "g"), ("b c a e d b", "c"), ("h a d g c h", "a"))
    (tmp_path / "facts.jsonl").write_text(
        "".join(json.dumps({"prompt": text, "answer": answer, "distractor": "p"}) + "\n" for text, answer in rows)
    )
    (tmp_path / "some.circuit").write_text("L0H0\nL1H0\n")
    got = document("some.circuit", "--prompts", "facts.jsonl", model=folder, folder=tmp_path)
    values = {row[0]: row[1:] for row in got["values"]}
    assert values["faithfulness"][0] == pytest.approx(1.0, abs=1e-5)
    assert values["faithfulness"][2] < 0.5, "some pair has one head of the two"
    assert values["completeness"][0] == pytest.approx(0.0, abs=1e-5)
    assert values["minimality"][0] >= 0.0


ASKED = ("circuit", "some.circuit", "--prompts", "facts.jsonl")
USAGE = [
    (("circuit", "--prompts", "facts.jsonl"), "circuit needs a file after its name: one head or MLP a line"),
    (("circuit", "some.circuit"), "circuit needs --prompts FILE"),
    (("ablation", "some.circuit", "--prompt", "the"), "ablation reads no file of its own"),
    ((*ASKED, "--kind", "mean"), "circuit does not depend on it"),
    ((*ASKED, "--weights", "raw"), "circuit does not depend on it"),
    ((*ASKED, "--distractor", "Paris"), "needs --answer"),
    ((*ASKED, "--memory", "0"), "at least 1"),
    (("circuit-graph", "some.circuit", "--clean", "the"), "circuit-graph needs --clean TEXT and --corrupted TEXT, or"),
    (("circuit-graph", "some.circuit", "--answer", "Paris"), "--answer and --memory are of paths"),
]
FAILURES = [
    (("circuit", "nothing.txt", "--prompts", "facts.jsonl"), "cannot be read: No such file or directory."),
    (("circuit", "bad.circuit", "--prompts", "facts.jsonl"), "line 2: “L1.attn” is no part of a circuit"),
    (("circuit", "none.circuit", "--prompts", "facts.jsonl"), "The circuit is empty."),
    (("circuit", "late.circuit", "--prompts", "facts.jsonl"), "L7H0 is no head and no MLP of"),
    (("circuit", "two.circuit", "--prompts", "facts.jsonl"), "there are 2 circuits in it, a, b: name one"),
    (("circuit", "back.circuit", "--prompts", "facts.jsonl"), "line 1: L1H1 does not come before L0H1.q"),
    (("circuit", "some.circuit", "--prompts", "same.txt"), "Prompt 1 of same.txt has no answer"),
    ((*ASKED, "--reference", "empty.txt"), "There is no prompt in"),
    (("circuit", "some.circuit", "--prompts", "empty.txt"), "There is no prompt in"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), USAGE, ids=[" ".join(a)[-40:] for a, _ in USAGE])
def test_usage(
    gpt2: Path, files: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gpt2, files, *arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), FAILURES, ids=[" ".join(a)[-40:] for a, _ in FAILURES])
def test_failures_are_one_sentence(
    gpt2: Path, files: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gpt2, files, *arguments) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)
