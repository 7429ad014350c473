"""Selections on the recorded model, and what is known of them: for tests without a screen."""

from __future__ import annotations

from typing import Any

from tests.app.recorded import KEY, RecordedBench, info, tokens
from tui import pages
from tui.contrast import here_on
from tui.declared import Here
from tui.engine.jobs import Job, Open, PromptRow, Prompts, Run, Target, Tokenize
from tui.results import Result
from tui.selection import File, Likeliest, Look, Pair, Selection

PARIS = Likeliest(6, " Paris")
ROWS = (PromptRow("The capital of", "Paris"), PromptRow("The king"))
MODEL = info()
_BENCH = RecordedBench()


def loaded(*looks: Look, text: str = "The capital of", **changes: Any) -> Selection:
    """The model is open, the prompt tokenized."""
    made = tokens(["<|bos|>", *(f" {word}" for word in text.split())], True)
    s = Selection(opened=Open(), model=MODEL, text=text, tokens=made, tokens_of=Tokenize(KEY, text, True))
    return s.put(*looks, **changes)


PROMPT = loaded().tokens
assert PROMPT is not None
RUN = Run(KEY, PROMPT.ids, True)
FILE = File("facts.jsonl", ROWS, over=False, prepared=Prompts(
    "digest", "facts.jsonl", (RUN, Run(KEY, (0, 1, 8), True)), (Target((6,)), None), tuple(row.text for row in ROWS),
))  # fmt: skip


_OTHER, LONDON = "The king of", Likeliest(7, " London")
PAIR = Pair(_OTHER, tokens(["<|bos|>", " The", " king", " of"], True), Tokenize(KEY, _OTHER, True), LONDON)
"""The other prompt that goes with the loaded one."""


def cached(job: Job | None) -> Any:
    """Everything is known."""
    return None if job is None else _BENCH.compute(job, None)


def unknown(job: Job | None) -> Result | None:
    """Nothing is known."""
    return None


def here(s: Selection) -> Here:
    """A selection with what its page draws."""
    return here_on(pages.of(s), s, cached)
