"""What opens besides a plain folder, and what says what to do: every folder is written here."""

from __future__ import annotations

import importlib.machinery
import json
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.folders import induction_checkpoint, llama_folder
from tui.models import formats
from tui.models.aliases import official_name
from tui.models.errors import ModelError
from tui.models.find import find_model
from tui.models.live import LiveModel
from tui.models.load import load

IDS = [3, 200, 260, 261, 7]


@pytest.fixture
def folder(tmp_path: Path, folder_of: Callable[[str], Path]) -> Path:
    """A good GPT-2 folder of one's own."""
    return Path(shutil.copytree(folder_of("gpt2"), tmp_path / "model"))


@pytest.fixture
def llama_copy(tmp_path: Path, folder_of: Callable[[str], Path]) -> Path:
    """A good Llama folder of one's own, its head not tied to its embedding."""
    return Path(shutil.copytree(folder_of("llama"), tmp_path / "llama"))


def refusal(source: str | Path) -> ModelError:
    with pytest.raises(ModelError) as raised:
        load(str(source), device="cpu")
    assert raised.value.hint, "something can be done"
    assert "\n" not in f"{raised.value.message}{raised.value.hint}"
    return raised.value


def logits(live: LiveModel) -> torch.Tensor:
    return live.trace(IDS).logits


def renamed(folder: Path, name: Callable[[str], str]) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file({name(key): value for key, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})


def configured(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


# --- pickled weights, in shards ---


def shards(folder: Path, old: bool = False) -> Path:
    """The folder's weights as two pickled files and their index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, where = sorted(weights), {}
    for number, keys in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        part = {key: weights[key].clone() for key in keys}
        torch.save(part, folder / file, _use_new_zipfile_serialization=not old)
        where |= dict.fromkeys(keys, file)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


@pytest.mark.parametrize("old", [False, True])
def test_pickled_shards(folder: Path, gpt2: LiveModel, old: bool) -> None:
    shards(folder, old)
    assert torch.equal(logits(load(str(folder), device="cpu")), logits(gpt2))


def test_pickled_shards_that_are_none(folder: Path) -> None:
    index = shards(folder)
    second = folder / "pytorch_model-00002-of-00002.bin"
    kept = second.read_bytes()
    torch.save({"oops": print}, second)
    assert refusal(folder).message.startswith(f"{second} cannot be read safely")
    second.unlink()
    assert refusal(folder).message == f"{folder} lacks {second.name}, one of the model's weight files."
    second.write_bytes(kept)
    where = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": {**where, "transformer.gone": second.name}}))
    assert refusal(folder).message == f"{second.name} lacks transformer.gone, which the index says it holds."


# --- names ---


@pytest.mark.parametrize(
    ("prefix", "inner", "said"),
    [
        ("_orig_mod.", "", "_orig_mod. (torch.compile)"),
        ("module.", "", "module. (DistributedDataParallel)"),
        ("module._orig_mod.", "", "_orig_mod. (torch.compile) and module. (DistributedDataParallel)"),
        ("", "_orig_mod.", "_orig_mod. (torch.compile)"),
    ],
)
def test_prefixes_of_wrappers(folder: Path, gpt2: LiveModel, prefix: str, inner: str, said: str) -> None:
    renamed(folder, lambda key: prefix + key.replace(".attn.", f".{inner}attn."))
    live = load(str(folder), device="cpu")
    assert torch.equal(logits(live), logits(gpt2))
    assert live.info.notes == (f"{said} was taken off the names of the weights",)


def test_plain_names_are_not_spoken_of(gpt2: LiveModel) -> None:
    assert gpt2.info.notes == ()


# --- models without a head ---


def test_tied_head_of_a_base_model(folder: Path, gpt2: LiveModel) -> None:
    configured(folder, architectures=["GPT2Model"])
    renamed(folder, lambda key: key.removeprefix("transformer."))
    live = load(str(folder), device="cpu")
    assert torch.equal(logits(live), logits(gpt2))
    assert live.info.capabilities == gpt2.info.capabilities


def test_no_head_of_a_base_model(llama_copy: Path, llama: LiveModel) -> None:
    weights = load_file(llama_copy / "model.safetensors")
    assert "lm_head.weight" in weights, "not tied"
    del weights["lm_head.weight"]
    save_file({key.removeprefix("model."): w for key, w in weights.items()}, llama_copy / "model.safetensors")
    assert refusal(llama_copy).message == f"Weights are missing from {llama_copy}: lm_head.weight.", "it names a head"
    configured(llama_copy, architectures=["LlamaModel"])
    live = load(str(llama_copy), device="cpu")
    why = live.info.capabilities.outputs
    assert why.startswith("This is a LlamaModel: it was saved without its head, so it has no outputs.")
    assert "LlamaForCausalLM.save_pretrained" in why
    held = {name for name, reason in vars(llama.info.capabilities).items() if not reason}
    assert {name for name in held if vars(live.info.capabilities)[name]} == {"outputs", "one_vocabulary"}
    ours, whole = live.trace(IDS, range(2)), llama.trace(IDS, range(2))
    assert torch.equal(ours.resid_pre, whole.resid_pre)
    assert torch.equal(live.head(1, 2).W_O, llama.head(1, 2).W_O)


# --- adapters ---


def adapter_folder(path: Path, base: Path | str, scale: float = 2.0) -> Path:
    """LoRA of rank 2 on GPT-2's c_proj of both layers, as peft writes it."""
    path.mkdir()
    config = {"base_model_name_or_path": str(base), "peft_type": "LORA", "r": 2, "lora_alpha": 2 * scale}
    (path / "adapter_config.json").write_text(json.dumps(config))
    torch.manual_seed(1)
    weights = {}
    for layer in range(2):
        at = f"base_model.model.transformer.h.{layer}.attn.c_proj"
        weights[f"{at}.lora_A.weight"], weights[f"{at}.lora_B.weight"] = torch.randn(2, 32), torch.randn(32, 2)
    save_file(weights, path / "adapter_model.safetensors")
    return path


class _FakePeft:
    """As much of peft as merges LoRA into transformers' Conv1D: W + scale · (B A)ᵀ."""

    def __init__(self, model: Any, folder: str) -> None:
        config = json.loads((Path(folder) / "adapter_config.json").read_text())
        weights = load_file(Path(folder) / "adapter_model.safetensors")
        self.model, self.scale, self.weights = model, config["lora_alpha"] / config["r"], weights

    @classmethod
    def from_pretrained(cls, model: Any, folder: str) -> _FakePeft:
        return cls(model, folder)

    def merge_and_unload(self) -> Any:
        for name, A in self.weights.items():
            if name.endswith("lora_A.weight"):
                B = self.weights[name.replace("lora_A", "lora_B")]
                target = self.model.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
                target.weight.data += self.scale * (B @ A).T
        return self.model


@pytest.fixture
def peft(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """peft, installed."""
    module = types.ModuleType("peft")
    module.__spec__ = importlib.machinery.ModuleSpec("peft", None)
    module.PeftModel = _FakePeft  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "peft", module)
    return module


def test_adapter_without_peft(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    error = refusal(adapter_folder(tmp_path / "tuned", folder))
    assert error.message == f"{tmp_path / 'tuned'} is a PEFT adapter of {folder}, and peft, which merges it, is not "\
                            "installed."  # fmt: skip
    assert error.hint.startswith("Run: pip install peft;")
    assert "merge_and_unload()" in error.hint


def test_adapter_is_merged(folder: Path, tmp_path: Path, gpt2: LiveModel, peft: types.ModuleType) -> None:
    tuned = adapter_folder(tmp_path / "tuned", folder)
    live = load(str(tuned), device="cpu")
    assert (live.info.name, live.info.key.folder) == ("tuned", str(tuned))
    weights = load_file(tuned / "adapter_model.safetensors")
    for layer in range(2):
        at = f"base_model.model.transformer.h.{layer}.attn.c_proj"
        added = 2.0 * (weights[f"{at}.lora_B.weight"].double() @ weights[f"{at}.lora_A.weight"].double()).T
        for head in range(4):
            rows = slice(8 * head, 8 * head + 8)
            want = gpt2.head(layer, head).W_O.double() + added[rows]
            assert torch.allclose(live.head(layer, head).W_O.double(), want, atol=1e-6)
    assert (logits(live) - logits(gpt2)).abs().max() > 0.1
    before = live.info.key.fingerprint
    adapter_file = tuned / "adapter_model.safetensors"
    save_file({key: value * 2 for key, value in weights.items()}, adapter_file)
    assert load(str(tuned), device="cpu").info.key.fingerprint != before, "another adapter is another model"


def test_adapters_own_tokenizer(folder: Path, tmp_path: Path, peft: types.ModuleType) -> None:
    tuned = adapter_folder(tmp_path / "tuned", folder)
    shutil.move(str(folder / "tokenizer.json"), tuned)
    shutil.move(str(folder / "tokenizer_config.json"), tuned)
    assert load(str(tuned), device="cpu").tokens.encode(" Paris", bos=False).texts == (" Paris",)


def test_adapters_that_cannot_be_merged(folder: Path, tmp_path: Path, peft: types.ModuleType) -> None:
    tuned = adapter_folder(tmp_path / "tuned", folder)
    (tuned / "adapter_model.safetensors").unlink()
    save_file({"base_model.model.gone.lora_A.weight": torch.ones(1, 1)}, tuned / "adapter_model.safetensors")
    error = refusal(tuned)
    assert error.message.startswith(f"The adapter {tuned} cannot be merged into {folder}: ")
    assert "merge_and_unload()" in error.hint
    (tuned / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "gone")}))
    assert refusal(tuned).message.startswith(f"{tuned} is a PEFT adapter of {tmp_path / 'gone'}. There is no folder")
    for broken in ("{", "[]", "{}", '{"base_model_name_or_path": 3}'):
        (tuned / "adapter_config.json").write_text(broken)
        assert "does not name the adapter's base model" in refusal(tuned).message
    shutil.copy(folder / "model.safetensors", tuned)
    assert "holds whole weights and a PEFT adapter" in refusal(tuned).message


# --- what is no model ---


def pointer(file: Path) -> None:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 548105171\n"
    file.write_text(text)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_git_lfs_pointers(folder: Path, name: str) -> None:
    pointer(folder / name)
    error = refusal(folder)
    size = (folder / name).stat().st_size
    assert error.message == f"{folder / name} is a Git LFS pointer of {size} bytes, not the file itself."
    assert error.hint == f"Run: git -C {folder} lfs pull"


def test_pointers_that_are_not_read(folder: Path) -> None:
    pointer(folder / "pytorch_model.bin")
    pointer(folder / "flax_model.msgpack")
    pointer(folder / "training_args.bin")
    assert load(str(folder), device="cpu").info.n_layers == 2


def test_git_lfs_pointer_of_a_checkpoint(tmp_path: Path) -> None:
    made = induction_checkpoint(tmp_path / "toy")
    pointer(made / "model.pt")
    assert refusal(made).hint == f"Run: git -C {made} lfs pull"


def test_gguf(tmp_path: Path) -> None:
    file = tmp_path / "llama.Q4_K_M.gguf"
    file.write_bytes(b"GGUF\x03\0\0\0")
    for source in (file, tmp_path):
        error = refusal(source)
        assert error.message == f"{file} is a GGUF file, which is not supported: its weights are quantised."
        assert "model.safetensors" in error.hint
        assert "TransformerLens checkpoint" in error.hint


def test_trainers_files_are_ignored(folder: Path, gpt2: LiveModel) -> None:
    torch.save({"args": 1}, folder / "training_args.bin")
    torch.save({"state": {}}, folder / "optimizer.pt")
    torch.save({"rng": 1}, folder / "rng_state.pth")
    (folder / "trainer_state.json").write_text("{}")
    assert torch.equal(logits(load(str(folder), device="cpu")), logits(gpt2))


# --- hub names ---


def cached(cache: Path, name: str, snapshot: Path, revision: str, commit: str) -> Path:
    """A snapshot of a hub name in the cache, under a branch or tag."""
    root = cache / f"models--{name.replace('/', '--')}"
    made = root / "snapshots" / commit
    made.parent.mkdir(parents=True, exist_ok=True)
    made.symlink_to(snapshot)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / revision).write_text(commit)
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of one's own."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_revisions(folder: Path, llama_copy: Path, cache: Path) -> None:
    newest = cached(cache, "someone/tiny", folder, "main", "0" * 40)
    early = cached(cache, "someone/tiny", llama_copy, "step1000", "1" * 40)
    assert find_model("someone/tiny").folder == newest
    found = find_model("someone/tiny@step1000")
    assert (found.folder, found.name) == (early, "tiny@step1000")
    assert find_model(f"someone/tiny@{'1' * 40}").folder == early, "a commit"
    info = load("someone/tiny@step1000", device="cpu").info
    assert (info.name, info.architecture) == ("tiny@step1000", "LlamaForCausalLM")
    error = refusal("someone/tiny@step2000")
    assert error.message == "someone/tiny@step2000 is not in the local cache, and HF_HUB_OFFLINE is set."


def test_revisions_of_what_has_none(folder: Path) -> None:
    assert refusal(f"{folder}@main").message == f"A revision (main) is for hub names, and {folder} is a folder."
    assert refusal("demo@main").message == "A revision (main) is for hub names, and demo comes with the app."
    assert refusal("/no/where@main").message == "There is no folder /no/where@main."
    inside = folder.rename(folder.with_name("run@3"))
    assert find_model(str(inside)).folder == inside, "a folder's own name may have an @ in it"


def test_transformerlens_names() -> None:
    """Against TransformerLens' own resolver."""
    from transformer_lens.supported_models import get_official_model_name

    for short, official in (
        ("gpt2-small", "gpt2"),
        ("attn-only-2l", "NeelNanda/Attn_Only_2L512W_C4_Code"),
        ("pythia-70m-deduped", "EleutherAI/pythia-70m-deduped"),
        ("Pythia-70M-deduped", "EleutherAI/pythia-70m-deduped"),
    ):
        assert official_name(short) == official == get_official_model_name(short)
    assert official_name("no-such-model") is None


def test_short_name_is_found_in_the_cache(folder: Path, cache: Path) -> None:
    kept = cached(cache, "EleutherAI/pythia-70m-deduped", folder, "main", "2" * 40)
    cached(cache, "EleutherAI/pythia-70m-deduped", folder, "step0", "3" * 40)
    found = find_model("pythia-70m-deduped")
    assert (found.folder, found.name) == (kept, "pythia-70m-deduped")
    assert find_model("pythia-70m-deduped@step0").name == "pythia-70m-deduped@step0"
    error = refusal("attn-only-2l")
    official = "NeelNanda/Attn_Only_2L512W_C4_Code"
    assert error.message == f"attn-only-2l is TransformerLens' name of {official}. {official} is not in the local "\
                            "cache, and HF_HUB_OFFLINE is set."  # fmt: skip


def test_tokenizer_that_a_checkpoint_names(tmp_path: Path, folder: Path, cache: Path) -> None:
    """TransformerLens' own repositories hold a checkpoint and the name of a tokenizer that lies elsewhere."""
    toy = induction_checkpoint(tmp_path / "toy", n_tokens=300)
    (toy / "vocab.json").unlink()
    configured(toy, tokenizer_name="someone/digits")
    live = load(str(toy), device="cpu")
    assert live.info.notes == (
        "no tokenizer: prompts are typed as token ids (for text: hf download someone/digits tokenizer.json, then open "
        "the model again)",
    )
    assert live.tokens.encode("3 4", bos=False).ids == (3, 4)
    cached(cache, "someone/digits", folder, "main", "4" * 40)
    live = load(str(toy), device="cpu")
    assert live.info.notes == ("the tokenizer is someone/digits, which config.json names",)
    assert live.tokens.encode(" Paris", bos=False).texts == (" Paris",)


# --- no library's exception reaches a person ---


def _tried(folder: Path) -> tuple[LiveModel | None, ModelError | None]:
    try:
        return load(str(folder), device="cpu"), None
    except ModelError as error:
        return None, error


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, ("hidden_size",)),
        ({}, ("num_attention_heads", "num_hidden_layers")),
        ({}, ("vocab_size",)),
        ({"hidden_size": "wide"}, ()),
        ({"hidden_size": None}, ()),
        ({"num_attention_heads": 0}, ()),
        ({"num_attention_heads": 5}, ()),
        ({"num_key_value_heads": 3}, ()),
        ({"hidden_act": "nosuch"}, ()),
        ({"rms_norm_eps": "small"}, ()),
        ({"vocab_size": -1}, ()),
        ({"rope_parameters": {"rope_type": "nosuch", "rope_theta": 10000.0}}, ()),
        ({"rope_parameters": {"rope_type": "yarn"}}, ()),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0}}, ()),
        ({"rope_parameters": 3}, ()),
        ({"rope_scaling": {"type": "nosuch"}}, ()),
        ({"max_position_embeddings": "many"}, ()),
        ({"layer_types": ["nosuch", "nosuch"]}, ()),
        ({"architectures": "LlamaForCausalLM"}, ()),
        ({"architectures": [3]}, ()),
        ({"torch_dtype": "float99"}, ()),
        ({"model_type": ["llama"]}, ()),
        ({"bos_token_id": "one"}, ()),
        ({"tie_word_embeddings": "perhaps"}, ()),
    ],
)
def test_broken_configs(llama_copy: Path, changes: dict[str, Any], gone: tuple[str, ...]) -> None:
    """Each either opens (transformers has a default or does not ask) or is refused in a sentence with a step."""
    file = llama_copy / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if key not in gone}))
    opened, refused = _tried(llama_copy)
    if refused is not None:
        assert refused.hint
        assert "\n" not in refused.message
        assert str(llama_copy) in refused.message or "config.json" in refused.message + refused.hint \
            or "is not a text decoder" in refused.message  # fmt: skip
    else:
        assert opened is not None
        assert logits(opened).isfinite().all()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"model": {"type": "BPE"}}', '{"version": "1.0", "model": 3, "added_tokens": []}', "\0\xff"],
)
@pytest.mark.parametrize("kind", ["huggingface", "transformerlens"])
def test_broken_tokenizers(folder: Path, tmp_path: Path, content: str, kind: str) -> None:
    where = folder if kind == "huggingface" else induction_checkpoint(tmp_path / "toy")
    (where / "tokenizer.json").write_text(content, encoding="latin-1")
    assert str(where) in refusal(where).message


def test_what_nobody_foresaw_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.engine.trouble import explain
    from tui.models import load as loading

    def broken(*_: object) -> None:
        raise KeyError("rope_theta")

    monkeypatch.setattr(loading, "self_check", broken)
    error = refusal(folder)
    assert error.message == f"{folder} cannot be opened: there is no 'rope_theta'."
    assert not explain(error).expected, "the log says where it came from"
    monkeypatch.setattr(loading, "self_check", lambda *_: [][1])
    assert refusal(folder).message == f"{folder} cannot be opened: list index out of range."


def test_a_library_that_runs_out_of_memory_is_no_refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.models import load as loading

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(loading, "self_check", full)
    with pytest.raises(MemoryError):
        load(str(folder), device="cpu")


def test_llama_folder_is_not_tied(tmp_path: Path) -> None:
    """What the test of a missing head relies on."""
    assert "lm_head.weight" in load_file(llama_folder(tmp_path / "llama") / "model.safetensors")
