"""Layers on disk: the numbers of a model that is all in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.models.test_reading import Direct
from tui import cli, export
from tui.circuits.estimate import slopes
from tui.circuits.patching import Measured
from tui.engine.jobs import Open
from tui.engine.run import Bench
from tui.models.errors import ModelError
from tui.models.live import LiveModel
from tui.models.load import load
from tui.models.placed import read_map, read_memory

IDS = [3, 17, 5, 42, 9]
MAPS = {
    "llama": {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "disk",
              "model.rotary_emb": "cpu", "lm_head": "disk"},
    "gpt2": {"transformer.wte": "cpu", "transformer.wpe": "disk", "transformer.h.0": "disk", "transformer.h.1": "cpu",
             "transformer.ln_f": "cpu", "lm_head": "cpu"},
    "qwen3": {"model.embed_tokens": "cpu", "model.layers": "disk", "model.norm": "cpu", "model.rotary_emb": "cpu",
              "lm_head": "cpu"},
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_offloaded_layers_give_the_numbers_of_the_plain_load(
    name: str, folder_of: Callable[[str], Path], model_of: Callable[[str], LiveModel], tmp_path: Path
) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps(MAPS[name]))
    plain, live = model_of(name), load(str(folder_of(name)), device="cpu", device_map=str(file))
    assert live.info.key.device == "cpu+disk"
    assert live.info.capabilities == plain.info.capabilities
    assert live.info.n_parameters == plain.info.n_parameters
    for layer in range(2):
        for side in ("W_Q", "b_Q", "W_K", "W_V", "W_O"):
            assert torch.equal(getattr(live.head(layer, 1), side), getattr(plain.head(layer, 1), side)), (layer, side)
        mlp, own = live.mlp(layer), plain.mlp(layer)
        assert mlp is not None
        assert own is not None
        assert torch.equal(mlp.W_out, own.W_out)
        x = torch.linspace(-1, 1, 2 * 32).view(2, 32)
        assert torch.equal(mlp.activations(x), own.activations(x))
    assert torch.equal(live.ends.W_U, plain.ends.W_U)
    ours, theirs = (model.trace(IDS, range(2)) for model in (live, plain))
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.patterns[1], theirs.patterns[1])
    assert torch.equal(ours.b_O, theirs.b_O)
    emptied = [("blocks.0.attn.hook_pattern", torch.zeros_like)]
    assert torch.equal(live.trace(IDS, (), interventions=emptied).logits,
                       plain.trace(IDS, (), interventions=emptied).logits)  # fmt: skip
    assert any(parameter.is_meta for parameter in live.bridge.original_model.parameters()), "it is still on disk"


@pytest.mark.parametrize("name", MAPS)
def test_gradients_flow_through_offloaded_blocks_that_a_run_has_read_before(
    name: str, folder_of: Callable[[str], Path], model_of: Callable[[str], LiveModel], tmp_path: Path
) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps(MAPS[name]))
    live = load(str(folder_of(name)), device="cpu", device_map=str(file))
    with torch.inference_mode():  # as the worker reads a block for an exact patch, which is kept
        for layer in range(2):
            live.forward.block(layer)
    found = []
    for model in (live, model_of(name)):
        value = Measured(model.forward, "logit difference", (3,), (4,))
        with torch.inference_mode(False):
            found.append(slopes(model.forward, torch.tensor(IDS), model.reach(len(IDS)), value)[1])
    ours, theirs = found
    assert torch.equal(ours.value, theirs.value)
    for place, gradient in theirs.at.items():
        assert float(gradient.abs().max()) > 0
        assert torch.equal(ours.at[place], gradient), place


def test_a_strategy_by_its_name(folder_of: Callable[[str], Path], model_of: Callable[[str], LiveModel]) -> None:
    live = load(str(folder_of("llama")), device="cpu", device_map="auto", max_memory="cpu=1GB")
    assert torch.equal(live.trace(IDS).logits, model_of("llama").trace(IDS).logits)


@pytest.mark.parametrize(("content", "said"), [
    ("[]", "is no map of modules to devices"), ("{", "cannot be read"), ('{"model": true}', "is no map"),
    ('{"model": 99}', "names GPU 99, but torch sees"),
])  # fmt: skip
def test_a_map_that_is_none_is_said(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(ModelError, match=said):
        read_map(str(tmp_path / "map.json"))


def test_memory_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert read_memory("0=20GB, cpu=60GB") == {0: "20GB", "cpu": "60GB"}
    assert read_memory("") is None
    for text in ("20GB", "cpu=much", "cpu=20"):
        with pytest.raises(ModelError, match="is not a device and a size"):
            read_memory(text)
    with pytest.raises(ModelError, match="names GPU 99, but torch sees GPU 0 alone"):
        read_memory("99=20GB")


def test_a_map_that_leaves_modules_out_names_them(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"model.layers.1": "disk"}))
    with pytest.raises(ModelError) as raised:
        load(str(folder_of("llama")), device="cpu", device_map=str(file))
    assert raised.value.message == (
        "The device map says no device for model.embed_tokens, model.layers.0, model.norm, lm_head."
    )
    assert '"model.embed_tokens": "cpu"' in raised.value.hint


def test_gradients_pass_what_is_on_disk(
    folder_of: Callable[[str], Path], model_of: Callable[[str], LiveModel], tmp_path: Path
) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps(MAPS["llama"]))
    plain, live = model_of("llama"), load(str(folder_of("llama")), device="cpu", device_map=str(file))
    found = []
    for model in (plain, live):
        with torch.inference_mode():  # blocks are read in a job
            forward, reach = model.forward, model.reach(len(IDS))
            assert forward.run(forward.embed(torch.tensor([IDS])), reach).shape == (1, len(IDS), 32)
        with torch.inference_mode(False):
            _, slope = slopes(forward, torch.tensor(IDS), reach, Measured(forward, "logit difference", (3,), (5,)))
        found.append(slope.at)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[1][place], gradient) for place, gradient in found[0].items())
    assert found[0]["z", 0].abs().max() > 0


def test_a_job_that_opens_a_model_says_how_it_is_placed(folder_of: Callable[[str], Path]) -> None:
    bench = Bench()
    info = bench.compute(Open(str(folder_of("llama")), device="cpu", device_map="auto", max_memory="cpu=1GB"), Direct())
    assert info.key.device == "cpu"
    with pytest.raises(ModelError, match=r"The device map nowhere\.json cannot be read"):
        bench.compute(Open(str(folder_of("llama")), device="cpu", device_map="nowhere.json"), Direct())


def test_the_export_and_the_app_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = cli.options(["--device-map", "auto", "--max-memory", "cpu=1GB"])
    assert (given.device_map, given.max_memory) == ("auto", "cpu=1GB")
    parser = cli.Parser()
    export.add_arguments(parser)
    alone = parser.parse_args(["head-scores", "--max-memory", "cpu=1GB"])
    assert export.export(alone) == 2
    assert "--max-memory is for --device-map" in capsys.readouterr().err
