"""What runs, in which order, and what is stopped for what."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tui.engine.bench import Cancelled, Context
from tui.engine.engine import Engine
from tui.engine.events import Done, Failed, Idle
from tui.engine.jobs import Job, Open

from .fakes import SOON, Events, FakeBench, Forward, Head, Plain, Rig, wait_until

A, B, C = Plain("a"), Plain("b"), Plain("c")


def test_runs_in_order_each_once_in_one_thread(rig: Rig) -> None:
    rig.settle(B, A, C, A)
    assert rig.events.done == [B, A, C]
    assert rig.bench.started == [B, A, C]
    assert len(rig.bench.threads) == 1
    assert threading.get_ident() not in rig.bench.threads
    assert [event.result for event in rig.events.of(Done)] == [f"value of {job}" for job in (B, A, C)]
    assert len(rig.events.of(Idle)) == 1


def test_want_returns_at_once_with_what_is_there(rig: Rig) -> None:
    assert rig.engine.want([A]) == {}
    wait_until(rig.events.idle())
    rig.bench.gate(B)
    started = time.perf_counter()
    assert rig.engine.want([A, B]) == {A: f"value of {A}"}
    assert rig.engine.cached(A) == f"value of {A}"
    assert rig.engine.cached(B) is None
    assert time.perf_counter() - started < 0.5
    rig.bench.gate(B).opened.set()
    wait_until(rig.events.idle(2))
    assert rig.bench.started == [A, B], "what is cached is not computed again"
    assert rig.events.done == [A, B], "and not announced again"


def test_wishes_before_start_are_kept() -> None:
    bench, events = FakeBench(), Events()
    engine = Engine(events.append, lambda: bench)
    engine.want([A])
    assert not bench.started
    engine.start()
    engine.start()
    wait_until(events.idle())
    assert events.done == [A]
    assert engine.close(SOON)


def test_a_new_list_replaces_the_old_one(rig: Rig) -> None:
    gate = rig.bench.gate(A)
    rig.engine.want([A, B])
    gate.wait()
    rig.engine.want([C])
    wait_until(rig.events.settled(C))
    wait_until(rig.events.idle())
    assert rig.events.done == [C]
    assert rig.bench.cancelled == [A]
    assert rig.bench.starts(B) == 0
    assert rig.engine.cached(A) is None


def test_an_empty_list_cancels(rig: Rig) -> None:
    gate = rig.bench.gate(A)
    rig.engine.want([A])
    gate.wait()
    rig.engine.want([])
    wait_until(rig.events.idle())
    assert rig.bench.cancelled == [A]
    assert rig.events.done == []


def test_the_same_wish_goes_on_when_the_rest_changes(rig: Rig) -> None:
    gate = rig.bench.gate(A)
    rig.engine.want([A, B])
    gate.wait()
    rig.engine.want([A, C])
    gate.opened.set()
    wait_until(rig.events.idle())
    assert rig.events.done == [A, C]
    assert rig.bench.started == [A, C]


def test_twenty_head_changes_make_one_forward_and_one_result(rig: Rig) -> None:
    gate = rig.bench.gate(Forward())
    rig.engine.want([Head(0)])
    gate.wait()
    for index in range(1, 20):
        rig.engine.want([Head(index), Head(index + 1)])
        time.sleep(0.003)  # several checks of the running forward see each change
    rig.engine.want([Head(20)])
    gate.opened.set()
    wait_until(rig.events.idle())
    assert rig.bench.starts(Forward()) == 1
    assert rig.bench.cancelled == [Head(0)]
    assert rig.events.done == [Head(20)]
    assert [job for job in rig.bench.started if isinstance(job, Head)] == [Head(0), Head(20)]


def test_one_forward_even_if_it_is_too_large_for_the_cache(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cache_bytes=10)
    gate = rig.bench.gate(Forward())
    rig.engine.want([Head(0)])
    gate.wait()
    rig.engine.want([Head(1), Head(2)])
    gate.opened.set()
    wait_until(rig.events.idle())
    assert rig.bench.starts(Forward()) == 1
    assert rig.events.done == [Head(1), Head(2)]


def test_a_forward_that_nobody_needs_is_cancelled(rig: Rig) -> None:
    gate = rig.bench.gate(Forward())
    rig.engine.want([Head(0)])
    gate.wait()
    rig.engine.want([Head(0, "another prompt")])
    wait_until(rig.events.idle())
    assert rig.bench.cancelled == [Forward(), Head(0)]
    assert rig.events.done == [Head(0, "another prompt")]


def test_prefetch_gives_way_and_is_made_up_for(rig: Rig) -> None:
    prefetch = rig.bench.gate(B)
    rig.engine.want([A, B])
    prefetch.wait()
    rig.engine.want([C, B])
    wait_until(rig.events.settled(C))
    prefetch.opened.set()
    wait_until(rig.events.idle())
    assert rig.events.done == [A, C, B]
    assert rig.bench.cancelled == [B]


def test_prefetch_that_became_the_goal_goes_on(rig: Rig) -> None:
    prefetch = rig.bench.gate(B)
    rig.engine.want([A, B])
    prefetch.wait()
    rig.engine.want([B, C])
    prefetch.opened.set()
    wait_until(rig.events.idle())
    assert rig.events.done == [A, B, C]
    assert rig.bench.starts(B) == 1


def test_a_forward_for_prefetch_gives_way_to_a_job_without_one_but_not_for_ever(make_rig: Callable[..., Rig]) -> None:
    now = [0.0]
    rig = make_rig(patience=2.0, clock=lambda: now[0])
    for index in range(4):
        gate = rig.bench.gates[Forward()] = type(rig.bench.gate(Forward()))()
        rig.engine.want([Plain(str(index)), Head(0)])
        gate.wait()
        now[0] += 0.9
    # 0.9 + 0.9 + 0.9 seconds were thrown away for the plain jobs 1, 2 and 3: the fourth forward is let through.
    assert rig.bench.starts(Forward()) == 4
    rig.engine.want([Plain("last"), Head(0)])
    gate.opened.set()
    wait_until(rig.events.idle())
    assert rig.bench.starts(Forward()) == 4
    assert rig.events.done == [*(Plain(str(index)) for index in range(4)), Plain("last"), Head(0)]
    assert rig.bench.cancelled.count(Forward()) == 3


def test_what_blocks_have_kept_is_not_lost_so_their_part_holds_up_nobody(make_rig: Callable[..., Rig]) -> None:
    """Or a head would wait for the rest of it, however long, once ``patience`` seconds are stopped before."""
    now = [0.0]
    rig = make_rig(patience=2.0, clock=lambda: now[0])
    blocks = [Plain(f"block {i}") for i in range(9)]

    def takes(ctx: Context) -> str:
        now[0] += 0.9
        return "a block"

    rig.bench.answers |= dict.fromkeys(blocks, takes)
    rig.bench.answers[Forward()] = lambda ctx: [ctx.get(block) for block in blocks]
    for index in range(5):
        gate = rig.bench.gate(blocks[index + 1])
        rig.engine.want([Plain(str(index)), Head(0)])
        gate.wait()
        del rig.bench.gates[blocks[index + 1]]
    rig.engine.want([Plain("last"), Head(0)])
    wait_until(rig.events.settled(Plain("last")))
    wait_until(rig.events.idle())
    assert rig.bench.cancelled.count(Forward()) == 5
    assert [block for block in blocks if rig.bench.finished.count(block) != 1] == []
    assert rig.events.done[-1] == Head(0)


def test_a_long_job_resumes_behind_the_blocks_it_has(rig: Rig) -> None:
    long = Plain("long")
    rig.bench.answers[long] = lambda ctx: [ctx.get(Plain(f"block {i}")) for i in range(4)]
    rig.bench.gate(Plain("block 2"))
    rig.engine.want([long])
    rig.bench.gate(Plain("block 2")).wait()
    rig.engine.want([A, long])
    wait_until(rig.events.settled(A))
    rig.bench.gate(Plain("block 2")).opened.set()
    wait_until(rig.events.idle())
    assert rig.events.done == [A, long]
    assert [rig.bench.starts(Plain(f"block {i}")) for i in range(4)] == [1, 1, 2, 1]


def test_a_part_that_is_wanted_itself_is_announced(rig: Rig) -> None:
    rig.settle(Head(0), Forward())
    assert rig.events.done == [Forward(), Head(0)]
    assert rig.bench.starts(Forward()) == 1


def test_parts_are_computed_once(rig: Rig) -> None:
    rig.settle(Head(0), Head(1), Head(2))
    assert rig.bench.starts(Forward()) == 1
    assert rig.events.done == [Head(0), Head(1), Head(2)]


def test_a_job_that_asks_for_itself_fails(rig: Rig) -> None:
    rig.bench.answers[A] = lambda ctx: ctx.get(B)
    rig.bench.answers[B] = lambda ctx: ctx.get(A)
    rig.settle(A)
    assert rig.events.failed == [A]
    assert "asks for itself" in rig.events.of(Failed)[0].error


def test_a_result_too_large_for_the_cache_is_computed_once(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cache_bytes=10)
    rig.settle(A, B)
    assert rig.bench.started == [A, B]
    assert rig.engine.want([B, A]) == {A: f"value of {A}", B: f"value of {B}"}
    assert rig.engine.cached(A) is not None
    rig.settle(B)
    assert rig.engine.cached(A) is None, "held only while it is wanted"
    assert len(rig.engine.cache) == 0
    rig.settle(A)
    assert rig.bench.started == [A, B, A]


def test_a_model_is_opened_again_when_it_is_wanted_anew(rig: Rig) -> None:
    one, two = Open("one"), Open("two")
    rig.settle(one)
    rig.settle(one, A)
    assert rig.bench.starts(one) == 1
    rig.settle(two)
    rig.settle(one)
    assert rig.bench.starts(one) == 2, "the bench has the other model by now"
    assert rig.events.done == [one, A, two, one]


def test_the_cache_stays_within_its_bytes(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cache_bytes=1_000, nbytes=lambda value: 300)
    for index in range(10):
        rig.settle(Plain(str(index)))
        assert rig.engine.cache.used_bytes <= 1_000
    assert len(rig.engine.cache) == 3
    rig.settle(Plain("9"), Plain("0"))
    assert rig.bench.starts(Plain("9")) == 1
    assert rig.bench.starts(Plain("0")) == 2


def test_what_finished_unwanted_is_cached_and_not_announced(rig: Rig) -> None:
    reached, go = threading.Event(), threading.Event()

    def deaf(ctx: Context) -> str:
        reached.set()
        assert go.wait(SOON)
        return "late"

    rig.bench.answers[A] = deaf
    rig.engine.want([A])
    assert reached.wait(SOON)
    rig.engine.want([B])
    go.set()
    wait_until(rig.events.settled(B))
    assert rig.events.done == [B]
    assert rig.engine.want([B, A])[A] == "late"


def test_a_swallowed_cancel_keeps_no_result(rig: Rig) -> None:
    reached = threading.Event()

    def stubborn(ctx: Context) -> str:
        reached.set()
        try:
            while True:
                ctx.check()
        except Cancelled:
            return "cut short"

    rig.bench.answers[A] = stubborn
    rig.engine.want([A])
    assert reached.wait(SOON)
    rig.engine.want([B])
    wait_until(rig.events.settled(B))
    assert rig.engine.cached(A) is None
    assert rig.events.failed == []


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_wanted_the_last_list_is_settled(make_rig: Callable[..., Rig], seed: int) -> None:
    """Random lists at random moments; jobs that fail, that share forwards, that are long; little cache and patience."""
    chance = random.Random(seed)
    rig = make_rig(cache_bytes=2_000, nbytes=lambda value: 100 + len(str(value)), patience=0.01)

    def walk(steps: int, fails: bool) -> Callable[[Context], str]:
        def answer(ctx: Context) -> str:
            for step in range(steps):
                ctx.progress("walking", step, steps)
                ctx.partial("so far")
                time.sleep(0.0005)
                ctx.check()
            if fails:
                raise ValueError("as it must")
            return "x" * 50

        return answer

    pool: list[Job] = [Plain(str(i)) for i in range(8)]
    pool += [Head(i, text) for i in range(6) for text in ("one", "two", "bad")]
    pool += [Forward("one"), Forward("two")]
    bad = {job for job in pool if chance.random() < 0.15} | {Forward("bad")}
    for job in {*pool, Forward("bad")}:
        rig.bench.answers[job] = walk(chance.randrange(12), job in bad)

    def must_fail(job: Job) -> bool:
        return job in bad or not job.needs().isdisjoint(bad)

    there: dict[Job, Any] = {}
    for _ in range(120):
        if chance.random() < 0.1:
            rig.engine.retry(chance.choice(pool))
        last = chance.sample(pool, chance.randrange(8))
        there = rig.engine.want(last)
        time.sleep(chance.choice([0.0, 0.0, 0.001, 0.01]))
    del rig.events[:]
    fresh = [Plain("fresh"), *last]
    there = rig.engine.want(fresh)
    wait_until(rig.events.settled(Plain("fresh")))
    wait_until(lambda: isinstance(rig.events[-1], Idle))
    for job in fresh:
        value = rig.engine.cached(job)
        assert (value is None) == must_fail(job), job
        assert value is None or job in there or job in rig.events.done, "a value came without a word"
    running = len(rig.bench.started)
    time.sleep(0.02)
    assert len(rig.bench.started) == running, "at rest"
    assert len(rig.bench.threads) == 1
