"""One session with the app, as a person would have it, on any terminal: local, in tmux, over ssh.

Every step waits for what it must show and gives the bytes that it cost.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.terminal import Terminal

CONVENTIONS = "demo · cpu · float32 · processed weights · BOS"
PROMPT = "When Mary and John went to the store, John gave a drink to"
LOAD = 90
"""Seconds that torch and the model may take on a busy machine."""


class Session:
    """The app on a terminal, and what each step cost."""

    def __init__(self, terminal: Terminal, folder: Path, count: Callable[[], int] | None = None) -> None:
        """``folder`` is where the app runs; ``count`` gives the bytes on the wire, else those at the terminal count."""
        self.terminal = terminal
        self.folder = folder
        self.costs: dict[str, int] = {}
        self._count = count or (lambda: terminal.count)

    @property
    def head(self) -> str:
        """The head that the view's title names, such as ``L1H3``."""
        return head_of(self.terminal.text)

    def open(self) -> None:
        """First paint, then the model."""
        with self._step("start", settle=0):
            self.terminal.wait_for("Prompt ▸")
        with self._step("load"):
            self.terminal.wait_for(CONVENTIONS, LOAD)
            self.terminal.wait_for(lambda text: "→ " in text and head_of(text), LOAD)

    def type_prompt(self) -> None:
        """Replace the example prompt, a character at a time."""
        with self._step("prompt"):
            edit_prompt(self.terminal)
            for character in PROMPT:
                self.terminal.send(character)
                time.sleep(0.01)
            self.terminal.wait_for(PROMPT)
            self.terminal.press("enter")
            self.terminal.settle()
            self.terminal.press("end", "end", "down", "ctrl+d", "ctrl+d")  # the last row: what comes after the prompt
            self.terminal.wait_for("→ ·Mary ", 30)

    def walk_heads(self, steps: int = 6) -> list[int]:
        """Next head, again and again. Bytes of each."""
        out = []
        for _ in range(steps):
            before = self.head
            with self._step("heads") as cost:
                self.terminal.press("}")
                self.terminal.wait_for(lambda text, before=before: head_of(text) not in ("", before))
            out.append(cost[0])
        return out

    def walk_cells(self, steps: int = 10) -> list[int]:
        """Cursor moves. Bytes of each, without what follows once the cursor rests."""
        out = []
        for key in (["left", "up"] * steps)[:steps]:
            with self._step("cells", settle=0.12) as cost:
                self.terminal.press(key)
            out.append(cost[0])
        self.terminal.settle()
        return out

    def walk_views(self) -> None:
        """Lens, Attribution, Heads, top pairs, QK, OV, Residual and back, each with its picture."""
        stream = (("5", "logit lens · "), ("6", "attribution to "))
        for key, word in (*stream, ("7", "all heads · "), ("V", "strongest OV")):
            with self._step(f"view {key}"):
                self.terminal.press(key)
                self.terminal.wait_for(word)
        for digit, word in (("2", "QK"), ("3", "OV"), ("4", "Residual"), ("1", "pattern")):
            with self._step(f"view {digit}"):
                self.terminal.press(digit)
                self.terminal.wait_for(lambda text, word=word: word.lower() in title_of(text).lower())

    def resize(self, columns: int, rows: int) -> None:
        """Another window size."""
        with self._step(f"resize {columns}×{rows}"):
            before = self.terminal.count
            self.terminal.resize(columns, rows)
            self.terminal.wait_for(lambda _: self.terminal.count > before)
            self.terminal.settle(0.4)
            text = self.terminal.wait_for(lambda text: head_of(text))
        assert "circuit-tui" in text.splitlines()[0]

    def export(self) -> Path:
        """Write what is shown."""
        before = set(self.folder.glob("*.json"))
        with self._step("export"):
            self.terminal.press("e", "enter")
            self.terminal.wait_for("written")
        (path,) = set(self.folder.glob("*.json")) - before
        content = json.loads(path.read_text())
        assert content["values"]
        return path

    def copy(self) -> bytes:
        """Copy the prompt; what of it the terminal got, from the first byte on."""
        before = len(self.terminal.raw)
        with self._step("copy"):
            self.terminal.press("y", "p")
            self.terminal.wait_for("sent")
        return bytes(self.terminal.raw[before:])

    def quit(self) -> float:
        """Leave. Seconds it took."""
        with self._step("quit", settle=0):
            self.terminal.press("q")
            return self.terminal.ended(10)

    @contextlib.contextmanager
    def _step(self, name: str, settle: float = 0.3) -> Iterator[list[int]]:
        before, cost = self._count(), [0]
        yield cost
        if settle:
            self.terminal.settle(settle)
        cost[0] = self._count() - before
        self.costs[name] = self.costs.get(name, 0) + cost[0]


def edit_prompt(terminal: Terminal) -> None:
    """Into the prompt's field, and empty it."""
    terminal.wait_for(": commands")  # the footer knows who has the focus
    terminal.press("i")
    terminal.wait_for(lambda text: ": commands" not in text)
    clear_prompt(terminal)


def clear_prompt(terminal: Terminal) -> None:
    """Empty the prompt's field, which has the focus."""
    terminal.press("end", "ctrl+u")
    # Textual runs bindings after they have bubbled up, and characters at once: what is typed too soon comes first.
    terminal.wait_for(lambda text: re.fullmatch(r"\s*Prompt ▸\s*((answer|✗) .*)?", text.splitlines()[1]))


def title_of(text: str) -> str:
    """The line that says which head is drawn how, without the tree to its left; empty before it is there."""
    below = text.partition("\n")[2]  # the status line names the parts that are changed
    found = re.search(r"\b(L\d+(H\d+)?|direct path|residual stream)\b[^\n│]* · [^\n│]*", below)
    return found.group() if found else ""


def head_of(text: str) -> str:
    """The head or layer that the title names."""
    return title_of(text).partition(" ")[0]
