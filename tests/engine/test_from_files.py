"""Jobs on a model of which only the files are there: the same results as on the loaded one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.folders import llama_folder
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    OV,
    QK,
    Attribution,
    Boot,
    Composition,
    CopyingScores,
    HeadScores,
    Job,
    LayerPatterns,
    Lens,
    Nearest,
    NeuronTokens,
    Open,
    OVRow,
    PairSearch,
    Partners,
    Pattern,
    Repeats,
    Residual,
    Run,
    SingularTokens,
    Spectrum,
    Target,
    TopPairs,
    VirtualOV,
    VirtualQK,
)
from tui.engine.run import Bench
from tui.export import InPlace
from tui.models.errors import ModelError
from tui.models.unloaded import StoredModel
from tui.results import Curve, Gallery, Grid, ModelInfo, ModelKey, Table

IDS = (5, 17, 100, 3, 42, 11, 250, 9, 77, 30)


class Hand:
    """A bench with one open model."""

    def __init__(self, opening: Open) -> None:
        self.bench = Bench()
        self.context = InPlace(self.bench, None)
        self.info: ModelInfo = self.context.get(opening)

    def get(self, job: Job) -> Any:
        return self.context.get(job)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama_folder(tmp_path_factory.mktemp("files") / "model")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[Hand]:
    hand = Hand(Open(str(folder), device="cpu"))
    yield hand
    hand.bench.close()


def weights_jobs(key: ModelKey) -> list[Job]:
    at = (key, 1, 2)
    return [
        QK(*at, IDS, IDS), QK(*at, IDS, IDS, form="scaled", normalize="zscore", baseline="vocabulary", offset=3),
        QK(*at, IDS, IDS, weights="raw", basis="effective"), OV(*at, IDS, IDS), OV(*at, IDS, None, weights="raw"),
        OVRow(*at, 17), Partners(*at, 17, "query"), Partners(*at, 17, "output"), TopPairs(*at, k=8),
        TopPairs(*at, circuit="ov", k=8), Nearest(key, 17), Nearest(key, 17, "unembedding"), Spectrum(*at),
        SingularTokens(*at, circuit="qk"), Composition(*at), Composition(*at, kind="v"),
        VirtualOV(key, ((0, 1), (1, 2)), IDS, IDS), VirtualQK(key, ((0, 1), (1, 2)), "k", IDS, IDS),
        CopyingScores(key, sample=50), PairSearch(key, ((260, 261),)), PairSearch(key, ((260, 261),), "ov"),
        NeuronTokens(key, 1, 7),
    ]  # fmt: skip


def run_jobs(key: ModelKey) -> list[Job]:
    run, target = Run(key, IDS, False), Target((17,), (42,))
    return [
        Pattern(run, 1, 2), Pattern(run, 0, 1, "value-weighted"), LayerPatterns(run, 1), Lens(run),
        Lens(run, mids=True), Attribution(run, -1, target), Attribution(run, -1, target, "neuron", 1),
        Residual(run, unit="head"), QK(key, 1, 2, IDS, IDS, form="scaled", basis="prompt", run=run),
        HeadScores(key, Repeats(rows=2)),
    ]  # fmt: skip


def same(own: Any, want: Any, tolerance: float) -> None:
    assert type(own) is type(want)
    if isinstance(own, Grid):
        assert (own.rows, own.cols, own.text) == (want.rows, want.cols, want.text)
        size = tolerance * np.nanmax(abs(want.values))
        np.testing.assert_allclose(own.values, want.values, rtol=tolerance, atol=size)
    elif isinstance(own, Gallery):
        for one, other in zip(own.grids, want.grids, strict=True):
            same(one, other, tolerance)
    elif isinstance(own, Curve):
        for name, values in want.series.items():
            np.testing.assert_allclose(own.series[name], values, rtol=tolerance)
    else:
        assert isinstance(own, Table)
        assert own.columns == want.columns
        for row, other in zip(own.rows, want.rows, strict=True):
            assert [part for part in row if not isinstance(part, float)] == [
                part for part in other if not isinstance(part, float)
            ]
            np.testing.assert_allclose(
                [part for part in row if isinstance(part, float)],
                [part for part in other if isinstance(part, float)],
                rtol=1e-4, atol=1e-6,
            )  # fmt: skip


def test_weights_jobs_without_the_model(folder: Path, loaded: Hand) -> None:
    hand = Hand(Open(str(folder), device="cpu", how="weights"))
    assert hand.info.key == loaded.info.key
    for job in weights_jobs(loaded.info.key):
        same(hand.get(job), loaded.get(job), 1e-6)
    assert isinstance(hand.bench.live, StoredModel)
    hand.bench.close()


@pytest.mark.parametrize("how", ["first", "stream"])
def test_runs_without_the_model(how: Any, folder: Path, loaded: Hand) -> None:
    hand = Hand(Open(str(folder), device="cpu", how=how))
    for job in run_jobs(loaded.info.key):
        same(hand.get(job), loaded.get(job), 1e-4)
    hand.bench.close()


def test_weights_alone_refuse_a_run(folder: Path) -> None:
    hand = Hand(Open(str(folder), device="cpu", how="weights"))
    for job in run_jobs(hand.info.key):
        with pytest.raises((Refusal, ModelError)) as raised:
            hand.get(job)
        assert "--stream" in f"{raised.value.message} {raised.value.hint}"
    hand.bench.close()


def test_booting_goes_on_with_the_same_key(folder: Path) -> None:
    hand = Hand(Open(str(folder), device="cpu", how="first"))
    assert hand.info.source == "from files"
    before = hand.get(Pattern(Run(hand.info.key, IDS, False), 1, 2))
    booted: ModelInfo = hand.get(Boot(str(folder), device="cpu", how="first"))
    assert (booted.key, booted.source) == (hand.info.key, "")
    assert not isinstance(hand.bench.live, StoredModel)
    other = InPlace(hand.bench, None).get(Pattern(Run(booted.key, IDS, False), 1, 2))
    np.testing.assert_allclose(before.values, other.values, atol=1e-6)
    assert InPlace(hand.bench, None).get(Boot(str(folder), device="cpu", how="first")) is booted, "it is there already"
    hand.bench.close()
