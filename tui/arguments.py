"""The arguments of ``circuit-tui export``: what there is, and which of them go together.

What can be refused before a model is loaded is refused here, with one sentence.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, get_args

from . import finding
from .engine.jobs import (
    Baseline,
    Basis,
    Circuit,
    Composed,
    Direction,
    Ends,
    Form,
    Grain,
    HeadAt,
    LensMeasure,
    Measure,
    Normalize,
    StreamMeasure,
    Term,
    TokenFilter,
    Unit,
    Weights,
)
from .formats import FORMATS
from .state import neuron_of

VIEWS = (
    "tokens", "pattern", "scores", "qk", "ov", "residual", "lens", "attribution", "sources", "score-parts", "stream",
    "neurons", "directions", "contexts", "head-scores", "copying", "search", "partners", "pairs", "nearest", "svd",
    "composition", "virtual-ov", "virtual-qk", "notes",
)  # fmt: skip
OVER = ("pattern", "lens", "attribution", "contexts", "head-scores")
"""Views that take a file of prompts."""
HEAD = re.compile(r"L([0-9]{1,6})(?:H([0-9]{1,6}))?$", re.IGNORECASE)
PATH = re.compile(r"\s*L([0-9]{1,6})H([0-9]{1,6})\s*,\s*L([0-9]{1,6})H([0-9]{1,6})\s*$", re.IGNORECASE)
_WEIGHTS_ALONE = ("head-scores", "copying", "search", "partners", "pairs", "nearest", "svd", "composition", "notes")
"""Views that need no prompt and no list of tokens."""
_TARGETED = ("residual", "lens", "attribution", "sources", "neurons", "contexts")

ONLY: dict[str, tuple[tuple[str, ...], Any]] = {
    "head": (
        ("pattern", "scores", "qk", "ov", "sources", "score-parts", "directions", "contexts", "partners", "pairs",
         "svd", "composition"), None),
    "form": (("qk",), "bilinear"),
    "normalize": (("qk", "ov"), "none"),
    "baseline": (("qk", "ov"), "shown"),
    "basis": (("qk", "ov", "search", "partners", "pairs"), "embed"),
    "term": (("qk",), "token-token"),
    "offset": (("qk", "search", "partners", "pairs"), None),
    "outputs": (("ov",), "shown"),
    "kind": (("pattern", "composition"), None),
    "direction": (("composition",), "from"),
    "circuit": (("search", "pairs", "svd"), None),
    "pairs": (("search",), None),
    "side": (("partners", "virtual-qk"), None),
    "path": (("virtual-ov", "virtual-qk"), None),
    "where": (("nearest",), "embedding"),
    "index": (("svd",), None),
    "top": (("partners", "pairs", "nearest"), None),
    "filter": (("partners", "pairs"), ""),
    "memory": (("pairs",), None),
    "sample": (("copying",), None),
    "seed": (("head-scores", "copying"), None),
    "rows": (("head-scores",), None),
    "length": (("head-scores",), None),
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
    "token": (("contexts", "partners", "nearest"), None),
    "statistic": (("pattern",), "mean"),
    "prompts": (OVER, None),
}
"""Options that change only some views, and their defaults: elsewhere they are an error, never silently ignored."""
MEASURES: dict[str, tuple[str, ...]] = {
    "residual": get_args(Measure), "lens": get_args(LensMeasure), "stream": (*get_args(StreamMeasure), "writes"),
}  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {"pattern": ("pattern", "value-weighted"), "composition": get_args(Composed)}
UNITS: dict[str, tuple[str, ...]] = {
    "residual": get_args(Unit), "attribution": get_args(Grain), "score-parts": get_args(Unit), "stream": get_args(Unit),
}  # fmt: skip


class Usage(Exception):
    """Options that do not go together: exit code 2."""


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
    choice("kind", tuple(kind for kinds in KINDS.values() for kind in kinds), None,
           "pattern: pattern (the default), or value-weighted, the size of what it moves; composition: q, k (the "
           "default), v")  # fmt: skip
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
    parser.add_argument("--token", metavar="WORD", help="contexts: what is attended to; partners, nearest: whose")
    choice("direction", Direction, "from", "composition: heads that feed this one, or that it feeds")
    choice("circuit", Circuit, None, "search, pairs, svd: which circuit (search: qk; pairs, svd: ov)")
    parser.add_argument("--pairs", metavar="PAIRS", help='search: "France>Paris,king>queen"')
    choice("side", ("query", "key", "source", "output", "q", "k"), None,
           "partners: query (the default), key, source or output; virtual-qk: k (the default) or q")  # fmt: skip
    parser.add_argument("--path", metavar="L0H1,L1H2", help="virtual-ov, virtual-qk: the two heads, the earlier first")
    choice("where", Ends, "embedding", "nearest: rows of W_E or columns of W_U")
    number("index", "svd: the tokens of this singular direction (0 is the largest)")
    number("top", "partners, pairs, nearest: how many")
    said = 'partners, pairs: "3+" long at least, "/ing$/" such ones, "same" with itself too'
    parser.add_argument("--filter", metavar="FILTER", default="", help=said)
    number("memory", "pairs: megabytes beside the model (default: 512)")
    parser.add_argument("--sample", metavar="N", help="copying: tokens drawn, or all (default: 1000)")
    number("seed", "head-scores, copying: of the random tokens (default: 0)")
    number("rows", "head-scores: rows of repeated tokens (default: 8)")
    number("length", "head-scores: tokens before they repeat (default: up to 50)")
    choice("weights", Weights, "processed", "norms folded and weights centred, or as stored")
    choice("bos", ("auto", "on", "off"), "auto", "whether a BOS is prepended to --prompt and --prompts")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")
    choice("dtype", ("auto", "float32", "bfloat16", "float16"), "auto", "what the model runs in")
    number("threads", "CPU threads")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of --out, else txt")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: standard output)")


def parse_filter(options: argparse.Namespace) -> TokenFilter:
    """What ``--filter`` leaves out of a search."""
    chosen = finding.parse_filter(options.filter)
    if isinstance(chosen, str):
        raise Usage(f"--filter: {chosen}")
    return chosen


def parse_path(options: argparse.Namespace) -> tuple[HeadAt, HeadAt]:
    """The two heads of ``--path``."""
    match = PATH.match(options.path or "")
    if match is None:
        raise Usage(f"{options.view} needs --path L0H1,L1H2: two heads, the earlier first")
    numbers = tuple(int(match[i]) for i in range(1, 5))
    return (numbers[0], numbers[1]), (numbers[2], numbers[3])


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
    _check_finding(options)
    if options.threads is not None and options.threads < 1:
        raise Usage(f"--threads {options.threads}: at least 1")
    if options.out == "":
        raise Usage("--out needs a file name")
    if options.out and not Path(options.out).absolute().parent.is_dir():
        raise Usage(f"--out {options.out}: there is no such folder")


def _check_text(o: argparse.Namespace) -> None:
    """There is something to run on, and of the right kind."""
    alone = o.view in _WEIGHTS_ALONE or (o.view == "neurons" and o.neuron is not None)
    if o.view in _WEIGHTS_ALONE and o.view != "head-scores" and any((o.prompt, o.tokens, o.token_ids)):
        raise Usage(f"{o.view} reads the weights alone: leave --prompt, --tokens and --token-ids out")
    if o.view == "contexts" and o.prompts is None:
        raise Usage("contexts needs --prompts FILE: it searches a file of prompts")
    if not alone and all(value is None for value in (o.prompt, o.tokens, o.token_ids, o.prompts)):
        raise Usage(f"{o.view} needs --prompt, --tokens or --token-ids" + (" or --prompts" if o.view in OVER else ""))
    if o.token_ids is not None and not re.fullmatch(r"[0-9,:\s]+", o.token_ids):
        raise Usage(f"--token-ids {o.token_ids}: ids are written 1,2,3 or 0:52")
    if o.bos == "on" and o.prompt is None and o.prompts is None and o.view != "head-scores":
        raise Usage("--bos is for --prompt: token lists and ids get no BOS")
    if o.statistic != "mean" and o.prompts is None:
        raise Usage("--statistic is for --prompts: one prompt has one pattern")


def _check_head(o: argparse.Namespace, head: tuple[int, int | None] | None) -> None:
    view = o.view
    free = ("ov", "directions")  # without a head: the direct path; a state or a part
    if view in ONLY["head"][0] and view not in free and head is None:
        raise Usage(f"{view} needs --head, such as --head L0H0")
    if head is not None and head[1] is None and (view != "pattern" or o.prompts is not None):
        raise Usage(f"--head {o.head} names a layer; {view} needs a head, such as L{head[0]}H0")
    if o.kind == "value-weighted" and head is not None and head[1] is None:
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
    for name, offered in (("measure", MEASURES), ("unit", UNITS), ("kind", KINDS)):
        value = getattr(o, name)
        if value is not None and value not in offered.get(view, ()):
            raise Usage(f"--{name} {value} is not for {view}, which has {', '.join(offered[view])}")
    if o.distractor is not None and o.answer is None:
        raise Usage("--distractor needs --answer")
    if view == "residual" and o.measure == "norm" and o.answer is not None and o.position is None:
        raise Usage("--answer changes nothing with --measure norm; leave one of them out")
    if view == "residual" and o.measure == "answer" and o.answer is None:
        raise Usage("--measure answer needs --answer")
    of_answer = o.measure in ("answer", "rank") or o.position is not None or o.prompts is not None
    if view == "lens" and o.answer is not None and (not of_answer or o.state is not None):
        raise Usage("lens has an --answer with --measure answer or rank, with --position, and with --prompts")
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


def _check_finding(o: argparse.Namespace) -> None:
    """What the searches need."""
    view = o.view
    if view == "search" and not o.pairs:
        raise Usage('search needs --pairs "France>Paris,king>queen"')
    if view in ("partners", "nearest") and o.token is None:
        raise Usage(f"{view} needs --token WORD, the token whose {view} are wanted")
    if view in ("virtual-ov", "virtual-qk"):
        parse_path(o)
    sides = {"partners": ("query", "key", "source", "output"), "virtual-qk": ("k", "q")}
    if o.side is not None and o.side not in sides[view]:
        raise Usage(f"--side {o.side} is not for {view}, which has {', '.join(sides[view])}")
    if view in ("search", "partners", "pairs") and o.basis == "prompt":
        raise Usage(f"{view} is over the whole vocabulary: --basis prompt reads one text")
    for name, least in (("top", 1), ("memory", 1), ("rows", 1), ("length", 1), ("index", 0), ("seed", 0)):
        value = getattr(o, name)
        if value is not None and value < least:
            raise Usage(f"--{name} {value}: at least {least}")
    if o.sample is not None and o.sample != "all" and not re.fullmatch(r"[1-9][0-9]{0,8}", o.sample):
        raise Usage(f"--sample {o.sample}: a number of tokens, or all")
    if view == "head-scores" and (o.prompt or o.prompts) and any(v is not None for v in (o.seed, o.rows, o.length)):
        raise Usage("--seed, --rows and --length are for repeated random tokens: leave --prompt and --prompts out")
    if view in ("composition", "nearest", "head-scores") and o.weights != "processed":
        raise Usage(f"--weights {o.weights}: {view} does not depend on it")
    if o.filter:
        parse_filter(o)
