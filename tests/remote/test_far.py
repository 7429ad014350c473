"""The engine on another machine has the face of the one here: wishes, answers, cancels; the line is cut and mended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.app.recorded import RecordedBench
from tests.engine.fakes import wait_until
from tests.remote import made
from tests.remote.rig import BOX, Cord, Rig
from tui.engine.events import Done, Failed, Idle, Partial
from tui.engine.jobs import Boot, Job, NextTokens, Open, Pattern, Run, Tokenize
from tui.remote import coding, frames, keeper, talk
from tui.remote.coding import Told
from tui.remote.reach import NoLine
from tui.results import Grid, ModelKey, Tokens


def test_the_same_values_as_here(rig: Rig) -> None:
    screen, job = rig.opened()
    tokens = screen.value(job)
    assert isinstance(tokens, Tokens)
    run = Run(job.model, tokens.ids, True)
    pattern = screen.value(Pattern(run, 1, 2))
    assert isinstance(pattern, Grid)
    assert made.differs(rig.benches[0].compute(Pattern(run, 1, 2), None), pattern) == ""
    (done,) = [event for event in screen.events.of(Done) if isinstance(event.job, Pattern)]
    assert done.result is pattern


def test_what_came_once_is_there(rig: Rig) -> None:
    screen, job = rig.opened()
    tokens = screen.value(job)
    screen.engine.want([])
    assert screen.engine.cached(job) is tokens
    assert screen.engine.want([job]) == {job: tokens}
    assert rig.computed.count(job) == 1


def test_the_engine_rests(rig: Rig) -> None:
    screen, job = rig.opened()
    before = len(screen.events.of(Idle))
    screen.value(job)
    wait_until(lambda: len(screen.events.of(Idle)) > before)


def test_a_job_that_fails_says_why_once(rig: Rig) -> None:
    screen, job = rig.opened()
    rig.benches[0].broken = Tokenize
    screen.engine.want([job])
    wait_until(lambda: job in screen.events.failed)
    (failed,) = screen.events.of(Failed)
    assert (failed.error, failed.hint) == ("this job is broken on purpose.", "Press 1 for another view.")
    rig.network.cut()
    wait_until(lambda: screen.cuts == 1 and screen.is_tied())
    other = replace(job, text="king")
    screen.engine.want([job, other])
    wait_until(lambda: other in screen.events.failed)
    assert screen.events.failed == [job, other], "a job that failed and stayed wanted is not told again"


def test_a_failed_job_is_tried_again(rig: Rig) -> None:
    screen, job = rig.opened()
    rig.benches[0].broken = Tokenize
    screen.engine.want([job])
    wait_until(lambda: job in screen.events.failed)
    rig.benches[0].broken = None
    screen.engine.retry(job)
    wait_until(lambda: job in screen.events.done)


def test_a_slow_job_is_cancelled_within_a_second(rig: Rig) -> None:
    screen, job = rig.opened()
    bench = rig.benches[0]
    bench.gate.clear()
    screen.engine.want([job])
    wait_until(lambda: bool(bench.waiting))
    started = time.monotonic()
    screen.engine.want([])
    wait_until(lambda: not bench.waiting)
    assert time.monotonic() - started < 1
    assert job not in rig.computed


def test_what_is_computed_over_there_is_known_here(rig: Rig) -> None:
    screen, job = rig.opened()
    bench = rig.benches[0]
    before = bench.compute

    def compute(asked: Job, ctx: Any) -> Any:
        if asked == job:
            ctx.progress("slow on purpose", 3, 7)
        return before(asked, ctx)

    bench.compute = compute  # type: ignore[method-assign]
    bench.gate.clear()
    screen.engine.want([job])
    wait_until(lambda: screen.engine.load().stage == ("slow on purpose", 3, 7))
    load = screen.engine.load()
    assert ([one.job for one in load.running], load.waiting, load.elsewhere) == ([job], (), BOX.short)
    bench.gate.set()
    screen.value(job)
    wait_until(lambda: not screen.engine.load().running)
    assert job in {one.job for one in screen.engine.load().kept}


def test_nothing_is_computed_again_after_a_cut(rig: Rig) -> None:
    screen, job = rig.opened()
    tokens = screen.value(job)
    other = NextTokens(Run(job.model, tokens.ids, True), 1)
    computed = list(rig.computed)
    rig.network.there.clear()
    rig.network.cut()
    wait_until(lambda: screen.cuts > 0)
    assert screen.engine.want([job]) == {job: tokens}, "what is here stays here"
    screen.engine.want([job, other])
    rig.network.there.set()
    wait_until(lambda: screen.is_tied() and screen.engine.cached(other) is not None)
    assert rig.computed == [*computed, other]


def test_what_was_computed_while_the_line_was_cut_is_there(rig: Rig) -> None:
    screen, job = rig.opened()
    bench = rig.benches[0]
    bench.gate.clear()
    screen.engine.want([job])
    wait_until(lambda: bool(bench.waiting))
    rig.network.there.clear()
    rig.network.cut()
    wait_until(lambda: screen.cuts > 0)
    bench.gate.set()
    wait_until(lambda: job in rig.computed)
    rig.network.there.set()
    wait_until(lambda: screen.engine.cached(job) is not None)
    assert rig.computed.count(job) == 1


def test_it_says_that_the_line_is_cut_and_tries_again(rig: Rig) -> None:
    screen, _ = rig.opened()
    rig.network.there.clear()
    rig.network.cut()
    wait_until(lambda: screen.cuts >= 3)
    assert "No route to host" in screen.tied[-1].trouble
    assert screen.tied[-1].host == "box"
    assert rig.network.dialled >= 3
    rig.network.there.set()
    wait_until(screen.is_tied)


def test_the_latency_is_measured(rig: Rig) -> None:
    screen = rig.screen()
    wait_until(lambda: any(event.seconds is not None for event in screen.tied))
    assert all(0 <= event.seconds < 5 for event in screen.tied if event.seconds is not None)


def test_a_keeper_that_died_opens_the_model_again(rig: Rig) -> None:
    screen, job = rig.opened()
    tokens = screen.value(job)
    other = NextTokens(Run(job.model, tokens.ids, True), 1)
    rig.restart()
    wait_until(lambda: screen.cuts == 1 and screen.is_tied())
    screen.engine.want([job, other])
    wait_until(lambda: screen.engine.cached(other) is not None)
    assert rig.benches[1].computed == [Open("demo"), other], "the model, and what was not here yet"
    assert screen.events.done.count(Open("demo")) == 1, "of which nobody is told"


def test_a_booted_model_is_booted_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedBench, "_boot", RecordedBench._open, raising=False)
    screen, job = rig.opened()
    screen.value(Boot("demo"))
    rig.restart()
    wait_until(lambda: screen.cuts == 1 and screen.is_tied())
    assert screen.value(job) is not None
    assert rig.benches[1].computed == [Open("demo"), Boot("demo"), job]


def test_a_room_is_given_up_after_a_while(make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig()
    screen = rig.screen(replace(BOX, linger=0.0))
    job = Tokenize(screen.value(Open("demo")).key, "France", True)
    assert screen.value(job) is not None
    rig.network.there.clear()
    rig.network.cut()
    wait_until(lambda: screen.cuts > 0 and rig.keeper.is_over())
    rig.network.there.set()
    other = replace(job, text="king")
    screen.engine.want([job, other])
    wait_until(lambda: screen.engine.cached(other) is not None)
    assert [type(job) for job in rig.benches[1].computed] == [Open, Tokenize]


def test_a_room_ends_with_its_screen(rig: Rig) -> None:
    screen, _ = rig.opened()
    assert not rig.keeper.is_over()
    assert screen.engine.close(5.0)
    wait_until(rig.keeper.is_over)


def test_a_line_that_is_not_known_to_be_dead_is_replaced(rig: Rig) -> None:
    """The machine over there hears of a cut later than the screen, or never."""
    screen, job = rig.opened()
    screen.value(job)
    again, room = screen.reached.again()
    assert room == screen.reached.room
    wait_until(lambda: screen.cuts > 0 and screen.is_tied())
    assert [job for job in rig.computed if isinstance(job, Open)] == [Open("demo")]
    again.close()


def test_a_silent_line_is_cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.remote.far.PING_EVERY", 0.02)
    screen, _ = rig.opened()
    line = rig.network.lines[0]
    monkeypatch.setattr("tui.remote.far.SILENT", 0.3)
    monkeypatch.setattr(keeper.Guest, "answer", lambda *_: None)
    wait_until(lambda: screen.cuts > 0)
    assert rig.network.lines[0] is line
    monkeypatch.undo()
    wait_until(screen.is_tied)


def test_two_screens_have_rooms_of_their_own(rig: Rig) -> None:
    first, job = rig.opened()
    second, _ = rig.opened()
    assert first.value(job) is not None
    assert second.value(job) is not None
    assert [bench.computed.count(job) for bench in rig.benches] == [1, 1]


def test_what_another_screen_left_behind_is_taken_over(rig: Rig) -> None:
    gone, job = rig.opened()
    gone.value(job)
    rig.network.there.clear()
    rig.network.cut()
    wait_until(lambda: gone.cuts > 0)
    gone.engine.close(0)  # its machine was switched off: no goodbye
    rig.network.there.set()
    screen = rig.screen(adopts=True)
    assert screen.value(Open("demo")) is not None
    assert screen.value(job) is not None
    assert rig.computed.count(Open("demo")) == 1, "its model is still open"
    assert rig.computed.count(job) == 1


def test_a_model_that_was_opened_before_anybody_came(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stays=True)
    rig.keeper.prepare(Open("demo"))
    wait_until(lambda: rig.computed == [Open("demo")])
    screen = rig.screen(adopts=True)
    assert screen.value(Open("demo")) is not None
    assert rig.computed == [Open("demo")]
    screen.engine.close(2.0)
    assert not rig.keeper.is_over()


def test_partial_results(rig: Rig) -> None:
    screen, job = rig.opened()
    part = screen.value(replace(job, text="king"))

    def compute(job: object, ctx: object) -> object:
        ctx.progress("rows", 1, 2)  # type: ignore[attr-defined]
        ctx.partial(part)  # type: ignore[attr-defined]
        wait_until(lambda: bool(screen.events.of(Partial)))
        return part

    rig.benches[0].compute = compute  # type: ignore[assignment]
    screen.engine.want([job])
    wait_until(lambda: job in screen.events.done)
    (event,) = screen.events.of(Partial)
    assert (event.job, event.result, event.done, event.total) == (job, part, 1, 2)


def test_a_result_that_cannot_be_sent_is_a_failure(rig: Rig) -> None:
    screen, job = rig.opened()
    rig.benches[0].compute = lambda job, ctx: {1: object()}  # type: ignore[method-assign]
    screen.engine.want([job])
    wait_until(lambda: job in screen.events.failed)
    assert "cannot be sent" in screen.events.of(Failed)[0].error
    assert screen.cuts == 0


def test_versions_that_differ(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "__version__", "9.9.9")
    with pytest.raises(NoLine) as raised:
        rig.reached()
    assert "there is 9.9.9" in str(raised.value)
    assert "Install the same on both" in raised.value.hint
    assert not rig.benches


def test_frames_that_differ(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side's frames are of another version: neither side reads the other's, and both say so."""
    before = frames.HEAD.pack

    class Head:
        size, unpack = frames.HEAD.size, frames.HEAD.unpack

        @staticmethod
        def pack(mark: bytes, version: int, *sizes: int) -> bytes:
            return before(mark, 7, *sizes)

    monkeypatch.setattr(frames, "HEAD", Head)
    with pytest.raises(NoLine, match="frames of version 7"):
        rig.reached()


def test_rubbish_is_refused_and_the_keeper_lives(rig: Rig) -> None:
    line = rig.network.dial(True)
    line.begin()
    assert isinstance(line, Cord)
    line.end.sendall(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
    said = line.read().header["says"]
    assert said["is"] == "Refused"
    assert "in place of a frame" in said["sentence"]
    assert rig.opened()[0].is_tied()


def test_rubbish_from_over_there_is_a_cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, job = rig.opened()
    monkeypatch.setattr("tui.remote.coding.encode", lambda message: ({"says": {"is": "system"}}, []))
    screen.engine.want([job])
    wait_until(lambda: screen.cuts > 0)
    monkeypatch.undo()
    wait_until(lambda: screen.engine.cached(job) is not None)


def test_messages_from_a_grammar(rig: Rig) -> None:
    """Messages with changed words, numbers and shapes, each on a line of its own: the keeper answers or hangs up."""
    draw = Random(3)
    ours = Told()
    numbers, more = ours.wish([Open("demo"), Tokenize(ModelKey("/m", "f", "float32", "cpu"), "a", True)])
    hello = coding.encode(rig.reached().hello)[0]
    want = coding.encode(talk.Want(tuple(numbers), ()))[0] | more
    rubbish = (None, True, -1, 1 << 70, 1.5, "", "\x1b[2J", [], {}, [[[]]], {"is": "Run"}, {"number": 7}, {"array": 0})

    def spoil(value: object) -> object:
        if draw.random() < 0.15:
            return draw.choice(rubbish)
        if isinstance(value, dict):
            return {key if draw.random() < 0.95 else "odd": spoil(one) for key, one in value.items()}
        return [spoil(one) for one in value] if isinstance(value, list) else value

    for _ in range(60):
        line = rig.network.dial(True)
        line.begin()
        assert isinstance(line, Cord)
        with contextlib.suppress(frames.Ended):
            for message, share in ((hello, 0.3), (want, 1.0)):
                spoilt = draw.random() < share
                frames.write(line.end.fileno(), {key: spoil(one) if spoilt else one for key, one in message.items()})
        line.leave()
    screen, job = rig.opened()
    assert screen.value(job) is not None


def test_the_models_over_there(rig: Rig, tmp_path: object) -> None:
    screen, _ = rig.opened()
    lots = list(screen.engine.look("", "cpu"))
    assert lots[-1][0] is not None, "free memory"
    assert all(one.name for _, lot in lots for one in lot)


def test_the_models_while_the_line_is_cut(rig: Rig) -> None:
    screen, _ = rig.opened()
    lots = screen.engine.look("", "cpu")
    rig.network.there.clear()
    rig.network.cut()
    wait_until(lambda: screen.cuts > 0)
    rig.network.there.set()
    assert list(lots) is not None, "it ends"


def test_keys_that_fly_by_send_the_last_wish(rig: Rig) -> None:
    screen, job = rig.opened()
    jobs = [replace(job, text=f"king {number}") for number in range(200)]
    for one in jobs:
        screen.engine.want([one])
    wait_until(lambda: screen.engine.cached(jobs[-1]) is not None)
    assert len([one for one in rig.computed if isinstance(one, Tokenize)]) < 200


