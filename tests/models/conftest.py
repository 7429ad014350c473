"""Each small model is written and opened once for the whole run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import folders
from tui.models.live import LiveModel
from tui.models.load import load

ARCHITECTURES = (
    "gpt2",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gpt_neo",
    "neox",
    "gptj",
    "gemma2",
    "gemma3",
    "olmo2",
)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Architecture → folder in Hugging Face format. Shared: not to be changed."""
    root, made = tmp_path_factory.mktemp("folders"), {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(folders, f"{name}_folder")(root / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def model_of(folder_of: Callable[[str], Path]) -> Callable[[str], LiveModel]:
    """Architecture → opened model. Shared: not to be changed."""
    made: dict[str, LiveModel] = {}

    def model(name: str) -> LiveModel:
        if name not in made:
            made[name] = load(str(folder_of(name)), device="cpu")
        return made[name]

    return model


@pytest.fixture(scope="session")
def gpt2(model_of: Callable[[str], LiveModel]) -> LiveModel:
    return model_of("gpt2")


@pytest.fixture(scope="session")
def llama(model_of: Callable[[str], LiveModel]) -> LiveModel:
    return model_of("llama")
