"""The built wheel, installed and started elsewhere: it has everything it needs, above all the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tui import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the hatchling of this environment: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's contents as pip lays them out; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), str(wheel)], check=True, capture_output=True, timeout=120)
    return folder


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in another directory, where ``tui`` is the installed one."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "HOME": str(cwd)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=180)


def test_contents(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert f"tui/assets/demo/{name}" in names
    assert "tui/style.tcss" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "assets")) or "__pycache__" in name]


def test_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "-c", "import tui; print(tui.__file__)").stdout.startswith(str(installed))


def test_version(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "tui", "--version")
    assert (done.returncode, done.stdout) == (0, f"circuit-tui {__version__}\n")


def test_console_script(installed: Path) -> None:
    assert (installed / "bin" / "circuit-tui").exists()


def test_finds_its_model(installed: Path, tmp_path: Path) -> None:
    done = run(
        installed, tmp_path, "-m", "tui", "export", "tokens", "--prompt", "The capital of France is", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert [token["text"] for token in content["tokens"]][-2:] == [" France", " is"]
    assert content["model"] == "demo"


def test_exports_text(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "tui", "export", "tokens", "--prompt", "The capital of France is")
    assert done.returncode == 0, done.stderr
    assert "France" in done.stdout
    assert done.stderr == ""
