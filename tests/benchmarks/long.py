"""Head switches on a long prompt and a model of GPT-2's size, while what nobody waits for is computed behind them."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.heads import large_folder
from tests.benchmarks.measure import Row, ms
from tests.benchmarks.screen import Child, shown
from tests.e2e.scenario import LOAD, head_of

TOKENS, SWITCHES, LIMIT, LAYER = 677, 12, 150, 1000
PROMPT = "".join(chr(97 + place % 26) for place in range(TOKENS))
"""A letter a token: the random model's tokenizer knows bytes."""


def main() -> list[Row]:
    """One head after the other, each new; the picture must be that of the head."""
    times, behind = [], set()
    with tempfile.TemporaryDirectory() as folder:
        path = str(large_folder(Path(folder)))
        with Child("app", path, "--prompt", PROMPT, "--color", "256") as child:
            child.wait_for(lambda text: "softmax(scaled)" in text, LOAD)
            for head in range(1, SWITCHES):
                jobs = [words[0] for words in child.noted() if words[0] != "plotext"]
                behind.add(jobs[-1])
                begun = time.monotonic()
                child.press("}")
                child.wait_for(lambda text, name=f"L0H{head}": _shows(text, name), LOAD)
                times.append(1000 * (time.monotonic() - begun))
                time.sleep(1.3)
            found = child.expect(f"L0H{SWITCHES - 1} · pattern", panel=True, whole=False)
            assert found.matrix
            begun = time.monotonic()
            child.press("]")
            child.wait_for(lambda text: _shows(text, f"L1H{SWITCHES - 1}"), LOAD)
            layer = 1000 * (time.monotonic() - begun)
    worst = max(times)
    return [Row(f"next head, {TOKENS} tokens, 124 M parameters, while other jobs run, at most", ms(worst),
                f"median {ms(statistics.median(times))}; behind it {', '.join(sorted(behind))}", None, f"≤ {LIMIT} ms",
                worst <= LIMIT),
            Row(f"next layer, {TOKENS} tokens, 124 M parameters", ms(layer), "the same forward pass", None,
                f"≤ {LAYER} ms", layer <= LAYER)]  # fmt: skip


def _shows(text: str, name: str) -> bool:
    """Whether the head's own picture is there, not the one before."""
    return head_of(text) == name and shown(text).matrix and "computing" not in text and "softmax(scaled)" in text
