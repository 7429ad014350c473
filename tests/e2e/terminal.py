"""A terminal for tests: a child process on a pseudo-terminal, what it wrote, and what that looks like.

Every byte that the child writes is counted. The link can be slow: the reader then takes bytes no faster than ``rate``,
and the child feels it as it would feel a slow connection, by its writes blocking.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyte
from wcwidth import wcwidth

ROOT = Path(__file__).resolve().parents[2]
APP = (sys.executable, "-m", "tui")
RECORDED = (sys.executable, "-m", "tests.e2e.recorded_app")
"""The app on recorded results."""
KEYS = {
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[H", "end": "\x1b[F",
    "enter": "\r", "escape": "\x1b", "tab": "\t", "backspace": "\x7f", "ctrl+u": "\x15", "ctrl+d": "\x04",
    "ctrl+c": "\x03", "ctrl+p": "\x10", "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR",
}  # fmt: skip
LINK = 1_000_000 / 8
"""Bytes a second of a 1 Mbit/s link."""

# Sequences that pyte prints instead of skipping: keyboard protocol, mode queries, version queries.
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1bP[^\x1b]*\x1b\\")
_INCOMPLETE = re.compile(rb"\x1b(\[[0-9;<>=?$]*|P[^\x1b]*\x1b?)?$")


def environment(home: Path, **more: str) -> dict[str, str]:
    """A small environment of its own: nothing of the machine's colours, config or network gets in. It is not the first
    start there, so that nothing but the app itself is on the screen."""
    state = home / "state" / "circuit-tui"
    state.mkdir(parents=True, exist_ok=True)
    (state / "welcomed").touch()
    return {
        "HF_HUB_OFFLINE": "1",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
    } | more


def _take_terminal() -> None:
    """In the child: the terminal is its own, and so are the signals that a runner in the background (SIGINT) or under
    ``nohup`` (SIGHUP) passes on ignored."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _row(cells: Sequence[str]) -> str:
    """As a person reads it. The second cell of a wide character is empty; so it stays when something narrow takes the
    first one's place, which pyte's own ``display`` does not survive."""
    pairs = zip(cells, ["", *cells], strict=False)
    return "".join(cell or ("" if before and wcwidth(before[0]) == 2 else " ") for cell, before in pairs)


class Terminal:
    """One child on one pseudo-terminal."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        size: tuple[int, int] = (120, 40),
        rate: float | None = None,
    ) -> None:
        """``size`` is columns × rows; ``rate`` bytes a second, None for as fast as can be."""
        self.rate = rate
        self.raw = bytearray()
        """Everything the child wrote."""
        self.last_byte = time.monotonic()
        """When it wrote last."""
        self._emulator = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._emulator)
        self._fed = 0
        self._gone = False
        self._master, slave = pty.openpty()
        _set_size(self._master, *size)
        self.attributes = termios.tcgetattr(slave)
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            list(command),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what was written

    @property
    def count(self) -> int:
        """Bytes that the child wrote so far."""
        return len(self.raw)

    @contextlib.contextmanager
    def counted(self, settle: float = 0.3) -> Iterator[list[int]]:
        """The list gets the bytes written inside the block, up to ``settle`` seconds of silence after it."""
        before, out = self.count, [0]
        yield out
        self.settle(settle)
        out[0] = self.count - before

    def settle(self, quiet: float = 0.3, timeout: float = 20) -> None:
        """Wait until nothing was written for a while."""
        start = time.monotonic()
        while time.monotonic() - max(self.last_byte, start) < quiet:
            assert time.monotonic() - start < timeout, f"still writing after {timeout} s\n{self.text}"
            time.sleep(0.01)

    @property
    def lines(self) -> list[str]:
        """The screen as it stands, a string a row."""
        self._feed()
        screen = self._emulator
        return [_row([screen.buffer[y][x].data for x in range(screen.columns)]) for y in range(screen.lines)]

    @property
    def text(self) -> str:
        """The screen as it stands."""
        return "\n".join(self.lines)

    def wait_for(self, what: str | Callable[[str], object], timeout: float = 20) -> str:
        """Wait until the screen holds a text, or a function of it is true."""
        start = time.monotonic()
        while True:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(1)
            text = self.text
            if (what in text) if isinstance(what, str) else what(text):
                return text
            seconds = time.monotonic() - start
            if ended or seconds > timeout:
                state = f"exit code {self.process.returncode}" if ended else "still running"
                raise AssertionError(f"{what!r} not on the screen after {seconds:.1f} s, {state}:\n{text}")
            time.sleep(0.02)

    # what is done to it

    def send(self, text: str) -> None:
        """Type text as it is."""
        data = text.encode()
        while data:
            data = data[os.write(self._master, data) :]

    def press(self, *keys: str) -> None:
        """Press keys by name, or by the character they type."""
        for key in keys:
            self.send(KEYS.get(key, key))
            if key == "escape":
                time.sleep(0.15)  # else it and the next key are alt with that key

    def resize(self, columns: int, rows: int) -> None:
        """Another window size; the kernel tells the child."""
        self._feed()
        self._emulator.resize(rows, columns)
        _set_size(self._master, columns, rows)

    def forget(self) -> None:
        """Leave what was written so far unread, which takes a megabyte a second: a resize paints everything anew."""
        self._fed = len(self.raw)
        self._emulator.reset()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """The terminal is gone, as when its window is closed."""
        if self._gone:
            return
        self._gone = True
        self._reader.join()  # a descriptor that is being read stays open
        os.close(self._master)

    def ended(self, timeout: float) -> float:
        """Seconds until the child has ended; fails if it has not by ``timeout``."""
        start = time.monotonic()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.text}") from None
        out = time.monotonic() - start
        self._reader.join(2)
        return out

    def assert_restored(self) -> None:
        """The shell has its terminal back: main screen, cursor shown, no mouse or paste reports, line editing on."""
        last = self.raw.rfind(b"\x1b[?1049h")
        assert last >= 0, "it never drew"
        tail = bytes(self.raw[last:])
        for on, off in ((1049, "l"), (25, "h"), (1000, "l"), (1003, "l"), (2004, "l")):
            switched = re.findall(rb"\x1b\[\?%d([hl])" % on, tail)
            assert not switched or switched[-1].decode() == off, f"mode {on} was left {switched[-1]!r}"
        assert termios.tcgetattr(self._master)[3] == self.attributes[3], "echo or line editing was left off"

    def close(self) -> None:
        """End the child, whatever it does."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.hang_up()

    def _read(self) -> None:
        due = time.monotonic()
        while not self._gone:
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self._master, 512 if self.rate else 1 << 16)
            except OSError:  # the child has ended
                return
            if not data:
                return
            self.raw += data
            self.last_byte = time.monotonic()
            if self.rate:
                due = max(due, self.last_byte - 0.02) + len(data) / self.rate
                time.sleep(max(0.0, due - time.monotonic()))

    def _feed(self) -> None:
        data = bytes(self.raw[self._fed :])
        if rest := _INCOMPLETE.search(data):
            data = data[: rest.start()]
        self._fed += len(data)
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data))


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def assert_gone(pid: int, timeout: float = 2) -> float:
    """Seconds until a process that is not ours has ended."""
    start = time.monotonic()
    while time.monotonic() - start < timeout:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return time.monotonic() - start
        if state == "Z":
            return time.monotonic() - start
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there after {timeout} s")
