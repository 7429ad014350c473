"""The config that weights imply: printed, saved after what is marked was filled in, and opened."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.folders import gpt2_folder, llama_folder, random_checkpoint, tl_checkpoint
from tui import cli
from tui.models.describe import MARK, describe, read_shapes_of
from tui.models.errors import ModelError
from tui.models.load import load

IDS = [3, 1, 4, 1, 5]


def printed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Path) -> tuple[int, str, str]:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("tui.process.leave", leave)
    with pytest.raises(SystemExit) as left:
        cli.main(["describe", str(file)])
    out, err = capfd.readouterr()
    return int(left.value.code or 0), out, err


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gated_mlp": True, "act_fn": "silu", "normalization_type": "RMS"},
        {"attn_only": True, "act_fn": None, "d_vocab_out": 3},
        {"act_fn": "solu_ln"},
        {"positional_embedding_type": "rotary"},
    ],
)
def test_a_checkpoint_described_and_opened(
    tmp_path: Path, changes: dict[str, Any], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, state = random_checkpoint(**changes)
    folder = tl_checkpoint(tmp_path / "toy", config, state)
    want = load(str(folder), device="cpu").trace(IDS).logits
    (folder / "config.json").unlink()
    with pytest.raises(ModelError) as raised:
        load(str(folder), device="cpu")
    assert f"`circuit-tui describe {folder / 'model.pt'}` prints one" in raised.value.hint
    code, out, err = printed(capfd, monkeypatch, folder / "model.pt")
    assert code == 0
    found = json.loads(out)
    told = {"act_fn"} if changes.get("act_fn", "gelu_new") == "gelu_new" and not changes.get("attn_only") else set()
    for name, value in config.items():
        if name not in told and not (name == "d_mlp" and config["attn_only"]) and name != "act_fn":
            assert found[name] == value, name
    assert all(f"  {name}: " in err for name in found[MARK])
    assert told <= found[MARK].keys()
    (folder / "config.json").write_text(json.dumps(found | {name: config[name] for name in told}))
    assert torch.equal(load(str(folder), device="cpu").trace(IDS).logits, want)


def test_wrapped_weights(tmp_path: Path) -> None:
    _, state = random_checkpoint()
    torch.save({"model": {f"_orig_mod.module.{key}": value for key, value in state.items()}}, tmp_path / "a.pt")
    assert describe(read_shapes_of(tmp_path / "a.pt"))["n_heads"] == 4


def test_gpt2(tmp_path: Path) -> None:
    folder = gpt2_folder(tmp_path / "gpt2")
    config = json.loads((folder / "config.json").read_text())
    found = describe(read_shapes_of(folder / "model.safetensors"))
    for name in ("model_type", "architectures", "n_layer", "vocab_size", "n_embd", "n_positions"):
        assert found[name] == config[name], name
    assert set(found[MARK]) == {"n_head", "activation_function", "tie_word_embeddings"}
    want = load(str(folder), device="cpu").trace(IDS).logits
    (folder / "config.json").write_text(json.dumps(found | {"n_head": 4}))
    assert torch.allclose(load(str(folder), device="cpu").trace(IDS).logits, want, atol=1e-5)


def test_llama(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    found = describe(read_shapes_of(folder / "model.safetensors"))
    for name in ("model_type", "architectures", "num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size",
                 "tie_word_embeddings"):  # fmt: skip
        assert found[name] == config[name], name
    assert "num_attention_heads × head_dim = 32 and num_key_value_heads × head_dim = 16" in found[MARK]["head_dim"]  # type: ignore[index]
    want = load(str(folder), device="cpu").trace(IDS).logits
    mine = {"head_dim": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    (folder / "config.json").write_text(json.dumps(found | mine))
    assert torch.allclose(load(str(folder), device="cpu").trace(IDS).logits, want, atol=1e-5)


def test_what_cannot_be_described(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "a.pt")
    code, out, err = printed(capfd, monkeypatch, tmp_path / "a.pt")
    assert (code, out) == (1, "")
    assert "These weights are of no architecture that can be described: conv.weight." in err
    _, state = random_checkpoint()
    torch.save({key: value for key, value in state.items() if "blocks.0" not in key}, tmp_path / "b.pt")
    with pytest.raises(ModelError, match="The weights of layer 0 are not in this file"):
        describe(read_shapes_of(tmp_path / "b.pt"))
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    (tmp_path / "p.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "c.json").write_text("{}")
    for name, said in (
        ("none.pt", "There is no file"), (".", f"is a folder. Give .*: circuit-tui describe {tmp_path / 'a.pt'}"),
        ("x.gguf", "is a GGUF file"), ("p.pt", "is a Git LFS pointer"), ("c.json", "is no file of weights"),
    ):  # fmt: skip
        with pytest.raises(ModelError) as raised:
            read_shapes_of(tmp_path / name)
        assert re.search(said, f"{raised.value.message} {raised.value.hint}"), name
    state["embed.ln.w"] = torch.zeros(32)
    torch.save(state, tmp_path / "c.pt")
    assert "a norm after the embedding" in describe(read_shapes_of(tmp_path / "c.pt"))[MARK]  # type: ignore[operator]
