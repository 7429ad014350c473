"""A pair of prompts, clean and corrupted: how the other one is asked for, where they differ, what tells them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..engine import jobs
from ..page import NO_TOKENS, Lookup, Nothing, Problem, Question
from ..phrases import aim, token
from ..results import Tokens
from ..selection import Pair, Selection
from ..text import in_words, visible

PAGES = ("patching", "paths")
"""The pages that show a pair; the first is where one is shown that was typed elsewhere."""
NO_PAIR = Nothing(
    "no other prompt yet: press P and type one as long as this one, or capital, induction, indirect object"
)
PAIRS = {
    "capital": ("The capital of France is", "The capital of Germany is"),
    "indirect object": ("When Mary and John went to the store, John gave a drink to",
                        "When Mary and John went to the store, Mary gave a drink to"),
    "induction": ("robin silk volcano robin", "robin silk volcano silk"),
}  # fmt: skip
"""Pairs that the demo model knows: a name → the clean and the corrupted prompt."""


def _pair_answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if not text:
        return replace(s, pair=None)
    if text.lower() in PAIRS:
        clean, corrupted = PAIRS[text.lower()]
        return replace(s, text=clean, pair=Pair(corrupted), answer=None, page=_page(s), file=None)
    if s.key is None:
        return Problem("no model is there yet: press enter again when one is")
    return jobs.Tokenize(s.key, text, s.with_bos)


def _pair_found(s: Selection, job: Lookup, result: Any) -> Selection:
    assert isinstance(job, jobs.Tokenize)
    assert isinstance(result, Tokens)
    return replace(s, pair=Pair(job.text, result, job), page=_page(s))


def _page(s: Selection) -> str:
    return s.page if s.page in PAGES else PAGES[0]


def _pair_before(s: Selection) -> str:
    return s.pair.text if s.pair is not None else offered(s)


def offered(s: Selection) -> str:
    """The other half of a pair that the demo model knows; "" for other prompts."""
    return next((corrupted for clean, corrupted in PAIRS.values() if clean == s.text), "")


PAIR = Question(
    "pair", "The other prompt", "as long as this one · or capital, induction, indirect object: both prompts · empty: "
                                "none", _pair_answered, _pair_before, _pair_found,
)  # fmt: skip


def apart(s: Selection) -> list[int]:
    """Positions at which the prompts differ, up to the shorter one's end."""
    if s.tokens is None or s.pair is None or s.pair.tokens is None:
        return []
    sides = zip(s.tokens.ids, s.pair.tokens.ids, strict=False)
    return [i for i, (one, other) in enumerate(sides) if one != other]


def misaligned(s: Selection) -> str:
    """Why the prompts are no pair, with the place and what to do; "" if they are one."""
    assert s.tokens is not None
    assert s.pair is not None
    clean, corrupted = s.tokens, s.pair.tokens
    if corrupted is None:
        return ""
    if clean.ids == corrupted.ids:
        return "both prompts are the same: P changes the other one"
    if len(clean) == len(corrupted):
        return ""
    at = next(iter(apart(s)), min(len(clean), len(corrupted)))
    sides = [token(side, at) or "nothing" for side in (clean, corrupted)]
    return (f"the clean prompt has {len(clean)} tokens, the corrupted one {len(corrupted)}: from position {at} on "
            f"({sides[0]} against {sides[1]}) they are not aligned. P: write one as long as this one")  # fmt: skip


def both(s: Selection) -> str:
    """Both prompts in one line: ``The capital of [France|Germany] is``."""
    if s.tokens is None or s.pair is None or s.pair.tokens is None:
        return ""
    differ, out = apart(s), []
    for at, (one, other) in enumerate(zip(s.tokens.texts, s.pair.tokens.texts, strict=False)):
        if s.tokens.special[at]:
            continue
        text = f" [{one.strip() or visible(one)}|{other.strip() or visible(other)}]" if at in differ else one
        out.append(text)
    return " ".join("".join(out).split())


def target(s: Selection) -> jobs.Target | None:
    """The user's answer, else the likeliest token after the clean prompt against that after the corrupted one."""
    if s.answer is not None:
        return s.answer.target
    if s.likeliest is None or s.pair is None or s.pair.likeliest is None:
        return None
    answer, other = s.likeliest.token, s.pair.likeliest.token
    return jobs.Target((answer,), (other,) if other != answer else ())


def aimed(s: Selection) -> str:
    """The answer and the distractor in words."""
    other = s.pair.likeliest if s.pair is not None else None
    if s.answer is not None or other is None or s.likeliest is None or other.token == s.likeliest.token:
        return aim(s)
    return f"{aim(s)} − {in_words(other.text)}"


def refused(s: Selection) -> Nothing | None:
    """Why nothing can be patched between the prompts yet, or None."""
    if s.run is None:
        return NO_TOKENS
    if s.stack:
        return Nothing("patching is between two runs of the unchanged model: take the interventions away")
    if s.pair is None:
        return NO_PAIR
    if why := misaligned(s):
        return Nothing(why)
    return Nothing() if s.corrupted is None or target(s) is None else None


def entered(s: Selection) -> Selection:
    """A prompt of a pair that comes with the demo brings the other one along."""
    other = offered(s)
    return replace(s, pair=Pair(other)) if s.pair is None and other else s
