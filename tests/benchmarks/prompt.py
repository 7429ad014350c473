"""A typed character: from the key to the pattern of the longer prompt, beyond the pause that typing is given."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import cycle

from tests.benchmarks.measure import Row, ms
from tests.benchmarks.screen import Child, last_change, taped
from tests.e2e.scenario import edit_prompt
from tui.pace import TYPING_PAUSE

ROUNDS = 15
PROMPT = "When Mary and John went to the store, John gave a drink to"


def typing(child: Child, rounds: int) -> Iterator[tuple[str, float]]:
    """Type a prompt and some letters behind it: the text, and the seconds from a letter to its last change of the
    pattern, without the pause."""
    edit_prompt(child)
    child.send(PROMPT)
    child.settle(1.5)
    text = PROMPT
    picture = child.expect("L0H0 · pattern", panel=True).middle
    for letter, _ in zip(cycle("abcdefgh"), range(rounds), strict=False):
        with taped(child) as tape:
            begun = time.monotonic()
            child.press(letter)
            child.settle(1.0)
        text += letter
        assert text in child.text
        yield text, last_change(child, tape, *picture) - begun - TYPING_PAUSE


def main() -> list[Row]:
    """In turns with one plain forward pass of the same model on the same text."""
    import torch

    from tui.models.load import load

    torch.set_num_threads(1)  # fastest for so small a model, and the app's threads spin on the other cores
    model = load("demo")
    bridge, typed, plain = model.bridge, [], []
    with Child("app", "--prompt", PROMPT) as child:
        child.open()
        for text, took in typing(child, ROUNDS):
            typed.append(took)
            ids = torch.tensor([model.tokens.encode(text, True).ids])
            with torch.inference_mode():
                start = time.perf_counter()
                bridge(ids)
                plain.append(time.perf_counter() - start)
    ours, one = (1000 * statistics.median(times) for times in (typed, plain))
    limit = 1.5 * one + 30
    return [Row("typed character to updated pattern, beyond the pause", ms(ours), f"plain forward {ms(one)}", None,
                f"≤ 1.5 forwards + 30 ms = {limit:.0f} ms", ours <= limit)]  # fmt: skip
