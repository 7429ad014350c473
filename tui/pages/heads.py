"""Heads: one score of every head, or pairs that are searched for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from .. import arrange
from ..declared import (
    Asked,
    Command,
    Export,
    Given,
    Here,
    Lookup,
    Nothing,
    Option,
    Panel,
    Problem,
    Question,
    Say,
    Segments,
)
from ..engine import jobs
from ..names import head_at
from ..page import Page
from ..phrases import cell_line, row_of
from ..results import Grid, Pairs, Result, Table
from ..selection import Selection
from . import circuit, scores
from .circuit import SEARCHED_BASIS, CircuitLook
from .going import to_head
from .scores import PAIRS, PATTERN_SCORES, On, ScoresLook

_ON = {"repeats": "on repeated random tokens", "prompt": "on this prompt", "file": "over the file of prompts"}


def to_found(s: Selection, name: str) -> Selection | Say:
    """A head that was found: its pattern, or the circuit that pairs were searched in, on their tokens."""
    at, look = head_at(name), s.look(ScoresLook)
    if at is None:
        return Say("")
    if look.score not in PAIRS or look.pairs is None:
        return to_head(s, at)
    ids = dict.fromkeys(token for pair in look.pairs.ids for token in pair)
    there = circuit.on_words(s, ",".join(map(str, ids)))
    return replace(there, page=PAIRS[look.score], layer=at[0], head=at[1])


def _ranked(here: Here, result: Result) -> Result:
    score = here.s.look(ScoresLook).score
    return arrange.ranked_heads(result, scores.column(result, score)) if isinstance(result, Grid) else result


def _opens(here: Here, table: Table, row: int) -> Selection | Say | None:
    return to_found(here.s, str(row_of(table, row)["head"]))


def _job(here: Here) -> jobs.Job | Nothing:
    return PAGE.shown(here.s)


RANKED = Panel("heads, ranked", _job, lambda here: "heads, ranked", _ranked, _opens)


def _search_answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if not text:
        return s.put(s.look(ScoresLook).without_pairs())
    if s.key is None:
        return Problem("no model is there yet: press enter again when one is")
    return jobs.FindPairs(s.key, text)


def _search_found(s: Selection, job: Lookup, result: Any) -> Selection:
    assert isinstance(result, Pairs)
    score = "pairs, OV" if s.page == PAIRS["pairs, OV"] else "pairs, QK"
    return s.put(replace(s.look(ScoresLook), pairs=result, pairs_text=job.text, score=score), page=HeadsPage.name)


def _repeats_answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if s.model is None:
        return Problem("no model is there yet: press enter again when one is")
    look, longest = s.look(ScoresLook), max(1, (s.model.n_ctx - s.with_bos) // 2)
    repeats = scores.parse_repeats(text, look.repeats, longest)
    return Problem(repeats) if isinstance(repeats, str) else s.put(replace(look, repeats=repeats))


SEARCH = Question(
    "search", "Heads that tie pairs together", "France>Paris, king>queen: all heads, ranked, in QK and OV · empty: "
                                               "none",
    _search_answered, lambda s: s.look(ScoresLook).pairs_text, _search_found,
)  # fmt: skip
REPEATS = Question(
    "repeats", "Repeated random tokens that heads are scored on", "seed=0 rows=8 length=auto", _repeats_answered,
    lambda s: scores.repeats_text(s.look(ScoresLook).repeats),
)  # fmt: skip


def _exported_scores(ask: Asked) -> jobs.Job:
    o, key = ask.options, ask.model.key
    if o.prompts is not None:
        return jobs.HeadScores(key, ask.changed_prompts())
    if ask.tokens is not None:
        return jobs.HeadScores(key, ask.run)
    return jobs.HeadScores(key, jobs.Repeats(o.seed or 0, o.rows or 8, o.length, ask.with_bos), ask.stack)


def _refused_scores(o: Any) -> str:
    if (o.prompt or o.prompts) and any(value is not None for value in (o.seed, o.rows, o.length)):
        return "--seed, --rows and --length are for repeated random tokens: leave --prompt and --prompts out"
    return ""


def _exported_copying(ask: Asked) -> jobs.Job:
    o = ask.options
    sample = 1000 if o.sample is None else None if o.sample == "all" else int(o.sample)
    return jobs.CopyingScores(ask.model.key, o.weights, sample, o.seed or 0)


def _exported_search(ask: Asked) -> jobs.Job:
    o = ask.options
    pairs: Pairs = ask.get(jobs.FindPairs(ask.model.key, o.pairs))
    return jobs.PairSearch(ask.model.key, pairs.ids, o.circuit or "qk", o.weights, o.basis, ask.offset)


def _gives_scores(job: jobs.Job) -> Given | None:
    match job:
        case jobs.HeadScores(on=jobs.Repeats() as on):
            return {"seed": on.seed, "rows": on.rows, "length": on.length, "bos": on.bos, "stack": job.changes}
        case jobs.HeadScores(on=jobs.Run() as on):
            return {"run": on}
        case jobs.HeadScores(on=jobs.Prompts() as on):
            return {"prompts": on}
    return None


def _gives_copying(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.CopyingScores):
        return None
    return {"sample": str(job.sample or "all"), "seed": job.seed, "weights": job.weights}


def _gives_search(job: jobs.Job) -> Given | None:
    if not isinstance(job, jobs.PairSearch):
        return None
    pairs = ",".join(f"#{one}>#{other}" for one, other in job.pairs)
    return {"pairs": pairs, "circuit": job.circuit, "basis": job.basis, "offset": job.offset or None,
            "weights": job.weights}  # fmt: skip


class HeadsPage(Page):
    name = "heads"
    title = "Heads"
    key = "7"
    help = "View 7: one score of every head: induction, previous token, copying, …, or pairs that are searched for."
    says = ("layer × head", "one score of every head (`m`): previous token, duplicate token, induction, first token, "
            "entropy on repeated random tokens (`R` sets seed, rows, length), on the prompt or on the open file "
            "(`u`); copying by eigenvalues, OV top 1 and top 5; or the pairs that `/` searches for")  # fmt: skip
    group = "Find"
    options = (
        Option("mode", ScoresLook, "score", lambda s: s.look(ScoresLook).scores, "the score"),
        Option("unit", ScoresLook, "on", get_args(On), "what they are scored on", why_not=scores.on_refused),
        SEARCHED_BASIS,
    )  # fmt: skip
    panels = (RANKED,)
    questions = (SEARCH, REPEATS)
    commands = (
        Command("search", ("slash",), "ask('search')", "find heads",
                "Rank all heads by how they tie pairs of tokens together: France>Paris, king>queen.", "Find",
                footer="find"),
        Command("repeats", ("R",), "ask('repeats')", "repeats",
                "The repeated random tokens that heads are scored on: seed, rows, length.", "Find"),
    )  # fmt: skip
    exports = (
        Export("head-scores", _exported_scores, ("seed", "rows", "length", "prompts", "bos"), reads="either",
               ignores=("weights",), refuses=_refused_scores, gives=_gives_scores),
        Export("copying", _exported_copying, ("sample", "seed"), reads="weights", gives=_gives_copying),
        Export("search", _exported_search, ("basis", "offset", "circuit", "pairs"), {"circuit": get_args(jobs.Circuit)},
               "weights", gives=_gives_search,
               refuses=lambda o: "" if o.pairs else 'search needs --pairs "France>Paris,king>queen"'),
    )  # fmt: skip
    refuses = {"basis": "these scores are of no basis: / searches for pairs, which are scored in one"}
    long = True

    def job(self, s: Selection) -> jobs.Job | Nothing:
        return scores.job(s, s.look(ScoresLook).score) or Nothing()

    def shape(self, s: Selection, result: Result) -> Result:
        if not isinstance(result, Grid):
            return result
        return arrange.by_layer(result, scores.column(result, s.look(ScoresLook).score))

    def words(self, s: Selection) -> list[str]:
        look = s.look(ScoresLook)
        if look.score in PAIRS:
            return [f"{s.look(CircuitLook).basis} {PAIRS[look.score].upper()}", f"mean z of {look.pairs_text}"]
        return ["all heads", look.score, _ON[look.on] if look.score in PATTERN_SCORES else "by the weights"]

    def cell(self, s: Selection) -> tuple[int, int]:
        return s.layer, s.head or 0

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return replace(s, layer=row, head=col)

    def line(self, here: Here) -> Segments:
        score = here.s.look(ScoresLook).score
        measured = "mean z" if score in PAIRS else score
        return cell_line(here, self.cell(here.s), f"L{here.s.layer}{{1}}", measured)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return to_found(here.s, f"L{row}H{col}")

    def option(self, key: str, s: Selection) -> Option | None:
        """Only a search for pairs has a basis."""
        return None if key == "basis" and s.look(ScoresLook).score not in PAIRS else super().option(key, s)

    def settled(self, s: Selection) -> Selection:
        look = s.look(CircuitLook)  # a search is over the vocabulary
        return s.put(replace(look, basis="embed")) if look.basis == "prompt" else s


PAGE = HeadsPage()
