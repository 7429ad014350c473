"""``circuit-tui verify``: published facts beside what is measured, on the demo model and on models that are not it."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.folders import gpt2_folder
from tui import published, verify
from tui.cli import Parser
from tui.export import InPlace
from tui.models.find import demo_folder
from tui.published import DEMO, GPT2_SMALL, BestHeads, Effects, PairHeads, Says, Stands, StrongHeads
from tui.results import ModelInfo
from tui.verify import Row


def run(*arguments: str) -> int:
    """The exit code of ``circuit-tui verify …``, in this process."""
    parser = Parser(prog="circuit-tui verify")
    verify.add_arguments(parser)
    try:
        return verify.verify(parser.parse_args([*arguments, "--device", "cpu"]))
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The demo model without what L0H2 writes."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "copy"
    shutil.copytree(demo_folder(), folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    weights = load_file(folder / "model.safetensors")
    weights["transformer.h.0.attn.c_proj.weight"][2 * 32 : 3 * 32] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class TestTheDemoModel:
    def test_agrees_with_its_card(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("demo") == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert " NO" not in out
        for said in ("induction, top 4", "L0H0 France→Paris", "L0H2 France→Paris", "logit lens, L1.pre", "+4.04 ±0.05"):
            assert said in out
        assert max(map(len, out.splitlines())) <= 80
        assert out.splitlines()[0] == "demo · GPT2LMHeadModel · cpu · float32 · BOS · processed weights"
        rows = sum(line.endswith("yes") for line in out.splitlines())
        assert out.splitlines()[-1] == f"{rows} of {rows} agree."

    def test_one_head_zeroed(self, broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(str(broken)) == 1
        out, err = capsys.readouterr()
        assert err == ""
        verdicts = {line[:28].rstrip(): line.split()[-1] for line in out.splitlines() if line.endswith(("yes", "NO"))}
        assert {verdicts[f"L0H2 {pair}"] for pair in ("France→Paris", "king→queen", "hot→cold")} == {"NO"}
        assert (verdicts["attribution, L0H2"], verdicts["copying, L0H2"]) == ("NO", "NO")
        assert (verdicts["L0H0 France→Paris"], verdicts["previous token, L0H2"]) == ("yes", "yes")
        assert max(map(len, out.splitlines())) <= 80

    def test_facts_are_those_of_the_card(self) -> None:
        """To the digits that the card has."""
        card = json.loads((demo_folder() / "evaluation.json").read_text())
        best = {fact.score: fact.heads[0] for fact in DEMO.facts if isinstance(fact, BestHeads)}
        for score, name in (
            ("induction", "induction score, best head, 15"),
            ("previous token", "previous-token score, best head, 15"),
            ("duplicate token", "duplicate-token score, best head, 15"),
        ):
            assert best[score] == (card[name]["head"], round(card[name]["value"], 3))
        text = (demo_folder() / "README.md").read_text()
        for fact in DEMO.facts:
            if isinstance(fact, Says) and not fact.state:
                assert f"| {fact.prompt} | {fact.token.strip()} ({fact.probability:g}) |" in text

    def test_sizes_are_its_own(self) -> None:
        config = json.loads((demo_folder() / "config.json").read_text())
        assert all(config[name] == value for name, value in DEMO.sizes)


class TestWhichFacts:
    def test_by_name(self) -> None:
        assert verify.find("demo") is DEMO
        assert verify.find("") is DEMO
        assert verify.find("gpt2") is GPT2_SMALL
        assert verify.find("openai-community/gpt2") is GPT2_SMALL
        assert verify.find("distilgpt2") is None
        assert verify.find("gpt2-medium") is None

    def test_by_sizes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = dict(GPT2_SMALL.sizes)
        file = tmp_path / "gpt2" / "config.json"
        file.parent.mkdir()
        file.write_text(json.dumps(sizes | {"n_positions": 1024}))
        assert verify.find(str(file.parent)) is GPT2_SMALL
        file.write_text(json.dumps(sizes | {"n_layer": 24}))
        assert verify.find(str(file.parent)) is None
        # A folder goes before a hub name, as when a model is opened.
        monkeypatch.chdir(tmp_path)
        assert verify.find("gpt2") is None

    def test_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A folder of GPT-2's kind, with other sizes: not even loaded."""
        for model in (str(gpt2_folder(tmp_path / "tiny")), "EleutherAI/pythia-70m"):
            assert run(model) == 1
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert f"no published facts for {model}. gpt2 (GPT-2 small) and demo (the demo model)" in err


class TestModelsThatCannotBeHad:
    @pytest.mark.parametrize("model", ["gpt2", "openai-community/gpt2"])
    def test_not_downloaded(self, model: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(model) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"{model} is not in the local cache" in err
        assert "give a folder" in err

    def test_no_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "empty").mkdir()
        for folder, words in (("nowhere", "There is no folder"), ("empty", "no config.json")):
            assert run(str(tmp_path / folder)) == 1
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert words in err

    def test_no_weights(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(demo_folder() / name, tmp_path)
        assert run(str(tmp_path)) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)

    def test_no_tokenizer(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("config.json", "model.safetensors"):
            shutil.copy(demo_folder() / name, tmp_path)
        assert run(str(tmp_path)) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("demo", "--device", "gpu"), "auto, cpu, cuda, cuda:N or mps"),
            (("demo", "--dtype", "float64"), "float32"),
            (("demo", "--threads", "0"), "whole number"),
            (("demo", "--threads", "many"), "whole number"),
            (("demo", "gpt2"), "gpt2"),
            (("demo", "--head", "L0H1"), "--head"),
        ],
    )
    def test_refused(self, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(*arguments) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert words in err
        assert "circuit-tui verify --help" in err

    def test_help_is_light(self) -> None:
        heavy = "('torch', 'transformer_lens', 'transformers', 'plotext', 'textual')"
        code = f"""
import sys
from tui import cli, process
process.leave = sys.exit
try: cli.main(["verify", "--help"])
except SystemExit as ended: assert not ended.code
print([name for name in {heavy} if name in sys.modules])
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr
        assert "gpt2 (GPT-2 small) and demo (the demo model)" in " ".join(done.stdout.split())

    def test_from_the_command_line(self) -> None:
        command = [sys.executable, "-m", "tui", "verify", "--threads", "1", "--device", "cpu"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("demo · GPT2LMHeadModel · cpu · float32")


class TestFacts:
    """What agrees and what does not, a kind at a time, on the demo model."""

    @pytest.fixture(scope="class")
    def opened(self) -> tuple[ModelInfo, InPlace]:
        from tui.engine.jobs import Open
        from tui.engine.run import Bench

        context = InPlace(Bench(), None)
        return context.get(Open("demo", "cpu")), context

    def rows(self, fact: published.Fact, opened: tuple[ModelInfo, InPlace]) -> list[Row]:
        return [*verify.measure(fact, *opened)]

    def test_best_heads(self, opened: tuple[ModelInfo, InPlace]) -> None:
        heads = (("L0H2", 0.98), ("L0H3", 0.97))
        fact = BestHeads("previous token", heads, tolerance=0.05)
        assert [row.agrees for row in self.rows(fact, opened)] == [True, True, True]
        # Values within the tolerance say nothing of the order; beyond it they do.
        swapped = replace(fact, heads=(("L0H3", 0.98), ("L0H2", 0.97)))
        assert [row.agrees for row in self.rows(swapped, opened)] == [True, True, True]
        strict = replace(swapped, tolerance=0.001)
        assert [row.agrees for row in self.rows(strict, opened)] == [False, False, False]
        other = replace(fact, heads=(("L0H2", 0.98), ("L2H2", 0.97)))
        assert [row.agrees for row in self.rows(other, opened)] == [False, True, False]
        assert "8 rows of 31, seed 0" in self.rows(fact, opened)[0].about

    def test_strong_heads(self, opened: tuple[ModelInfo, InPlace]) -> None:
        fact = StrongHeads("induction", ("L2H2", "L0H0"), among=3, length=15)
        first, second = self.rows(fact, opened)
        assert (first.agrees, second.agrees) == (True, False)
        assert first.published == "among the 3 best"
        assert first.measured.endswith("(#1)")

    def test_pairs(self, opened: tuple[ModelInfo, InPlace]) -> None:
        fact = PairHeads(
            "ov",
            (
                Stands("L0H2", "France", "Paris", z=2, above="L2H1"),
                Stands("L2H1", "France", "Paris", z=2, above="L0H2"),
                Stands("L0H2", "Paris", "France", rank=1),
                Stands("L0H0", "Paris", "France", rank=1),
                Stands("L0H2", "king", "queen", z=50),
            ),
        )
        rows = self.rows(fact, opened)
        assert [row.agrees for row in rows] == [True, False, True, False, False]
        assert rows[0].published == "z > 2, more than in L2H1"

    def test_effects(self, opened: tuple[ModelInfo, InPlace]) -> None:
        fact = Effects("The capital of France is", "Paris - Berlin", (("L0H2", 2.63), ("L2H3", 1.40)), tolerance=0.05)
        assert [row.agrees for row in self.rows(fact, opened)] == [True, True, True]
        signs = replace(fact, heads=(("L0H2", -2.63), ("L2H3", 1.40)))
        assert [row.agrees for row in self.rows(signs, opened)] == [True, False, True]

    def test_says(self, opened: tuple[ModelInfo, InPlace]) -> None:
        fact = Says("The capital of France is", " Paris", 0.999, tolerance=0.005)
        for other, agrees in (
            (fact, True),
            (replace(fact, token=" Rome"), False),
            (replace(fact, token="Paris"), False),
            (replace(fact, probability=0.9), False),
            (replace(fact, state="L3.post"), True),
            (replace(fact, state="L0.pre"), False),
        ):
            assert [row.agrees for row in self.rows(other, opened)] == [agrees], other

    def test_a_target_that_is_no_token(self, opened: tuple[ModelInfo, InPlace]) -> None:
        from tui.circuits.errors import Refusal

        fact = Effects("The capital of France is", "Zanzibar", (("L0H2", 1.0),), tolerance=1)
        with pytest.raises(Refusal, match="Zanzibar"):
            self.rows(fact, opened)


def test_facts_are_well_formed() -> None:
    """Heads that exist, best first, and facts that can disagree."""
    for model in published.MODELS:
        sizes = dict(model.sizes)
        for fact in model.facts:
            named: list[str] = []
            if isinstance(fact, BestHeads | Effects):
                named = [head for head, _ in fact.heads]
                values = [abs(value) for _, value in fact.heads]
                assert all(b - a <= fact.tolerance for a, b in itertools.pairwise(values))
                assert all(value > fact.tolerance for value in values)
            elif isinstance(fact, StrongHeads):
                named = [*fact.heads]
            elif isinstance(fact, PairHeads):
                named = [stands.head for stands in fact.stands]
            for head in named:
                layer, index = head[1:].split("H")
                assert int(layer) < int(sizes["n_layer"])
                assert int(index) < int(sizes["n_head"])
