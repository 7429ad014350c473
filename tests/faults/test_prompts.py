"""Two thousand odd prompts, and memory that runs out in every kind of job: the engine answers each and goes on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.fakes import Events, wait_until
from tests.faults import grammar
from tests.models.folders import gpt2_folder
from tui import needs, pages
from tui.engine import jobs
from tui.engine.bench import Context
from tui.engine.engine import Engine
from tui.engine.events import Failed
from tui.engine.run import Bench
from tui.engine.trouble import FAULT_HINT, MEMORY_HINT
from tui.results import Grid, ModelInfo, Tokens
from tui.selection import Selection, with_model
from tui.text import visible

PROMPTS, OF_THEM_RUN = 2000, 40


class Short(Bench):
    """A bench for which memory runs out the first two times that each kind of job is begun: the engine frees what it
    can and tries once more by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: Counter[type] = Counter()
        self.short = False

    def compute(self, job: jobs.Job, ctx: Context) -> Any:
        if self.short:
            self.begun[type(job)] += 1
            if self.begun[type(job)] <= 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return super().compute(job, ctx)


class Asked:
    """A real engine on a small model, asked for one list of jobs after the other."""

    def __init__(self, folder: Path) -> None:
        self.events, self.bench = Events(), Short()
        self.engine = Engine(self.events.append, lambda: self.bench)
        self.engine.start()
        opening = jobs.Open(str(folder), device="cpu")
        (info,) = self.ask(opening)
        assert isinstance(info, ModelInfo), self.events
        self.selection = with_model(Selection(open=opening), opening, info)

    def ask(self, *wanted: jobs.Job) -> list[Any]:
        """Their results, None for what failed."""
        self.events.clear()
        there = self.engine.want(wanted)
        wait_until(lambda: {*wanted} <= {*there, *self.events.done, *self.events.failed}, 60.0)
        return [self.engine.cached(job) for job in wanted]

    def typed(self, text: str) -> Selection:
        """The selection after a prompt was typed: its tokens are there, or None are."""
        s = replace(self.selection, text=text)
        job = needs.tokenizing(s)
        assert job is not None
        (result,) = self.ask(job)
        return needs.failed(s, job) if result is None else needs.told(s, job, result)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    out = Asked(gpt2_folder(tmp_path_factory.mktemp("small") / "model"))
    yield out
    assert out.engine.close(5.0)


def test_two_thousand_prompts(asked: Asked) -> None:
    """Tokens whose texts can be drawn, or a refusal in words; some are run as well."""
    dice, refused = random.Random(12), 0
    for number in range(PROMPTS):
        s = asked.typed(grammar.text(dice))
        for failure in asked.events.of(Failed):
            refused += 1
            assert failure.hint != FAULT_HINT, (s.text, failure)
        if isinstance(s.tokens, Tokens):
            assert len(s.tokens.texts) == len(s.tokens.ids)
            assert all(visible(text).isprintable() for text in s.tokens.texts), s.text
            if number % (PROMPTS // OF_THEM_RUN) == 0 and s.run is not None:
                shown = needs.shown(s)
                assert shown is not None
                (grid,) = asked.ask(shown)
                assert isinstance(grid, Grid)
                np.testing.assert_allclose(np.nansum(grid.values, 1), 1.0, atol=1e-5)
    assert 20 < refused < PROMPTS / 2, "too long ones and empty ones are refused, most are read"


def test_memory_that_runs_out_in_any_job(asked: Asked) -> None:
    """Each says so with an advice, and asked again gives what it gives where there is room."""
    s = asked.typed("the capital of France is Paris and")
    assert s.run is not None
    asks = (needs.needs(replace(s, page=page.name), lambda job: None) for page in pages.every())
    every = dict.fromkeys(job for listed in asks for job in listed)
    wanted = [job for job in every if not isinstance(job, jobs.Open | jobs.Boot)]
    whole = dict(zip(wanted, asked.ask(*wanted), strict=True))
    refused = {event.job for event in asked.events.of(Failed)}
    asked.engine.want(())
    asked.engine.cache.clear()
    asked.bench.short = True
    try:
        failures: list[Failed] = []
        for job in wanted:
            for _ in range(12):  # as many kinds of parts as a job may have
                (result,) = asked.ask(job)
                failures += asked.events.of(Failed)
                if result is not None or job in refused:
                    break
                asked.engine.want(())
            if isinstance(result, Grid):
                np.testing.assert_array_equal(result.values, whole[job].values, err_msg=str(job))
            assert (result is None) == (job in refused), job
    finally:
        asked.bench.short = False
    ours = [failure for failure in failures if "Out of memory" in failure.error]
    assert {failure.hint for failure in ours} == {MEMORY_HINT}
    assert len(asked.bench.begun) > 20, "kinds of jobs"
    assert all(times > 2 for kind, times in asked.bench.begun.items()), asked.bench.begun
