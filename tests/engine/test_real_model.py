"""The engine with the real bench: a slow forward shared by twenty heads, and cancels that leave the model untouched."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.folders import gpt2_folder
from tui.engine.engine import Engine
from tui.engine.events import Done, Failed, Idle
from tui.engine.jobs import (
    QK,
    Directions,
    FindPairs,
    FindTarget,
    HeadInput,
    LayerPatterns,
    LensTop,
    NextTokens,
    Open,
    OVRow,
    Partners,
    PartWrite,
    Pattern,
    PreparePrompts,
    PromptRow,
    ResidualParts,
    Run,
    TokenFilter,
    Tokenize,
    Words,
)
from tui.engine.jobs.parts import Forward
from tui.engine.run import Bench
from tui.results import Grid, ModelInfo

IDS = tuple(range(3, 15))


class Watched:
    """A real engine on a small random GPT-2 whose blocks can be slowed down and whose forwards are counted."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Any] = []
        self.bench = Bench()
        self.forwards = 0
        self.delay = 0.0
        self.entered = threading.Event()
        self.engine = Engine(self.events.append, lambda: self.bench)
        self.engine.start()
        opening = Open(str(folder), device="cpu")
        self.engine.want([opening])
        self.until(lambda: any(isinstance(event, Done | Failed) for event in self.events))
        info = self.engine.cached(opening)
        assert isinstance(info, ModelInfo), self.events
        self.info = info
        self.run = Run(info.key, IDS, False)
        live = self.bench.live
        trace = live.trace

        def counted(
            ids: Any,
            layers: Any = (),
            check: Callable[[], None] = lambda: None,
            interventions: Any = (),
            again: bool = False,
        ) -> Any:
            self.forwards += 1
            self.entered.set()

            def slow() -> None:
                time.sleep(self.delay)
                check()

            return trace(ids, layers, slow, interventions, again)

        live.trace = counted  # type: ignore[method-assign]

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.events[-3:]
            time.sleep(0.005)

    def hooks(self) -> int:
        """Forward hooks on any module of the model."""
        modules = self.bench.live.bridge.modules()
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)

    def logits(self) -> torch.Tensor:
        with torch.inference_mode():
            return self.bench.live.trace(IDS).logits.clone()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return gpt2_folder(tmp_path_factory.mktemp("models") / "small", n_layer=3, n_head=20, n_embd=80)


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    made = Watched(folder)
    yield made
    made.engine.close()


def test_twenty_head_changes_during_a_slow_forward_make_one_forward_and_one_result(watched: Watched) -> None:
    watched.delay = 0.1
    watched.events.clear()
    for head in range(20):
        watched.engine.want([Pattern(watched.run, 1, head)])
        if head == 0:
            assert watched.entered.wait(10)
    last = Pattern(watched.run, 1, 19)
    watched.until(lambda: watched.engine.cached(last) is not None)
    patterns = [event.job for event in watched.events if isinstance(event, Done) and isinstance(event.job, Pattern)]
    assert watched.forwards == 1
    assert patterns == [last]


def test_all_views_of_a_prompt_share_one_forward(watched: Watched) -> None:
    jobs = [Pattern(watched.run, 2, 0), LayerPatterns(watched.run, 0), NextTokens(watched.run, 3)]
    watched.engine.want(jobs)
    watched.until(lambda: all(watched.engine.cached(job) is not None for job in jobs))
    assert watched.forwards == 1
    assert watched.engine.cached(Forward(watched.run)) is not None


def test_a_cancel_inside_a_forward_leaves_no_hook_and_the_same_logits(watched: Watched) -> None:
    before, hooks = watched.logits(), watched.hooks()
    for delay in (0.02, 0.05, 0.11):
        watched.delay, watched.forwards = delay, 0
        watched.entered.clear()
        watched.engine.want([Pattern(Run(watched.info.key, (*IDS, int(delay * 100)), False), 1, 0)])
        assert watched.entered.wait(10)
        time.sleep(1.5 * delay)
        watched.engine.want([])
        time.sleep(3 * delay)
    watched.delay = 0.0
    probe = Pattern(watched.run, 0, 0)
    watched.engine.want([probe])
    watched.until(lambda: watched.engine.cached(probe) is not None)
    assert not any(isinstance(event, Failed) for event in watched.events)
    assert watched.hooks() == hooks
    assert torch.equal(watched.logits(), before)


def test_closing_during_a_forward_is_quick(watched: Watched) -> None:
    watched.delay = 0.05
    watched.engine.want([Pattern(watched.run, 1, 0)])
    assert watched.entered.wait(10)
    start = time.monotonic()
    assert watched.engine.close(0.5)
    assert time.monotonic() - start < 0.5


def test_results_cannot_be_written_to(watched: Watched) -> None:
    job = Pattern(watched.run, 0, 1)
    watched.engine.want([job])
    watched.until(lambda: watched.engine.cached(job) is not None)
    grid = watched.engine.cached(job)
    assert isinstance(grid, Grid)
    with pytest.raises(ValueError, match="read-only"):
        grid.values[0, 0] = 1.0


def test_bad_answers_are_a_line_each_in_the_log(
    watched: Watched, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a user can get wrong, from a word to a folder: each is refused, and no traceback looks like a fault."""
    key, run = watched.info.key, watched.run
    file, empty, broken, cut = (tmp_path / name for name in ("file.txt", "empty", "broken", "cut"))
    file.write_text("words")
    empty.mkdir()
    broken.mkdir()
    (broken / "config.json").write_text("{")
    shutil.copytree(folder, cut)
    (cut / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    bad = [
        *(Open(str(path)) for path in (tmp_path / "nowhere", file, empty, broken, cut)),
        Open(str(folder), device="cuda:99"),
        Open(str(folder), dtype="int8"),
        Tokenize(key, "", False),
        Tokenize(key, "the " * 10_000, False),
        Words(key, "France, unbelievable"),
        Words(key, "99999"),
        FindTarget(key, "France - France"),
        FindPairs(key, "France>unbelievable"),
        FindPairs(key, "France"),
        PreparePrompts(key, "file.txt", (), False),
        PreparePrompts(key, "file.txt", (PromptRow("the", "unbelievable"),), False),
        Pattern(run, 0, 99),
        Pattern(Run(replace(key, fingerprint="other"), IDS, False), 0, 0),
        NextTokens(Run(key, (10**6,), False), 0),
        LensTop(run, "L9.pre", 0),
        NextTokens(run, len(IDS)),
        ResidualParts(run, -len(IDS) - 1),
        HeadInput(run, 1, 0, len(IDS), "q"),
        OVRow(key, 1, 0, IDS[0], basis="prompt", run=run, position=len(IDS)),
        QK(key, 0, 0, (1,), (10**6,)),
        Partners(key, 0, 0, 1, "query", filter=TokenFilter(pattern="(")),
        Directions(run, PartWrite("L0.nothing", 0)),
    ]
    caplog.clear()
    watched.events.clear()
    watched.engine.want(bad)
    watched.until(lambda: any(isinstance(event, Idle) for event in watched.events))
    failed = [event for event in watched.events if isinstance(event, Failed)]
    assert [event.job for event in failed] == bad
    told = [record for record in caplog.records if record.name.startswith("tui")]
    assert len(told) == len(bad)
    for event, record in zip(failed, told, strict=True):
        assert record.levelname == "WARNING", record.getMessage()
        assert record.exc_info is None
        assert record.getMessage().splitlines() == [f"{event.error} {event.hint}".strip()]
