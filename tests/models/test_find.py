"""From a name to a folder, with and without a network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tui.models import find
from tui.models.errors import ModelError
from tui.models.find import demo_folder, find_model, fingerprint
from tui.models.live import LiveModel
from tui.models.load import BRIDGE, load, pick_device, pick_dtype

ROOT = Path(__file__).resolve().parents[2]
FOLDER_HINT = "Check its name and the network, or give a folder in Hugging Face format: /path/to/folder"


@pytest.mark.parametrize("form", ["absolute", "relative", "dotted", "home", "slash", "link"])
def test_folders(form: str, folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of("gpt2")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    link = tmp_path / "link"
    link.symlink_to(folder)
    source = {
        "absolute": str(folder),
        "relative": "gpt2",
        "dotted": "./gpt2",
        "home": "~/gpt2",
        "slash": f"{folder}/",
        "link": str(link),
    }[form]
    found = find_model(source)
    assert found.folder.is_absolute()
    assert found.folder.samefile(folder)
    assert found.name == found.folder.name
    assert found.kind == "huggingface"


@pytest.mark.parametrize("source", ["/no/such/folder", "./gone", "~/gone", "a/b/c", "my model", "gpt2?"])
def test_no_such_folder(source: str) -> None:
    with pytest.raises(ModelError) as raised:
        find_model(source)
    assert raised.value.message == f"There is no folder {source}."


def test_file_instead_of_folder(tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    whole = find_model(str(folder_of("gpt2") / "model.safetensors"))
    assert (whole.folder, whole.weights) == (folder_of("gpt2"), None)
    for name, message in (
        ("config.json", "is a file, not a model folder."),
        ("optimizer.pt", "is what training left beside the weights, not a model."),
        ("adapter.safetensors", "lies in a folder in Hugging Face format, whose weights it is not."),
    ):
        file = tmp_path / name
        file.write_bytes((folder_of("gpt2") / "config.json").read_bytes())
        with pytest.raises(ModelError) as raised:
            find_model(str(file))
        assert raised.value.message == f"{file} {message}"
        assert raised.value.hint == f"Give the folder that holds it: {tmp_path}"


def test_folder_without_config_that_looks_like_a_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    with pytest.raises(ModelError, match=r"notes has no config\.json"):
        find_model("notes")


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tui"
    monkeypatch.setattr(find, "__file__", str(package / "models" / "find.py"))
    with pytest.raises(ModelError, match="embedded model is missing"):
        demo_folder()
    for place in (tmp_path / "assets" / "demo", package / "assets" / "demo"):  # a checkout, then a wheel
        place.mkdir(parents=True)
        (place / "config.json").write_text('{"model_type": "gpt2"}')
        assert demo_folder() == place
        for source in ("demo", "", " "):
            assert find_model(source).name == "demo"


def test_cached_hub_name_needs_no_network(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hub"
    snapshot = cache / "models--someone--tiny" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder_of("gpt2"))
    refs = cache / "models--someone--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    found = find_model("someone/tiny")
    assert found.folder == snapshot
    assert found.name == "tiny"
    assert load("someone/tiny", device="cpu").info.name == "tiny"

    snapshot.unlink()
    shutil.copytree(folder_of("gpt2"), snapshot)
    (snapshot / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(ModelError, match="not in the local cache"):
        find_model("someone/tiny")


def test_unknown_name_offline() -> None:
    with pytest.raises(ModelError) as raised:
        find_model("no-such-model-anywhere")
    assert raised.value.message == "no-such-model-anywhere is not in the local cache, and HF_HUB_OFFLINE is set."
    assert raised.value.hint == FOLDER_HINT


@pytest.mark.parametrize("network", ["refused", "silent", "no name"])
def test_unknown_name_without_network(network: str, tmp_path: Path) -> None:
    """One sentence that names the folder form, in under 15 s, in a process that is not told to be offline."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        if network == "silent":
            server.listen()
        endpoint = "http://no-such-host.invalid" if network == "no name" else f"http://127.0.0.1:{port}"
        env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        env |= {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
        code = (
            "from tui.models.find import find_model\nfrom tui.models.errors import ModelError\n"
            "try:\n    find_model('someone/no-such-model')\n"
            "except ModelError as error:\n    print(error.message, error.hint)\n"
        )
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
    assert time.perf_counter() - start < 15
    sentence = f"someone/no-such-model is not in the local cache, and {endpoint} cannot be reached."
    assert done.stdout == f"{sentence} {FOLDER_HINT}\n"
    assert done.stderr == ""


def test_a_load_prints_nothing(folder_of: Callable[[str], Path]) -> None:
    """In a fresh process whose environment was not prepared: whatever is printed corrupts the screen."""
    quiet = ("TQDM", "HF_", "TRANSFORMERS", "TOKENIZERS")
    env = {key: value for key, value in os.environ.items() if not key.startswith(quiet)}
    code = f"from tui.models.load import load\nload({str(folder_of('llama'))!r}, device='cpu').trace([1, 2, 3], [0])"
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_fingerprint_tells_replaced_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    first = fingerprint(tmp_path)
    assert first == fingerprint(tmp_path)
    os.utime(tmp_path / "model.safetensors", ns=(1, 1))
    second = fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    assert len({first, second, fingerprint(tmp_path)}) == 3


def test_info(gpt2: LiveModel, llama: LiveModel, folder_of: Callable[[str], Path]) -> None:
    info = gpt2.info
    assert info.key.folder == str(folder_of("gpt2"))
    assert (info.key.dtype, info.key.device) == ("float32", "cpu")
    assert (info.n_layers, info.n_heads, info.n_key_value_heads, info.d_model, info.d_head) == (2, 4, 4, 32, 8)
    assert (info.d_vocab, info.n_ctx, info.positions, info.norm) == (270, 32, "learned", "LayerNorm")
    assert (info.bos_id, info.bos_default, info.has_mlp, info.parallel_blocks) == (269, True, True, False)
    assert info.n_parameters == 35136, "tied weights count once"
    assert (llama.info.n_key_value_heads, llama.info.positions, llama.info.norm) == (2, "rotary", "RMSNorm")


def test_stages_and_cancel(folder_of: Callable[[str], Path]) -> None:
    stages: list[str] = []
    importing = [] if BRIDGE in sys.modules else ["importing transformer_lens"]
    load(str(folder_of("gpt2")), device="cpu", progress=stages.append)
    assert stages == ["reading config", *importing, "checking files", "loading weights", "self-check"]

    class Cancelled(BaseException):  # as the engine's own: a library lets it through
        pass

    def check() -> None:
        if stages[-1] == "loading weights":
            raise Cancelled

    stages[:] = [""]
    with pytest.raises(Cancelled):
        load(str(folder_of("gpt2")), device="cpu", progress=stages.append, check=check)


def test_loading_inside_inference_mode(folder_of: Callable[[str], Path]) -> None:
    """The engine answers every job in inference mode; weights must be ordinary tensors all the same."""
    import torch

    with torch.inference_mode():
        live = load(str(folder_of("gpt2")), device="cpu")
    assert not any(p.is_inference() for p in live.bridge.original_model.parameters())
    assert not live.ends.W_E.is_inference()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "cuda was asked for, but torch sees no CUDA device."),
        ("cuda:3", "cuda:3 was asked for, but torch sees no CUDA device."),
        ("mps", "mps was asked for, but torch sees no Apple GPU."),
        ("gpu", "gpu is not a device."),
        ("cpu:0", "cpu:0 is not a device."),
        ("cuda:x", "cuda:x is not a device."),
    ],
)
def test_devices_that_are_not_there(device: str, message: str) -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has an accelerator")
    with pytest.raises(ModelError) as raised:
        pick_device(device)
    assert raised.value.message == message


def test_dtypes() -> None:
    assert pick_dtype("auto", "cpu", "bfloat16") == "float32"
    assert pick_dtype("auto", "cuda:0", "bfloat16") == "bfloat16"
    assert pick_dtype("auto", "cuda:0", "float64") == "float32"
    assert pick_dtype("float16", "cpu", "float32") == "float16"
    with pytest.raises(ModelError, match="int8 is not a dtype"):
        pick_dtype("int8", "cpu", "float32")
