"""What the pages of a head's QK and OV circuits share: the form in which they are taken, a token list of one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, get_args

from ..declared import Lookup, Nothing, Option, Problem, Question
from ..engine import jobs
from ..page import Page
from ..results import Tokens
from ..selection import Look, Selection, clamp

BASELINES = {"shown": "the shown tokens", "vocabulary": "the whole vocabulary"}


@dataclass(frozen=True)
class CircuitLook(Look):
    """How the circuits are taken from the weights."""

    travels: ClassVar[bool] = False
    form: jobs.Form = "bilinear"
    normalize: jobs.Normalize = "none"
    baseline: jobs.Baseline = "shown"
    basis: jobs.Basis = "embed"
    offset: int = 0
    """Rotary distance query − key."""
    term: jobs.Term = "token-token"

    def settled(self, s: Selection) -> Self:
        look = self
        if look.term != "token-token" and term_refused(s, look.term):
            look = replace(look, term="token-token")
        if basis_refused(s, look.basis) or (look.term != "token-token" and look.basis in ("effective", "prompt")):
            look = replace(look, basis="embed")
        if look.basis == "prompt" and look.baseline == "vocabulary":
            look = replace(look, baseline="shown")
        return look


@dataclass(frozen=True)
class OwnTokens(Look):
    """The user's own token list, which both axes show instead of the prompt's tokens."""

    travels: ClassVar[bool] = False
    passing: ClassVar[tuple[str, ...]] = ("listed", "listed_of", "row", "col")
    found: ClassVar[tuple[str, ...]] = ("listed", "listed_of")
    words: str = ""
    """As typed; empty: the prompt's tokens."""
    listed: Tokens | None = None
    listed_of: jobs.Words | None = None
    """The job that ``listed`` answers."""
    row: int = 0
    col: int = 0

    def for_model(self) -> Self:
        return replace(self, listed=None, listed_of=None)


@dataclass(frozen=True)
class Half(Look):
    """Which circuit of a head is searched or taken apart."""

    circuit: jobs.Circuit = "ov"

    def settled(self, s: Selection) -> Self:
        other: jobs.Circuit = "ov" if self.circuit == "qk" else "qk"
        possible = half_refused(s, self.circuit) == "" or half_refused(s, other) != ""
        return self if possible else replace(self, circuit=other)


def with_half_drawn(s: Selection) -> Selection:
    """With the circuit that the page draws, where it draws one."""
    return next((s.put(Half(half)) for half in get_args(jobs.Circuit) if half == s.page), s)


def basis_refused(s: Selection, value: str) -> str:
    """Why a basis cannot be, or ""."""
    if s.model is None:
        return ""
    if value == "effective" and s.layer == 0 and s.head is not None:
        return "basis effective is what heads after MLP 0 read: not for layer 0"
    if value == "effective":
        return s.model.capabilities.effective
    if value == "prompt" and listed(s) is not None:
        return "basis prompt reads the typed prompt: clear the token list (t) first"
    if value == "prompt" and s.head is None:
        return "the direct path has no prompt basis"
    return ""


def basis_refused_in_search(s: Selection, value: str) -> str:
    """The same where the whole vocabulary is searched."""
    if value == "prompt":
        return "a search is over the whole vocabulary: basis prompt reads one text"
    return basis_refused(s, value)


def basis_refused_in_terms(s: Selection, value: str) -> str:
    """The same where QK is split in token and position terms."""
    if value in ("effective", "prompt") and s.look(CircuitLook).term != "token-token":
        return "terms with positions exist in the bases embed and normed: press m for token-token first"
    return basis_refused(s, value)


def baseline_refused(s: Selection, value: str) -> str:
    """Why rows cannot be normalised so, or ""."""
    if value == "vocabulary" and s.look(CircuitLook).basis == "prompt":
        return "basis prompt knows no vocabulary: its rows are normalised over the shown tokens"
    return ""


def term_refused(s: Selection, value: str) -> str:
    """Why QK cannot be split so, or ""."""
    return s.model.capabilities.position_terms if s.model is not None and value != "token-token" else ""


def half_refused(s: Selection, value: str) -> str:
    """Why this model has no such circuit of a head, or ""."""
    if s.model is None:
        return ""
    return s.model.capabilities.qk if value == "qk" else s.model.capabilities.ov


def _normalised_later(s: Selection) -> str:
    look = s.look(CircuitLook)
    if look.normalize != "none":
        return ""
    return f"rows will be normalised over {BASELINES[look.baseline]}: press n to normalise them"


NORMALIZE = Option("normalize", CircuitLook, "normalize", get_args(jobs.Normalize))
BASELINE = Option("baseline", CircuitLook, "baseline", get_args(jobs.Baseline), why_not=baseline_refused,
                  remark=_normalised_later)  # fmt: skip
FORM = Option("form", CircuitLook, "form", get_args(jobs.Form))
BASIS = Option("basis", CircuitLook, "basis", get_args(jobs.Basis), why_not=basis_refused)
SEARCHED_BASIS = replace(BASIS, why_not=basis_refused_in_search)
TERM = Option("mode", CircuitLook, "term", get_args(jobs.Term), "the token and position terms", why_not=term_refused)
HALF = Option("mode", Half, "circuit", get_args(jobs.Circuit), "QK or OV", why_not=half_refused)
TERMS = {
    "token-token": "", "token-position": "token×pos", "position-token": "pos×token", "position-position": "pos×pos",
}  # fmt: skip


def listed(s: Selection) -> Tokens | None:
    """The user's own tokens; None: the prompt's are shown."""
    own = s.look(OwnTokens)
    return own.listed if own.words else None


def tokens_of(s: Selection) -> Tokens | None:
    """The tokens that both axes show."""
    own = listed(s)
    return s.tokens if own is None else own


def cell_of(s: Selection) -> tuple[int, int]:
    """(row, column) under the cursor in ``tokens_of``."""
    tokens = listed(s)
    if tokens is None:
        return s.prompt_cell
    own = s.look(OwnTokens)
    return clamp(own.row, len(tokens)), clamp(own.col, len(tokens))


def classes(s: Selection) -> tuple[str, ...]:
    """Names of the outputs, where they are classes of their own: OV's columns then."""
    return s.model.classes if s.model is not None else ()


def output_of(s: Selection) -> int:
    """Id of the output that OV's column under the cursor stands for."""
    if not classes(s):
        tokens = tokens_of(s)
        return tokens.ids[cell_of(s)[1]] if tokens is not None else 0
    own = listed(s) is not None
    return clamp(s.look(OwnTokens).col if own else s.col, len(classes(s)))


def at_cell(s: Selection, row: int, col: int) -> Selection:
    """The cursor on another cell of them."""
    if listed(s) is None:
        return replace(s, row=row, col=col)
    return s.put(replace(s.look(OwnTokens), row=row, col=col))


def on_words(s: Selection, words: str, col: int = 1) -> Selection:
    """On a token list, once the worker has looked it up; the cursor in its first row."""
    return s.put(OwnTokens(words, row=0, col=col))


def basis_run(s: Selection) -> jobs.Run | None:
    """The forward pass behind basis ``prompt``; None for the other bases."""
    return s.run if s.look(CircuitLook).basis == "prompt" else None


def offset(s: Selection) -> int:
    """Rotary distance at which a search is made; 0 without rotary positions."""
    rotary = s.model is not None and s.model.positions == "rotary"
    return s.look(CircuitLook).offset if rotary else 0


def qk(s: Selection, tokens: Tokens, **changes: Any) -> jobs.QK:
    """The QK circuit of the selected head on these tokens."""
    assert s.key is not None
    assert s.head is not None
    look, ids = s.look(CircuitLook), tokens.ids
    job = jobs.QK(
        s.key, s.layer, s.head, ids, ids, s.weights, look.form, look.normalize, look.baseline, look.basis,
        look.offset, look.term, basis_run(s),
    )  # fmt: skip
    return replace(job, **changes) if changes else job


def ov(s: Selection, tokens: Tokens, **changes: Any) -> jobs.OV:
    """The OV circuit of the selected head, or the direct path, on these tokens."""
    assert s.key is not None
    look, ids = s.look(CircuitLook), tokens.ids
    job = jobs.OV(s.key, s.layer, s.head, ids, ids, s.weights, look.normalize, look.baseline, look.basis, basis_run(s))
    return replace(job, **changes) if changes else job


def source_row(s: Selection, tokens: Tokens | None, source: int) -> jobs.OVRow | Nothing:
    """What one of the tokens makes the head write."""
    if tokens is None or s.key is None or not len(tokens):
        return Nothing("no tokens yet: press i and type a prompt")
    run = basis_run(s)
    return jobs.OVRow(
        s.key, s.layer, s.head, tokens.ids[source], tuple(dict.fromkeys(tokens.ids)), 10, s.weights,
        s.look(CircuitLook).basis, run, source if run else None,
    )  # fmt: skip


def normalisation(s: Selection) -> str:
    """``zscore/vocabulary``; "" for the plain form."""
    look = s.look(CircuitLook)
    return "" if look.normalize == "none" else f"{look.normalize}/{look.baseline}"


class CircuitPage(Page):
    """A page whose rows and columns are tokens: the prompt's, or the user's own."""

    of_head = True
    marks = True

    def cell(self, s: Selection) -> tuple[int, int]:
        return cell_of(s)

    def at(self, s: Selection, row: int, col: int) -> Selection:
        return at_cell(s, row, col)

    def tokens(self, s: Selection) -> Tokens | None:
        return tokens_of(s)

    def token_cell(self, s: Selection) -> tuple[int, int]:
        return cell_of(s)

    def asks(self, s: Selection) -> tuple[jobs.Job, ...]:
        return wanted_words(s)

    def told(self, s: Selection, job: jobs.Job, result: Any) -> Selection:
        return with_words(s, job, result)


def wanted_words(s: Selection) -> tuple[jobs.Job, ...]:
    """The look-up of the user's token list, where it is still to be made: for another model, say."""
    own = s.look(OwnTokens)
    job = jobs.Words(s.key, own.words) if s.key and own.words else None
    return () if job is None or own.listed_of == job else (job,)


def with_words(s: Selection, job: jobs.Job, result: Any) -> Selection:
    """What the look-up found; a list that cannot be is dropped."""
    own = s.look(OwnTokens)
    if not isinstance(job, jobs.Words) or job.text != own.words or own.listed_of == job:
        return s
    return s.put(replace(own, listed=result, listed_of=job) if isinstance(result, Tokens) else OwnTokens())


def _words_answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    if not text:
        return s.put(OwnTokens())
    if s.key is None:
        return Problem("no model is there yet: press enter again when one is")
    return jobs.Words(s.key, text)


def _offset_answered(s: Selection, text: str) -> Selection | Lookup | Problem:
    limit = s.model.n_ctx - 1 if s.model else 0
    if not (text.isdecimal() and len(text) < 10 and int(text) <= limit):
        return Problem(f"a whole number from 0 to {limit}: how far the key lies before the query")
    return s.put(replace(s.look(CircuitLook), offset=int(text)))


WORDS = Question(
    "words", "Tokens for QK and OV", "one token a word: France, Paris, king · or ids: 0:52 · empty: the prompt's "
                                     "tokens",
    _words_answered, lambda s: s.look(OwnTokens).words,
    lambda s, job, result: s.put(OwnTokens(job.text, result, job if isinstance(job, jobs.Words) else None)),
)  # fmt: skip
OFFSET = Question(
    "offset", "Rotary offset: query position − key position", "0: the same position", _offset_answered,
    lambda s: str(s.look(CircuitLook).offset),
    refuses=lambda s: s.model.capabilities.offset if s.model is not None else "",
)  # fmt: skip
