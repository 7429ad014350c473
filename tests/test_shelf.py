"""Where models are found, and what their files say before one is opened."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tui import label, shelf
from tui.label import in_bytes, read, short

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 2, "hidden_size": 64, "vocab_size": 500, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "rope_theta": 1e4, "tie_word_embeddings": True, "dtype": "bfloat16",
}  # fmt: skip


def safetensors(path: Path, **shapes: tuple[str, tuple[int, ...]]) -> None:
    """A file of zeros, as the format has it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in shapes.items():
        count = {"F32": 4, "BF16": 2}[dtype]
        for length in shape:
            count *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def model(folder: Path, config: dict[str, Any] | None = None, **shapes: tuple[str, tuple[int, ...]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    safetensors(folder / "model.safetensors", **(shapes or {"embed": ("BF16", (500, 64)), "norm": ("F32", (64,))}))
    return folder


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No model was opened before, and the hub's cache is empty."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "state"


def test_a_label_has_what_config_and_headers_say(tmp_path: Path) -> None:
    made = read(model(tmp_path / "one"), "one", "one", "here")
    assert (made.architecture, made.sizes) == ("LlamaForCausalLM", "3 layers × 8 heads on 2 key-value heads")
    assert (made.d_model, made.vocabulary, made.context) == (64, 500, 128)
    assert (made.parameters, made.stored) == (500 * 64 + 64, "bfloat16")
    assert made.conventions == ("rotary positions", "RMSNorm", "W_U is W_E")
    assert made.tokenizer == "none: prompts are token ids"
    assert made.trouble == ""


def test_memory_is_that_of_the_weights_in_the_dtype_they_run_in(tmp_path: Path) -> None:
    made = read(model(tmp_path / "one"), "one", "one", "here")
    count = 500 * 64 + 64
    assert made.memory("auto", "cpu") == 4 * count
    assert made.memory("auto", "cuda:0") == made.memory("bfloat16", "cpu") == 2 * count + 2 * 4 * 500 * 64
    assert made.runs_in("auto", "cuda:0") == "bfloat16"


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    folder = model(tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    for number in (1, 2):
        safetensors(folder / f"model-{number}.safetensors", w=("F32", (10, number)))
    (folder / "left-over.safetensors").write_bytes(b"")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert (read(folder, "", "", "").parameters, read(folder, "", "", "").stored) == (30, "float32")
    (folder / "model-2.safetensors").unlink()
    assert read(folder, "", "", "").trouble == "model-2.safetensors is missing: download it again."


def test_a_checkpoint_of_transformer_lens(tmp_path: Path) -> None:
    config = {"n_layers": 2, "n_heads": 4, "d_model": 32, "d_head": 8, "n_ctx": 24, "d_vocab": 50, "attn_only": True,
              "normalization_type": "LNPre"}  # fmt: skip
    folder = model(tmp_path / "toy", config)
    (folder / "model.safetensors").rename(folder / "model.pt")
    made = read(folder, "toy", "toy", "here")
    assert (made.architecture, made.sizes, made.parameters) == ("TransformerLens", "2 layers × 4 heads", 0)
    assert made.conventions == ("learned positions", "LayerNorm", "attention only")
    assert made.memory("auto", "cpu") == pytest.approx((folder / "model.pt").stat().st_size, rel=0.01)


@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "git lfs pull"),
    (b"\xff" * 20, "no safetensors file"), (b"", "cannot be read"),
    (struct.pack("<Q", 20) + b'{"a": {"shape": [1]}', "cannot be read"),
])  # fmt: skip
def test_a_file_of_weights_that_is_none_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    folder = model(tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(content)
    assert said in read(folder, "", "", "").trouble


@pytest.mark.parametrize("config", ["", "[]", "[" * 100_000, "\udc80"])
def test_a_config_that_is_none_is_said(tmp_path: Path, config: str) -> None:
    folder = model(tmp_path / "broken")
    (folder / "config.json").write_bytes(config.encode("utf-8", "surrogateescape"))
    assert "config.json" in read(folder, "", "", "").trouble


def test_models_are_found_below_a_folder_but_not_too_deep_nor_behind_links(tmp_path: Path) -> None:
    here = tmp_path / "work"
    for name in ("a/b", "a", "c/d/e/f", "c/d/e/f/g", ".hidden/x", "node_modules/y"):
        model(here / name)
    (here / "loop").symlink_to(here)
    (here / "weights-only").mkdir()
    safetensors(here / "weights-only/model.safetensors", w=("F32", (1,)))
    assert [one.name for one in shelf.folders_below(here)] == ["a", "a/b", "c/d/e/f"]
    assert list(shelf.folders_below(here, seconds=0.0)) == []
    assert list(shelf.folders_below(tmp_path / "nowhere")) == []
    assert next(one.name for one in shelf.folders_below(model(here))) == "this folder"


def test_checkpoints_of_a_run_come_by_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (1000, 500, 20000):
        model(run / f"checkpoint-{step}")
    model(run / "best")
    (run / "checkpoint-7").mkdir()
    assert [one.name for one in shelf.checkpoints(run)] == ["checkpoint-500", "checkpoint-1000", "checkpoint-20000"]
    found = [one.name for one in shelf.look(tmp_path / "elsewhere", str(run / "checkpoint-500"))]
    assert found == ["checkpoint-500", "checkpoint-1000", "checkpoint-20000"]


def test_the_hub_s_cache(tmp_path: Path) -> None:
    repo = tmp_path / "hub/models--some--model"
    model(repo / "snapshots/abc")
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("abc")
    model(tmp_path / "hub/models--by--revision/snapshots/def")
    model(tmp_path / "hub/datasets--some--data/snapshots/abc")
    (tmp_path / "hub/models--no--weights/snapshots/abc").mkdir(parents=True)
    found = list(shelf.hub_cache())
    assert [(one.name, one.source) for one in found] == [
        ("by/revision", str(tmp_path / "hub/models--by--revision/snapshots/def")), ("some/model", "some/model"),
    ]  # fmt: skip
    assert list(shelf.hub_cache(tmp_path / "nowhere")) == []


def test_models_that_were_opened_come_first_the_last_one_before_all(tmp_path: Path) -> None:
    one, two = model(tmp_path / "work/one"), model(tmp_path / "work/two")
    for folder in (one, two, one, tmp_path / "gone"):
        assert shelf.remember(str(folder), folder.name, str(folder))
    assert [opened.name for opened in shelf.recent()] == ["gone", "one", "two"]
    found = list(shelf.look(tmp_path / "work"))
    assert [(one.name, one.group) for one in found] == [("one", shelf.RECENT), ("two", shelf.RECENT)]


def test_what_cannot_be_kept_or_read_is_left_out(state: Path, tmp_path: Path) -> None:
    assert shelf.recent() == []
    for number in range(shelf.KEPT + 5):
        assert shelf.remember(f"m{number}", f"m{number}", f"/m{number}")
    with (state / "circuit-tui/models.jsonl").open("a") as file:
        file.write('nonsense\n{"source": 1, "name": "x", "folder": "y"}\n{"other": "x"}\n')
    assert [opened.name for opened in shelf.recent()][:2] == [f"m{shelf.KEPT + 4}", f"m{shelf.KEPT + 3}"]
    assert len(shelf.recent()) == shelf.KEPT
    (state / "circuit-tui/models.jsonl").unlink()
    (state / "circuit-tui/models.jsonl").mkdir()
    assert not shelf.remember("a", "a", "/a")


def test_names_are_filtered_by_every_word(tmp_path: Path) -> None:
    labels = [read(model(tmp_path / name), name, name, "here") for name in ("small", "large")]
    assert [one.name for one in shelf.matching(labels, "LLAMA sm")] == ["small"]
    assert shelf.matching(labels, "nothing") == []


def test_free_memory_of_the_machine_and_of_a_card_that_is_not_there() -> None:
    free = label.free_memory("cpu")
    assert free is None or 0 <= free < 1 << 50
    assert label.free_memory("cuda:99") is None
    assert label.free_memory("mps") == free


@pytest.mark.parametrize(("count", "said"), [(124_000_000, "124 M"), (8_030_000_000, "8.03 B"), (710_000, "710 k"),
                                             (812_000_000, "0.812 B"), (12, "12")])  # fmt: skip
def test_numbers_are_short(count: int, said: str) -> None:
    assert short(count) == said


def test_bytes_are_short() -> None:
    assert [in_bytes(n) for n in (1_620_000_000, 47_000_000, 3_850, 28)] == ["1.62 GB", "47 MB", "3.85 kB", "28 B"]
