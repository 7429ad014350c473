"""How far a job is, and how long it still takes."""

from __future__ import annotations

from tests.app.test_patching_page import job_of, paired
from tui.engine.events import Progress
from tui.engine.jobs import Job
from tui.wishes import Wishes


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Answers nothing."""

    def want(self, jobs: object) -> dict[Job, object]:
        return {}

    def cached(self, job: Job) -> None:
        return None

    def retry(self, job: Job) -> None:
        return None


def told(steps: list[tuple[float, int]], total: int = 144) -> list[str]:
    """What the status line says after each step (seconds since the last, how much is done)."""
    clock = Clock()
    wishes, job, out = Wishes(Engine(), list, clock), job_of(paired()), []
    for seconds, done in steps:
        clock.now += seconds
        wishes.counted(Progress(job, "patches", done, total))
        out.append(wishes.activity)
    return out


def test_the_time_left_is_said_at_the_measured_rate() -> None:
    assert told([(0, 0), (0.5, 4), (2.5, 36), (1.0, 144)]) == [
        "patches 0/144", "patches 4/144", "36/144, 9 s left · patches", "patches 144/144",
    ]  # fmt: skip
    assert told([(0, 0), (4, 10)], 1000)[-1] == "10/1000, 7 min left · patches"
    assert told([(0, 0), (4, 1)], 10_000)[-1] == "1/10000, 11 h left · patches"
    assert told([(0, 0), (4, 0)], 0)[-1] == "patches"


def test_what_was_there_already_is_no_rate() -> None:
    """A sweep that goes on: a hundred cells at once, then two a second."""
    said = told([(0, 0), (0.1, 100), *[(1.0, 100 + 2 * i) for i in range(1, 8)]])
    assert said[-1] == "114/144, 15 s left · patches"


def test_another_stage_and_another_job_begin_anew() -> None:
    clock = Clock()
    wishes = Wishes(Engine(), list, clock)
    one, other = job_of(paired()), job_of(paired(row=0)).estimate
    wishes.counted(Progress(one, "patches", 0, 10))
    clock.now += 2
    wishes.counted(Progress(one, "patches", 5, 10))
    assert wishes.activity == "5/10, 2 s left · patches"
    wishes.counted(Progress(other, "patches", 6, 10))
    assert wishes.activity == "patches 6/10"
    clock.now += 2
    wishes.counted(Progress(other, "layers", 7, 10))
    assert wishes.activity == "layers 7/10"
    wishes.counted(Progress(other, "layers", 1, 10))
    assert wishes.activity == "layers 1/10", "a stage that begins again"
