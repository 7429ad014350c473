"""What an export asks for: from its arguments and the model to the job that answers.

The job is the one that the app would ask for, so the numbers are those of the screen.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import prompts
from .arguments import Usage, parse_filter, parse_path
from .engine.jobs import (
    OV,
    QK,
    Attribution,
    AttributionOver,
    Composition,
    Contexts,
    CopyingScores,
    Directions,
    FindPairs,
    FindTarget,
    HeadScores,
    Job,
    LayerPatterns,
    Lens,
    LensCurve,
    LensMeasure,
    LensOver,
    LensTop,
    Measure,
    Nearest,
    Neurons,
    NeuronTokens,
    NextTokens,
    PairSearch,
    Partners,
    PartWrite,
    Pattern,
    PatternOver,
    PreparePrompts,
    Prompts,
    Repeats,
    Residual,
    ResidualParts,
    Run,
    ScoreParts,
    SingularTokens,
    SourceRow,
    Sources,
    SourceWrite,
    Spectrum,
    StateAt,
    Stream,
    Target,
    TokenFilter,
    Tokenize,
    TopPairs,
    Unit,
    VirtualOV,
    VirtualQK,
    Words,
    WriteCosines,
)
from .results import ModelInfo, Pairs, Split, Tokens
from .state import neuron_of


class Missing(Exception):
    """Something that was named is not there: exit code 1."""


class Answers(Protocol):
    """Whoever computes jobs."""

    def get(self, job: Job) -> Any: ...


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
    def offset(self) -> int:
        """The rotary distance; Usage where there is none."""
        if self.options.offset is not None and self.model.positions != "rotary":
            raise Usage(f"--offset is for rotary positions; {self.model.name} has {self.model.positions} ones")
        return self.options.offset or 0

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

    def token(self) -> int:
        """The one token that ``--token`` names."""
        tokens: Tokens = self.context.get(Words(self.model.key, self.options.token, "words"))
        if len(tokens) != 1:
            raise Usage(f"--token takes one token, not {len(tokens)}")
        return tokens.ids[0]

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
    return Pattern(ask.run, layer, head, "scores" if ask.options.view == "scores" else ask.options.kind or "pattern")


def _qk(ask: Ask) -> Job:
    o, model, ids = ask.options, ask.model, ask.run.ids
    return QK(
        model.key, *ask.one_head, ids, ids, o.weights, o.form, o.normalize, o.baseline, o.basis, ask.offset, o.term,
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
    return Contexts(ask.model.key, ask.prompts(), *ask.one_head, ask.token())


def _head_scores(ask: Ask) -> Job:
    o, model = ask.options, ask.model
    if o.prompts is not None:
        return HeadScores(model.key, ask.prompts())
    if ask.tokens is not None:
        return HeadScores(model.key, ask.run)
    return HeadScores(model.key, Repeats(o.seed or 0, o.rows or 8, o.length, _with_bos(o, model)))


def _copying(ask: Ask) -> Job:
    o = ask.options
    sample = 1000 if o.sample is None else None if o.sample == "all" else int(o.sample)
    return CopyingScores(ask.model.key, o.weights, sample, o.seed or 0)


def _search(ask: Ask) -> Job:
    o = ask.options
    pairs: Pairs = ask.context.get(FindPairs(ask.model.key, o.pairs))
    return PairSearch(ask.model.key, pairs.ids, o.circuit or "qk", o.weights, o.basis, ask.offset)


def _partners(ask: Ask) -> Job:
    o = ask.options
    chosen = TokenFilter(same=False) if not o.filter else parse_filter(o)
    return Partners(ask.model.key, *ask.one_head, ask.token(), o.side or "query", o.weights, o.basis, ask.offset,
                    chosen, o.top or 20)  # fmt: skip


def _pairs(ask: Ask) -> Job:
    o = ask.options
    memory = (512 if o.memory is None else o.memory) << 20
    return TopPairs(ask.model.key, *ask.one_head, o.circuit or "ov", o.weights, o.basis, ask.offset, parse_filter(o),
                    o.top or 64, memory)  # fmt: skip


def _nearest(ask: Ask) -> Job:
    return Nearest(ask.model.key, ask.token(), ask.options.where, ask.options.top or 20)


def _svd(ask: Ask) -> Job:
    o = ask.options
    if o.index is not None:
        return SingularTokens(ask.model.key, *ask.one_head, o.circuit or "ov", o.index, o.weights)
    return Spectrum(ask.model.key, *ask.one_head, o.circuit or "ov", o.weights)


def _composition(ask: Ask) -> Job:
    o = ask.options
    return Composition(ask.model.key, *ask.one_head, o.kind or "k", o.direction)


def _virtual(ask: Ask) -> Job:
    o, ids = ask.options, ask.run.ids
    path = parse_path(o)
    if o.view == "virtual-ov":
        return VirtualOV(ask.model.key, path, ids, ids, o.weights)
    return VirtualQK(ask.model.key, path, o.side or "k", ids, ids, o.weights)


_JOBS: dict[str, Callable[[Ask], Job]] = {
    "pattern": _pattern, "scores": _pattern, "qk": _qk, "ov": _ov, "residual": _residual, "lens": _lens,
    "attribution": _attribution, "sources": _sources, "score-parts": _score_parts, "stream": _stream,
    "neurons": _neurons, "directions": _directions, "contexts": _contexts, "head-scores": _head_scores,
    "copying": _copying, "search": _search, "partners": _partners, "pairs": _pairs, "nearest": _nearest, "svd": _svd,
    "composition": _composition, "virtual-ov": _virtual, "virtual-qk": _virtual,
}  # fmt: skip
