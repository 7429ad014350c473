"""``export --chat`` and ``--revision``, and what a model without a head exports: on folders that are written here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.export.headless import run
from tests.models.folders import gpt2_folder, llama_folder

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}({{ m.content }}){% endfor %}{% if add_generation_prompt %}:{% endif %}"
)
TEXT = " the king of France"


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with a chat template."""
    folder = gpt2_folder(tmp_path_factory.mktemp("chat") / "model")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LlamaModel, saved without its head."""
    folder = llama_folder(tmp_path_factory.mktemp("base") / "model")
    weights = load_file(folder / "model.safetensors")
    kept = {key.removeprefix("model."): value for key, value in weights.items() if key != "lm_head.weight"}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaModel"]}))
    return folder


def document(model: Path, out: Path, *arguments: str) -> Any:
    assert run(model, *arguments, "--out", str(out / "out.json")) == 0
    return json.loads((out / "out.json").read_text())


def test_same_tokens_as_transformers(chatty: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(chatty).apply_chat_template(
        [{"role": "user", "content": TEXT}], add_generation_prompt=True
    )
    got = document(chatty, tmp_path, "tokens", "--prompt", TEXT, "--chat")
    assert [token["id"] for token in got["tokens"]] == list(own["input_ids"])
    assert [token["text"] for token in got["tokens"] if not token["template"]] == [" the", " king", " of", " France"]
    said = {"bos": True, "bos from": "the template", "chat": True}
    assert said.items() <= got["convention"].items()
    plain = document(chatty, tmp_path, "tokens", "--prompt", TEXT)
    assert "chat" not in plain["convention"]
    assert "template" not in plain["tokens"][0]


def test_views_are_of_these_tokens(chatty: Path, tmp_path: Path) -> None:
    asked = ("pattern", "--head", "L1H2")
    chat = document(chatty, tmp_path, *asked, "--prompt", TEXT, "--chat")
    typed = document(chatty, tmp_path, *asked, "--prompt", f"<|bos|>({TEXT}):", "--bos", "off")
    assert chat["values"] == typed["values"]
    assert chat["convention"]["chat"] is True
    (tmp_path / "one.txt").write_text(f"{TEXT}\n")
    over = document(chatty, tmp_path, *asked, "--prompts", str(tmp_path / "one.txt"), "--chat")
    mean, single = (np.array(got["values"], dtype=float) for got in (over, chat))
    assert np.nanmax(np.abs(mean - single)) < 1e-6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("qk", "--head", "L0H0", "--tokens", "France"), "--chat is for --prompt"),
        (("tokens", "--prompt", TEXT, "--bos", "off"), "the template says whether there is a BOS"),
    ],
)
def test_usage(chatty: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(chatty, *arguments, "--chat") == 2
    assert said in capsys.readouterr().err


def test_no_template_and_no_head(headless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(headless, "tokens", "--prompt", TEXT, "--chat") == 1
    assert "has no chat template" in capsys.readouterr().err
    for arguments in (
        ("ov", "--head", "L0H0", "--tokens", "France"),
        ("attribution", "--prompt", TEXT, "--answer", "Paris"),
        ("lens", "--prompt", TEXT),
        ("continue", "--prompt", TEXT),
        ("ablation", "--prompt", TEXT),
    ):
        assert run(headless, *arguments) == 1, arguments
        assert "This is a LlamaModel: it was saved without its head" in capsys.readouterr().err, arguments
    for arguments in (
        ("qk", "--head", "L0H0", "--tokens", "France, Paris"),
        ("pattern", "--head", "L0H0", "--prompt", TEXT),
        ("residual", "--prompt", TEXT),
        ("composition", "--head", "L1H0", "--kind", "q"),
        ("nearest", "--token", "Paris"),
        ("head-scores", "--rows", "1", "--length", "4"),
    ):
        assert document(headless, tmp_path, *arguments)["values"], arguments


def test_revision_of_a_folder(chatty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(chatty, "tokens", "--prompt", TEXT, "--revision", "main") == 1
    assert f"A revision (main) is for hub names, and {chatty} is a folder. Open" in capsys.readouterr().err
