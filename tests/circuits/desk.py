"""Jobs answered in place for tests, with a record of what was computed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tui.engine.bench import Context
from tui.engine.jobs import Job, Open, Run
from tui.engine.run import Bench
from tui.results import ModelInfo, ModelKey, Result

torch.set_num_threads(1)


class Desk(Context):
    """A bench and the context that it computes in: every job once, as the engine would."""

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        self.bench = Bench()
        self.values: dict[Job, Any] = {}
        self.asked: list[Job] = []
        self.computed: list[Job] = []
        self.partials: list[Result] = []
        self.checks = 0
        self.info: ModelInfo = self.get(Open(str(folder), device="cpu", dtype=dtype))

    @property
    def key(self) -> ModelKey:
        return self.info.key

    def run(self, *ids: int, bos: bool = False) -> Run:
        return Run(self.key, tuple(ids), bos)

    def get(self, job: Job) -> Any:
        self.asked.append(job)
        if job not in self.values:
            self.computed.append(job)
            self.values[job] = self.bench.compute(job, self)
        return self.values[job]

    def check(self) -> None:
        self.checks += 1

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        pass

    def partial(self, result: Result) -> None:
        self.partials.append(result)


def error(got: Any, want: Any) -> float:
    """``max|error| / max|value|`` over the cells that are not masked, which must be the same cells."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    assert (np.isnan(got) == np.isnan(want)).all()
    return float(np.nanmax(np.abs(got - want)) / max(np.nanmax(np.abs(want)), 1e-30))
