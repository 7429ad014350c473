"""A changed model over a file of prompts and on random tokens, by keys: titles, numbers, the tree and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.app.driving import drawn, driven, pressed, text_of
from tests.app.recorded import RecordedBench
from tui.engine.jobs import Ablation, CutEdge, HeadScores, PatternOver, Unchanged
from tui.explorer import Explorer
from tui.results import Grid, Table

GONE = Ablation("L0H0")


def title(explorer: Explorer) -> str:
    return text_of(explorer, "#title").strip()


@pytest.fixture
def facts(tmp_path: Path) -> str:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"prompt": "The capital of France is", "answer": "Paris"}\n{"prompt": "The king"}\n')
    return str(path)


async def test_every_view_over_a_file_is_of_the_changed_model(facts: str) -> None:
    bench = RecordedBench()
    async with driven(bench=bench, prompts=facts) as (explorer, pilot):
        clean = drawn(explorer)
        await pressed(explorer, pilot, "a")
        assert title(explorer) == "changed · L0H0 · mean pattern over facts.jsonl (2 prompts)"
        assert np.allclose(drawn(explorer).values, clean.values * 0.9, equal_nan=True)
        await pressed(explorer, pilot, "d")
        assert title(explorer).startswith("clean · ")
        assert drawn(explorer).values is clean.values
        await pressed(explorer, pilot, "d")
        assert title(explorer).startswith("Δ changed − clean · ")
        assert np.allclose(drawn(explorer).values, clean.values * -0.1, equal_nan=True)
        asked = [job.prompts.changes for job in bench.computed if isinstance(job, PatternOver) and job.head == 0]
        assert {(), (GONE,), (Unchanged((GONE,)),)} <= set(asked)
        await pressed(explorer, pilot, "d")
        for key in ("5", "6"):
            await pressed(explorer, pilot, key)
            assert title(explorer).startswith("changed · ")
        await pressed(explorer, pilot, *["backspace"] * 4)  # three times d, and the knock-out
        assert "changed" not in title(explorer)


async def test_a_difference_of_states_leaves_them_where_the_cursor_counts_them(facts: str) -> None:
    async with driven(prompts=facts) as (explorer, pilot):
        await pressed(explorer, pilot, "5", "a", "d", "d", "up", "up")
        table = explorer.main.picture.table  # type: ignore[union-attr]
        assert isinstance(table, Table)
        assert [row[0] for row in table.rows] == list(explorer.selection.states(False))
        state = table.rows[explorer.main.picture.cursor][0]  # type: ignore[union-attr]
        assert str(state) in text_of(explorer, "#inspector")
        assert str(state) in str(explorer.panel.border_title), "the panel speaks of the row under the cursor"


async def test_heads_are_scored_in_the_changed_model_and_the_tree_says_so(facts: str) -> None:
    bench = RecordedBench()
    async with driven(bench=bench, prompts=facts) as (explorer, pilot):
        await pressed(explorer, pilot, "7")
        clean = drawn(explorer)
        assert explorer.desk.model_tree.border_title == "Heads"
        await pressed(explorer, pilot, "a")
        assert title(explorer).startswith("changed · all heads · induction · on repeated random tokens")
        assert np.allclose(drawn(explorer).values, clean.values * 0.9)
        assert explorer.desk.model_tree.border_title == "Heads, changed"
        for where in ("this prompt", "the file"):
            await pressed(explorer, pilot, "u")
            assert title(explorer).startswith("changed · ")
            assert where in title(explorer)
        await pressed(explorer, pilot, "m", "m", "m")
        assert "copying" in title(explorer)
        assert "changed" not in title(explorer), "copying is of the weights"
        await pressed(explorer, pilot, "d")
        assert explorer.desk.model_tree.border_title == "Heads"


async def test_a_cut_of_this_prompt_leaves_the_tree_that_of_the_clean_model() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "x")
        assert isinstance(explorer.selection.stack[0].change, CutEdge)
        assert explorer.desk.model_tree.border_title == "Heads"
        scored = [job for job in bench.computed if isinstance(job, HeadScores)]
        assert all(not job.changes for job in scored)
        assert isinstance(explorer.main.heatmap.grid, Grid)
