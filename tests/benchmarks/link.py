"""Keys held on a slow link: how long after the key is let go the screen still changes.

The pseudo-terminal is read no faster than 1 Mbit/s, and the app believes that it is used over SSH.
"""

from __future__ import annotations

import time

from tests.benchmarks.measure import Row, seconds, size
from tests.benchmarks.screen import LONG, Child, last_change, taped
from tests.e2e.terminal import LINK

EVERY = 1 / 30
"""Seconds between two repeats of a held key; 90 of them."""
SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}


def main() -> list[Row]:
    """256 colours, as usual over SSH, and true colour, which costs the most bytes."""
    out = []
    for color in ("256", "truecolor"):
        with Child("app", "--prompt", LONG, "--color", color, rate=LINK, **SSH) as child:
            child.open()
            child.press("2")  # QK: every cell has a colour
            child.settle(1)
            child.press("home")
            child.settle(1)
            child.expect("L0H0 · QK", panel=True, whole=False)
            lag, rest, count = held(child, "l" * 45 + "h" * 45, slice(6, 39), slice(20, 82))
            out.append(Row(f"right held 3 s at 1 Mbit/s, {color}: lag of matrix and inspector", seconds(lag),
                           f"panel at rest {seconds(rest)}, {size(count)}", None, "≤ 0.2 s", lag <= 0.2))  # fmt: skip
            child.expect("L0H0 · QK", panel=True, whole=False)
            lag, rest, count = held(child, "}" * 90, slice(0, 40), slice(0, 120))
            out.append(Row(f"heads held 3 s at 1 Mbit/s, {color}: lag of the whole screen", seconds(rest),
                           size(count), None, "≤ 1.2 s", rest <= 1.2))  # fmt: skip
            child.expect("L0H2 · QK", panel=True, whole=False)  # 90 steps through the 4 heads of a layer
    return out


def held(child: Child, keys: str, lines: slice, columns: slice) -> tuple[float, float, int]:
    """Seconds from the key's end until a part of the screen, and until all of it, has changed last; bytes in all."""
    before = child.count
    with taped(child) as tape:
        due = time.monotonic()
        for key in keys:
            child.press(key)
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))
        released = time.monotonic()
        child.settle(1.0)
    lag = max(0.0, last_change(child, tape, lines, columns) - released)
    return lag, max(0.0, child.last_byte - released), child.count - before
