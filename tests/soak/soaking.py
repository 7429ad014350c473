"""Rounds of random inputs; after every tenth the picture is held against a fresh computation, and at a fixed place
(the demo model, its example prompt, no dialog) memory and threads are read."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.player import PALETTE, Run
from tests.e2e.scenario import LOAD
from tests.e2e.terminal import APP
from tests.models.folders import gpt2_folder, llama_folder
from tests.soak.far import Far
from tests.soak.measured import Reading, growth, reading
from tests.soak.pictures import differs, fresh
from tests.soak.walker import Walker

SMALL = Path(__file__).parent / "small"
ROUND, EVERY = 25, 10
"""Inputs of a round, after which the program rests; every so manieth picture is compared."""
WARM = 3000
"""Inputs until everything has been used once that is brought in when it is, and caches and histories are full: threads
and memory are counted from then on, so in a short run they are not."""
GROWN = 0.05
"""Share by which memory may differ."""


@dataclass
class Life:
    """One process: what was read of it at rest."""

    name: str
    readings: list[Reading] = field(default_factory=list)

    @property
    def counted(self) -> list[Reading]:
        """The readings after the warm-up."""
        born = self.readings[0].inputs
        return [one for one in self.readings if one.inputs - born >= WARM]

    def problem(self) -> str:
        """What is not as it was; empty: nothing."""
        counted = self.counted
        if abs(share := growth(counted)) > GROWN:
            return f"{self.name}: memory {share:+.1%}: {[round(one.own) for one in self.readings]} MB"
        if len({one.count for one in counted}) > 1:
            return f"{self.name}: threads {[one.threads for one in counted]}"
        return ""


@dataclass
class Report:
    """What one variety of it did."""

    name: str
    seconds: float = 0.0
    inputs: int = 0
    switches: int = 0
    cancelled: int = 0
    rubbish: int = 0
    cuts: int = 0
    pictures: int = 0
    compared: int = 0
    empty: int = 0
    """Of those compared: where there was nothing to show, here as there."""
    refused: int = 0
    """Of those compared: where the prompt is one that no picture can be made of."""
    stopped: int = 0
    """Of those compared: where a part was shown, as the file says, since the rest was stopped."""
    again: int = 0
    """Keys that had to be pressed twice at rest."""
    starts: int = 0
    lives: list[Life] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """As a table has it."""
        out = [("seconds", f"{self.seconds:.0f}"), ("inputs", str(self.inputs)), ("model switches", str(self.switches)),
               ("cancellations", str(self.cancelled)), ("questions answered with rubbish", str(self.rubbish)),
               ("lines cut", str(self.cuts)), ("pictures", str(self.pictures)),
               ("compared with a fresh computation",
                f"{self.compared} ({self.empty} with nothing to show, {self.stopped} stopped, "
                f"{self.refused} prompts refused)"),
               ("keys pressed twice at rest", str(self.again)), ("starts", str(self.starts))]  # fmt: skip
        for life in self.lives:
            counted = life.counted or life.readings
            if len(counted) > 1:
                first, last = counted[0], counted[-1]
                out.append((f"{life.name}: own MB first / last, largest difference of {len(counted)}",
                            f"{first.own:.0f} / {last.own:.0f}, {growth(counted):+.1%}"))  # fmt: skip
                out.append((f"{life.name}: resident MB first / last", f"{first.resident:.0f} / {last.resident:.0f}"))
                out.append((f"{life.name}: threads first / last", f"{first.count} / {last.count}"))
        return out


class Soak:
    """One variety, here or over a line."""

    def __init__(self, name: str, home: Path, seed: int, far: Far | None, env: Mapping[str, str]) -> None:
        models = ("demo", str(gpt2_folder(home / "small-gpt2")), str(llama_folder(home / "small-llama")))
        self.report, self._other = Report(name), models[1]
        self._walker, self._dice, self._far = Walker(seed, models), random.Random(seed), far
        command: Sequence[str] = APP if far is None else far.command
        self._run = Run(home, seed, command, {**env, **(far.env if far else {})}, "commands")
        self._life()
        self._type("fresh", "")
        self._rest(2.0)
        for form in "sdp":  # what draws figures is brought in once, and stays
            written = len([*(home / "work").iterdir()])
            self._run.terminal.press("e", form)
            self._run.terminal.wait_for(lambda _, before=written: len([*(home / "work").iterdir()]) > before, LOAD)
            self._rest(0.5)

    def soak(self, seconds: float) -> Report:
        """So long; AssertionError says what is wrong."""
        begun, run, report = time.monotonic(), self._run, self.report
        try:
            while time.monotonic() - begun < seconds:
                for _ in range(ROUND):
                    run.send(self._walker.draw())
                report.pictures += 1
                if self._far is not None and self._dice.random() < 0.15:
                    self._far.cut()
                run.check()
                if report.pictures % EVERY == 0:
                    self._compare()
                    self._read()
            run.check()
        except AssertionError as error:
            raise AssertionError(run.report(f"{error}\n{self._stacks()}")) from None
        finally:
            report.seconds, report.inputs, report.starts = time.monotonic() - begun, len(run.sent), run.starts
            report.switches, report.cancelled = self._walker.switches, self._walker.cancelled
            report.rubbish, report.cuts = self._walker.rubbish, self._far.cuts if self._far else 0
        for life in report.lives:
            assert not (problem := life.problem()), run.report(problem)
        return report

    def _stacks(self) -> str:
        """Where every thread of the program is."""
        terminal, before = self._run.terminal, len(self._run.log)
        if terminal.process.poll() is None:
            terminal.signal(signal.SIGABRT)  # faulthandler writes them to the log
            terminal.process.wait(10)
        return self._run.log[before:]

    def close(self) -> None:
        """End the program."""
        terminal = self._run.terminal
        if terminal.process.poll() is None:
            terminal.signal(signal.SIGTERM)
            terminal.ended(10)
        terminal.close()

    # --- a picture ---------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """The picture, once all of it is there."""
        self._free()
        for patience in (0.5, 3.0, 10.0, 30.0):
            self._rest(patience)
            said = self._difference()
            if not said:
                break
        assert not said, self._run.report(f"picture {self.report.pictures}: {said}")
        self.report.compared += 1

    def _difference(self) -> str:
        """Between what is shown and a fresh computation."""
        home, terminal = self._run.home, self._run.terminal
        kept = home / "state" / "circuit-tui" / "sessions" / "named" / "picture.json"
        kept.unlink(missing_ok=True)
        self._type("save picture", "")
        terminal.wait_for(lambda _: kept.is_file(), 30)
        shown = self._exported(home / "work")
        os.environ["XDG_STATE_HOME"] = str(home / "state")
        made = fresh(kept, home / "work")
        terminal.press("escape")
        if made.picture is None and "The prompt is" in made.said:
            self.report.refused += 1  # what is on the screen is of the prompt before, and stays
            return ""
        if shown is None or made.picture is None:
            self.report.empty += shown is made.picture
            return "" if shown is made.picture else f"shown: {shown is not None}, fresh: {made.said}\n{terminal.text}"
        if shown.pop("partial", False):  # esc has stopped it, and what there was is kept
            self.report.stopped += 1
            return ""
        if said := differs(shown, made.picture):
            said += f"\n{shown['view']}: {shown['quantity']}, {shown['convention']}\n{chosen(kept)}"
        return said

    def _exported(self, folder: Path) -> dict[str, Any] | None:
        """What ``e`` writes as JSON; None where it says that there is nothing."""
        terminal, before = self._run.terminal, {*folder.glob("circuit-tui-*.json")}
        terminal.press("e")
        text = terminal.wait_for(lambda text: "Write to a file here" in text or "nothing is computed yet" in text, 30)
        if "Write to a file here" not in text:
            return None
        terminal.press("enter")
        terminal.wait_for(lambda _: {*folder.glob("circuit-tui-*.json")} - before, 30)
        terminal.wait_for("written:", 30)
        (path,) = {*folder.glob("circuit-tui-*.json")} - before
        made: dict[str, Any] = json.loads(path.read_text("utf-8"))
        path.unlink()
        return made

    # --- memory and threads ------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """At the same place every time, and right after a model was opened: what is in cycles is collected then."""
        self._type("fresh", "")  # changes would push the model's name out of the first line
        self._rest(0.5)
        for name, told in ((self._other, "small-gpt2"), ("demo", "demo · cpu")):
            self._type(f"model {name}", "")
            self._run.terminal.wait_for(lambda text, told=told: told in text.partition("\n")[0], LOAD)
            self._rest(0.5)
        self._type("fresh", "")
        self._rest(2.0)
        self._life()

    def _life(self) -> None:
        """A reading of every process there is; another process begins another life."""
        pids = [("screen", self._run.terminal.process.pid)]
        if self._far is not None:
            pids += [("keeper", pid) for pid in self._far.keepers()]
        for name, pid in pids:
            whole = f"{name} {pid}"
            life = next((one for one in self.report.lives if one.name == whole), None)
            if life is None:
                life = Life(whole)
                self.report.lives.append(life)
            life.readings.append(reading(pid, len(self._run.sent)))
            if "CIRCUIT_TUI_SOAK_TALK" in os.environ:
                print(whole, life.readings[-1], flush=True)

    # --- at rest -----------------------------------------------------------------------------------------------------

    def _free(self) -> None:
        self._run.alive()
        self._run.free()

    def _rest(self, seconds: float) -> None:
        """Until nothing is drawn any more and nothing is said to be under way."""
        terminal = self._run.terminal
        terminal.wait_for(lambda text: not any(word in text for word in ("computing …", "line cut", "loading")), LOAD)
        terminal.settle(seconds, LOAD)

    def _type(self, command: str, says: str) -> None:
        """A command of the palette."""
        terminal = self._run.terminal
        terminal.press(":")
        try:
            terminal.wait_for(PALETTE, 10)
        except AssertionError:  # a dialog that was still on its way had the key: once more
            self.report.again += 1
            self._run.free()
            terminal.press(":")
            terminal.wait_for(PALETTE, 30)
        terminal.send(command)
        terminal.wait_for(command, 30)
        terminal.settle(0.3, 30)
        terminal.press("enter")
        terminal.wait_for(lambda text: PALETTE not in text and says in text, 30)


def chosen(session: Path) -> str:
    """What a session has chosen, on one line."""
    return json.dumps(json.loads(session.read_text("utf-8"))["selection"], ensure_ascii=False)
