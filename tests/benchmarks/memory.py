"""Memory of the app over 2,000 head switches and 500 prompt edits on the demo: its resident set, sampled inside."""

from __future__ import annotations

import time

from tests.benchmarks.measure import Row
from tests.benchmarks.screen import LONG, Child

LENGTHS = 48
"""Prompts of as many lengths, one after the other, an edit each; an edit is every fifth step."""
WARM, STEPS = 2 * 5 * LENGTHS + 20, 2500
"""Steps before growth is counted, and the counted ones. The first round of lengths is what fills the cache, which is
bounded by design; the second one is the first in which old results make room for new ones."""
FULL = 0.9
"""Share of the cache that is in use when counting starts, or else its filling would be counted as growth."""


def main() -> list[Row]:
    """The app walks by itself, as fast as it draws."""
    with Child("walk", "--prompt", LONG) as child:
        while child.process.poll() is None and ["end"] not in child.noted():
            time.sleep(1)
        noted = child.noted()
    failed = [" ".join(words[1:]) for words in noted if words[0] == "failed"]
    assert not failed, f"the walk ended: {failed[0]}"
    late = sum(words[0] == "late" for words in noted)
    samples = {int(words[1]): (float(words[2]), float(words[3])) for words in noted if words[0] == "rss"}
    opened, (first, full), (last, _) = samples[0][0], samples[WARM], samples[WARM + STEPS]
    assert not late, f"{late} pictures were not drawn within 10 s"
    assert full >= FULL, f"the cache was {100 * full:.0f} % full when counting started"
    growth = last / first - 1
    return [Row("memory over 2,000 head switches and 500 prompt edits", f"{100 * growth:+.1f} % ({last:.0f} MB)",
                f"when the cache was full: {first:.0f} MB; when the app had opened: {opened:.0f} MB", None, "≤ 2 %",
                growth <= 0.02)]  # fmt: skip
