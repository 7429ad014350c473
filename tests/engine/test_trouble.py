"""Failures are data, memory that ran out is freed, and nothing ends the thread but ``close``."""

from __future__ import annotations

import gc
import importlib
import inspect
import logging
import pkgutil
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import tui.circuits
import tui.engine
import tui.models
from tui.circuits.errors import Refusal
from tui.engine.bench import Cancelled, Context
from tui.engine.engine import Engine
from tui.engine.events import Done, Event, Failed, Partial, Progress
from tui.engine.jobs import Open
from tui.engine.trouble import FAULT_HINT, MEMORY_HINT
from tui.models.errors import ModelError

from .fakes import SOON, Events, FakeBench, Forward, Head, Plain, Rig, wait_until

A, B = Plain("a"), Plain("b")


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def raising(error: BaseException) -> Callable[[Context], Any]:
    def answer(ctx: Context) -> Any:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (ValueError("bad\n  value"), "ValueError: bad value", FAULT_HINT),
        (KeyError(), "KeyError", FAULT_HINT),
        (Unprintable(), "Unprintable", FAULT_HINT),
        (KeyboardInterrupt(), "KeyboardInterrupt", FAULT_HINT),
        (SystemExit(3), "SystemExit: 3", FAULT_HINT),
        (GeneratorExit(), "GeneratorExit", FAULT_HINT),
    ],
)
def test_a_failure_is_told_and_the_rest_goes_on(
    rig: Rig, caplog: pytest.LogCaptureFixture, error: BaseException, message: str, hint: str
) -> None:
    rig.bench.answers[A] = raising(error)
    with caplog.at_level(logging.ERROR):
        rig.settle(A, B)
    assert rig.events.of(Failed) == [Failed(A, message, hint)]
    assert rig.events.done == [B]
    assert caplog.text.count("Traceback") == 1
    assert rig.engine.cached(A) is None


def errors_of_ours() -> list[type[Exception]]:
    """Every class of error that a job can end in, defined anywhere below the screen."""
    kinds = set()
    for package in (tui.circuits, tui.models, tui.engine):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, kind in inspect.getmembers(importlib.import_module(found.name), inspect.isclass):
                if issubclass(kind, Exception) and kind.__module__ == found.name and not name.startswith("_"):
                    kinds.add(kind)
    return sorted(kinds, key=lambda kind: kind.__name__)


def test_what_a_person_reads_is_one_line_in_the_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its class: the sentence, no traceback, nothing that a terminal would obey."""
    kinds = errors_of_ours()
    assert {ModelError, Refusal} <= {*kinds}
    for number, kind in enumerate(kinds):
        caplog.clear()
        job = Plain(str(number))
        rig.bench.answers[job] = raising(kind("No config.json in\n/m\x1b[2J.", "Choose another folder."))
        rig.settle(job)
        assert rig.events.of(Failed)[-1] == Failed(job, "No config.json in\n/m\x1b[2J.", "Choose another folder.")
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", "No config.json in /m␛[2J. Choose another folder.")
        ], kind


def test_a_long_message_is_cut(rig: Rig) -> None:
    rig.bench.answers[A] = raising(ValueError("x" * 10_000))
    rig.settle(A)
    assert len(rig.events.of(Failed)[0].error) == 300


def test_a_cancel_that_nobody_asked_for_is_a_failure_and_not_a_loop(rig: Rig) -> None:
    rig.bench.answers[A] = raising(Cancelled())
    rig.settle(A, B)
    assert rig.bench.starts(A) == 1
    assert rig.events.failed == [A]


def test_a_failed_job_is_tried_again_only_when_wanted_anew(rig: Rig) -> None:
    rig.bench.answers[A] = raising(ValueError("bad"))
    rig.settle(A)
    rig.settle(B, A)
    rig.settle(A, B)
    time.sleep(0.02)
    assert rig.bench.starts(A) == 1
    assert rig.events.failed == [A]
    rig.settle(B)
    rig.settle(B, A)
    assert rig.bench.starts(A) == 2
    assert rig.events.failed == [A, A]


def test_retry_tries_again(rig: Rig) -> None:
    rig.bench.answers[A] = raising(ValueError("bad"))
    rig.settle(A)
    del rig.bench.answers[A]
    rig.engine.retry(B)
    rig.engine.retry(A)
    wait_until(rig.events.settled(A))
    wait_until(lambda: rig.events.done == [A])
    assert rig.bench.starts(A) == 2


def test_a_part_that_fails_fails_the_job(rig: Rig) -> None:
    rig.bench.answers[Forward()] = raising(ValueError("bad weights"))
    rig.settle(Head(0), B)
    assert rig.events.of(Failed) == [Failed(Head(0), "ValueError: bad weights", FAULT_HINT)]
    assert rig.events.done == [B]


def test_a_failure_of_what_is_not_wanted_any_more_is_not_told(rig: Rig) -> None:
    reached, go = threading.Event(), threading.Event()

    def deaf(ctx: Context) -> str:
        reached.set()
        assert go.wait(SOON)
        raise ValueError("late")

    rig.bench.answers[A] = deaf
    rig.engine.want([A])
    assert reached.wait(SOON)
    rig.engine.want([B])
    go.set()
    wait_until(rig.events.idle())
    assert rig.events.failed == []
    del rig.bench.answers[A]
    rig.settle(A)
    assert rig.events.done == [B, A]


MEMORY = [
    MemoryError("numpy wanted much"),
    OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4"
    ),
    RuntimeError("MPS backend out of memory"),
]


@pytest.mark.parametrize("error", MEMORY, ids=lambda error: str(error)[:12])
def test_out_of_memory_frees_and_tries_once_more(rig: Rig, error: BaseException) -> None:
    rig.settle(B)
    rig.bench.answers[A] = raising(error)
    rig.settle(A)
    assert rig.bench.starts(A) == 2
    assert rig.bench.freed == 1
    assert len(rig.engine.cache) == 0
    (failure,) = rig.events.of(Failed)
    assert failure.error.startswith("Out of memory: ")
    assert failure.hint == MEMORY_HINT


def test_out_of_memory_may_be_overcome(rig: Rig) -> None:
    def once(ctx: Context) -> str:
        if not rig.bench.freed:
            raise MemoryError
        return "made it"

    rig.bench.answers[A] = once
    rig.settle(A)
    assert [event.result for event in rig.events.of(Done)] == ["made it"]
    assert rig.events.failed == []


def test_memory_of_the_failed_computation_is_free_before_the_next_try(rig: Rig) -> None:
    class Tensor:
        pass

    alive: list[Any] = []
    seen: list[bool] = []

    def greedy(ctx: Context) -> None:
        seen.extend(reference() is not None for reference in alive)
        tensor = Tensor()
        alive.append(weakref.ref(tensor))
        raise MemoryError

    rig.bench.answers[A] = greedy
    rig.settle(A)
    assert seen == [False]


def test_a_bench_that_cannot_free_ends_nothing(rig: Rig) -> None:
    def free() -> None:
        raise ValueError("no")

    rig.bench.free = free  # type: ignore[method-assign]
    rig.bench.answers[A] = raising(MemoryError())
    rig.settle(A, B)
    assert rig.events.failed == [A]
    assert rig.events.done == [B]


def test_partials_are_shown_and_not_kept(rig: Rig) -> None:
    gate = rig.bench.gate(B)

    def slow(ctx: Context) -> str:
        ctx.progress("heads", 3, 12)
        ctx.partial("a quarter")
        gate.hold(ctx)
        return "all"

    rig.bench.answers[A] = slow
    rig.engine.want([A])
    gate.wait()
    assert rig.events.of(Partial) == [Partial(A, "a quarter", 3, 12)]
    assert rig.engine.cached(A) is None
    assert len(rig.engine.cache) == 0
    rig.engine.want([])
    wait_until(rig.events.idle())
    assert rig.engine.want([A]) == {}
    gate.opened.set()
    wait_until(rig.events.settled(A))
    assert rig.engine.cached(A) == "all"


def test_partials_of_parts_and_of_what_is_not_wanted_are_not_told(rig: Rig) -> None:
    rig.bench.answers[Forward()] = lambda ctx: ctx.partial("half") or "all"  # type: ignore[func-returns-value]
    rig.settle(Head(0))
    assert rig.events.of(Partial) == []


def test_progress_is_told_ten_times_a_second_and_names_the_goal(make_rig: Callable[..., Rig]) -> None:
    now = [0.0]
    rig = make_rig(clock=lambda: now[0])

    def steps(ctx: Context) -> str:
        for step in range(1_000):
            now[0] += 0.001
            ctx.progress("blocks", step, 1_000)
            ctx.partial(step)
        ctx.progress("unembedding", 0, 0)
        return "all"

    rig.bench.answers[Forward()] = steps
    rig.bench.answers[A] = steps
    rig.settle(Head(0), A)
    told = [event for event in rig.events.of(Progress) if event.stage == "blocks"]
    assert {event.job for event in told} == {Head(0), A}
    assert 18 <= len(told) <= 22
    assert told[0].total == 1_000
    assert Progress(A, "unembedding", 0, 0) in rig.events, "a new stage is told at once"
    assert 9 <= len(rig.events.of(Partial)) <= 11


def test_done_says_how_long_it_took(make_rig: Callable[..., Rig]) -> None:
    now = [0.0]
    rig = make_rig(clock=lambda: now[0])

    def slow(ctx: Context) -> str:
        now[0] += 1.5
        return "value"

    rig.bench.answers[Forward()] = slow
    rig.settle(Head(0), Head(1))
    assert [event.seconds for event in rig.events.of(Done)] == [1.5, 0.0]


def test_a_listener_that_raises_does_not_end_the_thread() -> None:
    bench, calls = FakeBench(), []

    def emit(event: Event) -> None:
        calls.append(event)
        raise RuntimeError("the app is gone")

    engine = Engine(emit, lambda: bench)
    engine.start()
    engine.want([A, B])
    wait_until(lambda: engine.cached(B) is not None)
    assert bench.finished == [A, B]
    assert engine.close(SOON)


def test_a_listener_may_call_back() -> None:
    bench, events = FakeBench(), Events()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Done) and event.job == A:
            engine.want([B])

    engine = Engine(emit, lambda: bench)
    engine.start()
    engine.want([A])
    wait_until(events.settled(B))
    assert engine.close(SOON)


def test_close_during_a_job_is_quick_and_ends_the_thread(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    gate = rig.bench.gate(Forward())
    rig.engine.want([Head(0)])
    gate.wait()
    started = time.perf_counter()
    assert rig.engine.close(0.5)
    assert time.perf_counter() - started < 0.5
    assert rig.bench.closed == 1
    assert len(rig.bench.threads) == 1, "closed in the thread that computed"
    assert rig.engine.close(0.5), "again is nothing"
    assert rig.bench.closed == 1
    rig.engine.want([A])
    assert rig.bench.starts(A) == 0
    assert rig.events.done == rig.events.failed == []


def test_close_does_not_wait_for_a_job_that_does_not_check(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    reached, go = threading.Event(), threading.Event()

    def deaf(ctx: Context) -> str:
        reached.set()
        assert go.wait(SOON)
        return "late"

    rig.bench.answers[A] = deaf
    rig.engine.want([A])
    assert reached.wait(SOON)
    started = time.perf_counter()
    assert not rig.engine.close(0.1)
    assert 0.1 <= time.perf_counter() - started < 0.4
    go.set()
    assert rig.engine.close(SOON)
    assert rig.events.done == [], "nothing is told after close"


def test_close_without_a_job_and_without_a_start() -> None:
    made: list[FakeBench] = []

    def make() -> FakeBench:
        made.append(FakeBench())
        return made[-1]

    engine = Engine(Events().append, make)
    assert engine.close()
    engine.start()
    assert engine.close(SOON)
    other = Engine(Events().append, make)
    other.start()
    assert other.close()
    assert made == [], "no job, no imports"


def test_close_from_the_thread_itself_does_not_hang() -> None:
    bench, answers = FakeBench(), []

    def emit(event: Event) -> None:
        if isinstance(event, Done):
            answers.append(engine.close())

    engine = Engine(emit, lambda: bench)
    engine.start()
    engine.want([A])
    wait_until(lambda: bench.closed == 1)
    assert answers == [False]
    assert engine.close(SOON)


def test_a_bench_that_cannot_close_lets_the_thread_end(rig: Rig) -> None:
    def close() -> None:
        raise ValueError("no")

    rig.bench.close = close  # type: ignore[method-assign]
    rig.settle(A)
    assert rig.engine.close(SOON)


def test_rest_costs_nothing(rig: Rig) -> None:
    rig.settle(A)
    used = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - used < 0.05


def test_the_bench_is_made_in_the_thread_on_the_first_job_without_the_collector(make_rig: Callable[..., Rig]) -> None:
    seen: list[Any] = []
    bench = FakeBench()

    def make() -> FakeBench:
        seen.extend((threading.current_thread().name, gc.isenabled()))
        return bench

    assert gc.isenabled()
    rig = make_rig(make_bench=make)
    frozen = gc.get_freeze_count()
    time.sleep(0.02)
    assert seen == []
    try:
        rig.settle(A, B)
        assert seen == ["engine", False]
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen, "the libraries are frozen"
    finally:
        gc.unfreeze()
    assert rig.events.of(Progress) == [Progress(A, "loading libraries", 0, 0)]
    assert bench.started == [A, B]


def test_a_bench_that_cannot_be_made_is_a_failure(make_rig: Callable[..., Rig]) -> None:
    bench, tries = FakeBench(), []

    def make() -> FakeBench:
        tries.append(1)
        if len(tries) == 1:
            raise ImportError("No module named 'torch'")
        return bench

    rig = make_rig(make_bench=make)
    rig.settle(A)
    assert gc.isenabled()
    assert rig.events.of(Failed) == [Failed(A, "ImportError: No module named 'torch'", FAULT_HINT)]
    rig.settle(B)
    assert rig.events.done == [B]
    gc.unfreeze()


def test_a_model_is_opened_without_the_collector_and_the_last_one_can_go(rig: Rig) -> None:
    class Model:
        def __init__(self) -> None:
            self.itself = self

    seen: list[bool] = []
    models: list[Model] = []

    def load(ctx: Context) -> str:
        seen.append(gc.isenabled())
        models[:] = [Model()]
        return "info"

    rig.bench.answers[Open("one")] = rig.bench.answers[Open("two")] = load
    rig.settle(Open("one"))
    first = weakref.ref(models[0])
    rig.settle(Open("two"))
    assert seen == [False, False]
    assert gc.isenabled()
    assert first() is None, "a model is a cycle: the collector takes it"
    rig.bench.answers[Open("bad")] = lambda ctx: load(ctx) and 1 / 0
    rig.settle(Open("bad"))
    assert gc.isenabled()
    gc.unfreeze()


def test_values_that_nobody_wants_can_be_freed(rig: Rig) -> None:
    class Value:
        pass

    rig.bench.answers[A] = lambda ctx: Value()
    rig.settle(A)
    value = weakref.ref(rig.engine.cached(A))
    del rig.events[:]
    rig.settle()
    rig.engine.cache.clear()
    gc.collect()
    assert value() is None
