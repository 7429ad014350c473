"""Memory of the app over 2,000 head switches and 500 prompt edits on the demo: its resident set, sampled inside."""

from __future__ import annotations

import time

from tests.benchmarks.measure import Row
from tests.benchmarks.screen import LONG, Child

WARM = 200


def main() -> list[Row]:
    """The app walks by itself, as fast as it draws; growth is counted after the first 200 steps."""
    with Child("walk", "--prompt", LONG) as child:
        while child.process.poll() is None and ["end"] not in child.noted():
            time.sleep(1)
        late = [words for words in child.noted() if words[0] == "late"]
        assert not late, f"pictures that never came: {late[:3]}"
        samples = [(int(words[1]), float(words[2])) for words in child.noted() if words[0] == "rss"]
    assert samples[-1][0] == 2500, "it did not walk to the end"
    first = next(size for step, size in samples if step >= WARM)
    last = samples[-1][1]
    growth = last / first - 1
    return [Row("memory over 2,000 head switches and 500 prompt edits", f"{100 * growth:+.1f} % ({last:.0f} MB)",
                f"after the first {WARM}: {first:.0f} MB", None, "≤ 5 %", growth <= 0.05)]  # fmt: skip
