"""``circuit-tui export``: the files, the words on stderr, the exit codes."""

from __future__ import annotations

import argparse
import csv
import errno
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.circuits.desk import Desk
from tests.export.headless import run
from tests.models.folders import (
    gpt2_folder,
    induction_checkpoint,
    llama_folder,
    llama_tokenizer,
    random_checkpoint,
    tl_checkpoint,
)
from tui import export, formats
from tui.engine.jobs import (
    QK,
    Ablation,
    Attribution,
    CutEdge,
    Lens,
    Neurons,
    Pattern,
    ResidualParts,
    Run,
    ScoreParts,
    Sources,
    Target,
    Tokenize,
)
from tui.results import Axis, Curve, Grid, Header, frozen

PROMPT = "the capital of France is"
KEYS = {
    *("view", "model", "head", "prompt", "tokens", "rows", "cols", "values"),
    *("quantity", "formula", "convention", "checks", "versions"),
}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("export") / "tiny")


@pytest.fixture(scope="module")
def desk(gpt2: Path) -> Desk:
    return Desk(gpt2)


def document(model: Path, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    out = tmp_path / "out.json"
    assert run(model, *arguments, "--out", str(out)) == 0
    read: dict[str, Any] = json.loads(out.read_text())
    return read


def test_json_says_everything(gpt2: Path, tmp_path: Path, desk: Desk) -> None:
    got = document(gpt2, tmp_path, "pattern", "--prompt", PROMPT, "--head", "L1H2")
    assert set(got) >= KEYS
    assert (got["view"], got["model"], got["head"], got["prompt"]) == ("pattern", "tiny", "L1H2", PROMPT)
    assert got["tokens"][0] == {"id": 269, "text": "<|bos|>"}
    assert got["rows"]["labels"] == [token["text"] for token in got["tokens"]]
    ids = tuple(token["id"] for token in got["tokens"])
    want = desk.get(Pattern(desk.run(*ids, bos=True), 1, 2)).values
    assert (np.array(got["values"], dtype=np.float32) == want)[~np.isnan(want)].all()
    assert got["values"][0][1:] == [None] * (len(ids) - 1)
    assert got["convention"]["bos"] is True
    assert {"weights", "dtype", "device"} <= set(got["convention"])
    assert got["checks"]["max |softmax(scaled) − pattern|"] < 1e-5
    assert {"circuit-tui", "torch", "transformer-lens", "numpy", "python"} <= set(got["versions"])
    assert all(got["versions"].values())


def test_defaults_are_the_article_s(gpt2: Path, tmp_path: Path, desk: Desk) -> None:
    got = document(gpt2, tmp_path, "qk", "--tokens", "France, Paris, king", "--head", "L1H3")
    assert [token["text"] for token in got["tokens"]] == [" France", " Paris", " king"]
    assert got["formula"] == "x_i W_QK x_jᵀ"
    said = {"bos": False, "form": "bilinear", "normalize": "none", "basis": "embed", "weights": "processed"}
    assert said.items() <= got["convention"].items()
    ids = tuple(token["id"] for token in got["tokens"])
    assert (np.array(got["values"], dtype=np.float32) == desk.get(QK(desk.key, 1, 3, ids, ids)).values).all()


def test_options_reach_the_job(gpt2: Path, tmp_path: Path) -> None:
    got = document(
        gpt2, tmp_path, "qk", "--token-ids", "0:4,9", "--head", "l1h3", "--form", "scaled", "--normalize", "zscore",
        "--baseline", "vocabulary", "--basis", "normed", "--weights", "raw", "--term", "token-position",
    )  # fmt: skip
    assert [token["id"] for token in got["tokens"]] == [0, 1, 2, 3, 9]
    said = {"form": "scaled", "normalize": "zscore", "baseline": "vocabulary", "basis": "normed", "weights": "raw"}
    assert (said | {"term": "token-position"}).items() <= got["convention"].items()
    assert got["cols"] == {"name": "key position", "labels": ["0", "1", "2", "3", "4"]}


def test_views(gpt2: Path, tmp_path: Path) -> None:
    tokens = document(gpt2, tmp_path, "tokens", "--prompt", PROMPT, "--bos", "off")
    assert [token["text"] for token in tokens["tokens"]][-2:] == [" France", " is"]
    assert tokens["convention"]["bos"] is False
    assert set(tokens) >= KEYS
    assert tokens["values"] == [[token["id"]] for token in tokens["tokens"]]
    assert run(gpt2, "tokens", "--prompt", PROMPT, "--bos", "off", "--out", str(tmp_path / "tokens.npz")) == 0
    arrays = np.load(tmp_path / "tokens.npz")
    assert arrays["values"].tolist() == tokens["values"]
    assert (arrays["rows"].tolist(), arrays["cols"].tolist()) == (tokens["rows"]["labels"], tokens["cols"]["labels"])
    layer = document(gpt2, tmp_path, "pattern", "--prompt", PROMPT, "--head", "L1")
    assert [grid["head"] for grid in layer["grids"]] == ["L1H0", "L1H1", "L1H2", "L1H3"]
    scores = document(gpt2, tmp_path, "scores", "--prompt", PROMPT, "--head", "L1H0")
    assert scores["view"] == "scores"
    whole = document(gpt2, tmp_path, "ov", "--tokens", "France", "--head", "L0H0", "--outputs", "all")
    assert len(whole["values"][0]) == 270
    direct = document(gpt2, tmp_path, "ov", "--tokens", "France")
    assert (direct["head"], direct["formula"]) == (None, "W_E W_U")
    stream = document(gpt2, tmp_path, "residual", "--prompt", PROMPT, "--unit", "head")
    assert stream["rows"]["labels"][:3] == ["embed", "pos", "L0H0"]
    parts = document(gpt2, tmp_path, "residual", "--prompt", PROMPT, "--position", "-1", "--answer", "Paris")
    assert parts["columns"] == ["part", "norm", "answer"]
    assert parts["convention"]["answer"] == " Paris"
    assert parts["checks"]["max |Σ parts − logit|"] < 1e-4
    prompt = document(gpt2, tmp_path, "qk", "--prompt", PROMPT, "--head", "L1H0", "--basis", "prompt")
    assert prompt["values"][0][1] is None


def test_the_stream_in_depth(gpt2: Path, tmp_path: Path, desk: Desk) -> None:
    """Each view of the stream: the app's own job, the same float32 numbers."""
    asked = ("--prompt", PROMPT, "--answer", "Paris, king", "--distractor", "London")
    attribution = document(gpt2, tmp_path, "attribution", *asked, "--unit", "head")
    run_ = desk.run(*(token["id"] for token in attribution["tokens"]), bos=True)
    last = len(run_.ids) - 1
    target = Target((260, 262), (264,))
    want = desk.get(Attribution(run_, last, target))
    assert attribution["rows"]["labels"] == list(want.rows.labels)
    named = {"L0H0", "L0.mlp", "L0.bias", "embed", "pos", "unembed.bias", "rounding"}
    assert named <= set(attribution["rows"]["labels"])
    assert np.array_equal(np.array(attribution["values"], dtype=np.float32), want.values)
    assert len(attribution["cols"]["labels"]) == 1
    assert set(attribution["checks"]) == {"value", "sum", "error"}
    assert attribution["checks"]["error"] < 1e-4
    assert sum(row[0] for row in attribution["values"]) == pytest.approx(attribution["checks"]["value"], abs=1e-4)
    assert attribution["convention"]["answer"] == " Paris,  king"

    lens = document(gpt2, tmp_path, "lens", *asked, "--measure", "rank", "--mids")
    assert np.array_equal(np.array(lens["values"], dtype=np.float32), desk.get(Lens(run_, "rank", target, True)).values)
    assert lens["rows"]["labels"] == ["L0.pre", "L0.mid", "L1.pre", "L1.mid", "L1.post"]
    assert len(lens["text"]) == 5
    curve = document(gpt2, tmp_path, "lens", *asked, "--position", "-1")
    assert len(curve["series"]) == 2
    top = document(gpt2, tmp_path, "lens", "--prompt", PROMPT, "--state", "L1.post", "--position", "-1")
    likeliest = top["values"][0][top["columns"].index("id")]
    default = document(gpt2, tmp_path, "attribution", "--prompt", PROMPT)
    assert default["values"] != attribution["values"]
    named = document(gpt2, tmp_path, "attribution", "--prompt", PROMPT, "--answer", f"#{likeliest}")
    assert default["values"] == named["values"], "without an answer: the likeliest next token"

    sources = document(gpt2, tmp_path, "sources", *asked, "--head", "L1H2")
    values = desk.get(Sources(run_, 1, 2, target)).values
    got = np.array([[np.nan if cell is None else cell for cell in row] for row in sources["values"]], dtype=np.float32)
    assert np.array_equal(got, values, equal_nan=True)
    row = document(gpt2, tmp_path, "sources", *asked, "--head", "L1H2", "--position", "-1")
    assert row["columns"] == ["source", "position", "contribution", "pattern", "OV"]
    split = document(gpt2, tmp_path, "score-parts", "--prompt", PROMPT, "--head", "L1H2", "--key", "3")
    assert np.array_equal(
        np.array(split["values"], dtype=np.float32), desk.get(ScoreParts(run_, 1, 2, last, 3)).values
    )
    assert split["checks"]["error"] < 1e-4
    for measure, rows in (("norm", 3), ("final", 3), ("writes", 6)):
        stream = document(gpt2, tmp_path, "stream", "--prompt", PROMPT, "--measure", measure)
        assert len(stream["values"]) == rows
    neurons = document(gpt2, tmp_path, "neurons", *asked, "--layer", "1")
    activations = desk.get(Neurons(run_, 1, last, target)).values
    assert np.array_equal(np.array(neurons["values"], dtype=np.float32), activations)
    top_neuron = neurons["rows"]["labels"][0]
    writes = document(gpt2, tmp_path, "neurons", "--neuron", top_neuron)
    assert writes["columns"] == ["part", "rank", "token", "id", "value"]
    by_neuron = document(gpt2, tmp_path, "attribution", *asked, "--unit", "neuron", "--layer", "L1")
    assert by_neuron["rows"]["labels"][0] == top_neuron
    for vector in (("--part", "L1H2"), ("--state", "L1.pre"), ("--head", "L1H2", "--source", "2")):
        assert document(gpt2, tmp_path, "directions", "--prompt", PROMPT, *vector)["columns"] == writes["columns"]


def test_over_a_file_of_prompts(gpt2: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "the capital of France is", "answer": "Paris", "distractor": "London"},
            {"prompt": "the capital of England is", "answer": "London", "distractor": "Paris"},
            {"prompt": "the king and the", "answer": "queen"}]  # fmt: skip
    file = tmp_path / "facts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    over = document(gpt2, tmp_path, "attribution", "--prompts", str(file))
    assert over["cols"]["labels"] == ["mean", "spread"]
    each = [
        document(gpt2, tmp_path, "attribution", "--prompt", row["prompt"], "--answer", row["answer"],
                 *(("--distractor", row["distractor"]) if "distractor" in row else ()))
        for row in rows
    ]  # fmt: skip
    singles = np.array([[line[0] for line in one["values"]] for one in each])
    assert np.abs(np.array(over["values"])[:, 0] - singles.mean(0)).max() < 1e-5
    assert np.abs(np.array(over["values"])[:, 1] - singles.std(0)).max() < 1e-5
    lens = document(gpt2, tmp_path, "lens", "--prompts", str(file))
    assert lens["columns"][:2] == ["state", "probability"]
    pattern = document(gpt2, tmp_path, "pattern", "--prompts", str(file), "--head", "L1H0")
    assert len(pattern["values"]) == min(len(one["tokens"]) for one in each), "the shortest prompt's length"
    contexts = document(gpt2, tmp_path, "contexts", "--prompts", str(file), "--head", "L1H0", "--token", "capital")
    assert contexts["columns"][:4] == ["attention", "prompt", "query position", "key position"]
    assert {row[1] for row in contexts["values"]} == {0, 1}


FACTS = ({"text": "the capital of France is", "label": "Paris", "id": 1},
         {"text": "the capital of England is", "label": "London", "id": 2})  # fmt: skip


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv"])
def test_fields_of_a_file_have_other_names(
    gpt2: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers are those of the file with our names; what is not read is said, and is no error."""
    file, ours = tmp_path / f"facts.{form}", tmp_path / "ours.jsonl"
    rows = [",".join(FACTS[0]), *(",".join(map(str, fact.values())) for fact in FACTS)]
    lines = "\n".join(map(json.dumps, FACTS))
    tables = {"csv": "\n".join(rows), "tsv": "\n".join(rows).replace(",", "\t")}
    file.write_text({"json": json.dumps(FACTS), "jsonl": lines, **tables}[form])
    ours.write_text("\n".join(json.dumps({"prompt": fact["text"], "answer": fact["label"]}) for fact in FACTS))
    mapped = document(gpt2, tmp_path, "attribution", "--prompts", str(file), "--fields", "prompt=text,answer=label")
    noun = "keys" if form.startswith("json") else "columns"
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"circuit-tui: facts.{form} has {noun} that are not used: 'id'.\n")
    assert document(gpt2, tmp_path, "attribution", "--prompts", str(ours))["values"] == mapped["values"]
    assert capsys.readouterr().err == ""
    half = document(gpt2, tmp_path, "attribution", "--prompts", str(file), "--fields", "prompt=text")
    assert half["values"] != mapped["values"]
    assert "--fields answer=label reads answers from there" in capsys.readouterr().err


def test_a_file_of_prompts_that_is_none(gpt2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text("\n".join(map(json.dumps, FACTS)))
    for fields, sentence in ((), "has no prompt"), (("--fields", "prompt=txt"), "has no key 'txt'"):
        assert run(gpt2, "attribution", "--prompts", str(file), *fields) == 1
        said = capsys.readouterr()
        assert sentence in said.err
        assert (said.out, len(said.err.splitlines())) == ("", 1)


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose tokenizer puts a blank before every text, as ``▁``."""
    from transformers import PreTrainedTokenizerFast

    folder, tokens = tmp_path_factory.mktemp("sentencepiece"), llama_tokenizer()
    llama_folder(folder, vocab_size=len(tokens.get_vocab()))
    made = PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="<unk>")
    made.save_pretrained(folder)
    return folder


def test_a_word_goes_on_the_prompt(sentencepiece: Path, tmp_path: Path) -> None:
    for word, token in (("her", " her"), ("a", " a"), ("9", "9"), (".", ".")):
        got = document(sentencepiece, tmp_path, "attribution", "--prompt", "a her", "--answer", word)
        assert got["convention"]["answer"] == token


@pytest.mark.parametrize(
    ("asked", "sentence", "first"),
    [
        (["--answer", "him"], '"him" is 2 tokens: " h" "im" (without the blank before it: "h" "im").', " h"),
        (["--answer", "her", "--distractor", "him"], '"him" is 2 tokens: " h" "im"', " h"),
        (["--answer", "him her"], '"him her" is 3 tokens: " h" "im" " her"', " h"),
        (["--answer", "9+9"], '"9+9" is 4 tokens: " " "9" "+" "9" (without the blank before it: "9" "+" "9").', "9"),
    ],
)
@pytest.mark.parametrize("view", ["attribution", "residual"])
def test_a_split_answer_shows_a_step_that_works(
    sentencepiece: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], view: str, asked: list[str],
    sentence: str, first: str,
) -> None:  # fmt: skip
    """Never a lone blank, which nobody means."""
    assert run(sentencepiece, view, "--prompt", "a her", *asked) == 1
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert sentence in said.err
    step = re.search(r'or a token\'s id: (#\d+) is "(.+)"\.$', said.err.strip())
    assert step is not None
    assert step[2] == first
    got = document(sentencepiece, tmp_path, view, "--prompt", "a her", "--answer", step[1])
    assert got["convention"]["answer"] == first


CLASSES = ["no", "yes, certainly", "not known"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 tokens in, 3 classes out."""
    folder = tl_checkpoint(tmp_path_factory.mktemp("classes"), *random_checkpoint(d_vocab_out=3))
    (folder / "vocab_out.json").write_text(json.dumps(CLASSES))
    return folder


def test_outputs_that_are_classes(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = ("--prompt", "3 1 4 1 5")
    by_id = document(classifier, tmp_path, "attribution", *prompt, "--answer", "#1")
    by_name = document(classifier, tmp_path, "attribution", *prompt, "--answer", "yes, certainly")
    assert by_id["convention"]["answer"] == "yes, certainly"
    assert by_id["values"] == by_name["values"]
    against = document(classifier, tmp_path, "attribution", *prompt, "--answer", "#1", "--distractor", "#0")
    assert (against["convention"]["answer"], against["convention"]["distractor"]) == ("yes, certainly", "no")
    lens = document(classifier, tmp_path, "lens", *prompt)
    assert {cell for row in lens["text"] for cell in row} <= set(CLASSES)
    ov = document(classifier, tmp_path, "ov", "--token-ids", "3,1", "--head", "L1H2")
    assert ov["cols"]["labels"] == CLASSES
    written = document(classifier, tmp_path, "neurons", "--neuron", "L0N7")
    assert {row[written["columns"].index("token")] for row in written["values"]} <= set(CLASSES)
    for asked, sentence in (
        (["attribution", *prompt, "--answer", "7"], "none of this model's outputs"),
        (["attribution", *prompt, "--answer", "#3"], "Output 3 does not exist"),
        (["copying"], "3 classes of their own"),
        (["search", "--pairs", "3>1", "--circuit", "ov"], "3 classes of their own"),
    ):
        assert run(classifier, *asked) == 1, asked
        said = capsys.readouterr()
        assert sentence in said.err
        assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_help_says_each_thing_once() -> None:
    """What is said of a view in an option's help stands there once."""
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    views = next(action.choices for action in parser._actions if action.dest == "view")
    for action in parser._actions:
        for view in views or ():
            assert len(re.findall(rf"(?<![\w-]){view}(?=: )", action.help or "")) <= 1, (action.dest, action.help)


def test_rotary_offset(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "llama")
    near = document(folder, tmp_path, "qk", "--tokens", "France, Paris", "--head", "L1H0")
    far = document(folder, tmp_path, "qk", "--tokens", "France, Paris", "--head", "L1H0", "--offset", "5")
    assert (near["convention"]["offset"], far["convention"]["offset"]) == (0, 5)
    assert near["values"] != far["values"]


def test_a_number_is_a_word_or_an_id_as_the_option_says(gpt2: Path, tmp_path: Path) -> None:
    words = document(gpt2, tmp_path, "tokens", "--tokens", "1,2")
    assert [token["text"] for token in words["tokens"]] == ["1", "2"]
    ids = document(gpt2, tmp_path, "tokens", "--token-ids", "1, 2, 4:6")
    assert [token["id"] for token in ids["tokens"]] == [1, 2, 4, 5]
    parts = document(gpt2, tmp_path, "residual", "--prompt", PROMPT, "--answer", "5")
    assert parts["convention"]["answer"] == "5"


def test_a_bos_in_the_prompt_is_said(gpt2: Path, tmp_path: Path) -> None:
    """Under every view, and it is not doubled."""
    for view, asked in (("tokens", ()), ("pattern", ("--head", "L1H2"))):
        plain = document(gpt2, tmp_path, view, *asked, "--prompt", PROMPT)
        typed = document(gpt2, tmp_path, view, *asked, "--prompt", f"<|bos|>{PROMPT}")
        assert typed["tokens"] == plain["tokens"]
        assert typed["values"] == plain["values"]
        assert "bos from" not in plain["convention"]
        assert typed["convention"] == {**plain["convention"], "bos from": "the text"}
        off = document(gpt2, tmp_path, view, *asked, "--prompt", f"<|bos|>{PROMPT}", "--bos", "off")
        assert (off["convention"]["bos"], off["convention"]["bos from"]) == (False, "the text")


def test_checkpoint_known_answer(tmp_path: Path) -> None:
    folder = induction_checkpoint(tmp_path / "induction")
    got = document(folder, tmp_path, "ov", "--token-ids", "0:16", "--head", "L1H0")
    assert np.abs(np.array(got["values"]) - (np.eye(16) - 1 / 16)).max() < 1e-6


def test_numbers_survive_every_format(gpt2: Path, tmp_path: Path) -> None:
    """JSON, CSV and NPZ carry the same float32 values; masked cells are null, empty, NaN."""
    asked = ("scores", "--prompt", PROMPT, "--head", "L0H1")
    for form in ("json", "csv", "npz", "txt"):
        assert run(gpt2, *asked, "--out", str(tmp_path / f"a.{form}")) == 0
    plain = json.loads((tmp_path / "a.json").read_text())
    want = np.array([[np.nan if cell is None else cell for cell in row] for row in plain["values"]], dtype=np.float32)
    rows = list(csv.reader((tmp_path / "a.csv").open(encoding="utf-8")))
    assert rows[0] == ["query\\key", *plain["cols"]["labels"]]
    assert [row[0] for row in rows[1:]] == plain["rows"]["labels"]
    read = np.array([[float(cell or "nan") for cell in row[1:]] for row in rows[1:]], dtype=np.float32)
    arrays = np.load(tmp_path / "a.npz")
    for other in (read, arrays["values"]):
        assert np.array_equal(other, want, equal_nan=True)
    assert arrays["rows"].tolist() == plain["rows"]["labels"]
    assert arrays["cols"].tolist() == plain["cols"]["labels"]
    meta = json.loads(str(arrays["meta"]))
    assert meta == {name: value for name, value in plain.items() if name != "values"}
    text = (tmp_path / "a.txt").read_text()
    assert "L0H1 · attention scores" in text
    assert "·France" in text
    assert "bos on" in text


def test_picture(gpt2: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    assert run(gpt2, "pattern", "--prompt", PROMPT, "--head", "L0H1", "--out", str(out)) == 0
    assert ElementTree.fromstring(out.read_text()).tag.endswith("svg")


def test_text_goes_to_stdout_and_nothing_to_stderr(gpt2: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    capfdbinary.readouterr()
    assert run(gpt2, "qk", "--tokens", "France, Paris", "--head", "L0H0") == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    assert out.decode().splitlines()[0] == "L0H0 · QK circuit, bilinear: x_i W_QK x_jᵀ"
    assert "\x1b" not in out.decode()


def test_other_results_can_be_written(desk: Desk, tmp_path: Path) -> None:
    """``e`` writes whatever is shown, from the result itself."""
    run = desk.run(1, 2, 3)
    table = desk.get(ResidualParts(run, 2))
    for form in ("json", "csv", "npz", "txt"):
        path = tmp_path / f"table.{form}"
        assert export.write(table, path, desk.info) == path
    lines = list(csv.reader((tmp_path / "table.csv").open()))
    assert lines[0] == ["part", "norm"]
    assert np.load(tmp_path / "table.npz")["part"].tolist() == [row[0] for row in table.rows]
    header = Header("qk", "curve", "f")
    curve = Curve(header, "distance", "score", frozen(np.arange(3)), {"a → b": frozen(np.arange(3) / 2)})
    for form in ("json", "csv", "npz", "txt"):
        export.write(curve, tmp_path / f"curve.{form}", desk.info)
    assert (tmp_path / "curve.csv").read_text().splitlines()[1:] == ["0.0,0.0", "1.0,0.5", "2.0,1.0"]
    with pytest.raises(ValueError, match="ending"):
        export.write(table, tmp_path / "table.pdf", desk.info)


USAGE = [
    (["qk", "--tokens", "France"], "needs --head"),
    (["qk", "--head", "L0H0"], "needs --prompt, --tokens or --token-ids"),
    (["qk", "--head", "X1", "--tokens", "France"], "written L1H3"),
    (["qk", "--head", "L1", "--tokens", "France"], "names a layer"),
    (["tokens", "--head", "L0H0"], "--head is for pattern and scores and contexts and qk"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--basis", "prompt"], "needs --prompt"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--offset", "2"], "rotary"),
    (["qk", "--head", "L0H0", "--token-ids", "one"], "written 1,2,3 or 0:52"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--out", "a.pdf"], "says no format"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--out", "no/such/a.csv"], "no such folder"),
    (["pattern", "--head", "L0H0", "--prompt", "the", "--normalize", "zscore"], "does not depend on it"),
    (["qk", "--head", "L0H0", "--prompt", "the", "--basis", "prompt", "--offset", "2"], "its real positions"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--baseline", "vocabulary"], "needs --normalize"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--bos", "on"], "get no BOS"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--out", ""], "needs a file name"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--threads", "0"], "at least 1"),
    (["qk", "--head", "L" + "1" * 5000 + "H0", "--tokens", "France"], "written L1H3"),
    (["qk", "--head", "L0H0", "--token-ids", ""], "written 1,2,3 or 0:52"),
    (["qk", "--head", "L0H0", "--token-ids", "\u0663"], "written 1,2,3 or 0:52"),
    (["pattern", "--head", "L0", "--prompt", "the", "--kind", "value-weighted"], "needs a head"),
    (["residual", "--prompt", "the", "--answer", "Paris", "--measure", "norm"], "changes nothing"),
    (["residual", "--prompt", "the", "--measure", "answer"], "needs --answer"),
    (["residual", "--prompt", "the", "--position", "9"], "there are 4 tokens"),
    (["lens", "--prompt", "the", "--measure", "norm"], "not for lens, which has probability"),
    (["attribution", "--prompt", "the", "--unit", "neuron"], "--layer go together"),
    (["attribution", "--prompt", "the", "--layer", "x", "--unit", "neuron"], "written L2"),
    (["stream", "--prompt", "the", "--unit", "neuron"], "not for stream"),
    (["lens", "--prompt", "the", "--answer", "Paris", "--measure", "kl"], "--measure answer or rank"),
    (["sources", "--prompt", "the"], "needs --head"),
    (["score-parts", "--prompt", "the", "--head", "L1H0"], "needs --key"),
    (["score-parts", "--prompt", "the", "--head", "L1H0", "--key", "9"], "there are 4 tokens"),
    (["neurons", "--prompt", "the"], "needs --layer"),
    (["neurons", "--neuron", "L2H1"], "written L2N17"),
    (["directions", "--prompt", "the"], "needs one of"),
    (["directions", "--prompt", "the", "--source", "1"], "go together"),
    (["contexts", "--prompt", "the", "--head", "L0H0", "--token", "the"], "needs --prompts FILE"),
    (["qk", "--head", "L0H0", "--prompts", "a.txt"], "--prompts is for pattern and contexts and lens and attribution"),
    (["pattern", "--prompt", "the", "--head", "L0H0", "--statistic", "spread"], "one prompt has one pattern"),
    (["pattern", "--prompts", "a.txt", "--head", "L0"], "names a layer"),
    (["attribution", "--prompt", "the", "--distractor", "Paris"], "needs --answer"),
    (["lens", "--prompts", "a.txt", "--measure", "kl"], "gives every measure"),
    (["pattern", "--prompt", "the", "--head", "L0H0", "--fields", "prompt=text"], "--fields is for --prompts"),
    (["attribution", "--prompts", "a.txt", "--fields", "text"], "Write prompt=text,answer=label"),
    (["attribution", "--prompts", "a.txt", "--fields", "prompt=a,prompt=b"], "fields are prompt, answer, distractor"),
    (["svd", "--head", "L0H0", "--prompt", ""], "reads the weights alone"),
    (["nothing", "--prompt", "the"], "invalid choice"),
    (["qk", "--head", "L0H0", "--tokens", "a", "--prompt", "b"], "not allowed with"),
]
FAILURES = [
    (["qk", "--head", "L5H0", "--tokens", "France"], "L5H0 does not exist"),
    (["qk", "--head", "L0H0", "--tokens", "Franceland"], '"Franceland" is 11 tokens'),
    (["qk", "--head", "L0H0", "--token-ids", "0:999"], "998 does not exist"),
    (["qk", "--head", "L0H0", "--token-ids", "3:1"], "empty range"),
    (["qk", "--head", "L0H0", "--tokens", ""], "The token list is empty"),
    (["qk", "--head", "L0H0", "--tokens", " , "], "The token list is empty"),
    (["residual", "--prompt", "the", "--answer", "12"],
     '"12" is 3 tokens: " " "1" "2" (without the blank before it: "1" "2").'),
    (["attribution", "--prompt", "the", "--answer", "#9999"], "9999"),
    (["lens", "--prompt", "the", "--state", "L9.pre", "--position", "0"], "L9.pre"),
    (["directions", "--prompt", "the", "--part", "L9H0"], "L9H0"),
    (["neurons", "--neuron", "L0N99999"], "99999"),
    (["attribution", "--prompts", "nothing.txt"], "nothing.txt"),
    (["score-parts", "--prompt", "the", "--head", "L1H0", "--query", "0", "--key", "2"], "cannot see"),
    (["qk", "--head", "L0H0", "--tokens", "France", "--basis", "effective"], "not for layer 0"),
    (["pattern", "--head", "L0H0", "--prompt", "the " * 40], "at most 32"),
    (["pattern", "--head", "L0H0", "--prompt", "", "--bos", "off"], "empty"),
    (["tokens", "--prompt", "the", "--format", "svg"], "no picture"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), USAGE, ids=[" ".join(a)[:40] for a, _ in USAGE])
def test_usage(gpt2: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gpt2, *arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), FAILURES, ids=[" ".join(a)[:40] for a, _ in FAILURES])
def test_failures_are_one_sentence(
    gpt2: Path, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert run(gpt2, *arguments, *(() if "--format" in arguments else ("--out", str(out)))) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_no_space_leaves_the_old_file(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out.json"
    out.write_text("as it was")
    monkeypatch.setattr("os.fsync", full)
    assert run(gpt2, "qk", "--tokens", "France", "--head", "L0H0", "--out", str(out)) == 1
    assert capsys.readouterr().err == "circuit-tui: No space left on device\n"
    assert out.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [out]


def test_an_unwritable_folder_is_named_by_the_file_asked_for(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = os.open

    def denied(path: Any, *how: Any, **more: Any) -> int:
        if Path(path).parent == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return opened(path, *how, **more)

    monkeypatch.setattr(os, "open", denied)
    out = tmp_path / "out.json"
    assert run(gpt2, "tokens", "--prompt", "the", "--out", str(out)) == 1
    assert capsys.readouterr().err == f"circuit-tui: Permission denied: {out}\n"
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(gpt2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.json").mkdir()
    assert run(gpt2, "tokens", "--prompt", "the", "--out", str(tmp_path / "out.json")) == 1
    assert capsys.readouterr().err == f"circuit-tui: Is a directory: {tmp_path / 'out.json'}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_link_is_followed(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("")
    (tmp_path / "out.json").symlink_to(tmp_path / "real.json")
    assert run(gpt2, "tokens", "--prompt", "the", "--out", str(tmp_path / "out.json")) == 0
    assert (tmp_path / "out.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["view"] == "tokens"


def test_hostile_tokens_are_safe_in_text_and_whole_in_data(desk: Desk) -> None:
    labels = ("\x1b[31m", "\x9b", "a\nb", "é́", "北京", "\ud800", "[red]", 'say "no", please')
    axis = Axis("query", labels, tuple(range(len(labels))))
    grid = Grid(Header("qk", "x", "y"), frozen(np.eye(len(labels))), axis, axis, True)
    for form in ("txt", "csv"):
        text = formats.encode(grid, form, desk.info).decode("utf-8")
        assert not {"\x1b", "\x9b", "\x00"} & set(text)
    rows = list(csv.reader(io.StringIO(formats.encode(grid, "csv", desk.info).decode("utf-8"))))
    assert len(rows) == len(labels) + 1
    assert rows[0][-1] == labels[-1]
    plain = formats.encode(grid, "json", desk.info)
    assert plain.isascii()
    assert tuple(json.loads(plain)["rows"]["labels"]) == labels
    formats.encode(grid, "npz", desk.info)


def test_progress_is_for_terminals() -> None:
    terminal = io.StringIO()
    context = export.InPlace(None, terminal)  # type: ignore[arg-type]
    context.progress("loading weights")
    context.progress("keys", 1, 4)
    context.progress("keys", 1, 4)
    context.quiet()
    assert terminal.getvalue() == "\r\x1b[Kloading weights\r\x1b[Kkeys 25 %\r\x1b[K"
    silent = export.InPlace(None, None)  # type: ignore[arg-type]
    silent.progress("loading weights")
    silent.quiet()


def test_whole_program(gpt2: Path, tmp_path: Path) -> None:
    """In a process of its own: exit code, the file, and not a byte anywhere else."""
    out = tmp_path / "ov.csv"
    command = [sys.executable, "-m", "tui", "export", "ov", "--model", str(gpt2), "--head", "L1H2"]
    done = subprocess.run([*command, "--tokens", "France, Paris", "--out", str(out)], capture_output=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert out.read_text().startswith("source\\output, France, Paris\n")


def test_views_of_a_changed_run(gpt2: Path, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = tmp_path / "changes.txt"
    changes.write_text("# knocked out\nL0H1\nL1H2 4>2 drop\nL0.mlp@1-2 scale 0.5\n")
    taken = (Ablation("L0H1"), CutEdge("L1H2", 4, 2, "drop"), Ablation("L0.mlp", "scale", (1, 2), 0.5))
    out = tmp_path / "out.json"
    assert run(gpt2, "lens", "--prompt", PROMPT, "--stack", str(changes), "--out", str(out)) == 0
    written = json.loads(out.read_text())
    ids = desk.get(Tokenize(desk.key, PROMPT, desk.info.bos_default)).ids
    changed = Run(desk.key, ids, desk.info.bos_default, taken)
    want = desk.get(Lens(changed))
    np.testing.assert_allclose(np.array(written["values"], dtype=float), want.values, rtol=1e-5)
    assert not np.allclose(want.values, desk.get(Lens(changed.clean)).values, atol=1e-3)
    assert written["convention"]["changed"] == "L0H1 zero; L1H2 4→2 drop; L0.mlp × 0.5 @1,2"
    assert run(gpt2, "continue", "--prompt", PROMPT, "--top", "3", "--stack", str(changes), "--out", str(out)) == 0
    assert len(json.loads(out.read_text())["values"]) == 3
    for arguments, code, sentence in (
        (["qk", "--head", "L0H0", "--prompt", PROMPT], 2, "does not depend on a run"),
        (["ablation", "--prompts", str(changes)], 2, "--stack is for"),
        (["copying"], 2, "does not depend on a run"),
    ):
        assert run(gpt2, *arguments, "--stack", str(changes)) == code
        assert sentence in capsys.readouterr().err
    changes.write_text("L0H1\nL7H1 mean\n")
    assert run(gpt2, "lens", "--prompt", PROMPT, "--stack", str(changes)) == 1
    assert "Line 2" in capsys.readouterr().err
    assert run(gpt2, "lens", "--prompt", PROMPT, "--stack", str(tmp_path / "none.txt")) == 1
    assert "cannot be read" in capsys.readouterr().err
