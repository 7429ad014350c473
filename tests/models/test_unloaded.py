"""A model of which only the files are there gives what the loaded model gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.models import folders
from tui.models import load as loading
from tui.models import opening
from tui.models.check import error
from tui.models.errors import ModelError
from tui.models.live import LiveModel
from tui.models.load import load
from tui.models.opening import COMPARED, boot, difference, open_model, same_tokens
from tui.models.unloaded import NO_FORWARD, StoredModel
from tui.results import ModelInfo

IDS = [5, 17, 100, 3, 42, 11, 250, 9, 77, 30]
MODELS = ("gpt2", "llama", "gpt_neo", "neox", "gemma2", "olmo2")


def opened(folder: Path, how: opening.Wanted = "first") -> StoredModel:
    model = open_model(str(folder), "cpu", "auto", None, how)
    assert isinstance(model, StoredModel)
    return model


@pytest.fixture(scope="module", params=MODELS)
def both(
    request: pytest.FixtureRequest, model_of: Callable[[str], LiveModel], folder_of: Callable[[str], Path]
) -> tuple[StoredModel, LiveModel]:
    name = str(request.param)
    return opened(folder_of(name)), model_of(name)


def close(own: Tensor | None, want: Tensor | None) -> bool:
    return own is want if own is None or want is None else own.shape == want.shape and error(own, want) < 1e-5


def test_info_is_that_of_the_loaded_model(both: tuple[StoredModel, LiveModel]) -> None:
    own, want = both[0].info, both[1].info
    assert own.source == "from files"
    left = {"source", "checks", "capabilities"}
    assert {f.name: getattr(own, f.name) for f in fields(ModelInfo) if f.name not in left} == {
        f.name: getattr(want, f.name) for f in fields(ModelInfo) if f.name not in left
    }
    ignored = {"pattern_edit"}  # changes run on the plain blocks, whatever the model's own attention does
    assert {name: why for name, why in vars(own.capabilities).items() if name not in ignored} == {
        name: why for name, why in vars(want.capabilities).items() if name not in ignored
    }


def test_traces(both: tuple[StoredModel, LiveModel]) -> None:
    stored, live = both
    layers = range(live.n_layers)
    own, want = stored.trace(IDS, layers), live.trace(IDS, layers)
    for name in ("embed", "pos", "resid_pre", "resid_mid", "attn_out", "mlp_out", "z", "b_O", "attn_post_scale",
                 "logits"):  # fmt: skip
        assert close(getattr(own, name), getattr(want, name)), name
    for name in ("patterns", "queries", "keys", "values"):
        for layer in layers:
            assert close(getattr(own, name)[layer], getattr(want, name)[layer]), (name, layer)
    for layer in layers:
        assert torch.equal(own.visible[layer], want.visible[layer])
    bare = stored.trace(IDS, again=True)
    assert not bare.patterns
    one = stored.with_attention(bare, 1)
    assert torch.equal(one.patterns[1], own.patterns[1])
    assert torch.equal(one.values[1], own.values[1])


def test_batches(both: tuple[StoredModel, LiveModel]) -> None:
    stored, live = both
    prompts = [IDS, IDS[::-1]]
    last = slice(-1, None)
    for own, want in zip(stored.traces(prompts, (), positions=last), live.traces(prompts, (), positions=last),
                         strict=True):  # fmt: skip
        assert close(own.logits, want.logits)
        assert close(own.resid_pre, want.resid_pre)
    seen: dict[int, Tensor] = {}
    stored.patterns(prompts, lambda layer, pattern: seen.update({layer: pattern.clone()}))
    live.patterns(prompts, lambda layer, pattern: None if close(seen[layer], pattern) else pytest.fail(str(layer)))
    assert sorted(seen) == list(range(live.n_layers))


def test_it_is_booted_and_compared(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("llama")
    stored = opened(folder)
    live = boot(stored, str(folder), "cpu", "auto", None)
    assert live.info.key == stored.info.key
    assert live.info.source == ""
    assert 0.0 <= live.info.checks[COMPARED] < 1e-5


def test_where_the_two_differ_their_results_are_kept_apart(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("gpt2")
    stored = opened(folder)
    own = stored.stored.scale
    stored.stored.scale = lambda layer: 2 * own(layer)  # type: ignore[method-assign]
    live = load(str(folder), device="cpu")
    assert difference(stored, live) > 1e-2
    live = boot(stored, str(folder), "cpu", "auto", None)
    worst = live.info.checks[COMPARED]
    assert worst > 1e-2
    assert live.info.key == replace(stored.info.key, apart=f"{worst:.1e}")
    assert f"differed by {worst:.1e}" in live.info.notes[-1]


def test_other_tokens_keep_results_apart(folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of("gpt2")
    stored = opened(folder)
    assert same_tokens(stored.tokens, load(str(folder), device="cpu").tokens)
    monkeypatch.setattr(opening, "same_tokens", lambda one, other: False)
    info = boot(stored, str(folder), "cpu", "auto", None).info
    assert info.key.apart
    assert "in how it splits a text" in info.notes[-1]


def test_weights_alone_run_nothing(folder_of: Callable[[str], Path]) -> None:
    model = opened(folder_of("gpt2"), "weights")
    off = {name for name, why in vars(model.info.capabilities).items() if why == NO_FORWARD}
    assert off == {"pattern", "scores", "residual", "states_mid", "plain", "pattern_edit"}
    with pytest.raises(ModelError) as raised:
        model.trace(IDS)
    assert "--stream" in raised.value.hint


def test_a_stream_holds_one_layer(folder_of: Callable[[str], Path]) -> None:
    stored, live = opened(folder_of("llama"), "stream"), load(str(folder_of("llama")), device="cpu")
    told: list[tuple[str, int, int]] = []
    stored.tell(lambda stage, done, total: told.append((stage, done, total)))
    assert close(stored.trace(IDS).logits, live.trace(IDS).logits)
    assert told == [("layer", 0, 2), ("layer", 1, 2)]
    assert stored._block.cache_info().currsize == 1


@pytest.mark.parametrize("how", ["weights", "stream"])
def test_a_family_without_a_mapping_is_refused_by_name(how: opening.Wanted, tmp_path: Path) -> None:
    small = {"hidden_size": 32, "n_layer": 2, "n_head": 4}
    folder = folders.hf_folder(tmp_path / "bloom", "BloomConfig", "BloomForCausalLM", **small)
    with pytest.raises(ModelError, match="BloomForCausalLM") as raised:
        open_model(str(folder), "cpu", "auto", None, how)
    assert raised.value.hint.startswith("Open it without --")
    assert isinstance(open_model(str(folder), "cpu", "auto", None, "first"), LiveModel)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
def test_names_that_wrappers_have_prefixed(prefix: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    hub, lens = tmp_path / "hub", tmp_path / "lens"
    shutil.copytree(folder_of("gpt2"), hub)
    state = load_file(hub / "model.safetensors")
    save_file({prefix + key: value for key, value in state.items()}, hub / "model.safetensors")
    config, own = folders.random_checkpoint()
    folders.tl_checkpoint(lens, config, {prefix + key: value for key, value in own.items()})
    folders.tl_checkpoint(tmp_path / "plain", config, own)
    for wrapped, plain in ((hub, folder_of("gpt2")), (lens, tmp_path / "plain")):
        model = open_model(str(wrapped), "cpu", "auto", None, "first")
        assert isinstance(model, StoredModel)
        assert torch.equal(model.head(1, 2).W_K, opened(plain).head(1, 2).W_K)
        assert any(prefix in note for note in model.info.notes)
        assert model.info.n_parameters == opened(plain).info.n_parameters


def test_weights_of_other_sizes_than_the_config_says(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    for name, changed in (("gpt2", {"n_embd": 64}), ("llama", {"num_key_value_heads": 4}), ("llama", {"head_dim": 16})):
        folder = tmp_path / f"{name} {next(iter(changed))}"
        shutil.copytree(folder_of(name), folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(ModelError, match=rf"is \d+, but config\.json says {next(iter(changed))} "):
            open_model(str(folder), "cpu", "auto", None, "weights")
        with pytest.raises(ModelError, match=r"has shape .*, but config\.json asks for"):  # as the load words it
            open_model(str(folder), "cpu", "auto", None, "first")


def test_what_is_broken_is_said_as_a_load_says_it(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(folder_of("gpt2"), tmp_path / "cut")
    file = tmp_path / "cut" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    for how in ("first", "weights", "load"):
        with pytest.raises(ModelError, match=r"is cut short: 100 of .* bytes are missing"):
            open_model(str(tmp_path / "cut"), "cpu", "auto", None, how)  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused_with_both_ways(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "free_on", lambda device: 1000)
    with pytest.raises(ModelError, match=r"^llama takes .* in float32 on cpu, and 1 kB are free\.$") as raised:
        load(str(folder_of("llama")), device="cpu")
    assert "--weights-only (its circuits, without loading it)" in raised.value.hint
    assert "--stream (one prompt, layer by layer)" in raised.value.hint
    assert isinstance(opened(folder_of("llama"), "weights"), StoredModel)


def test_nothing_slow_is_imported(folder_of: Callable[[str], Path]) -> None:
    code = (
        "import sys; from tui.models.opening import open_model;"
        f"m = open_model({str(folder_of('llama'))!r}, 'cpu', 'auto', None, 'first');"
        "m.tokens.encode('the capital', True); m.trace([1, 2, 3], [0]); m.head(0, 0);"
        "print([n for n in ('transformers', 'transformer_lens') if n in sys.modules], type(m).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[] StoredModel", done.stderr


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_matrices_that_were_first_used_without_gradients_take_them(
    name: str, folder_of: Callable[[str], Path]
) -> None:
    """An estimate by one backward pass after a plain forward pass: both go through the same matrices."""
    stored = opened(folder_of(name))
    with torch.inference_mode():
        stored.trace([1, 2, 3])
        whole = [stored.stored.inner(layer) for layer in range(stored.n_layers)]
        for inner in whole:
            inner.acts(torch.zeros(1, 1, 32))
        stored.ends.W_U @ torch.zeros(stored.ends.W_U.shape[1])
    for inner in whole:
        x = torch.ones(1, 1, 32, requires_grad=True)
        inner.out(inner.acts(x)).sum().backward()
        assert x.grad is not None
