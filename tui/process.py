"""The process around the app: whose file descriptors these are, and how it ends whatever happens.

* While the app draws, anything else written to the terminal corrupts the screen, also from C code and child processes.
  So the app gets a descriptor of its own, and 1 and 2 become the log (``quiet``).
* SIGHUP, SIGTERM and SIGINT ask the app to exit. If it has not in ``GRACE`` seconds, because it is importing torch or
  blocked on a dead connection, the terminal is restored without it and the process leaves (``Warden``).
* A terminal that is gone ends the process even where SIGHUP is ignored (nohup, some supervisors): it would otherwise
  spin a core on the closed input and keep the accelerator's memory.
* After the last frame the process leaves at once (``leave``): Python's own teardown after transformer_lens takes a
  second.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

GRACE = 0.4
"""Seconds that the app has to end by itself after a signal."""
WATCH_EVERY = 1.0
"""Seconds between two looks at the terminal where poll() does not report a hang-up by itself."""
LOG_LIMIT = 1 << 20
"""Bytes above which the log is started anew."""

LEAVE_SCREEN = (
    b"\x1b[?2026l"  # end of a synchronised frame that may have been cut
    b"\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?2004l\x1b[?2048l\x1b[?1004l\x1b[<u"  # paste, size and focus reports, keyboard protocol
    b"\x1b[0m\x1b[?7h\x1b[?1049l\x1b[?25h"  # colours, line wrap, main screen, cursor
)


def open_log(path: Path) -> int:
    """A descriptor that appends to the log. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size > LOG_LIMIT:
            flags |= os.O_TRUNC
    return os.open(path, flags, 0o600)


class Screen(io.TextIOWrapper):
    """The terminal's own file, for one that does not show all characters."""

    def __init__(self, descriptor: int, encoding: str, glyphs: Mapping[int, str] | None) -> None:
        # errors="replace": a character that the locale lacks must not end the thread that draws
        super().__init__(io.BufferedWriter(io.FileIO(descriptor, "w")), encoding, "replace")
        self._glyphs = glyphs

    def write(self, text: str, /) -> int:
        """Write what this terminal shows of a text."""
        return super().write(text if self._glyphs is None else text.translate(self._glyphs))


@contextlib.contextmanager
def quiet(log: int, glyphs: Mapping[int, str] | None = None) -> Iterator[None]:
    """Textual draws on the terminal; everything else that is written to 1 and 2 goes to ``log``.

    ``glyphs`` is what this terminal shows instead of a character, as ``str.translate`` takes it.

    Textual's driver writes to ``sys.__stderr__`` and asks ``sys.__stdout__`` for the size, so these two become a file
    of their own; ``sys.stdout`` and ``sys.stderr`` keep their descriptors, which now lead to the log.
    """
    out, err = sys.__stdout__, sys.__stderr__
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    encoding = out.encoding if out else "utf-8"
    screen = Screen(os.dup(1), encoding, glyphs)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.__dict__.update(__stdout__=screen, __stderr__=screen)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.__dict__.update(__stdout__=out, __stderr__=err)
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in saved:
            os.close(descriptor)
        # Not closed: the driver's thread may still hold it, and the process is about to end.
        with contextlib.suppress(OSError, ValueError):
            screen.flush()


class Warden:
    """Ends the process in time when a signal asks for it or the terminal is gone."""

    def __init__(self, ask_to_exit: Callable[[int], None], end: Callable[[int], None] = os._exit) -> None:
        """``ask_to_exit(code)`` is called from another thread than the app's."""
        self._ask_to_exit = ask_to_exit
        self._end = end
        self._terminal = os.dup(0)
        self._attributes = termios.tcgetattr(self._terminal)
        self._signals, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def start(self) -> None:
        """Take the signals over (one that is ignored stays so) and begin to watch. Main thread only."""
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        threading.Thread(target=self._watch, name="warden", daemon=True).start()

    def restore_terminal(self) -> None:
        """Give the shell back its terminal, for an app that could not do it itself."""
        with contextlib.suppress(termios.error, OSError):
            termios.tcflush(self._terminal, termios.TCIFLUSH)
            termios.tcsetattr(self._terminal, termios.TCSANOW, self._attributes)
        poll = select.poll()
        poll.register(self._terminal, select.POLLOUT)
        with contextlib.suppress(OSError):
            if poll.poll(100):  # ms; a connection that takes nothing would hold the process for ever
                os.write(self._terminal, LEAVE_SCREEN)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # A signal may interrupt anything, a lock's holder too: one write to a pipe is all that is safe here.
        with contextlib.suppress(OSError):
            os.write(self._wake, bytes([number]))

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._terminal, 0)  # hang-ups are reported unasked
        while True:
            ready = dict(poll.poll(WATCH_EVERY * 1000))
            if self._signals in ready:
                number = os.read(self._signals, 1)[0]
            elif ready.get(self._terminal) or not _is_alive(self._terminal):
                number = int(signal.SIGHUP)
            else:
                continue
            break
        code = 128 + number
        with contextlib.suppress(Exception):
            self._ask_to_exit(code)
        time.sleep(GRACE)
        self.restore_terminal()
        self._end(code)


def wake_once(repaint: Callable[[], object]) -> None:
    """Take the terminal anew on SIGCONT only if it was given up on SIGTSTP (Ctrl+Z).

    Textual takes it at every SIGCONT. After a SIGSTOP, at which nobody can give anything up, two threads would read
    the keys, and the app would wait for the first of them for ever when it ends. ``repaint`` is called instead, in a
    signal handler. Main thread only, once the app draws.
    """
    suspend, resume = signal.getsignal(signal.SIGTSTP), signal.getsignal(signal.SIGCONT)
    if not (callable(suspend) and callable(resume)):
        return
    given_up = False

    def stopped(number: int, frame: FrameType | None) -> None:
        nonlocal given_up
        given_up = True
        suspend(number, frame)

    def woken(number: int, frame: FrameType | None) -> None:
        nonlocal given_up
        if given_up:
            given_up = False
            resume(number, frame)
        else:
            repaint()

    signal.signal(signal.SIGTSTP, stopped)
    signal.signal(signal.SIGCONT, woken)


def fail(sentence: str, code: int) -> int:
    """Say on standard error why a command ends; returns its exit code."""
    safe = "".join(char if char.isprintable() else "?" for char in sentence)
    print(f"circuit-tui: {safe}", file=sys.stderr)
    return code


def leave(code: int) -> NoReturn:
    """End the process now, without Python's teardown."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _is_alive(terminal: int) -> bool:
    """Whether somebody still holds the other end."""
    try:
        os.get_terminal_size(terminal)
    except OSError:
        return False
    return True
