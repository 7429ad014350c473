"""A pair of prompts, clean and corrupted: how the other one is asked for, where they differ, what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from .. import prompts
from ..declared import NO_TOKENS, Lookup, Nothing, Problem, Question, Segments
from ..engine import jobs
from ..phrases import GOOD, LABEL, VALUE, aim, token
from ..results import Found, Tokens
from ..selection import Answer, File, Pair, Selection, one_prompt, with_file, without_file
from ..text import against, in_words, visible, width

PAGES = ("patching", "paths")
"""The pages that show a pair; the first is where one is shown that was typed elsewhere."""
CHANGED = Nothing(
    "patching is between two runs of the unchanged model: d goes on to the clean one, backspace takes a change away"
)
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
        return without_file(s) if s.file is not None and s.file.pairs else replace(s, pair=None)
    if text.lower() in PAIRS:
        clean, corrupted = PAIRS[text.lower()]
        return replace(s, text=clean, pair=Pair(corrupted), answer=None, page=_page(s), file=None)
    if prompts.is_file(text):
        return _opened(s, text)
    if s.key is None:
        return Problem("no model is there yet: press enter again when one is")
    prompt, bar, words = text.rpartition("|")
    if not bar:
        return jobs.Tokenize(s.key, text, s.with_bos, s.chat)
    prompt = prompt.strip() or (s.pair.text if s.pair is not None else offered(s))
    if not (prompt and words.strip()):
        return Problem("write the other prompt, then | and its answer: The capital of Germany is | Berlin - Paris")
    return jobs.FindTarget(s.key, words.strip(), f"{prompt} | ")


def _opened(s: Selection, path: str) -> Selection | Problem:
    """On a file of pairs: the first in the prompt line, the picture over all of them."""
    try:
        read = prompts.read_pairs(path)
    except prompts.PromptsError as error:
        return Problem(f"{error.message} {error.hint}".strip())
    return replace(with_file(s, File(path, read.rows, notes=read.notes)), page=_page(s))


def _pair_found(s: Selection, job: Lookup, result: Any) -> Selection:
    if isinstance(result, Found):
        assert isinstance(job, jobs.FindTarget)
        target = jobs.Target(result.answers.ids, result.distractors.ids)
        one, other = (", ".join(map(in_words, tokens.texts)) for tokens in (result.answers, result.distractors))
        before = replace(s.pair, before=None) if s.pair is not None else None
        made = Pair(job.before.removesuffix(" | "), answer=Answer(target, job.text, result.label, sides=(one, other)),
                    before=before)  # fmt: skip
        return replace(one_prompt(s), pair=made, page=_page(s))
    assert isinstance(job, jobs.Tokenize)
    assert isinstance(result, Tokens)
    return replace(one_prompt(s), pair=Pair(job.text, result, job), page=_page(s))


def _page(s: Selection) -> str:
    return s.page if s.page in PAGES else PAGES[0]


def _pair_before(s: Selection) -> str:
    if s.file is not None and s.file.pairs and s.file.over:
        return s.file.path
    if s.pair is None:
        return offered(s)
    return s.pair.text if s.pair.answer is None else f"{s.pair.text} | {s.pair.answer.text}"


def offered(s: Selection) -> str:
    """The other half of a pair that the demo model knows; "" for other prompts."""
    return next((corrupted for clean, corrupted in PAIRS.values() if clean == s.text), "")


ROOM = 50
"""Columns before the first difference: there is room for what follows on any screen."""


def _tried(s: Selection, text: str) -> Lookup | None:
    """The tokens of the prompt that is being typed."""
    prompt = (text.rpartition("|")[0] or text).strip()
    if not prompt or s.key is None or prompt.lower() in PAIRS or prompts.is_file(prompt):
        return None
    return jobs.Tokenize(s.key, prompt, s.with_bos, s.chat)


def _aligned(s: Selection, other: Any) -> Sequence[Segments]:
    """Both prompts, token under token, differences marked; what is wrong with their lengths below."""
    if s.tokens is None or not isinstance(other, Tokens):
        return ()
    columns = list(zip_longest(*([visible(t, special) for t, special in zip(side.told_apart, side.special, strict=True)]
                                 for side in (s.tokens, other)), fillvalue=""))  # fmt: skip
    differ = {*apart(replace(s, pair=Pair("", other))), *range(min(len(s.tokens), len(other)), len(columns))}
    sizes = [max(map(width, column)) + 1 for column in columns]
    first = 0
    while sum(sizes[first : min(differ, default=0)]) > ROOM:
        first += 1
    lines: list[Segments] = []
    for name, row in (("clean", 0), ("corrupted", 1)):
        line: Segments = [(f"{name:10}{'… ' if first else ''}", LABEL)]
        for at in range(first, len(columns)):
            word, style = columns[at][row], "bold underline $text" if at in differ else VALUE
            line += [(word, style), (" " * (sizes[at] - width(word)), VALUE)]
        lines.append(line)
    if not differ:
        said = "both prompts are the same"
    elif len(s.tokens) == len(other):
        return [*lines, [(f"{len(other)} tokens, {len(differ)} of them another", GOOD)]]
    else:
        said = f"{len(s.tokens)} tokens against {len(other)}: not aligned from position {min(differ)} on"
    return [*lines, [(said, "$text-error")]]


PAIR = Question(
    "pair", "The other prompt", "as long as this one; behind it | Berlin - Paris: its answer · or capital, induction, "
                                "indirect object: both prompts · or a file of pairs · empty: none",
    _pair_answered, _pair_before, _pair_found, tries=_tried, shows=_aligned,
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
    line = " ".join("".join(out).split())
    own = s.pair.answer
    return line if own is None else f"{line} → [{aimed(s)}|{against(own.sides[:1], [*filter(None, own.sides[1:])])}]"


@dataclass(frozen=True)
class _Side:
    """One side of what is measured, and it in words."""

    ids: tuple[int, ...]
    words: str


def _sides(s: Selection) -> tuple[_Side, _Side | None] | None:
    """Answer and distractor of the clean prompt: one metric for both prompts. Where it has none of its own they are
    those of the other prompt changed round (its distractor is the answer here, its answer the distractor), else the
    likeliest token after each prompt. None while that is not known."""
    own, other = s.answer, s.pair.answer if s.pair is not None else None
    if own is not None:
        answer = _Side(own.target.answers, aim(s))
        if own.target.distractors or other is None:
            return answer, None
    elif other is not None and other.target.distractors:
        answer = _Side(other.target.distractors, other.sides[1])
    elif s.likeliest is not None:
        answer = _Side((s.likeliest.token,), aim(s))
    else:
        return None
    if other is not None:
        distractor = _Side(other.target.answers, other.sides[0])
    elif s.pair is not None and s.pair.likeliest is not None:
        distractor = _Side((s.pair.likeliest.token,), in_words(s.pair.likeliest.text))
    else:
        return None
    return answer, distractor if distractor.ids != answer.ids else None


def target(s: Selection) -> jobs.Target | None:
    """What is measured in both prompts; None while it is not known."""
    sides = _sides(s)
    if s.answer is not None and (sides is None or sides[1] is None):
        return s.answer.target
    return None if sides is None else jobs.Target(sides[0].ids, () if sides[1] is None else sides[1].ids)


def aimed(s: Selection) -> str:
    """The answer and the distractor in words."""
    sides = _sides(s)
    if sides is None or sides[1] is None:
        return aim(s) if sides is None else sides[0].words
    return against([sides[0].words], [sides[1].words])


def refused(s: Selection) -> Nothing | None:
    """Why nothing can be patched between the prompts yet, or None."""
    if s.run is None:
        return NO_TOKENS
    if s.run.interventions:
        return CHANGED
    if s.pair is None:
        return NO_PAIR
    if why := misaligned(s):
        return Nothing(why)
    return Nothing() if s.corrupted is None or target(s) is None else None


def entered(s: Selection) -> Selection:
    """A prompt of a pair that comes with the demo brings the other one along."""
    other = offered(s)
    return replace(s, pair=Pair(other)) if s.pair is None and other else s
