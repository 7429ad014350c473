"""Files broken in hundreds of ways: what reads them says a sentence or reads what is right, and nothing else."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.faults import grammar
from tests.models.folders import gpt2_folder
from tui import config, label, prompts, shelf
from tui.engine.trouble import told
from tui.models.errors import ModelError
from tui.models.opening import open_model

CONFIG = """theme = "nord"
model = "gpt2"
weights = "raw"
bos = "on"
threads = 4
mouse = true
[keys]
"head_next" = "n"
"""
RECORDS = [
    {"prompt": "The capital of France is", "answer": "Paris", "distractor": "London"},
    {"prompt": "The king and the", "answer": ["queen", " prince"]},
]
TABLE = 'prompt,answer,distractor\n"The capital of France is",Paris,London\n"A, B",C,\n'


def is_a_sentence(said: str) -> None:
    """Something that a person can be shown."""
    assert said
    assert said.strip() == said, repr(said)
    assert said.isprintable(), repr(said)
    assert "Traceback" not in said


@pytest.mark.parametrize("seed", range(10))
def test_config_files(tmp_path: Path, seed: int) -> None:
    """Each gives options, its own or the defaults with a notice that says what is wrong."""
    dice, file, noticed = random.Random(seed), tmp_path / "config.toml", 0
    for _ in range(60):
        file.write_bytes(grammar.broken(dice, CONFIG))
        options = config.load(file)
        if options.notice:
            noticed += 1
            is_a_sentence(options.notice)
    assert noticed > 20, "the grammar breaks files"


@pytest.mark.parametrize("seed", range(10))
def test_prompt_files(tmp_path: Path, seed: int) -> None:
    """Each gives prompts or a PromptsError."""
    dice, refused = random.Random(seed), 0
    lines = "\n".join(json.dumps(record) for record in RECORDS)
    for _ in range(60):
        name, data = dice.choice(
            [
                ("prompts.json", grammar.document(dice, RECORDS)),
                ("prompts.jsonl", grammar.broken(dice, lines)),
                ("prompts.csv", grammar.broken(dice, TABLE)),
                ("prompts.tsv", grammar.broken(dice, TABLE.replace(",", "\t"))),
                ("prompts.txt", grammar.broken(dice, grammar.text(dice))),
            ]
        )
        file = tmp_path / name
        file.write_bytes(data)
        try:
            read = prompts.read(file)
        except prompts.PromptsError as error:
            refused += 1
            is_a_sentence(told(error))
        else:
            assert read.rows
            assert all(row.text for row in read.rows)
    assert 10 < refused < 60, "the grammar breaks some and leaves some"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_folder(tmp_path_factory.mktemp("whole") / "model")


JSON_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


def refusal(folder: Path) -> ModelError | None:
    """Why a folder does not open; None if it does."""
    try:
        open_model(str(folder), "cpu", "float32", 1, "load")
    except ModelError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(25))
def test_model_folders(tmp_path: Path, folder: Path, seed: int) -> None:
    """Each opens, or ends in a ModelError; its card in the list of models is made in either case."""
    dice, opened = random.Random(seed), tmp_path / "model"
    for _ in range(3):
        shutil.rmtree(opened, ignore_errors=True)
        shutil.copytree(folder, opened)
        name = dice.choice([*JSON_FILES, "model.safetensors"])
        file = opened / name
        if name in JSON_FILES:
            file.write_bytes(grammar.document(dice, json.loads(file.read_text("utf-8"))))
        else:
            whole = file.read_bytes()
            header = int.from_bytes(whole[:8], "little")
            names = grammar.document(dice, json.loads(whole[8 : 8 + header]))
            length = dice.choice([len(names), len(names), header, dice.getrandbits(63)])
            file.write_bytes(length.to_bytes(8, "little") + names + whole[8 + header :])
        card = label.read(opened, str(opened), "model", "folders")
        assert card.source == str(opened)
        if (refused := refusal(opened)) is not None:
            assert refused.hint, "a step that works"
            is_a_sentence(told(refused))


@pytest.mark.parametrize("seed", range(5))
def test_the_list_of_models_opened_before(seed: int) -> None:
    """What it cannot read is left out, and the next model is remembered all the same."""
    dice = random.Random(seed)
    assert shelf.remember("/models/a", "a", "/models/a")
    file = next(config.state_directory().rglob("*models*"))
    whole = file.read_text("utf-8")
    try:
        for _ in range(60):
            file.write_bytes(grammar.broken(dice, whole))
            for entry in shelf.recent():
                assert all(vars(entry).values())
            shelf.remember("/models/b", "b", "/models/b")
            assert shelf.recent()[0].source == "/models/b"
    finally:
        file.unlink()


@pytest.mark.parametrize("seed", range(5))
def test_the_history_of_prompts(seed: int) -> None:
    """Lines that cannot be read are left out."""
    dice = random.Random(seed)
    config.write_history(["The king", "two\nlines", "Paris"])
    file = config.state_directory() / "prompts.jsonl"
    whole = file.read_text("utf-8")
    try:
        for _ in range(60):
            file.write_bytes(grammar.broken(dice, whole))
            assert all(isinstance(prompt, str) for prompt in config.read_history())
            assert not config.write_history(["Rome"])
            assert config.read_history() == ["Rome"]
    finally:
        file.unlink()
