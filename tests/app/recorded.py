"""A bench without a model: fixed tokens and fixed numbers for every job, so that screens can be tested to the letter.

The prompt's words become tokens, every grid is a fixed function of layer, head and tokens. Nothing here is torch.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tui.engine.jobs import (
    OV,
    QK,
    Attribution,
    AttributionOver,
    CircuitComposition,
    CircuitPaths,
    CircuitScores,
    Composition,
    Contexts,
    Continuation,
    CopyingScores,
    Directions,
    Effects,
    Experts,
    FindPairs,
    FindTarget,
    HeadInput,
    HeadScores,
    Job,
    LayerPatterns,
    Lens,
    LensCurve,
    LensOver,
    LensTop,
    Nearest,
    Neurons,
    NeuronTokens,
    NextTokens,
    Open,
    OVRow,
    PairSearch,
    Partners,
    Patching,
    PatchingEstimate,
    PatchingGrid,
    PatchingOver,
    PathEdges,
    PathEstimate,
    PathGrid,
    Pattern,
    PatternOver,
    PreparePrompts,
    Prompts,
    QKDistance,
    Residual,
    ResidualParts,
    Run,
    ScoreParts,
    SingularTokens,
    SourceRow,
    Sources,
    Spectrum,
    StackEffect,
    Stream,
    Target,
    Tokenize,
    TopPairs,
    Unchanged,
    VirtualOV,
    VirtualQK,
    Words,
    WriteCosines,
)
from tui.engine.jobs import interventions_of as changes_of
from tui.names import Edge, edge_at, state_names
from tui.pages.scores import COPYING_SCORES, PATTERN_SCORES
from tui.results import (
    Axis,
    Capabilities,
    Curve,
    Found,
    Gallery,
    Grid,
    Header,
    Limits,
    ModelInfo,
    ModelKey,
    Pairs,
    Split,
    Table,
    Tokens,
    frozen,
    head_name,
)

KEY = ModelKey("/recorded", "0", "float32", "cpu")
WORDS = ["<|bos|>", " The", " capital", " of", " France", " is", " Paris", " London", " king", " queen", " Rome", " in"]
LAYERS, HEADS = 4, 4
MLP = 256


class Refused(Exception):
    """What the worker raises for input that cannot be used; has the two sentences the screen shows."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def info(**changes: Any) -> ModelInfo:
    """A 4 × 4 model with learned positions."""
    values: dict[str, Any] = {
        "key": KEY, "name": "demo", "architecture": "gpt2", "n_layers": LAYERS, "n_heads": HEADS,
        "n_key_value_heads": HEADS, "d_model": 128, "d_head": 32, "d_vocab": 1500, "n_ctx": 64, "n_parameters": 710_000,
        "d_mlp": MLP,
        "positions": "learned", "norm": "LayerNorm", "has_mlp": True, "parallel_blocks": False, "bos_id": 0,
        "bos_default": True, "capabilities": Capabilities(offset="no rotary positions: there is no offset to set"),
    }  # fmt: skip
    return ModelInfo(**{**values, **changes})


class RecordedBench:
    """Answers every job at once, or after ``gate`` is set where a test holds it shut."""

    def __init__(self, model: ModelInfo | None = None) -> None:
        self.model = model or info()
        self.computed: list[Job] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = False
        """Whether a job stands before the gate."""
        self.broken: type[Job] | None = None
        """Jobs of this type raise."""

    def compute(self, job: Job, ctx: Any) -> Any:
        self.waiting = not self.gate.is_set()
        try:
            while not self.gate.wait(0.01):
                ctx.check()
        finally:
            self.waiting = False
        self.computed.append(job)
        if self.broken is not None and isinstance(job, self.broken):
            raise Refused("this job is broken on purpose.", "Press 1 for another view.")
        answer = getattr(self, f"_{type(job).__name__.lower()}")(job)
        return changed(answer, sum(not isinstance(change, Unchanged) for change in interventions_of(job)))

    def close(self) -> None: ...
    def free(self) -> None: ...

    def _open(self, job: Open) -> ModelInfo:
        if job.source == "nowhere":
            raise Refused("There is no model called nowhere.", "Give a folder in Hugging Face format.")
        return self.model

    def _tokenize(self, job: Tokenize) -> Tokens:
        if job.chat:
            around = tokens(["<|bos|>", " king", *(" " + word for word in job.text.split()), " in"], True)
            own = tuple(1 < place < len(around) - 1 for place in range(len(around)))
            return replace(around, bos_from="template", chat=True, template=tuple(not mine for mine in own))
        typed = job.text.startswith("<|bos|>")
        words = [" " + word for word in job.text.removeprefix("<|bos|>").split()]
        if len(words) > 60:
            raise Refused(f"The prompt is {len(words)} tokens long; this model reads at most 60.", "Shorten it.")
        made = tokens([*(["<|bos|>"] if job.bos or typed else []), *words], job.bos)
        return replace(made, bos_from="text") if typed else made

    def _words(self, job: Words) -> Tokens:
        words = [word.strip() for word in job.text.split(",")]
        if all(word.isdigit() for word in words):
            return tokens([WORDS[int(word)] for word in words], False)
        for word in words:
            if " " + word not in WORDS:
                raise Refused(f'"{word}" is 3 tokens: "x" "y" "z".', "Write one token a word.")
        return tokens([" " + word for word in words], False)

    def _nexttokens(self, job: NextTokens) -> Table:
        rows = tuple(
            (rank + 1, WORDS[6 + (rank + job.position) % 6], 6 + (rank + job.position) % 6, 0.9 / 4**rank, 9.0 - rank)
            for rank in range(5)
        )
        header = head("next tokens", "probability of the next token", "softmax(logits)")
        return Table(header, ("rank", "token", "id", "probability", "logit"), rows, "probability")

    def _pattern(self, job: Pattern) -> Grid:
        n = len(job.run.ids)
        scores = numbers(job.layer, job.head, n, n) * 2
        scores[np.triu_indices(n, 1)] = -np.inf
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        values = scores if job.kind == "scores" else pattern
        values[np.triu_indices(n, 1)] = np.nan
        return self._grid(job, values, job.run.ids, "pattern", job.kind == "scores", f"attention {job.kind}")

    def _layerpatterns(self, job: LayerPatterns) -> Gallery:
        grids = tuple(self._pattern(Pattern(job.run, job.layer, h)) for h in range(HEADS))
        return Gallery(head("pattern", "attention patterns of the layer", "softmax(scores)"), grids)

    def _qk(self, job: QK) -> Grid:
        values = numbers(job.layer, job.head, len(job.rows), len(job.cols))
        if job.normalize == "centered":
            values = values - values.mean(-1, keepdims=True)
        return self._grid(job, values, job.rows, "qk", True, "QK circuit")

    def _ov(self, job: OV) -> Grid:
        values = numbers(job.layer, 9 if job.head is None else job.head + 5, len(job.sources), len(job.sources))
        return self._grid(job, values, job.sources, "ov", True, "OV circuit", ("source", "output"))

    def _ovrow(self, job: OVRow) -> Table:
        values = numbers(job.layer, 7, job.source + 1, len(WORDS))[job.source]
        order = np.argsort(-values)
        def row(part: str, i: int) -> tuple[Any, ...]:
            return (part, int(np.where(order == i)[0][0]) + 1, WORDS[i], int(i), float(values[i]))
        rows = [row("promoted", i) for i in order[:5]] + [row("suppressed", i) for i in order[::-1][:5]]
        rows += [row("shown", i % len(WORDS)) for i in job.outputs]
        header = head("ov", "what the source token makes the head write", "x W_V W_O W_U")
        return Table(header, ("part", "rank", "token", "id", "value"), tuple(rows), "value")

    def _qkdistance(self, job: QKDistance) -> Curve:
        x = np.arange(job.max_offset + 1)
        return Curve(head("qk", "score by distance", "q·k"), "offset", "score", x, {"score": frozen(np.cos(x / 5))})

    def _residual(self, job: Residual) -> Grid:
        n, parts = len(job.run.ids), part_names()
        values = np.abs(numbers(1, 1, len(parts), n))
        header = head("residual", "what each component writes", "‖write‖")
        rows, cols = Axis("component", parts), axis("position", job.run.ids)
        return Grid(header, frozen(values), rows, cols, job.measure != "norm")

    def _residualparts(self, job: ResidualParts) -> Table:
        rows = tuple((name, float(v)) for name, v in zip(part_names(), numbers(2, 2, 1, 99)[0], strict=False))
        header = head("residual", "the stream as a sum", "Σ parts", checks={"Σ parts = stream": 3e-7})
        return Table(header, ("part", "norm"), rows, "norm")

    def _headinput(self, job: HeadInput) -> Table:
        names = part_names()[: 1 + 2 * job.layer]
        rows = tuple((name, 1 / len(names)) for name in names)
        return Table(head("residual", "what the head reads", "part·v/‖v‖²"), ("part", "share"), rows, "share")

    def _lens(self, job: Lens) -> Grid:
        n, states = len(job.run.ids), state_names(LAYERS, job.mids)
        depth = np.linspace(0.05, 0.95, len(states))[:, None] * np.linspace(1, 0.6, n)[None]
        values = np.round(1 / depth) if job.measure == "rank" else depth
        text = tuple(tuple(WORDS[6 + (row + col) % 6] for col in range(n)) for row in range(len(states)))
        header = head("lens", "logit lens", "softmax(norm(state) W_U)", checks={"max |lens − logits|": 2e-7})
        return Grid(header, frozen(values), Axis("state", states), axis("position", job.run.ids), False, text)

    def _lenstop(self, job: LensTop) -> Table:
        return self._nexttokens(NextTokens(job.run, job.position))

    def _lenscurve(self, job: LensCurve) -> Curve:
        x = np.arange(LAYERS + 1)
        return Curve(head("lens", "the answer over the layers", "softmax"), "layer", job.measure, x,
                     {"answer ·Paris": frozen(x / LAYERS)})  # fmt: skip

    def _attribution(self, job: Attribution) -> Grid:
        return attribution_grid(job.unit, job.layer, job.position, ("attribution",))

    def _effects(self, job: Effects) -> Grid:
        kinds = (*(f"H{h}" for h in range(HEADS)), ".mlp")
        names = tuple(f"L{layer}{kind}" for layer in range(LAYERS) for kind in kinds)
        values = numbers(1 + job.position, len(job.how), len(names), 7)
        values[:, 4] = np.abs(values[:, 4])
        columns: tuple[str, ...] = (
            "logit difference", "log-probability", "probability", "rank", "KL", "predicted", "scale",
        )  # fmt: skip
        if job.continuation:
            values = np.insert(values, 5, numbers(9, len(job.continuation), len(names), 1)[:, 0], 1)
            columns = (*columns[:5], "loss", *columns[5:])
        header = head("ablation", f"effect of each part alone, {job.how}", "metric(part changed) − metric(clean)")
        return Grid(header, frozen(values), Axis("part", names), Axis("value", columns), True)

    def _sources(self, job: Sources) -> Grid:
        n = len(job.run.ids)
        values = numbers(job.layer, job.head, n, n)
        values[np.triu_indices(n, 1)] = np.nan
        names = ("destination", "source")
        return self._grid(job, values, job.run.ids, "sources", True, "what each source gives", names)

    def _sourcerow(self, job: SourceRow) -> Table:
        rows = tuple((WORDS[i % len(WORDS)], at, np.sin(at + job.head), 1 / (at + 1), np.cos(at))
                     for at, i in enumerate(job.run.ids[: job.position + 1]))  # fmt: skip
        header = head("sources", "what each source gives", "pattern · v W_O")
        return Table(header, ("source", "position", "contribution", "pattern", "OV"), rows, "contribution")

    def _scoreparts(self, job: ScoreParts) -> Grid:
        if job.key > job.query:
            raise Refused("The query cannot see that key: it comes later.", "Move the cursor to its left.")
        names = (*(part for part in part_names() if part[0] != "L" or int(part[1]) < job.layer), "rounding", "bias")
        checks = {"score": 5.21, "sum": 5.21, "error": 2e-6}
        header = head("score-parts", "the score, split", "Σ Σ q_a · k_b", head_name(job.layer, job.head), checks)
        values = numbers(job.layer, job.head, len(names), len(names))
        return Grid(header, frozen(values), Axis("at the query", names), Axis("at the key", names), True)

    def _stream(self, job: Stream) -> Grid:
        states = state_names(LAYERS, job.mids)
        values = np.abs(numbers(3, 3, len(states), len(job.run.ids)))
        header = head("stream", f"states, {job.measure}", "‖state‖")
        return Grid(header, frozen(values), Axis("state", states), axis("position", job.run.ids), job.measure != "norm")

    def _writecosines(self, job: WriteCosines) -> Grid:
        names = part_names()
        values = np.cos(numbers(2, 2, len(names), len(names)))
        return Grid(head("stream", "cosines", "cos"), frozen(values), Axis("part", names), Axis("part", names), True)

    def _neurons(self, job: Neurons) -> Grid:
        names = tuple(f"L{job.layer}N{7 * i + 1}" for i in range(job.k))
        if job.neuron is not None:
            names = (f"L{job.layer}N{job.neuron}", *names)
        values = numbers(job.layer, 5, len(names), len(job.run.ids))
        return Grid(head("neurons", "activations", "act"), frozen(values), Axis("neuron", names),
                    axis("position", job.run.ids), True)  # fmt: skip

    def _experts(self, job: Experts) -> Grid:
        names = tuple(f"L{job.layer}E{i}" for i in range(self.model.n_experts))
        values = numbers(job.layer, 6, len(names), len(job.run.ids))
        if job.measure == "router":
            values = np.maximum(values, 0.0) / np.maximum(values, 0.0).sum(0)
        header = head("experts", f"experts, {job.measure}", "router_e(x)", checks={"max |Σ experts − MLP|": 2e-7})
        return Grid(header, frozen(values), Axis("expert", names), axis("position", job.run.ids),
                    job.measure == "answer")  # fmt: skip

    def _neurontokens(self, job: NeuronTokens) -> Table:
        return self._tokentable(f"L{job.layer}N{job.neuron} writes", job.neuron)

    def _directions(self, job: Directions) -> Table:
        return self._tokentable(f"{getattr(job.vector, 'part', getattr(job.vector, 'state', 'source'))} as tokens", 3)

    def _tokentable(self, quantity: str, seed: int) -> Table:
        values = numbers(1, seed, 1, len(WORDS))[0]
        order = np.argsort(-values)
        rows = [("promoted", rank, WORDS[i], int(i), float(values[i])) for rank, i in enumerate(order[:5], 1)]
        rows += [("suppressed", len(WORDS) - back, WORDS[i], int(i), float(values[i]))
                 for back, i in enumerate(order[::-1][:5])]  # fmt: skip
        columns = ("part", "rank", "token", "id", "value")
        return Table(head("directions", quantity, "x W_U"), columns, tuple(rows), "value")

    def _findtarget(self, job: FindTarget) -> Found | Split:
        sides = []
        for side in job.text.split(" - "):
            words = [word.strip() for word in side.split(",")]
            for word in words:
                if word.startswith("#"):
                    continue
                if word == "Zanzibar":
                    return Split(word, tokens([" Z", "anzibar"], False), tokens(["Z", "anzibar"], False))
                if " " + word not in WORDS:
                    raise Refused(f'"{word}" is not in this vocabulary.', "Write another word.")
            sides.append(Tokens(tuple(int(w[1:]) if w[0] == "#" else WORDS.index(" " + w) for w in words),
                                tuple(" " + w for w in words), (False,) * len(words), False))  # fmt: skip
        return Found(sides[0], sides[1] if len(sides) > 1 else Tokens((), (), (), False))

    def _prepareprompts(self, job: PreparePrompts) -> Prompts:
        runs, targets = [], []
        for row in job.rows:
            made = self._tokenize(Tokenize(job.model, row.text, job.bos))
            runs.append(Run(job.model, made.ids, job.bos))
            targets.append(Target((WORDS.index(" " + row.answer),)) if row.answer else None)
        labels = tuple(" − ".join(f"·{word}" for word in (row.answer, row.distractor) if word) for row in job.rows)
        texts = tuple(row.text for row in job.rows)
        corrupted = [Run(job.model, self._tokenize(Tokenize(job.model, row.corrupted, job.bos)).ids, job.bos)
                     for row in job.rows if row.corrupted]  # fmt: skip
        return Prompts(str(hash(job)), job.name, tuple(runs), tuple(targets), texts, labels, 0,
                       corrupted=tuple(corrupted))  # fmt: skip

    def _attributionover(self, job: AttributionOver) -> Grid:
        return attribution_grid(job.unit, None, len(job.prompts), ("mean", "spread"))

    def _lensover(self, job: LensOver) -> Table:
        rows = tuple((name, i / 9, 0.05, 9.0 - i, 1.0, 1.5, 0.2, 0.3, 0.1)
                     for i, name in enumerate(state_names(LAYERS, job.mids)))  # fmt: skip
        columns = ("state", "probability", "probability ±", "rank", "rank ±", "entropy", "entropy ±", "KL", "KL ±")
        return Table(head("lens", "logit lens, mean over prompts", "mean ± std"), columns, rows, "probability")

    def _patternover(self, job: PatternOver) -> Grid:
        n = min(len(run.ids) for run in job.prompts.runs)
        grid = self._pattern(Pattern(Run(job.model, tuple(range(n)), True), job.layer, job.head))
        values = grid.values * (0.1 if job.statistic == "spread" else 1)
        return Grid(head("pattern", f"{job.statistic} pattern", "mean"), frozen(values), grid.rows, grid.cols, False)

    def _contexts(self, job: Contexts) -> Table:
        rows = tuple((0.9 - at / 10, at, 3, 1, " of", "… «·The» capital of") for at in range(len(job.prompts)))
        columns = ("attention", "prompt", "query position", "key position", "query", "context")
        return Table(head("contexts", "where the head attends", "pattern"), columns, rows, "attention")

    def _headscores(self, job: HeadScores) -> Grid:
        values = np.abs(np.sin(np.outer(np.arange(LAYERS * HEADS) + 1, [1.0, 2.0, 3.0, 4.0, 5.0])))
        return heads_grid("head-scores", PATTERN_SCORES, values, (*[(0.0, 1.0)] * 4, None))

    def _copyingscores(self, job: CopyingScores) -> Grid:
        values = np.cos(np.outer(np.arange(LAYERS * HEADS) + 1, [1.0, 2.0, 3.0]))
        return heads_grid("copying", COPYING_SCORES, values, ((-1.0, 1.0), (0.0, 1.0), (0.0, 1.0)))

    def _continuation(self, job: Continuation) -> Table:
        said = [(len(job.run.ids) + i, WORDS[6 + i % 6], 6 + i % 6, 0.9 / (i + 1)) for i in range(4)]
        columns: tuple[str, ...] = ("position", "token", "id", "probability")
        rows: list[tuple[Any, ...]] = list(said)
        if job.run.interventions:
            columns = ("position", "clean", "clean id", "clean probability", "token", "id", "probability")
            rows = [(*row, WORDS[1 + i], 1 + i, 0.5) for i, row in enumerate(said)]
        return Table(head("continuation", "what the model says next", "softmax"), columns, tuple(rows), "probability")

    def _stackeffect(self, job: StackEffect) -> Table:
        named = [("clean", 0), *((str(change) + ("" if on else " (off)"), i + 1)
                 for i, (change, on) in enumerate(job.changes))]  # fmt: skip
        rows = tuple((name, 3.5 - i, -float(i), 0.9 / (i + 1), 1.0 + i, 0.1 * i) for name, i in named)
        columns = ("change", "logit difference", "effect", "probability", "rank", "KL")
        return Table(head("ablation", "what is changed", "logit difference"), columns, rows, "effect")

    def _findpairs(self, job: FindPairs) -> Pairs:
        pairs = []
        for part in job.text.split(","):
            words = [word.strip() for word in part.split(">")]
            if len(words) != 2 or any(" " + word not in WORDS for word in words):
                raise Refused(f"“{part.strip()}” is no pair of tokens.", "Write France>Paris.")
            pairs.append((WORDS.index(" " + words[0]), WORDS.index(" " + words[1])))
        return Pairs(tuple(pairs), tuple((WORDS[a], WORDS[b]) for a, b in pairs))

    def _pairsearch(self, job: PairSearch) -> Grid:
        names = ["mean z", "worst z", "mean rank"]
        for a, b in job.pairs:
            names += [f"{kind} {WORDS[x]}→{WORDS[y]}" for x, y in ((a, b), (b, a)) for kind in ("z", "rank")]
        seed = 2 if job.circuit == "qk" else 3
        values = numbers(1, seed, LAYERS * HEADS, len(names))
        order = np.argsort(-values[:, 0])
        labels = tuple(head_name(i // HEADS, i % HEADS) for i in order.tolist())
        header = head("search", f"pair search, {job.circuit}", "z")
        return Grid(header, frozen(values[order]), Axis("head", labels), Axis("column", tuple(names)), True)

    def _patchinggrid(self, job: PatchingGrid) -> Grid:
        return self._patched(job, 0.0)

    def _patchingestimate(self, job: PatchingEstimate) -> Grid:
        return self._patched(job, 0.05)

    def _patched(self, job: Patching, off: float) -> Grid:
        layers = Axis("layer", tuple(f"L{layer}" for layer in range(LAYERS)))
        heads, positions = Axis("head", tuple(f"H{h}" for h in range(HEADS))), axis("position", job.clean.ids)
        rows, cols = {
            "head": (layers, heads), "position": (layers, replace(positions, ids=None)),
            "head-position": (Axis("head", tuple(head_name(i // 4, i % 4) for i in range(16))),
                              replace(positions, ids=None)),
            "neuron": (Axis("neuron", tuple(f"L{job.layer or 0}N{n}" for n in range(12))), Axis("value", ("patched",))),
        }[job.by]  # fmt: skip
        values = numbers(len(job.site), len(job.metric), len(rows), len(cols)) / 3 + off
        kind = f"{job.site} by {job.by}, {job.toward}"
        beside = {} if off else {
            name: frozen(values * factor) for name, factor in (("logit difference", 1.1), ("log-probability", 0.9),
                                                               ("KL", 0.8)) if name != job.metric
        }  # fmt: skip
        return Grid(head("patching", f"activation patching: {kind}", "m"), frozen(values), rows, cols,
                    job.toward == "denoise", beside=beside)  # fmt: skip

    def _patchingover(self, job: PatchingOver) -> Grid:
        stream = {"resid_pre": ".pre", "resid_mid": ".mid", "attn_out": ".attn", "mlp_out": ".mlp"}.get(job.site)
        nodes = [stream] if stream else [f"H{head}" for head in range(HEADS)]
        names = tuple(f"L{layer}{node}" for layer in range(LAYERS) for node in nodes)
        values = numbers(len(job.site), len(job.metric), len(names), 3) / 3
        values[:, 2] = (values[:, 2] > 0) / 2 + 0.5
        return Grid(head("patching", f"activation patching over pairs: {job.site}", "mean m"), frozen(values),
                    Axis("part", names), Axis("statistic", ("ratio of means", "spread", "same sign")),
                    job.toward == "denoise", column_limits=(None, None, (0.0, 1.0)))  # fmt: skip

    def _pathgrid(self, job: PathGrid) -> Grid:
        return self._sent(job.receiver, f"{job.variant} {job.metric}", "recovered", 0.0)

    def _pathestimate(self, job: PathEstimate) -> Grid:
        return self._sent(job.receiver, f"direct {job.metric}", "estimate", 0.05)

    def _sent(self, receiver: str, kind: str, column: str, off: float) -> Grid:
        """Parts of later layers than the receiver's send nothing to it."""
        parts = [*(f"H{head}" for head in range(HEADS)), ".mlp"]
        names = ("embed", *(f"L{layer}{part}" for layer in range(LAYERS) for part in parts))
        values = numbers(len(receiver), len(kind), len(names), 1) / 3 + off
        last = int(receiver[1]) if receiver[0] == "L" else LAYERS
        values[1 + last * len(parts) :] = np.nan
        return Grid(head("paths", f"path patching: senders to {receiver}, {kind}", "m"), frozen(values),
                    Axis("part", names), Axis("value", (column,)), kind[0] == "d")  # fmt: skip

    def _pathedges(self, job: PathEdges) -> Table:
        rows = tuple((f"L{i % 2}H{i % 4}", ("L2H1.k", "L3.mlp", "logits")[i % 3], 0.9 - i / 10) for i in range(8))
        return Table(head("paths", "edge attribution, estimate: all edges", "m"), ("sender", "receiver", "estimate"),
                     rows, "estimate")  # fmt: skip

    def _circuitscores(self, job: CircuitScores) -> Table:
        rows: list[tuple[Any, ...]] = [("F(full)", 3.5, None, None, None, ""), ("F(circuit)", 2.8, 0.7, 0.1, 1.4, ""),
                                       ("F(empty)", 0.5, None, None, None, ""),
                                       ("faithfulness", 0.77, 0.07, -0.13, 0.3, "")]  # fmt: skip
        rows += [(f"minimality of {name}", 0.3 / (i + 1), 0.05, 0.0, 0.2, "") for i, name in enumerate(job.nodes)]
        return Table(head("circuit", f"a circuit of {len(job.nodes)} parts", "F"),
                     ("score", "circuit", "random mean", "random min", "random max", "at"), tuple(rows))

    def _circuitpaths(self, job: CircuitPaths) -> Table:
        edges = job.edges or self._between(("embed", *job.parts), (*job.parts, "logits"))
        rows = tuple((*edge, (0.9 - i / 7) * (-1) ** (i // 3)) for i, edge in enumerate(edges))
        return Table(head("circuit-graph", "edges of a circuit by path patching", "m"),
                     ("sender", "receiver", "recovered"), rows, "recovered")  # fmt: skip

    def _circuitcomposition(self, job: CircuitComposition) -> Table:
        edges = job.edges or self._between(job.parts, job.parts)
        rows = tuple((*edge, 20.0 - 4 * i if "H" in edge[0] + edge[1] else None) for i, edge in enumerate(edges))
        return Table(head("circuit-graph", "edges of a circuit by composition", "z"), ("sender", "receiver", "z"),
                     rows, "z")  # fmt: skip

    @staticmethod
    def _between(first: Sequence[str], then: Sequence[str]) -> list[Edge]:
        """One edge for each pair of parts."""
        made = [edge_at(f"{a} -> {f'{b}.k' if 'H' in b else b}") for a in first for b in then]
        return [edge for edge in made if not isinstance(edge, str)]

    def _partners(self, job: Partners) -> Table:
        return self._tokentable(f"partners, {job.side}", job.token)

    def _toppairs(self, job: TopPairs) -> Table:
        ends = ("query", "key") if job.circuit == "qk" else ("source", "output")
        rows = tuple((i + 1, WORDS[4 + i % 3], 4 + i % 3, WORDS[6 + i % 4], 6 + i % 4, 9.0 - i) for i in range(8))
        return Table(head("pairs", "strongest pairs", "x W x"), ("rank", ends[0], "id", ends[1], "id", "value"), rows,
                     "value")  # fmt: skip

    def _nearest(self, job: Nearest) -> Table:
        rows = tuple((i + 1, WORDS[i + 1], i + 1, 0.9 - i / 10) for i in range(5))
        return Table(head("nearest", f"nearest, {job.where}", "cos"), ("rank", "token", "id", "cosine"), rows, "cosine")

    def _spectrum(self, job: Spectrum) -> Curve:
        x = np.arange(32)
        return Curve(head("svd", "singular values", "W = U S Vᵀ"), "index", "σ", x, {"σ": frozen(9.0 * 0.9**x)})

    def _singulartokens(self, job: SingularTokens) -> Table:
        sides = ("query", "key") if job.circuit == "qk" else ("source", "output")
        rows = tuple((side, i + 1, WORDS[(i + job.index) % len(WORDS)], i, 0.9 - i / 10) for side in sides
                     for i in range(4))  # fmt: skip
        return Table(head("svd", "singular tokens", "u"), ("side", "rank", "token", "id", "value"), rows, "value")

    def _composition(self, job: Composition) -> Grid:
        layers = range(job.layer) if job.direction == "from" else range(job.layer + 1, LAYERS)
        if not layers:
            raise Refused("No head comes before layer 0.", "Choose a later head, or press u.")
        names = tuple(head_name(layer, h) for layer in layers for h in range(HEADS))
        score, z = np.abs(numbers(1, 2, len(names), 1)[:, 0]), 5 * numbers(2, job.head, len(names), 1)[:, 0]
        values = np.stack([score, z], 1)
        header = head("composition", f"{job.kind}-composition", "‖W W‖", head_name(job.layer, job.head))
        return Grid(header, frozen(values), Axis("head", names), Axis("figure", ("score", "z")), True)

    def _virtualov(self, job: VirtualOV) -> Grid:
        values = numbers(1, 6, len(job.sources), len(job.outputs))
        header = head("virtual-ov", "virtual OV", "W W")
        return Grid(header, frozen(values), axis("source", job.sources), axis("output", job.outputs), True)

    def _virtualqk(self, job: VirtualQK) -> Grid:
        values = numbers(2, 6, len(job.rows), len(job.cols))
        header = head("virtual-qk", f"virtual QK, {job.side}", "W W")
        return Grid(header, frozen(values), axis("query", job.rows), axis("key", job.cols), True)

    def _grid(self, job: Any, values: np.ndarray, ids: tuple[int, ...], view: str, diverging: bool, quantity: str,
              names: tuple[str, str] = ("query", "key")) -> Grid:  # fmt: skip
        checks = {"softmax(scaled) = pattern": 3e-8, "concat(z) W_O = Σ z_h W_O^h": 1e-7} if view == "pattern" else {}
        where = head_name(job.layer, job.head) if job.head is not None else None
        header = head(view, quantity, "x_i W x_jᵀ", where, checks, f"row = {names[0]}, column = {names[1]}")
        return Grid(header, frozen(values), axis(names[0], ids), axis(names[1], ids), diverging)


def interventions_of(job: Any) -> tuple[Any, ...]:
    return changes_of(job)


def changed(result: Any, count: int) -> Any:
    """The numbers of a model with so many changes: each takes a tenth away."""
    if isinstance(result, Grid) and count:
        return replace(result, values=frozen(result.values * (1 - 0.1 * count)))
    if isinstance(result, Table) and count and result.bar:
        at = result.columns.index(result.bar)
        rows = (tuple(v * (1 - 0.1 * count) if i == at else v for i, v in enumerate(row)) for row in result.rows)  # type: ignore[operator]
        return replace(result, rows=tuple(rows))
    return result


def head(
    view: str, quantity: str, formula: str, where: str | None = None, checks: Any = None, words: str = ""
) -> Header:
    return Header(view, quantity, formula, "", where, words or quantity, {"bos": True}, checks or {})


def tokens(texts: list[str], bos: bool) -> Tokens:
    ids = tuple(WORDS.index(t) if t in WORDS else 20 + sum(map(ord, t)) % 1000 for t in texts)
    return Tokens(ids, tuple(texts), tuple(t == "<|bos|>" for t in texts), bos)


def axis(name: str, ids: tuple[int, ...]) -> Axis:
    return Axis(name, tuple(WORDS[i] if i < len(WORDS) else f" w{i}" for i in ids), ids)


def numbers(layer: int, seed: int, rows: int, cols: int) -> np.ndarray:
    """Fixed numbers of both signs that differ by layer and head."""
    i, j = np.arange(rows)[:, None], np.arange(cols)[None]
    return np.sin(1.7 * i + 0.9 * j * (seed + 1) + layer) * (2 + np.cos(i * j + seed))


def part_names() -> tuple[str, ...]:
    return ("embed", "pos", *(f"L{layer}.{kind}" for layer in range(LAYERS) for kind in ("attn", "mlp")))


def heads_grid(view: str, names: tuple[str, ...], values: np.ndarray, limits: tuple[Limits | None, ...]) -> Grid:
    rows = Axis("head", tuple(head_name(i // HEADS, i % HEADS) for i in range(LAYERS * HEADS)))
    return Grid(head(view, "scores of all heads", "mean"), frozen(values), rows, Axis("score", names), False,
                column_limits=limits)  # fmt: skip


def attribution_grid(unit: str, layer: int | None, seed: int, columns: tuple[str, ...]) -> Grid:
    """Parts with numbers and a check that their sum is the model's own value."""
    if unit == "neuron":
        names: tuple[str, ...] = (*(f"L{layer}N{7 * i + 1}" for i in range(6)), "others", f"L{layer}.mlp.bias")
    else:
        kinds = [f"H{h}" for h in range(HEADS)] if unit == "head" else [".attn"]
        names = ("embed", "pos", *(f"L{i}{kind}" for i in range(LAYERS) for kind in [*kinds, ".bias", ".mlp"]),
                 "unembed.bias", "rounding")  # fmt: skip
    values = numbers(seed, 4, len(names), len(columns))
    checks = {"value": float(values[:, 0].sum()), "sum": float(values[:, 0].sum()), "error": 3e-7}
    header = head("attribution", "direct logit attribution", "frozen norm(part) · direction", checks=checks)
    return Grid(header, frozen(values), Axis("part", names), Axis("column", columns), True)
