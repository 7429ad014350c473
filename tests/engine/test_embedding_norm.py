"""A model whose embedding has a norm of its own (Bloom): its numbers are of what enters the stream, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.models.zoo import FAMILIES
from tui.engine.jobs import QK, Nearest, Open
from tui.engine.run import Bench
from tui.export import InPlace

TOKEN = 17


@pytest.fixture(scope="module")
def bloom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InPlace, Open, Path]]:
    folder, bench = FAMILIES["Bloom"].folder(tmp_path_factory.mktemp("bloom") / "model"), Bench()
    yield InPlace(bench, None), Open(str(folder), device="cpu"), folder
    bench.close()


def test_nearest_tokens_are_those_behind_the_norm(bloom: tuple[InPlace, Open, Path]) -> None:
    context, opening, folder = bloom
    info = context.get(opening)
    stored = {name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()}
    x = stored["transformer.word_embeddings.weight"]
    x = x - x.mean(1, keepdims=True)
    x = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5)
    x = x * stored["transformer.word_embeddings_layernorm.weight"]
    x = x + stored["transformer.word_embeddings_layernorm.bias"]
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = np.delete(x @ x[TOKEN], TOKEN)
    found = context.get(Nearest(info.key, TOKEN, k=5))
    values = [row[found.columns.index("cosine")] for row in found.rows]
    np.testing.assert_allclose(values, np.sort(expected)[::-1][:5], atol=1e-6)
    assert found.header.convention["vectors"] == "rows of W_E behind the embedding's norm, not centred"
    there = context.get(Nearest(info.key, TOKEN, "unembedding", k=5))
    assert there.header.convention["vectors"] == "columns of W_U as stored, not centred"


def test_the_convention_of_weights_names_it(bloom: tuple[InPlace, Open, Path]) -> None:
    context, opening, _ = bloom
    info = context.get(opening)
    found = context.get(QK(info.key, 1, 2, (3, 4), (3, 4)))
    assert found.header.convention["W_E"] == "behind the embedding's norm"
