"""What has to be computed to show a selection: pure functions from it to jobs, ordered for the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from . import arrange, searches
from .engine.jobs import (
    OV,
    QK,
    Attribution,
    AttributionOver,
    Baseline,
    Contexts,
    Directions,
    HeadInput,
    Job,
    LayerPatterns,
    Lens,
    LensCurve,
    LensOver,
    LensTop,
    Measure,
    Neurons,
    NeuronTokens,
    NextTokens,
    OVRow,
    PartWrite,
    Pattern,
    PatternOver,
    PreparePrompts,
    QKDistance,
    Residual,
    ResidualParts,
    Run,
    ScoreParts,
    Side,
    SourceRow,
    Sources,
    SourceWrite,
    StateAt,
    Stream,
    Tokenize,
    Unit,
    Vector,
    Words,
    WriteCosines,
)
from .finding import PAIRS
from .results import ModelKey, Result, Table, Tokens
from .state import Selection, basis_run, cell_in_view, neuron_of, run_of

READS: dict[str, Side] = {"query reads": "q", "key reads": "k", "value reads": "v"}
"""Side panels that split what a head reads."""


def shown(s: Selection) -> Job | None:
    """The job whose result the view draws; None while there is no model or no tokens, or nothing to show."""
    run, tokens = run_of(s), s.shown_tokens
    if s.key is None:
        return None
    if s.view in ("heads", "compose", "pairs", "svd"):
        return searches.shown(s)
    if s.over:
        return _over(s, s.key)
    if run is None or tokens is None:
        return None
    if s.view == "pattern":
        return _pattern(s, run)
    if s.view == "qk":
        return None if s.head is None else _qk(s, tokens)
    if s.view == "ov":
        return _ov(s, tokens)
    if s.view == "residual":
        return _residual(s, run)
    if s.view == "lens":
        measured = s.target if s.lens in ("answer", "rank") else None
        return None if s.lens in ("answer", "rank") and measured is None else Lens(run, s.lens, measured, s.mids)
    if s.view == "attribution":
        return attribution(s, run)
    if s.view == "neurons":
        named = s.neuron[1] if s.neuron else None
        return Neurons(run, s.layer, s.position, s.target, named)
    if s.head is None:
        return None
    query, key = s.cell
    return ScoreParts(run, s.layer, s.head, query, key, s.unit)


def shape(s: Selection) -> str:
    """The shape in which ``arrange`` puts the view's result."""
    if s.view == "heads":
        return arrange.HEADS + ("mean z" if s.finding.score in PAIRS else s.finding.score)
    return f"{arrange.HEADS}z" if s.view == "compose" and not s.virtual else s.view


def _over(s: Selection, key: ModelKey) -> Job | None:
    """The view's mean and spread over the file of prompts."""
    prompts = s.file.prepared if s.file else None
    if prompts is None:
        return None
    if s.view == "lens":
        return LensOver(key, prompts, s.mids)
    if s.view == "attribution":
        return AttributionOver(key, prompts, _unit(s))
    return None if s.head is None else PatternOver(key, prompts, s.layer, s.head, s.statistic)


def _unit(s: Selection) -> Unit:
    return "component" if s.grain == "component" else "head"


def _pattern(s: Selection, run: Run) -> Job | None:
    if s.head is None or s.mode == "all heads":
        return LayerPatterns(run, s.layer)
    if s.mode == "sources":
        return None if s.target is None else Sources(run, s.layer, s.head, s.target)
    return Pattern(run, s.layer, s.head, s.mode)


def _residual(s: Selection, run: Run) -> Job | None:
    if s.measure == "writes":
        return WriteCosines(run, s.position, s.weights)
    if s.measure in ("states", "final"):
        return Stream(run, "norm" if s.measure == "states" else "final", s.weights, s.mids)
    if s.measure == "norm":
        return Residual(run, s.weights)
    return None if s.target is None else Residual(run, s.weights, "answer", s.target)


def attribution(s: Selection, run: Run) -> Attribution | None:
    """The parts of the answer's logit at the cursor's position."""
    if s.target is None:
        return None
    return Attribution(run, s.position, s.target, s.grain, s.layer if s.grain == "neuron" else None)


def _qk(s: Selection, tokens: Tokens, **changes: Any) -> QK:
    assert s.key is not None
    assert s.head is not None
    job = QK(
        s.key, s.layer, s.head, tokens.ids, tokens.ids, s.weights, s.form, s.normalize, s.baseline, s.basis,
        s.offset, s.term, basis_run(s),
    )  # fmt: skip
    return replace(job, **changes) if changes else job


def _ov(s: Selection, tokens: Tokens, **changes: Any) -> OV:
    assert s.key is not None
    job = OV(
        s.key, s.layer, s.head, tokens.ids, tokens.ids, s.weights, s.normalize, s.baseline, s.basis, basis_run(s)
    )
    return replace(job, **changes) if changes else job


def source_row(s: Selection) -> OVRow | None:
    """What the token under the cursor makes the head write: the row's token in OV, the key's elsewhere."""
    tokens = s.shown_tokens
    if tokens is None or s.key is None or not len(tokens):
        return None
    row, col = s.cell
    source = row if s.view == "ov" else col
    run = basis_run(s)
    return OVRow(
        s.key, s.layer, s.head, tokens.ids[source], tuple(dict.fromkeys(tokens.ids)), 10, s.weights, s.basis, run,
        source if run else None,
    )  # fmt: skip


@dataclass(frozen=True)
class CellJobs:
    """The jobs whose values the inspector reads for the cell under the cursor; None where one has no meaning."""

    pattern: Pattern | None = None
    scores: Pattern | None = None
    qk: QK | None = None
    zscore: QK | None = None
    ov: OV | None = None
    ov_row: OVRow | None = None

    def listed(self) -> list[Job]:
        every = (self.pattern, self.scores, self.qk, self.zscore, self.ov, self.ov_row)
        return [job for job in every if job is not None]


def inspected(s: Selection) -> CellJobs:
    """What the inspector line needs: what the weights say and what this prompt did, for the same cell."""
    run, tokens = run_of(s), s.shown_tokens
    if run is None or tokens is None or s.view not in ("pattern", "qk", "ov") or s.over:
        return CellJobs()
    pattern = scores = qk = zscore = None
    if s.head is not None:
        if not s.on_list:
            pattern = Pattern(run, s.layer, s.head, "pattern")
            scores = Pattern(run, s.layer, s.head, "scores")
        qk = _qk(s, tokens, normalize="none", baseline="shown", term="token-token")
        baseline: Baseline = "shown" if s.basis == "prompt" else "vocabulary"
        zscore = replace(qk, normalize="zscore", baseline=baseline)
    return CellJobs(pattern, scores, qk, zscore, _ov(s, tokens, normalize="none", baseline="shown"), source_row(s))


def panels(s: Selection) -> tuple[str, ...]:
    """Names of the side panels that this view has, in the order in which ``p`` walks them."""
    if s.view == "pattern":
        first = ("sources",) if s.mode == "sources" and s.head is not None and not s.over else ()
        contexts = ("contexts",) if s.file is not None and s.file.prepared is not None and s.head is not None else ()
        return (*first, "next tokens", *contexts, "head writes", *(("directions",) if s.head is not None else ()))
    if s.view == "qk":
        rotary = s.model is not None and not s.model.capabilities.offset
        found = searches.PANELS["qk"] if s.head is not None and s.basis != "prompt" else ()
        return (*(("distance",) if rotary and s.basis != "prompt" else ()), "head writes", *found)
    if s.view == "ov":
        return ("head writes", *(searches.PANELS["ov"] if s.head is not None and s.basis != "prompt" else ()))
    if s.view in ("heads", "compose"):
        return () if s.virtual else ("heads, ranked",)
    if s.view in ("pairs", "svd"):
        return ("its partners",) if s.view == "pairs" else ("singular directions",)
    if s.view == "lens":
        return ("top tokens", "probability by layer", "rank by layer", "directions")
    if s.view == "attribution":
        return ("ranked",) if s.over else ("neuron writes",) if s.grain == "neuron" else ("ranked", "directions")
    if s.view == "why":
        return ("pairs",)
    if s.view == "neurons":
        return ("neuron writes",)
    reads = tuple(READS) if s.head is not None else ()
    return ("parts", *reads, "directions")


def panel_name(s: Selection) -> str:
    """The side panel that is open, or ""."""
    names = panels(s)
    return names[s.panel] if s.panel < len(names) else ""


def panel_job(s: Selection, part: str = "", drawn: Result | None = None) -> Job | None:
    """The job whose result the side panel draws; ``part``: the row under the cursor where the view's result names it
    (``L3H1`` in Attribution and Residual, ``L2N17`` in Neurons); ``drawn``: that result."""
    run, tokens, name = run_of(s), s.shown_tokens, panel_name(s)
    if s.key is None or not name:
        return None
    if name in ("ranked", "pairs", "heads, ranked"):
        return shown(s)
    if s.view in ("pairs", "svd") or name in searches.PANELS.get(s.view, ()):
        return searches.panel_job(s, name, drawn if isinstance(drawn, Table) else None)
    if run is None or tokens is None:
        return None
    if name == "next tokens":
        return NextTokens(run, s.position)
    if name == "head writes":
        return source_row(s)
    if name == "parts":
        measure: Measure = "answer" if s.measure == "answer" else "norm"
        return ResidualParts(run, s.position, s.weights, s.unit, measure, s.target)
    if name == "neuron writes" or (name == "directions" and neuron_of(part)):
        neuron = neuron_of(part)
        return None if neuron is None else NeuronTokens(s.key, *neuron, s.weights)
    if name == "directions":
        vector = vector_of(s, part)
        return None if vector is None else Directions(run, vector)
    if s.view == "lens":
        return _lens_panel(s, run, name)
    return _head_panel(s, run, tokens, name)


def _lens_panel(s: Selection, run: Run, name: str) -> Job | None:
    if name == "top tokens":
        return LensTop(run, s.states[cell_in_view(s)[0]], s.position)
    if s.target is None:
        return None
    return LensCurve(run, s.position, s.target, "rank" if name == "rank by layer" else "probability", s.mids)


def _head_panel(s: Selection, run: Run, tokens: Tokens, name: str) -> Job | None:
    if s.head is None or s.key is None:
        return None
    row, col = s.cell
    if name == "distance":
        return QKDistance(s.key, s.layer, s.head, tokens.ids[row], tokens.ids[col], s.weights, s.form, s.basis)
    if name == "sources":
        return None if s.target is None else SourceRow(run, s.layer, s.head, s.position, s.target, s.weights)
    if name == "contexts":
        prompts = s.file.prepared if s.file else None
        return None if prompts is None else Contexts(s.key, prompts, s.layer, s.head, tokens.ids[col])
    return HeadInput(run, s.layer, s.head, s.position, READS[name], s.weights, s.unit)


def vector_of(s: Selection, part: str = "") -> Vector | None:
    """The vector of the stream under the cursor, for ``v``: a state, a component's write, what a source gives."""
    if s.on_states:
        return StateAt(s.states[cell_in_view(s)[0]], s.position) if s.states else None
    if s.view == "pattern" and s.head is not None:
        if s.mode == "sources":
            return SourceWrite(s.layer, s.head, *s.cell)
        return PartWrite(s.name, s.position)
    return PartWrite(part, s.position) if part else None


def next_tokens(s: Selection) -> NextTokens | None:
    """The predictions after the cursor's position, for the token strip."""
    run = run_of(s)
    return NextTokens(run, s.position) if run else None


def preparing(s: Selection) -> PreparePrompts | None:
    """The job that tokenizes the open file of prompts."""
    if s.file is None or s.key is None:
        return None
    return PreparePrompts(s.key, s.file.name, s.file.rows, s.with_bos)


def needs(s: Selection, with_panel: bool = True, part: str = "", drawn: Result | None = None) -> list[Job]:
    """Everything that the screen shows of this selection, most important first; neighbouring heads and the labels of
    the tree last, in idle time."""
    if s.model is None or s.open != s.opened:
        return [s.open]
    wanted: list[Job | None] = []
    tokenize = Tokenize(s.model.key, s.text, s.with_bos)
    if s.tokens_of != tokenize:
        # Nothing else is worth computing for tokens that are about to change; what is on the screen stays there.
        return [tokenize]
    if s.words and s.listed_of != Words(s.model.key, s.words):
        wanted.append(Words(s.model.key, s.words))
    if s.file is not None and s.file.prepared_of != preparing(s):
        wanted.append(preparing(s))
    last = next_tokens(replace(s, row=-1))
    wanted += [*(searches.card(s).values() if s.card else ()), shown(s), next_tokens(s), last]
    wanted += [panel_job(s, part, drawn) if with_panel else None, *inspected(s).listed()]
    wanted += [*prefetched(s), searches.labels(s), *_sorting(s)]
    return list(dict.fromkeys(job for job in wanted if job is not None))


def _sorting(s: Selection) -> list[Job | None]:
    """What the tree is sorted by."""
    return [searches.scores(s, s.finding.score)] if s.finding.by_score else []


def prefetched(s: Selection) -> list[Job]:
    """What the neighbouring heads would show: computed in idle time, so that the next head is there at once."""
    if s.model is None or s.head is None or s.over or s.view in ("pairs", "heads"):
        return []  # a search is long, and nobody asked for the neighbour's
    heads = (head for head in (s.head + 1, s.head - 1) if 0 <= head < s.model.n_heads)
    jobs = (shown(replace(s, head=head)) for head in heads)
    return [job for job in jobs if job is not None and job != shown(s)]
