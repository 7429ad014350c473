"""Random inputs to the real program, drawn from a seed, and the program under them."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.e2e.scenario import LOAD
from tests.e2e.terminal import APP, KEYS, Terminal, environment
from tui.views.ahead import AFTER_ESCAPE, TICK

ESCAPE = "\x1b[27u"
"""As terminals with the keyboard protocol send it: nothing that follows can make another key of it."""
PALETTE = "tab completes, ↑ what you ran before"
"""What stands in the palette's field while nothing is typed."""
QUIET = AFTER_ESCAPE[0] * TICK + 0.05
TYPED = (string.ascii_letters + string.digits + string.punctuation + " ").replace("q", "")
"""Every key that is a character, but the one that quits."""
OTHERS = [
    *(KEYS[name] for name in ("up", "down", "left", "right", "home", "end", "enter", "tab", "backspace", "f1")),
    *(KEYS[name] for name in ("ctrl+u", "ctrl+d", "ctrl+c", "ctrl+p")),
    *("\x0e", "\x1b[5~", "\x1b[6~", "\x1b[Z", "\x1b[3~", "\x1b[15~", "\x1b[1;5C", "\x1ba", "\x00", "\x1b[I", "\x1b[O"),
]
OPEN = [*"?:TAtO/;RoMC", KEYS["ctrl+p"], KEYS["f1"], "Ci", "?themes\r", ":themes\r", ":answer\r"]
"""What opens a dialog."""
CLOSE = ["\r", ESCAPE, KEYS["down"], KEYS["up"], "1", "}", "X"]
TEXTS = [
    "L2H2", "1 3", "l0n17", "L99H99", "prompts", "prompts /nowhere [/]", "Paris", "Paris - Berlin", "#1", "king>prince",
    "ind>0.6", "3+", "/ing$/", "/(/", "same", "0:52", "-3", "demo", "", "[/b]", "“”", "日本", "e\u0301", "\u202e",
    "👩‍👩‍👧", "9" * 40, "seed 1", "no/such/model", "pattern", "theme", "head", "card", "nord",
]  # fmt: skip
SIZES = [(120, 40), (80, 24), (100, 30), (200, 60), (49, 11), (20, 5), (8, 2), (1, 1), (3, 30), (120, 2)]


class Player:
    """Draws one input after the other: what is sent in one packet, or a window size."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._kinds: list[tuple[int, Callable[[], str | tuple[int, int]]]] = [
            (50, self._key),
            (12, self._packet),
            (10, self._dialog),
            (8, lambda: ESCAPE * self._dice.choice([1, 1, 2, 3])),
            (6, self._palette),
            (4, lambda: self._dice.choice(TEXTS)),
            (3, self._paste),
            (3, self._mouse),
            (3, lambda: self._dice.choice(SIZES)),
            (1, lambda: "\x1b"),
        ]

    def draw(self) -> str | tuple[int, int]:
        weights, kinds = zip(*self._kinds, strict=True)
        return self._dice.choices(kinds, weights)[0]()

    def _key(self) -> str:
        return self._dice.choice(TYPED) if self._dice.random() < 0.7 else self._dice.choice(OTHERS)

    def _packet(self) -> str:
        return "".join(self._key() for _ in range(self._dice.randint(2, 8)))

    def _dialog(self) -> str:
        """One is opened and closed again, by more keys than it takes."""
        between = self._dice.choice(["", "", self._dice.choice(TEXTS), KEYS["down"]])
        return self._dice.choice(OPEN) + between + "".join(self._dice.choices(CLOSE, k=self._dice.randint(2, 4)))

    def _palette(self) -> str:
        return ":" + self._dice.choice(TEXTS) + "\r" * self._dice.randint(0, 3)

    def _paste(self) -> str:
        text = self._dice.choice([*TEXTS, "two\nlines", "word " * 100, "\x07\t\x1b[31m"])
        return f"\x1b[200~{text}\x1b[201~" + self._dice.choice(["", "\r", ESCAPE])

    def _mouse(self) -> str:
        """A click, a double click, a turn of the wheel, a drag; keys come with it."""
        column, row = self._dice.randint(1, 125), self._dice.randint(1, 42)
        click = f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"
        drag = f"\x1b[<0;{column};{row}M\x1b[<32;{column + 9};{row}M\x1b[<0;{column + 9};{row}m"
        wheel = f"\x1b[<{self._dice.choice([64, 65])};{column};{row}M"
        moved = f"\x1b[<35;{column};{row}M"
        return self._dice.choice([click, click * 2, wheel * 3, drag, moved]) + self._dice.choice(["", "\r", ESCAPE])


class Run:
    """The program under these inputs; started anew when one of them left it on purpose."""

    def __init__(
        self, home: Path, seed: int, command: Sequence[str] = APP, env: Mapping[str, str] | None = None,
        ready: str = "commands",
    ) -> None:  # fmt: skip
        """``seed`` is said where it fails; ``env`` is what the program has besides ``environment``; ``ready``: what is
        on the screen once it takes keys."""
        self.home, self.seed = home, seed
        self._command, self._env, self._ready = command, dict(env or {}), ready
        self.sent: list[str | tuple[int, int]] = []
        self.starts = 0
        self.terminal = self._start()

    def _start(self) -> Terminal:
        self.starts += 1
        folder = self.home / "work"
        folder.mkdir(exist_ok=True)
        out = Terminal(self._command, environment(self.home, **self._env), folder)
        out.wait_for(self._ready, LOAD)
        return out

    def send(self, what: str | tuple[int, int]) -> None:
        """One input, as soon as the one before has been taken."""
        self.sent.append(what)
        if isinstance(what, tuple):
            self.terminal.forget()
            self.terminal.resize(*what)
        else:
            self.terminal.send(what)
        time.sleep(0.12 if what == "\x1b" else 0.004)
        if len(self.sent) % 25 == 0:
            self._catch_up()

    def _catch_up(self) -> None:
        """Until it has nothing to draw for longer than a key waits for a dialog: each is taken when it is known what
        the one before has done, so a slow machine would end up with minutes of keys to take."""
        begun = time.monotonic()
        while time.monotonic() - max(self.terminal.last_byte, begun) < QUIET and time.monotonic() - begun < 20:
            time.sleep(0.01)
        self.alive()

    def alive(self) -> None:
        """It is, or is started anew where it was left on purpose."""
        if self.terminal.process.poll() is not None:
            self.check()
            assert self.terminal.process.returncode == 0, self.report("it ended")
            self.restart()

    def restart(self) -> None:
        """It was left on purpose: once more."""
        assert self.starts < 20, self.report("it ends all the time")
        self.terminal.close()
        self.terminal = self._start()

    def free(self) -> None:
        """Out of whatever dialog or field has the keys, at a size of its own: it has taken all that was sent."""
        terminal = self.terminal
        terminal.send("\x1b[201~")  # ends a paste of which a slow machine has read half a bracket
        terminal.send("\x1b[I")  # the window has the focus: nobody types into one that has not
        terminal.resize(119, 39)  # it may have that size already, and would paint nothing anew
        time.sleep(0.3)
        terminal.forget()
        terminal.resize(121, 40)
        terminal.settle(1, LOAD)
        self.check()
        for _ in range(8):
            for _ in range(6):
                terminal.send(ESCAPE)
                time.sleep(0.1)
            terminal.settle(0.5, LOAD)
            if ": commands" in terminal.text and self._has_taken_all():
                break
        else:
            raise AssertionError(f"esc leaves no dialog, or keys wait still\n{terminal.text}")
        terminal.wait_for(": commands", LOAD)  # no dialog has the keys, nor has the prompt

    def _has_taken_all(self) -> bool:
        """Whether a word comes to stand in the palette: keys are taken in their order, and this one is the last."""
        terminal, word = self.terminal, f"rest {len(self.sent)}"
        terminal.send(":" + word)
        try:
            terminal.wait_for(word, 20)
        except AssertionError:
            return False
        terminal.send(ESCAPE)
        terminal.settle(0.3, LOAD)
        return word not in terminal.text

    def check(self) -> None:
        assert b"Traceback" not in self.terminal.raw, self.report("a traceback on the screen")
        assert "in a handler" not in self.log, self.report("an error in a handler")

    @property
    def log(self) -> str:
        file = self.home / "state" / "circuit-tui" / "circuit-tui.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def report(self, problem: str) -> str:
        at = self.log.find("in a handler")
        code = self.terminal.process.returncode
        return (
            f"{problem}: CIRCUIT_TUI_SEED={self.seed}, {len(self.sent)} inputs, code {code}\n"
            f"last inputs: {self.sent[-60:]!r}\nlog: …{self.log[max(0, at - 100):][:6000]}"
        )
