"""What jobs share: announced, computed once, stopped when nobody waits; and small pieces by themselves."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk
from tui.circuits import basis, qk
from tui.circuits.normalise import normalise, streamed_baseline
from tui.circuits.tensors import Ends, HeadWeights, Norm
from tui.engine import jobs
from tui.engine.jobs import QK, Pattern
from tui.engine.jobs.parts import Forward, HeadSum, KeyMoments, StreamMoments, VocabularyKeys
from tui.results import ModelKey

SHARED = (Forward, HeadSum, KeyMoments, StreamMoments, VocabularyKeys)


def test_jobs_announce_the_parts_they_ask_for(pair: Pair) -> None:
    desk, run, key = pair.desk, pair.desk.run(*IDS[:3]), pair.desk.key
    every = [
        Pattern(run, 0, 1, "scores"),
        jobs.LayerPatterns(run, 0),
        jobs.NextTokens(run, 1),
        jobs.Residual(run),
        jobs.ResidualParts(run, 1),
        jobs.HeadInput(run, 1, 1, 1, "k"),
        *(jobs.Attribution(run, -1, jobs.Target((3,)), unit, 1) for unit in get_args(jobs.Grain)),
        jobs.Sources(run, 1, 1, jobs.Target((3,))),
        jobs.SourceRow(run, 1, 1, 2, jobs.Target((3,))),
        jobs.ScoreParts(run, 1, 1, 2, 1),
        jobs.Neurons(run, 1, 2),
        QK(key, 1, 1, (1, 2), (1, 2), basis="prompt", run=run),
        jobs.OV(key, 1, 1, (1, 2), (1, 2), basis="prompt", run=run),
        *(
            QK(key, 1, 1, (1, 2), (1, 2), "raw", form, how, "vocabulary", "normed")
            for form in ("bilinear", "scaled")
            for how in ("centered", "softmax")
        ),
    ]
    for job in every:
        desk.values = {j: v for j, v in desk.values.items() if isinstance(j, jobs.Open)}
        desk.asked.clear()
        desk.get(job)
        parts = {asked for asked in desk.asked if isinstance(asked, SHARED)}
        assert parts <= job.needs(), job
        assert parts


def test_heads_share_the_vocabulary_s_moments(pair: Pair) -> None:
    desk = pair.desk
    desk.computed.clear()
    desk.values = {j: v for j, v in desk.values.items() if isinstance(j, jobs.Open)}
    for head in range(4):
        for weights in ("processed", "raw"):
            desk.get(QK(desk.key, 1, head, (1,), (1, 2), weights, normalize="zscore", baseline="vocabulary"))
    assert sum(isinstance(job, StreamMoments) for job in desk.computed) == 1
    assert not any(isinstance(job, VocabularyKeys) for job in desk.computed)


def test_large_vocabularies_go_through_one_head_s_keys(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = pair.desk
    job = QK(desk.key, 1, 0, (1, 5), (1, 2), "raw", "scaled", "zscore", "vocabulary", "normed")
    desk.values.pop(job, None)
    first = desk.get(job).values
    monkeypatch.setattr("tui.engine.keys.PRODUCTS", 0)
    desk.values = {j: v for j, v in desk.values.items() if isinstance(j, jobs.Open)}
    desk.computed.clear()
    assert np.abs(desk.get(job).values - first).max() < 1e-5
    assert not any(isinstance(asked, StreamMoments) for asked in desk.computed)


class Stop(BaseException):
    """What an engine raises from ``check``."""


def test_a_cancel_between_blocks_stops_the_vocabulary(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.circuits.basis.BLOCK", 64)
    desk = Desk.__new__(Desk)
    desk.__dict__ |= pair.desk.__dict__ | {"values": {}, "asked": [], "computed": []}
    seen = 0

    def check() -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise Stop

    monkeypatch.setattr(desk, "check", check)
    with pytest.raises(Stop):
        desk.get(QK(desk.key, 1, 0, (1,), (1,), normalize="softmax", baseline="vocabulary"))
    assert seen == 3


def test_another_model_s_job_is_refused(pair: Pair) -> None:
    other = ModelKey("/elsewhere", "", "float32", "cpu")
    with pytest.raises(Exception, match="not the one that is open"):
        pair.desk.get(QK(other, 0, 0, (1,), (1,)))


def test_a_failed_load_keeps_the_open_model(pair: Pair) -> None:
    with pytest.raises(Exception, match=r"."):
        pair.desk.get(jobs.Open("/nowhere/at/all"))
    assert pair.desk.bench.info == pair.desk.info


def test_a_row_of_one_cell_has_no_spread() -> None:
    visible = torch.ones(2, 2).tril().bool()
    z = normalise(torch.tensor([[7.0, 0.0], [1.0, 3.0]]), "zscore", visible=visible)
    assert z[0, 0] == 0
    assert math.isnan(z[0, 1])
    assert z[1].tolist() == [-1.0, 1.0]


def test_statistics_survive_a_large_common_offset() -> None:
    """Row spreads of 1 on an offset of 10,000: naive sums of float32 squares lose all digits."""
    torch.manual_seed(0)
    values = torch.randn(3, 5000, dtype=torch.float64) + 10_000
    base = streamed_baseline(values.float().split(700, dim=1), lambda: None)
    exact = values.float().double()
    assert torch.allclose(base.std, exact.std(-1, correction=0), rtol=1e-9)
    assert base.log_sum_exp is not None
    assert torch.allclose(base.log_sum_exp, exact.logsumexp(-1), rtol=1e-12)
    rows = values.float().mT
    moments = qk.moments(rows.split(700))
    assert torch.allclose(moments.cov, torch.cov(rows.double().mT, correction=0), rtol=1e-5, atol=1e-6)


def test_rank_of_a_product() -> None:
    torch.manual_seed(1)
    left, right = torch.randn(40, 8), torch.randn(40, 8)
    assert qk.rank(left, right) == 8
    left[:, 3] = left[:, 2]
    assert qk.rank(left, right) == 7


def test_soft_cap_needs_whole_scores() -> None:
    """A soft cap is not linear: its vocabulary statistics come from the scores, not from the keys' moments."""
    torch.manual_seed(2)
    d, size, vocab = 12, 4, 300
    weights = [torch.randn(d, size) for _ in range(3)]
    zero, none = torch.zeros(size), Norm("none", None, None, 0.0)
    head = HeadWeights(
        0, 0, weights[0], zero, weights[1], zero, weights[2], zero, weights[2].mT, none, attn_scale=2.0, soft_cap=1.5
    )
    ends = Ends(torch.randn(vocab, d), None, torch.randn(d, vocab), None, none)
    assert not qk.from_moments(head, "scaled", "zscore")
    assert qk.from_moments(head, "bilinear", "zscore")
    q = qk.queries(head, ends.W_E[:5], "scaled")
    k = qk.vocabulary_keys(head, basis.vocabulary(ends, "embed", none, True, lambda: None), "scaled")
    base = qk.streamed(head, q, k, "scaled", lambda: None)
    x = ends.W_E.double().numpy()
    want = 1.5 * np.tanh(x[:5] @ weights[0].double().numpy() @ weights[1].double().numpy().T @ x.T / 2.0 / 1.5)
    assert np.abs(base.mean.numpy() - want.mean(-1)).max() < 1e-6
    assert np.abs(base.std.numpy() - want.std(-1)).max() < 1e-6
