"""What an export is asked for: its arguments, which of them go together, and the job that answers.

The job is the one that the app would ask for, so the numbers are those of the screen.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

from . import prompts
from .engine.jobs import (
    OV,
    QK,
    Attribution,
    AttributionOver,
    Baseline,
    Basis,
    Contexts,
    Directions,
    FindTarget,
    Form,
    Grain,
    Job,
    LayerPatterns,
    Lens,
    LensCurve,
    LensMeasure,
    LensOver,
    LensTop,
    Measure,
    Neurons,
    NeuronTokens,
    NextTokens,
    Normalize,
    PartWrite,
    Pattern,
    PatternOver,
    PreparePrompts,
    Prompts,
    Residual,
    ResidualParts,
    Run,
    ScoreParts,
    SourceRow,
    Sources,
    SourceWrite,
    StateAt,
    Stream,
    StreamMeasure,
    Target,
    Term,
    Tokenize,
    Unit,
    Weights,
    Words,
    WriteCosines,
)
from .formats import FORMATS
from .results import ModelInfo, Split, Tokens
from .state import neuron_of

VIEWS = (
    "tokens", "pattern", "scores", "qk", "ov", "residual", "lens", "attribution", "sources", "score-parts", "stream",
    "neurons", "directions", "contexts",
)  # fmt: skip
OVER = ("pattern", "lens", "attribution", "contexts")
"""Views that take a file of prompts."""
HEAD = re.compile(r"L([0-9]{1,6})(?:H([0-9]{1,6}))?$", re.IGNORECASE)
_TARGETED = ("residual", "lens", "attribution", "sources", "neurons", "contexts")

ONLY: dict[str, tuple[tuple[str, ...], Any]] = {
    "head": (("pattern", "scores", "qk", "ov", "sources", "score-parts", "directions", "contexts"), None),
    "form": (("qk",), "bilinear"),
    "normalize": (("qk", "ov"), "none"),
    "baseline": (("qk", "ov"), "shown"),
    "basis": (("qk", "ov"), "embed"),
    "term": (("qk",), "token-token"),
    "offset": (("qk",), None),
    "outputs": (("ov",), "shown"),
    "kind": (("pattern",), "pattern"),
    "measure": (("residual", "lens", "stream"), None),
    "unit": (("residual", "attribution", "score-parts", "stream"), None),
    "position": (("residual", "lens", "attribution", "sources", "stream", "neurons", "directions"), None),
    "answer": (_TARGETED, None),
    "distractor": (_TARGETED, None),
    "query": (("score-parts",), -1),
    "key": (("score-parts",), None),
    "layer": (("attribution", "neurons"), None),
    "neuron": (("neurons",), None),
    "mids": (("lens", "stream"), False),
    "state": (("lens", "directions"), None),
    "part": (("directions",), None),
    "source": (("directions",), None),
    "token": (("contexts",), None),
    "statistic": (("pattern",), "mean"),
    "prompts": (OVER, None),
}
"""Options that change only some views, and their defaults: elsewhere they are an error, never silently ignored."""
MEASURES: dict[str, tuple[str, ...]] = {
    "residual": get_args(Measure), "lens": get_args(LensMeasure), "stream": (*get_args(StreamMeasure), "writes"),
}  # fmt: skip
UNITS: dict[str, tuple[str, ...]] = {
    "residual": get_args(Unit), "attribution": get_args(Grain), "score-parts": get_args(Unit), "stream": get_args(Unit),
}  # fmt: skip


class Usage(Exception):
    """Options that do not go together: exit code 2."""


class Missing(Exception):
    """Something that was named is not there: exit code 1."""


class Answers(Protocol):
    """Whoever computes jobs."""

    def get(self, job: Job) -> Any: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui export``."""
    parser.description = "Compute what a view shows and write it to a file or to standard output."
    parser.add_argument("view", choices=VIEWS, metavar="VIEW", help=f"one of {', '.join(VIEWS)}")
    parser.add_argument("--model", default="demo", help="demo, a hub name or a folder (default: demo)")
    parser.add_argument("--head", metavar="L1H3", help="which head; L1 alone with pattern: all heads of the layer")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", metavar="TEXT", help="text to run the model on")
    source.add_argument("--tokens", metavar="WORDS", help='single tokens, such as "France, Paris, king"; no BOS')
    source.add_argument("--token-ids", metavar="IDS", help="token ids, such as 1,2,3 or 0:52 (52 left out); no BOS")
    source.add_argument("--prompts", metavar="FILE",
                        help=f"{', '.join(OVER)}: over a file, one prompt a line or JSON lines with prompt, answer, "
                             "distractor")  # fmt: skip

    def choice(name: str, values: Any, default: str | None, text: str) -> None:
        said = f" (default: {default})" if default else ""
        parser.add_argument(f"--{name}", choices=get_args(values) or values, default=default, help=text + said)

    def number(name: str, text: str, default: int | None = None) -> None:
        parser.add_argument(f"--{name}", type=int, metavar="N", default=default, help=text)

    choice("form", Form, "bilinear", "qk: the form alone, or with biases and over attn_scale")
    choice("normalize", Normalize, "none", "qk, ov: take a baseline off each row")
    choice("baseline", Baseline, "shown", "qk, ov: what --normalize compares with")
    choice("basis", Basis, "embed", "qk, ov: what the head is imagined to read")
    choice("term", Term, "token-token", "qk: tokens or learned positions on each side")
    number("offset", "qk: rotary distance query − key (default: 0)")
    choice("outputs", ("shown", "all"), "shown", "ov: columns are the shown tokens or the whole vocabulary")
    choice("kind", ("pattern", "value-weighted"), "pattern", "pattern: attention, or the size of what it moves")
    choice("statistic", ("mean", "spread"), "mean", "pattern with --prompts: mean, or standard deviation")
    every = tuple(dict.fromkeys(name for names in MEASURES.values() for name in names))
    choice("measure", every, None, "; ".join(f"{view}: {', '.join(names)}" for view, names in MEASURES.items()))
    choice("unit", Grain, None,
           "residual, attribution, score-parts, stream: what a part is; neuron: attribution, with --layer")  # fmt: skip
    number("position", "residual: the parts there; lens: over the layers there; attribution, sources, stream (writes), "
                       "neurons, directions: where (−1: last, their default)")  # fmt: skip
    parser.add_argument("--answer", metavar="WORDS",
                        help="the token whose logit is split or followed; several (Paris, Rome) are averaged, #17 is "
                             "an id (default: the likeliest next token; residual: none)")  # fmt: skip
    parser.add_argument("--distractor", metavar="WORDS", help="minus this token's logit")
    number("query", "score-parts: position of the query (default: −1, the last)", -1)
    number("key", "score-parts: position of the key")
    parser.add_argument("--layer", metavar="L2", help="attribution --unit neuron, neurons: whose MLP")
    parser.add_argument("--neuron", metavar="L2N17", help="neurons: this one; without --prompt: the tokens it writes")
    parser.add_argument("--mids", action="store_true", help="lens, stream: also the states between attention and MLP")
    parser.add_argument("--state", metavar="L3.mid", help="lens: the likeliest tokens there; directions: the vector")
    parser.add_argument("--part", metavar="L1H3", help="directions: what this part writes (L2.mlp, embed, …)")
    number("source", "directions with --head: what the head moves from this position")
    parser.add_argument("--token", metavar="WORD", help="contexts: the token that is attended to")
    choice("weights", Weights, "processed", "norms folded and weights centred, or as stored")
    choice("bos", ("auto", "on", "off"), "auto", "whether a BOS is prepended to --prompt and --prompts")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")
    choice("dtype", ("auto", "float32", "bfloat16", "float16"), "auto", "what the model runs in")
    number("threads", "CPU threads")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of --out, else txt")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: standard output)")


@dataclass(frozen=True)
class Ask:
    """One export: what was asked for, the model, and the tokens."""

    options: argparse.Namespace
    head: tuple[int, int | None] | None
    """Layer and head; no head: the whole layer."""
    model: ModelInfo
    tokens: Tokens | None
    """None: a file of prompts, or weights alone."""
    context: Answers

    @property
    def run(self) -> Run:
        assert self.tokens is not None
        return Run(self.model.key, self.tokens.ids, self.tokens.bos)

    @property
    def basis_run(self) -> Run | None:
        """The forward pass behind basis ``prompt``."""
        return self.run if self.options.basis == "prompt" else None

    @property
    def one_head(self) -> tuple[int, int]:
        """Layer and head, where ``check`` has seen that both are there."""
        assert self.head is not None
        assert self.head[1] is not None
        return self.head[0], self.head[1]

    @property
    def layer(self) -> int | None:
        match = re.fullmatch(r"[Ll]?([0-9]{1,6})", self.options.layer or "")
        return int(match[1]) if match else None

    def place(self, name: str = "position", default: int = -1) -> int:
        """A position that an option names, counted from 0."""
        value = getattr(self.options, name)
        value, count = default if value is None else value, len(self.run.ids)
        if not -count <= value < count:
            raise Usage(f"--{name} {value}: there are {count} tokens")
        return int(value) % count

    def target(self, default: bool = True) -> Target | None:
        """The answer and distractor; without an answer the likeliest next token (``default``), or None."""
        o = self.options
        if o.answer is None:
            if not default:
                return None
            table = self.context.get(NextTokens(self.run, len(self.run.ids) - 1, 1))
            return Target((int(table.rows[0][table.columns.index("id")]),))
        text = o.answer if o.distractor is None else f"{o.answer} - {o.distractor}"
        found = self.context.get(FindTarget(self.model.key, text))
        if isinstance(found, Split):
            pieces = (" ".join(f'"{text}"' for text in tokens.texts) for tokens in (found.with_space, found.without))
            raise Missing(f'"{found.word}" is {len(found.without)} tokens: {" or ".join(dict.fromkeys(pieces))}. Write '
                          f"one token, or #{found.with_space.ids[0]} for the first of these.")  # fmt: skip
        return Target(found.answers.ids, found.distractors.ids)

    def prompts(self) -> Prompts:
        """The file of prompts, tokenized."""
        o = self.options
        rows = prompts.read(o.prompts)
        job = PreparePrompts(self.model.key, Path(o.prompts).name, rows, _with_bos(o, self.model), self.target(False))
        made: Prompts = self.context.get(job)
        return made


def find_tokens(options: argparse.Namespace, model: ModelInfo, context: Answers) -> Tokens | None:
    """The tokens of the prompt or of the list; None without either."""
    if options.tokens is not None or options.token_ids is not None:
        words = options.tokens is not None
        job = Words(model.key, options.tokens, "words") if words else Words(model.key, options.token_ids, "ids")
        listed: Tokens = context.get(job)
        return listed
    if options.bos == "on" and model.bos_id is None:
        raise Usage(f"--bos on: {model.name} has no BOS token")
    if options.prompt is None:
        return None
    text: Tokens = context.get(Tokenize(model.key, options.prompt, _with_bos(options, model)))
    return text


def _with_bos(options: argparse.Namespace, model: ModelInfo) -> bool:
    return model.bos_default if options.bos == "auto" else bool(options.bos == "on")


def wanted_job(ask: Ask) -> Job:
    """The job that the app would ask for."""
    return _JOBS[ask.options.view](ask)


def _pattern(ask: Ask) -> Job:
    layer, head = ask.head or (0, None)
    if ask.options.prompts is not None:
        return PatternOver(ask.model.key, ask.prompts(), *ask.one_head, ask.options.statistic)
    if head is None:
        return LayerPatterns(ask.run, layer)
    return Pattern(ask.run, layer, head, "scores" if ask.options.view == "scores" else ask.options.kind)


def _qk(ask: Ask) -> Job:
    o, model = ask.options, ask.model
    if o.offset is not None and model.positions != "rotary":
        raise Usage(f"--offset is for rotary positions; {model.name} has {model.positions} ones")
    ids = ask.run.ids
    return QK(
        model.key, *ask.one_head, ids, ids, o.weights, o.form, o.normalize, o.baseline, o.basis, o.offset or 0, o.term,
        ask.basis_run,
    )  # fmt: skip


def _ov(ask: Ask) -> Job:
    o, ids = ask.options, ask.run.ids
    layer, head = ask.head or (0, None)
    outputs = None if o.outputs == "all" else ids
    return OV(ask.model.key, layer, head, ids, outputs, o.weights, o.normalize, o.baseline, o.basis, ask.basis_run)


def _residual(ask: Ask) -> Job:
    o, target = ask.options, ask.target(default=False)
    measure: Measure = o.measure or ("norm" if target is None else "answer")
    unit: Unit = o.unit or "component"
    if o.position is None:
        return Residual(ask.run, o.weights, measure, target, unit)
    return ResidualParts(ask.run, ask.place(), o.weights, unit, measure, target)


def _lens(ask: Ask) -> Job:
    o = ask.options
    measure: LensMeasure = o.measure or "probability"
    if o.prompts is not None:
        return LensOver(ask.model.key, ask.prompts(), o.mids)
    if o.state is not None:
        return LensTop(ask.run, o.state, ask.place())
    if o.position is not None:
        target = ask.target()
        assert target is not None
        return LensCurve(ask.run, ask.place(), target, "rank" if measure == "rank" else "probability", o.mids)
    return Lens(ask.run, measure, ask.target() if measure in ("answer", "rank") else None, o.mids)


def _attribution(ask: Ask) -> Job:
    o = ask.options
    if o.prompts is not None:
        unit: Unit = o.unit or "head"
        return AttributionOver(ask.model.key, ask.prompts(), unit)
    target = ask.target()
    assert target is not None
    return Attribution(ask.run, ask.place(), target, o.unit or "head", ask.layer)


def _sources(ask: Ask) -> Job:
    target = ask.target()
    assert target is not None
    if ask.options.position is None:
        return Sources(ask.run, *ask.one_head, target)
    return SourceRow(ask.run, *ask.one_head, ask.place(), target, ask.options.weights)


def _score_parts(ask: Ask) -> Job:
    return ScoreParts(ask.run, *ask.one_head, ask.place("query"), ask.place("key"), ask.options.unit or "head")


def _stream(ask: Ask) -> Job:
    o = ask.options
    if o.measure == "writes":
        return WriteCosines(ask.run, ask.place(), o.weights, o.unit or "component")
    return Stream(ask.run, o.measure or "norm", o.weights, o.mids)


def _neurons(ask: Ask) -> Job:
    o = ask.options
    named = neuron_of(o.neuron) if o.neuron is not None else None
    if ask.tokens is None:
        assert named is not None
        return NeuronTokens(ask.model.key, *named, o.weights)
    layer = named[0] if named else ask.layer
    assert layer is not None
    return Neurons(ask.run, layer, ask.place(), ask.target(), named[1] if named else None)


def _directions(ask: Ask) -> Job:
    o = ask.options
    if o.state is not None:
        return Directions(ask.run, StateAt(o.state, ask.place()))
    if o.part is not None:
        return Directions(ask.run, PartWrite(o.part, ask.place()))
    return Directions(ask.run, SourceWrite(*ask.one_head, ask.place(), ask.place("source")))


def _contexts(ask: Ask) -> Job:
    tokens: Tokens = ask.context.get(Words(ask.model.key, ask.options.token, "words"))
    if len(tokens) != 1:
        raise Usage(f"--token takes one token, not {len(tokens)}")
    return Contexts(ask.model.key, ask.prompts(), *ask.one_head, tokens.ids[0])


_JOBS: dict[str, Callable[[Ask], Job]] = {
    "pattern": _pattern, "scores": _pattern, "qk": _qk, "ov": _ov, "residual": _residual, "lens": _lens,
    "attribution": _attribution, "sources": _sources, "score-parts": _score_parts, "stream": _stream,
    "neurons": _neurons, "directions": _directions, "contexts": _contexts,
}  # fmt: skip


def parse_head(options: argparse.Namespace) -> tuple[int, int | None] | None:
    """Layer and head; without H a whole layer."""
    if options.head is None:
        return None
    match = HEAD.match(options.head.strip())
    if not match:
        raise Usage(f"--head {options.head}: a head is written L1H3")
    return int(match[1]), None if match[2] is None else int(match[2])


def check(options: argparse.Namespace, head: tuple[int, int | None] | None) -> None:
    """Usage for what can be refused before a model is loaded."""
    view = options.view
    for name, (views, default) in ONLY.items():
        if view not in views and getattr(options, name) != default:
            raise Usage(f"--{name} is for {' and '.join(views)}; {view} does not depend on it")
    _check_text(options)
    _check_head(options, head)
    _check_weights(options)
    _check_stream(options)
    if options.threads is not None and options.threads < 1:
        raise Usage(f"--threads {options.threads}: at least 1")
    if options.out == "":
        raise Usage("--out needs a file name")
    if options.out and not Path(options.out).absolute().parent.is_dir():
        raise Usage(f"--out {options.out}: there is no such folder")


def _check_text(o: argparse.Namespace) -> None:
    """There is something to run on, and of the right kind."""
    alone = o.view == "neurons" and o.neuron is not None
    if o.view == "contexts" and o.prompts is None:
        raise Usage("contexts needs --prompts FILE: it searches a file of prompts")
    if not alone and all(value is None for value in (o.prompt, o.tokens, o.token_ids, o.prompts)):
        raise Usage(f"{o.view} needs --prompt, --tokens or --token-ids" + (" or --prompts" if o.view in OVER else ""))
    if o.token_ids is not None and not re.fullmatch(r"[0-9,:\s]+", o.token_ids):
        raise Usage(f"--token-ids {o.token_ids}: ids are written 1,2,3 or 0:52")
    if o.bos == "on" and o.prompt is None and o.prompts is None:
        raise Usage("--bos is for --prompt: token lists and ids get no BOS")
    if o.statistic != "mean" and o.prompts is None:
        raise Usage("--statistic is for --prompts: one prompt has one pattern")


def _check_head(o: argparse.Namespace, head: tuple[int, int | None] | None) -> None:
    view = o.view
    if view in ("pattern", "scores", "qk", "sources", "score-parts", "contexts") and head is None:
        raise Usage(f"{view} needs --head, such as --head L0H0")
    if head is not None and head[1] is None and (view != "pattern" or o.prompts is not None):
        raise Usage(f"--head {o.head} names a layer; {view} needs a head, such as L{head[0]}H0")
    if o.kind != "pattern" and head is not None and head[1] is None:
        raise Usage(f"--kind {o.kind} needs a head, such as L{head[0]}H0")


def _check_weights(o: argparse.Namespace) -> None:
    if o.basis == "prompt" and o.prompt is None and o.view in ("qk", "ov"):
        raise Usage("--basis prompt needs --prompt: it reads the stream of a typed text, not a token list")
    if o.basis == "prompt" and o.offset is not None:
        raise Usage("--offset is for listed tokens; --basis prompt stands at its real positions")
    if o.baseline != "shown" and o.normalize == "none":
        raise Usage("--baseline needs --normalize: nothing is taken off")


def _check_stream(o: argparse.Namespace) -> None:
    """Measures, units and answers of the views of the stream."""
    view = o.view
    for name, offered in (("measure", MEASURES), ("unit", UNITS)):
        value = getattr(o, name)
        if value is not None and value not in offered.get(view, ()):
            raise Usage(f"--{name} {value} is not for {view}, which has {', '.join(offered[view])}")
    if o.distractor is not None and o.answer is None:
        raise Usage("--distractor needs --answer")
    if view == "residual" and o.measure == "norm" and o.answer is not None and o.position is None:
        raise Usage("--answer changes nothing with --measure norm; leave one of them out")
    if view == "residual" and o.measure == "answer" and o.answer is None:
        raise Usage("--measure answer needs --answer")
    if view == "score-parts" and o.key is None:
        raise Usage("score-parts needs --key N, the position of the key (and takes --query N)")
    if o.layer is not None and not re.fullmatch(r"[Ll]?[0-9]{1,6}", o.layer):
        raise Usage(f"--layer {o.layer}: a layer is written L2")
    if view == "attribution" and (o.unit == "neuron") != (o.layer is not None):
        raise Usage("--unit neuron and --layer go together: the neurons of one layer's MLP")
    if o.unit == "neuron" and o.prompts is not None:
        raise Usage("--unit neuron is for one prompt; over --prompts the units are head and component")
    if o.neuron is not None and neuron_of(o.neuron) is None:
        raise Usage(f"--neuron {o.neuron}: a neuron is written L2N17")
    if view == "neurons" and o.layer is None and o.neuron is None:
        raise Usage("neurons needs --layer L2, or --neuron L2N17")
    if view == "directions" and sum(value is not None for value in (o.state, o.part, o.source)) != 1:
        raise Usage("directions needs one of --part L1H3, --state L3.mid, or --head L1H3 with --source N")
    if view == "directions" and (o.source is not None) != (o.head is not None):
        raise Usage("--head and --source go together: what the head moves from one position")
    if view == "contexts" and o.token is None:
        raise Usage("contexts needs --token WORD, the token that is attended to")
    if view == "lens" and o.prompts is not None and (o.measure or o.position is not None or o.state):
        raise Usage("lens over --prompts gives every measure at the last position: leave --measure, --position out")
