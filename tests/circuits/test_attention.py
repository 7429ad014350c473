"""Patterns, scores, what attention moves, and the two identities, against float64 and on known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.engine.jobs import QK, HeadInput, LayerPatterns, NextTokens, Pattern
from tui.engine.jobs.parts import Forward

IDENTITIES = (
    "max |softmax(scaled) − pattern|",
    "max |concat(z) W_O − Σ z_h W_O^h|",
    "max |Σ z_h W_O^h + b_O − attention output|",
)


def test_pattern_scores_and_moved_values(pair: Pair) -> None:
    run, n = pair.desk.run(*IDS), len(IDS)
    masked = ~np.tril(np.ones((n, n), dtype=bool))
    for layer, heads in enumerate(pair.want.heads):
        for index, head in enumerate(heads):
            pattern, scores = pair.run.patterns[layer][index], pair.run.scores[layer][index]
            moved = np.linalg.norm(pair.run.values[layer][index] @ head.W_O, axis=-1)
            for kind, want in (("pattern", pattern), ("scores", scores), ("value-weighted", pattern * moved)):
                grid = pair.desk.get(Pattern(run, layer, index, kind))  # type: ignore[arg-type]
                assert error(grid.values, want) < 1e-5, (layer, index, kind)
                assert (np.isnan(grid.values) == masked).all()
                assert all(grid.header.checks[name] < 1e-5 for name in IDENTITIES)
                assert grid.rows.labels == grid.cols.labels


def test_all_heads_of_a_layer(pair: Pair) -> None:
    gallery = pair.desk.get(LayerPatterns(pair.desk.run(*IDS), 1))
    for index, grid in enumerate(gallery.grids):
        assert error(grid.values, pair.run.patterns[1][index]) < 1e-5
        assert grid.header.head == f"L1H{index}"


def test_next_tokens(pair: Pair) -> None:
    table = pair.desk.get(NextTokens(pair.desk.run(*IDS), -1, 5))
    logits = pair.run.logits[-1]
    assert [row[2] for row in table.rows] == np.argsort(-logits)[:5].tolist()
    assert [row[0] for row in table.rows] == [1, 2, 3, 4, 5]
    chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert error([row[3] for row in table.rows], np.sort(chances)[::-1][:5]) < 1e-5


def test_induction_model(induction: Desk) -> None:
    """Repeated distinct tokens: previous-token and induction scores of at least 1 − 1e-6."""
    once = (3, 8, 1, 12, 5, 9, 0, 14)
    length, run = len(once), induction.run(*once, *once)
    previous = induction.get(Pattern(run, 0, 0)).values
    follows = induction.get(Pattern(run, 1, 0)).values
    assert min(previous[i, i - 1] for i in range(1, 2 * length)) >= 1 - 1e-6
    assert min(follows[length + i, i + 1] for i in range(length)) >= 1 - 1e-6


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "gemma3", "neox", "gptj", "gpt_neo", "mistral"])
def test_identities_on_other_architectures(name: str, tmp_path: Path) -> None:
    """Query/key norm, soft caps, post-norms, partial rotary, windows: each shows the model's own pattern."""
    desk = Desk(getattr(folders, f"{name}_folder")(tmp_path))
    run = desk.run(*range(60, 72))
    for layer in range(2):
        for kind in ("pattern", "scores", "value-weighted"):
            header = desk.get(Pattern(run, layer, 1, kind)).header  # type: ignore[arg-type]
            assert all(header.checks[check] < 1e-5 for check in IDENTITIES), header.checks


def test_norm_over_all_heads_has_no_form_of_one_head(tmp_path: Path) -> None:
    """OLMo 2: the pattern is the model's, its check is from the model's q and k, and QK says why it is off."""
    desk = Desk(folders.olmo2_folder(tmp_path))
    run = desk.run(*range(60, 72))
    header = desk.get(Pattern(run, 1, 1, "scores")).header
    assert header.checks["max |softmax(scores) − pattern|"] < 1e-5
    assert IDENTITIES[0] not in header.checks
    for job in (QK(desk.key, 1, 1, (1, 2), (1, 2)), HeadInput(run, 1, 1, 3, "q")):
        with pytest.raises(Refusal, match="all heads at once"):
            desk.get(job)
    assert sum(row[1] for row in desk.get(HeadInput(run, 1, 1, 3, "v")).rows) == pytest.approx(1, abs=1e-5)


def test_one_forward_pass_for_all_heads(pair: Pair) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS[:4])
    for layer in range(2):
        for head in range(4):
            desk.get(Pattern(run, layer, head))
    passes = [job for job in desk.computed if isinstance(job, Forward) and job.run == run]
    assert passes == [Forward(run)]


def test_long_prompts_keep_one_layer_s_patterns(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.engine.opened.KEPT", 0)
    desk, run = pair.desk, pair.desk.run(*IDS[:5])
    grid = desk.get(Pattern(run, 1, 2))
    assert error(grid.values, pair.want.forward(list(IDS[:5])).patterns[1][2]) < 1e-5
    assert set(desk.get(Forward(run, 1)).patterns) == {1}
    desk.get(NextTokens(run, -1))
    assert not desk.get(Forward(run)).patterns
