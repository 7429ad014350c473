"""``circuit-tui doctor``: what it finds on this machine, and what it says where something is missing or broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.terminal import environment
from tui import config, devices, findings, probe
from tui.findings import Finding
from tui.probe import Answer

DOCTOR = (sys.executable, "-m", "tui", "doctor")
CUDA: dict[str, Any] = {
    "torch": "2.9.0+cu128", "cuda": "12.8", "hip": None, "driver": "12.4", "threads": 8, "mps": False,
    "devices": [{"name": "NVIDIA H100", "free": 80e9, "total": 85e9}],
}  # fmt: skip


TORCH = """
from types import SimpleNamespace as Names
__version__, version, get_num_threads = "2.9.0", Names(cuda=None, hip=None), lambda: 2
cuda, backends = Names(is_available=lambda: False), Names(mps=Names(is_available=lambda: False))
"""
"""As much of torch as is asked, for what is not about it: the real one takes seconds to import."""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Surroundings of a run, with that torch."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "torch.py").write_text(TORCH)
    out = environment(tmp_path)
    return out | {"PYTHONPATH": os.pathsep.join((str(tmp_path / "lib"), out["PYTHONPATH"], *sys.path))}


def one(found: list[Finding], name: str) -> Finding:
    """The finding of that name; it must be the only one."""
    (finding,) = [finding for finding in found if finding.name == name]
    return finding


def on_terminal(answer: Answer | None = None, **environ: str) -> list[Finding]:
    return list(findings.on_terminal({"TERM": "xterm-256color", "LANG": "C.UTF-8", **environ}, answer))


def on_devices(**changes: Any) -> list[Finding]:
    return list(findings.on_devices({**CUDA, **changes}))


# --- the command ----------------------------------------------------------------------------------------------------


def test_report(tmp_path: Path, env: dict[str, str]) -> None:
    env |= {"NAME": "\x1b]0;owned\x07", "COLORTERM": "\x1b[31mred"}
    done = subprocess.run(DOCTOR, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    assert "\x1b" not in done.stdout
    for line in ("\nterminal\n", "\ndevices\n", "\npackages\n", "\nhub\n", "\nfiles\n"):
        assert line in done.stdout
    assert f"{tmp_path}/state/circuit-tui" in done.stdout
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert "nothing wrong" in done.stdout.splitlines()[-1]
    left = [path.name for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert left == ["welcomed"], "it looks and leaves nothing"


def test_json_and_exit_code(tmp_path: Path, env: dict[str, str]) -> None:
    file = tmp_path / "config" / "circuit-tui" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('theme = "norb"\nbos = "maybe"\n[keys]\nquit = "tab"\n= 3\n')
    done = subprocess.run([*DOCTOR, "--json"], capture_output=True, text=True, env=env, timeout=120)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (1, False)
    wrong = [found for found in report["findings"] if found["state"] == "wrong"]
    assert [found["value"].removeprefix(f"{file}:").partition(":")[0] for found in wrong] == ["1", "2", "4", "5"]
    assert [found["repair"] for found in wrong] == [f"${{EDITOR:-vi}} +{line} {file}" for line in (1, 2, 4, 5)]
    assert "nord" in wrong[0]["value"]
    assert {found["section"] for found in report["findings"]} == {"terminal", "devices", "packages", "hub", "files"}
    assert {"torch", "textual", "transformer-lens", "transformers"} <= {found["name"] for found in report["findings"]}


# --- terminal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "name", "state", "words"),
    [
        ({"TERM": "dumb"}, "TERM", "wrong", "export TERM="),
        ({"TERM": ""}, "TERM", "wrong", "export TERM="),
        ({"TERM": "terminal-of-tomorrow"}, "TERM", "note", "infocmp -x"),
        ({}, "TERM", "ok", ""),
        ({"LANG": "C"}, "encoding", "note", "export LC_ALL=C.UTF-8"),
        ({"LANG": "", "LC_ALL": "de_DE.UTF-8"}, "encoding", "ok", ""),
        ({"NO_COLOR": "1"}, "colours", "ok", ""),
        ({"STY": "1.pts"}, "clipboard", "note", "tmux"),
        ({"TERM": "linux"}, "clipboard", "note", "file"),
    ],
)
def test_surroundings(environ: dict[str, str], name: str, state: str, words: str) -> None:
    found = one(on_terminal(**environ), name)
    assert found.state == state
    assert words in found.repair


def test_colours_that_do_not_get_through() -> None:
    found = one(on_terminal(Answer("old", truecolor=False), COLORTERM="truecolor"), "colours")
    assert (found.state, found.repair) == ("wrong", "circuit-tui --color 256")
    assert one(on_terminal(Answer(), COLORTERM="truecolor"), "colours").state == "ok"
    assert "NO_COLOR is set" in one(on_terminal(NO_COLOR="1"), "colours").value


def test_nothing_personal() -> None:
    secret = {"SSH_CONNECTION": "203.0.113.7 50000 198.51.100.2 22", "HF_TOKEN": "hf_secret", "USER": "ada"}
    said = "".join(f"{found.value}{found.repair}" for found in on_terminal(**secret))
    assert not any(word in said for word in ("203.0.113.7", "hf_secret", "ada"))
    assert one(on_terminal(**secret), "ssh").state == "ok"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"", Answer()),
        (b"\x1b[?1;2c", Answer()),
        (b"\x1bP>|tmux 3.4\x1b\\\x1b[?1;2;4c", Answer("tmux 3.4")),
        (b"\x1bP1$r0;48;2;1;2;3m\x1b\\\x1b[?62;52c", Answer(None, True, True)),
        (b"\x1bP1$r48:2::1:2:3m\x1b\\", Answer(None, True)),
        (b"\x1bP1$r0;48;5;16m\x1b\\\x1b[?64;1c", Answer(None, False)),
        (b"\x1bP0$r\x1b\\typed\x1b[?6c", Answer()),
    ],
)
def test_what_terminals_answer(said: bytes, answer: Answer) -> None:
    assert probe.read(said) == answer


def test_a_terminal_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.ask({"TERM": "xterm"}) is None, "a test has no terminal"
    assert probe.ask({"TERM": "linux"}) is None


# --- devices --------------------------------------------------------------------------------------------------------


def test_devices_of_this_machine() -> None:
    found = devices.look()
    assert "error" not in found
    listed = list(findings.on_devices(found))
    assert one(listed, "torch").state == "ok"
    assert "cores" in one(listed, "cpu").value


def test_a_gpu() -> None:
    assert one(on_devices(), "cuda:0").value == "NVIDIA H100, 80.0 GB free of 85.0 GB"
    assert one(on_devices(), "torch").state == "ok", "a driver serves every build of its major version"


@pytest.mark.parametrize(
    ("changes", "name", "repair"),
    [
        ({"cuda": "13.0", "driver": "12.4"}, "torch", "/whl/cu126"),
        ({"cuda": None, "driver": "13.1", "devices": []}, "torch", "/whl/cu130"),
        ({"cuda": "12.1", "driver": "11.8"}, "torch", "/whl/cu118"),
        ({"cuda": "12.1", "driver": "10.2"}, "torch", "newer driver"),
        ({"devices": [{"name": "cuda:0", "error": "out of memory"}]}, "cuda:0", "nvidia-smi"),
        ({"devices": [], "error": "no kernel image"}, "cuda", "--device cpu"),
    ],
)
def test_a_gpu_that_torch_cannot_use(changes: dict[str, Any], name: str, repair: str) -> None:
    found = one(on_devices(**changes), name)
    assert found.state == "wrong"
    assert repair in found.repair


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11"),
        ("raise ImportError('libtorch.so: cannot open')", "libtorch.so: cannot open"),
        ("import time; time.sleep(60)", "did not answer within 1 s"),
        ("print('hello')", "failed"),
    ],
)
def test_torch_that_is_broken_breaks_nothing(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), *sys.path)))
    found = devices.look(1.0 if "sleep" in code else 20.0)
    assert words in found["error"]
    assert one(list(findings.on_devices(found)), "torch").state == "wrong"


# --- packages, hub, files -------------------------------------------------------------------------------------------


def packages(monkeypatch: pytest.MonkeyPatch, asked: list[str], versions: Mapping[str, str]) -> list[Finding]:
    monkeypatch.setattr(findings.importlib.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(findings, "_version", lambda name: versions.get(name, ""))
    monkeypatch.setattr(findings, "BESIDE", ())
    return list(findings.on_packages())


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        "textual<9,>=8.2", "plotext>=6", "torch>=2.6", 'colorama; sys_platform == "win32"',
        'matplotlib>=3; extra == "figures"', 'ray; extra == "cluster"', 'ruff; extra == "dev"',
    ]  # fmt: skip
    found = packages(monkeypatch, asked, {"textual": "7.0", "torch": "2.13.0+cpu", "ray": "2.5"})
    assert [(one.name, one.state) for one in found] == [
        ("textual", "wrong"), ("plotext", "wrong"), ("torch", "ok"), ("[figures]", "note"),
    ]  # fmt: skip
    assert found[0].repair == "pip install 'textual<9,>=8.2'"
    assert found[3].repair == "pip install 'circuit-tui[figures]'"


def test_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    blob = tmp_path / "models--gpt2" / "blobs" / "x"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(2_500_000))
    (tmp_path / "models--gpt2" / "loop").symlink_to(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert "1 models, 2.5 MB" in one(list(findings.on_hub()), "cache").value
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/proc/nowhere")
    assert one(list(findings.on_hub()), "room").state == "wrong"


def test_state_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    found = one(list(findings.on_files()), "state")
    assert found.state == "wrong"
    assert "XDG_STATE_HOME=" in found.repair


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(findings, "LITTLE_ROOM", 1 << 60)
    assert one(list(findings.on_files()), "state").state == "wrong"


def test_no_config_file_is_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = one(list(findings.on_files()), "config")
    assert (found.state, "the defaults hold" in found.value) == ("ok", True)
    assert str(config.config_file()) in found.value


SIZES = [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (85e9, "85.0 GB"), (2e12, "2.0 TB")]


@pytest.mark.parametrize(("n", "text"), SIZES)
def test_sizes(n: float, text: str) -> None:
    assert findings.bytes_of(n) == text
