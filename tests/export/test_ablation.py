"""``circuit-tui export ablation``: the app's own jobs, every refusal, the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.circuits.desk import Desk
from tests.export import headless
from tests.models.folders import gpt2_folder, random_checkpoint, tl_checkpoint
from tui.engine.jobs import Ablation, AblationTable, Effects, PreparePrompts, PromptRow, Prompts, Target, Tokenize
from tui.engine.jobs.parts import Forward
from tui.names import parts_at

PROMPT = "the capital of France is"
ROWS = ({"prompt": "the capital of France is", "answer": "Paris", "distractor": "London"},
        {"prompt": "the capital of England is", "answer": "London", "distractor": "Paris"},
        {"prompt": "the king and the", "answer": "queen", "distractor": "king"})  # fmt: skip


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("ablation") / "tiny")


@pytest.fixture(scope="module")
def desk(gpt2: Path) -> Desk:
    return Desk(gpt2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "same.txt").write_text("the capital of Paris is\nthe king of London is\n")
    (folder / "short.txt").write_text("the king\n")
    (folder / "empty.txt").write_text("")
    return folder


def run(model: Path, *arguments: str) -> int:
    """The exit code of ``circuit-tui export ablation …``."""
    return headless.run(model, "ablation", *arguments)


@pytest.fixture
def document(gpt2: Path, tmp_path: Path, files: Path) -> Callable[..., dict[str, Any]]:
    def made(*arguments: str, model: Path = gpt2) -> dict[str, Any]:
        out = tmp_path / "out.json"
        named = [str(files / word) if word.endswith((".txt", ".jsonl")) else word for word in arguments]
        assert run(model, *named, "--out", str(out)) == 0
        read: dict[str, Any] = json.loads(out.read_text())
        return read

    return made


def prompts_of(desk: Desk, name: str, rows: tuple[PromptRow, ...], target: Target | None = None) -> Prompts:
    made: Prompts = desk.get(PreparePrompts(desk.key, name, rows, True, target))
    return made


SAME = (PromptRow("the capital of Paris is"), PromptRow("the king of London is"))
FACTS = tuple(PromptRow(*row.values()) for row in ROWS)
UNANSWERED = tuple(PromptRow(row["prompt"]) for row in ROWS)


def same(got: dict[str, Any], want: Any) -> None:
    assert got["columns"] == list(want.columns)
    assert got["values"] == [list(row) for row in want.rows]
    assert got["checks"] == dict(want.header.checks)


def test_every_part_alone_is_the_pages_own(desk: Desk, document: Callable[..., dict[str, Any]]) -> None:
    got = document("--prompt", PROMPT, "--answer", "Paris", "--distractor", "London", "--position", "-2")
    ids = tuple(token["id"] for token in got["tokens"])
    want = desk.get(Effects(desk.run(*ids, bos=True), len(ids) - 2, Target((260,), (264,))))
    assert np.array_equal(np.array(got["values"], dtype=np.float32), want.values)
    assert got["rows"]["labels"] == list(want.rows.labels)
    assert got["view"] == "ablation"
    assert (got["convention"]["kind"], got["convention"]["value biases"]) == ("zero", "go with the head")


@pytest.mark.parametrize("kind", ["zero", "mean", "resample", "noise", "scale"])
def test_kinds_over_one_prompt(desk: Desk, document: Callable[..., dict[str, Any]], kind: str) -> None:
    amount = {"noise": ("--sigma", "0.5"), "scale": ("--alpha", "0.5")}.get(kind, ())
    read = ("--reference", "same.txt") if kind in ("mean", "resample", "noise") else ()
    seed = ("--seed", "3") if kind in ("resample", "noise") else ()
    got = document("--prompt", PROMPT, "--answer", "Paris", "--ablate", "L1H3, L0.mlp,L0H1@4,l1h2@2-5", "--kind", kind,
                   "--each", *amount, *read, *seed)  # fmt: skip
    ids = tuple(token["id"] for token in got["tokens"])
    rows, run_ = prompts_of(desk, "same.txt", SAME), desk.run(*ids, bos=True)
    changes = tuple(
        Ablation(part, kind, at, 0.5 if amount else 1.0, 3 if seed else 0, rows if read else None)  # type: ignore[arg-type]
        for part, at in (("L1H3", None), ("L0.mlp", None), ("L0H1", (4,)), ("L1H2", (2, 3, 4, 5)))
    )
    one = Prompts("one", "the prompt", (run_,), (Target((260,)),), (PROMPT,))
    same(got, desk.get(AblationTable(desk.key, one, changes, True, position=7)))
    assert [row[0] for row in got["values"]] == ["clean", "all", "L1H3", "L0.mlp", "L0H1@4", "L1H2@2-5"]
    said = got["convention"]
    assert said["ablate"] == "L1H3, L0.mlp, L0H1@4, L1H2@2-5"
    assert said["kind"] == kind
    if kind == "mean":
        assert said["mean"] == "per position"
        longer = document("--prompt", PROMPT, "--answer", "Paris", "--ablate", "L1H3", "--kind", kind, *read,
                          "--continuation", " Paris")  # fmt: skip
        assert longer["convention"]["mean"] == "per position"
        assert longer["details"]["mean of the loss"].startswith("over positions"), "its run is longer"
    # The same as a run with these changes in it.
    logits = desk.get(Forward(replace(run_, interventions=changes))).logits[-1]
    assert got["values"][1][1] == pytest.approx(float(logits[260] - logits.mean()), abs=1e-4)


def test_over_a_file_with_its_own_answers(desk: Desk, document: Callable[..., dict[str, Any]]) -> None:
    got = document("--prompts", "facts.jsonl", "--ablate", "L1H3,L0H2", "--kind", "mean", "--each", "--metric", "KL")
    rows = prompts_of(desk, "facts.jsonl", FACTS)
    read = prompts_of(desk, "facts.jsonl", UNANSWERED)
    changes = tuple(Ablation(part, "mean", reference=read) for part in ("L1H3", "L0H2"))
    same(got, desk.get(AblationTable(desk.key, rows, changes, True, "KL")))
    assert got["columns"][-1] == "change of KL"
    assert got["convention"]["reference"] == "facts.jsonl, 3 prompts", "the file is its own"
    assert str(got["convention"]["mean"]).startswith("over positions")
    singles = [
        document("--prompt", row["prompt"], "--answer", row["answer"], "--distractor", row["distractor"], "--ablate",
                 "L1H3,L0H2", "--kind", "mean", "--reference", "facts.jsonl")
        for row in ROWS
    ]  # fmt: skip
    for name, row in (("logit_difference_clean", 0), ("logit_difference_ablated", 1)):
        assert got["checks"][name] == pytest.approx(np.mean([one["checks"][name] for one in singles]), abs=1e-4)
        assert got["checks"][name] == got["values"][row][1]


def test_value_biases_stay_or_go(document: Callable[..., dict[str, Any]]) -> None:
    asked = ("--prompt", PROMPT, "--answer", "Paris", "--ablate", "L0H1")
    gone, processed, raw = (
        document(*asked, *more)["values"][1][1]
        for more in ((), ("--fold-value-biases",), ("--fold-value-biases", "--weights", "raw"))
    )
    assert len({round(value, 3) for value in (gone, processed, raw)}) == 3, "three names, three numbers"


def test_the_loss_of_a_continuation(desk: Desk, document: Callable[..., dict[str, Any]]) -> None:
    got = document("--prompt", PROMPT, "--answer", "Paris", "--ablate", "L0H1", "--continuation", " Paris and")
    ids = tuple(token["id"] for token in got["tokens"])
    more = desk.get(Tokenize(desk.key, " Paris and", False)).ids
    assert got["columns"][-2] == "loss"
    for row, changes in zip(got["values"], ((), (Ablation("L0H1"),)), strict=True):
        run_ = replace(desk.run(*ids, *more, bos=True), interventions=changes)
        chances = torch.as_tensor(desk.get(Forward(run_)).logits)[len(ids) - 1 : -1].log_softmax(-1)
        assert row[-2] == pytest.approx(-float(chances[[0, 1], list(more)].mean()), abs=1e-4)


def test_the_loss_without_each_part(desk: Desk, document: Callable[..., dict[str, Any]]) -> None:
    got = document("--prompt", PROMPT, "--answer", "Paris", "--continuation", " Paris and")
    named = document("--prompt", PROMPT, "--answer", "Paris", "--continuation", " Paris and", "--ablate", "L0H1")
    at = named["columns"].index("loss")
    row = got["values"][got["rows"]["labels"].index("L0H1")]
    change = named["values"][1][at] - named["values"][0][at]
    assert row[got["cols"]["labels"].index("loss")] == pytest.approx(change, abs=1e-5)


def test_outputs_that_are_classes(tmp_path: Path, document: Callable[..., dict[str, Any]]) -> None:
    folder = tl_checkpoint(tmp_path / "classes", *random_checkpoint(d_vocab_out=2))
    both = ("--answer", "class 1", "--distractor", "class 0")
    got = document("--token-ids", "1,2,3,4", *both, "--ablate", "L1H0,L0.mlp", model=folder)
    assert got["convention"]["answer"] == "class 1"
    assert got["checks"]["logit_difference_clean"] != got["checks"]["logit_difference_ablated"]
    whole = document("--token-ids", "1,2,3,4", "--answer", "class 1", model=folder)
    assert len(whole["values"][0]) == 7


ASKED = ("--prompt", PROMPT)
USAGE = [
    ((), "needs --prompt"),
    ((*ASKED, "--ablate", "L1H3x"), "“L1H3x” is no part: parts are L1H3 (a head)"),
    ((*ASKED, "--ablate", "L1.bias"), "is no part"),
    ((*ASKED, "--ablate", ""), "no part is named"),
    ((*ASKED, "--ablate", "L1H3@x"), "positions are written L1H3@4 or L1H3@2-5"),
    ((*ASKED, "--ablate", "L1H3@5-2"), "goes upwards"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "mean"), "--kind mean needs --reference FILE"),
    ((*ASKED, "--kind", "resample"), "--kind resample needs --reference FILE"),
    ((*ASKED, "--ablate", "L1H3", "--reference", "a.txt"), "--reference is for --kind mean, resample, noise"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "scale"), "needs --alpha"),
    ((*ASKED, "--ablate", "L1H3", "--alpha", "2"), "--alpha is for --kind scale"),
    ((*ASKED, "--ablate", "L1H3", "--sigma", "2"), "--sigma is for --kind noise"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "scale", "--alpha", "nan"), "a finite number"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "scale", "--alpha", "x"), "invalid float value"),
    ((*ASKED, "--ablate", "L1H3", "--seed", "2"), "zero draws nothing"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "scale", "--alpha", "1", "--fold-value-biases"), "is for --kind zero"),
    ((*ASKED, "--ablate", "L1H3", "--weights", "raw"), "needs --fold-value-biases"),
    ((*ASKED, "--each"), "--each needs --ablate"),
    ((*ASKED, "--metric", "KL"), "--metric needs --ablate"),
    (("--prompts", "a.txt"), "--prompts needs --ablate"),
    (("--prompts", "a.txt", "--ablate", "L1H3", "--position", "2"), "--position is for one prompt"),
    ((*ASKED, "--ablate", "L1H3", "--distractor", "Paris"), "needs --answer"),
    ((*ASKED, "--ablate", "L1H3", "--position", "19"), "there are 8 tokens"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "pattern"), "not for ablation"),
    ((*ASKED, "--ablate", "L1H3", "--head", "L1H3"), "does not depend on it"),
]
FAILURES = [
    ((*ASKED, "--ablate", "L9H3"), "L9H3 does not exist"),
    ((*ASKED, "--ablate", "L1H3@8"), "Position 8 is not in the prompt: its positions are 0 to 7."),
    ((*ASKED, "--ablate", "L1N99999"), "L1N99999 does not exist"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "mean", "--reference", "empty.txt"), "There is no prompt in"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "mean", "--reference", "nothing.txt"), "nothing.txt"),
    ((*ASKED, "--ablate", "L1H3", "--kind", "resample", "--reference", "short.txt"),
     "No prompt of short.txt has 8 tokens, as this one: there is nothing to resample from. Choose mean"),
    (("--prompts", "facts.jsonl", "--ablate", "L1H3", "--kind", "resample", "--reference", "same.txt"),
     "No prompt of same.txt has 7 tokens"),
    ((*ASKED, "--ablate", "L1H3", "--continuation", ""), "is empty"),
    ((*ASKED, "--ablate", "L1H3", "--answer", "Franceland"), "tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), USAGE, ids=[" ".join(a)[-40:] for a, _ in USAGE])
def test_usage(gpt2: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gpt2, *arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), FAILURES, ids=[" ".join(a)[-40:] for a, _ in FAILURES])
def test_failures_are_one_sentence(
    gpt2: Path, files: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(files / word) if word.endswith((".txt", ".jsonl")) else word for word in arguments]
    assert run(gpt2, *named) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_text_has_the_two_numbers_in_full(gpt2: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(gpt2, *ASKED, "--ablate", "L1H3") == 0
    said = capsysbinary.readouterr().out.decode()
    line = next(line for line in said.splitlines() if line.startswith("logit_difference_clean = "))
    assert "e" not in line.partition("=")[2]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("L1H3", (("L1H3", None),)), (" l1h3 , L2.MLP", (("L1H3", None), ("L2.mlp", None))),
        ("L0H1@4", (("L0H1", (4,)),)), ("L1@2-4,L1.attn@-1", (("L1", (2, 3, 4)), ("L1.attn", (-1,)))),
        ("L1N17@-3--2", (("L1N17", (-3, -2)),)), ("L01H03", (("L1H3", None),)), ("L1H3,L1H3", (("L1H3", None),)),
    ],
)  # fmt: skip
def test_parts_as_they_are_typed(text: str, want: object) -> None:
    assert parts_at(text) == want


@pytest.mark.parametrize("text", ["", "L", "H3", "L1H", "L1H3,", "L1H3@", "L1H3@@2", "L1H3@-2-3", "L1.bias", "L1N"])
def test_what_is_no_part(text: str) -> None:
    assert isinstance(parts_at(text), str)
