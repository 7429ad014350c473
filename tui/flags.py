"""The options of ``circuit-tui export``: each once, with what it means; which exports take them is theirs to say."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from . import config, host, pages
from .config import FILES_ALONE
from .declared import Export
from .engine.jobs import Baseline, Basis, Circuit, Direction, Ends, Form, Normalize, Opening, Term, Weights
from .formats import FORMATS
from .framing import FORMS, FigureLook
from .framing import read as read_figure
from .names import jump_at, layer_at
from .pages.pairs import parse_filter
from .prompts import PromptsError, parse_fields
from .results import head_name


class Usage(Exception):
    """Options that do not go together: exit code 2."""


@dataclass(frozen=True)
class Flag:
    """One option of some exports."""

    help: str
    default: Any = None
    choices: tuple[str, ...] | None = None
    """Its values; None: those that exports give it, or any text."""
    metavar: str = ""
    kind: type | None = None
    """``int`` or ``float`` for a number, ``bool`` for a switch; None: text or a choice."""
    least: int | None = None
    """Of a number."""


FLAGS: Mapping[str, Flag] = {
    "form": Flag("the form alone, or with biases and over attn_scale", "bilinear", get_args(Form)),
    "normalize": Flag("take a baseline off each row", "none", get_args(Normalize)),
    "baseline": Flag("what --normalize compares with", "shown", get_args(Baseline)),
    "basis": Flag("what the head is imagined to read", "embed", get_args(Basis)),
    "term": Flag("tokens or learned positions on each side", "token-token", get_args(Term)),
    "offset": Flag("rotary distance query − key (default: 0)", metavar="N", kind=int),
    "outputs": Flag("columns are the shown tokens or the whole vocabulary", "shown", ("shown", "all")),
    "kind": Flag("what is shown; value-weighted: the size of what is moved (default: pattern, and k)"),
    "statistic": Flag("with --prompts: mean, or standard deviation", "mean", ("mean", "spread")),
    "measure": Flag("what is measured"),
    "unit": Flag("what a part is; neuron: with --layer"),
    "position": Flag("where; −1, the last, is the default but for residual and lens, which then show all", metavar="N",
                     kind=int),
    "answer": Flag("the token whose logit is split or followed; several (Paris, Rome) are averaged, #17 is an id "
                   "(default: the likeliest next token; residual: none)", metavar="WORDS"),
    "distractor": Flag("minus this token's logit", metavar="WORDS"),
    "query": Flag("position of the query (default: −1, the last)", -1, metavar="N", kind=int),
    "key": Flag("position of the key", metavar="N", kind=int),
    "against": Flag("less the score of this other key, or of the mean of all by the query's attention",
                    metavar="KEY|mean"),
    "layer": Flag("whose MLP", metavar="L2"),
    "neuron": Flag("this one; without --prompt: the tokens it writes", metavar="L2N17"),
    "mids": Flag("also the states between attention and MLP", False, kind=bool),
    "state": Flag("the likeliest tokens there, or the vector that is read out", metavar="L3.mid"),
    "part": Flag("what this part writes (L2.mlp, embed, …)", metavar="L1H3"),
    "source": Flag("with --head: what the head moves from this position", metavar="N", kind=int),
    "token": Flag("what is attended to, or whose they are", metavar="WORD"),
    "direction": Flag("heads that feed this one, or that it feeds", "from", get_args(Direction)),
    "circuit": Flag("which circuit (default: ov, but qk for search)", choices=get_args(Circuit)),
    "pairs": Flag('"France>Paris,king>queen"; to patch over: a file with clean, corrupted, answer, distractor',
                  metavar="PAIRS"),
    "clean": Flag("the prompt in which the answer is right", metavar="TEXT"),
    "corrupted": Flag("the other prompt, as many tokens long", metavar="TEXT"),
    "site": Flag("what is patched (default: z)"),
    "receiver": Flag("what is sent to: L2H1.q, L2H1.k, L2H1.v, L2.mlp or logits (default: logits)", metavar="L2H1.q"),
    "variant": Flag("direct: clean into corrupted through the frozen norm; ioi: corrupted into clean, MLPs and norms "
                    "computed again (default: direct)"),
    "by": Flag("what a cell is (default: head, of a whole layer position, of neurons neuron)"),
    "metric": Flag("what is measured, or whose change is a column (default: logit-difference)"),
    "estimate": Flag("attribution alone, from one backward pass; paths without --receiver: every edge, ranked", False,
                     kind=bool),
    "noise": Flag("corrupted into clean instead of clean into corrupted", False, kind=bool),
    "side": Flag("what the token is, or which side is read through the earlier head (default: query, and k)"),
    "path": Flag("the two heads, the earlier first", metavar="L0H1,L1H2"),
    "where": Flag("rows of W_E or columns of W_U", "embedding", get_args(Ends)),
    "index": Flag("the tokens of this singular direction (0 is the largest)", metavar="N", kind=int, least=0),
    "top": Flag("how many", metavar="N", kind=int, least=1),
    "filter": Flag('"3+" long at least, "/ing$/" such ones, "same" with itself too', "", metavar="FILTER"),
    "memory": Flag("megabytes beside the model (default: 512; ablation, patching: 1024)", metavar="N", kind=int,
                   least=1),
    "sample": Flag("tokens drawn, or all (default: 1000)", metavar="N"),
    "temperature": Flag("0: the likeliest token; else drawn (default: 0)", 0.0, metavar="T", kind=float, least=0),
    "stack": Flag("changes of the model, one a line: L1H3, L2.mlp mean, L1H3 5>3, 4 L2 @-1: Paris - Berlin",
                  metavar="FILE"),
    "ablate": Flag("what is changed: L1H3, L1.mlp, L1.attn, L1, L1N17, each with @4 at position 4 or @2-5 at some "
                   "(default: every head and MLP by itself)", metavar="L1H3,L2.mlp@4"),
    "each": Flag("also each of them by itself", False, kind=bool),
    "sigma": Flag("of noise, in standard deviations over the reference (default: 1)", metavar="X", kind=float),
    "alpha": Flag("what scale multiplies by", metavar="X", kind=float),
    "reference": Flag("prompts that mean, resample, noise and circuit read (default: those of --prompts)",
                      metavar="FILE"),
    "fold_value_biases": Flag("zero leaves b_V W_O in the stream", False, kind=bool),
    "continuation": Flag("text after the prompt whose loss is a column", metavar="TEXT"),
    "seed": Flag("of what is drawn (default: 0)", metavar="N", kind=int, least=0),
    "rows": Flag("rows of repeated tokens (default: 8)", metavar="N", kind=int, least=1),
    "length": Flag("tokens before they repeat (default: up to 50)", metavar="N", kind=int, least=1),
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser, others: Mapping[str, Export]) -> None:
    """The arguments of ``circuit-tui export``. ``others``: exports that belong to no page."""
    exports = {**others, **pages.exports()}
    parser.description = ("Compute what a view shows and write it to a file or to standard output. With --session FILE "
                          "or --replay FILE in VIEW's place: the view of a session that the app saved, or the one that "
                          "a log leads to.")  # fmt: skip
    parser.add_argument("view", choices=exports, metavar="VIEW", help=f"one of {', '.join(exports)}")
    files = ", ".join(f"{name}: {export.file}" for name, export in exports.items() if export.file)
    parser.add_argument("file", nargs="?", metavar="FILE", help=files)
    parser.add_argument("--model", default="demo", help="demo, a hub name or a folder (default: demo)")
    parser.add_argument("--revision", metavar="REVISION", help="branch, tag or commit of a hub name")
    heads = ", ".join(name for name, export in exports.items() if export.head)
    parser.add_argument("--head", metavar="L1H3", help=f"{heads}: which head; L1 alone with pattern: all of the layer")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", metavar="TEXT", help="text to run the model on")
    source.add_argument("--tokens", metavar="WORDS", help='single tokens, such as "France, Paris, king"; no BOS')
    source.add_argument("--token-ids", metavar="IDS", help="token ids, such as 1,2,3 or 0:52 (52 left out); no BOS")
    source.add_argument("--prompts", metavar="FILE",
                        help=f"{', '.join(taking('prompts'))}: over a file of prompts: JSON, CSV or TSV with prompt, "
                             "answer, distractor, or plain text, one a line")  # fmt: skip
    parser.add_argument("--fields", metavar="FIELD=KEY,…", help="what they are called in --prompts: prompt=text")
    for name, flag in FLAGS.items():
        _add(parser, name, flag)
    parser.add_argument("--weights", choices=get_args(Weights), default="processed",
                        help="norms folded and weights centred, or as stored (default: processed)")  # fmt: skip
    parser.add_argument("--bos", choices=("auto", "on", "off"), default="auto",
                        help="whether a BOS is prepended to --prompt and --prompts (default: auto)")  # fmt: skip
    parser.add_argument("--chat", action="store_true",
                        help="--prompt and --prompts are user messages in the model's own chat template")  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")
    parser.add_argument("--device-map", default="", metavar="auto|balanced|FILE",
                        help="layers on several devices; FILE is JSON, module to device (0, cpu, disk)")  # fmt: skip
    parser.add_argument("--max-memory", default="", metavar="0=20GB,…", help="what is put on each of them at most")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto",
                        help="what the model runs in (default: auto)")  # fmt: skip
    alone = parser.add_mutually_exclusive_group()
    for written, text in FILES_ALONE.items():
        alone.add_argument(written, action="store_true", help=text)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    parser.add_argument("--cluster", default="", metavar="auto|HOST:PORT|local",
                        help="compute on a Ray cluster: that of this node, or one started here")  # fmt: skip
    parser.add_argument("--cluster-workers", type=int, metavar="N", help="copies of the model on it")
    parser.add_argument("--remote", metavar="HOST[:MODEL]", help="compute on another machine, over ssh")
    parser.add_argument("--remote-command", default=host.COMMAND, metavar="COMMAND",
                        help=f"what is started there (default: {host.COMMAND})")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of --out, else txt")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: standard output)")
    parser.add_argument("--figure", metavar="FILE.svg|png|pdf",
                        help="a figure for a paper, and no numbers without --out")  # fmt: skip
    parser.add_argument("--figure-as", metavar="WORDS", help='"white 12x9 cm numbers", "dark 16x6 L0H1, L0H2": these '
                        "heads in a row on one colour scale")  # fmt: skip


def _add(parser: argparse.ArgumentParser, name: str, flag: Flag) -> None:
    said = f" (default: {flag.default})" if flag.choices and flag.default else ""
    text = f"{', '.join(taking(name))}: {flag.help}{said}"
    if flag.kind is bool:
        parser.add_argument(option(name), action="store_true", help=text)
        return
    offered = {view: export.choices[name] for view, export in pages.exports().items() if name in export.choices}
    given = tuple(dict.fromkeys(value for values in offered.values() for value in values))
    if given and flag.choices is None:
        text = f"{flag.help}. " + "; ".join(f"{view}: {', '.join(values)}" for view, values in offered.items())
    choices = flag.choices or given or None
    parser.add_argument(f"--{name}", type=flag.kind or str, choices=choices, default=flag.default, help=text,
                        metavar=flag.metavar or None)  # fmt: skip


def opening(o: argparse.Namespace) -> Opening:
    """How the model is opened."""
    return "weights" if o.weights_only else "stream" if o.stream else "load"


def option(name: str) -> str:
    """An option as it is typed: ``--fold-value-biases``."""
    return f"--{name.replace('_', '-')}"


def taking(flag: str) -> list[str]:
    """Names of the exports that take an option."""
    return [name for name, export in pages.exports().items() if flag in export.takes]


def check(o: argparse.Namespace, export: Export) -> None:
    """Usage for what can be refused before a model is loaded."""
    _check_figure(o, export)
    if head_of(o) is not None and not export.head:
        takers = [name for name, other in pages.exports().items() if other.head]
        raise Usage(f"--head is for {' and '.join(takers)}; {o.view} does not depend on it")
    for name in ("prompts", *FLAGS):
        default = FLAGS[name].default if name in FLAGS else None
        of_stack = o.stack is not None and "ablate" not in export.takes
        if of_stack and name in ("stack", "reference"):
            continue  # every view of a run is one of the changed run too; what has none says so
        if name not in export.takes and getattr(o, name) != default:
            raise Usage(f"{option(name)} is for {' and '.join(taking(name))}; {o.view} does not depend on it")
    if o.file is not None and not export.file:
        raise Usage(f"{o.file}: {o.view} reads no file of its own; a model is named here by --model {o.file}")
    if o.file is None and export.file:
        raise Usage(f"{o.view} needs a file after its name: {export.file}")
    if "weights" in export.ignores and o.weights != "processed":
        raise Usage(f"--weights {o.weights}: {o.view} does not depend on it")
    _check_text(o, export)
    _check_head(o, export)
    _check_values(o, export)
    if problem := export.refuses(o):
        raise Usage(problem)
    if o.max_memory and not o.device_map:
        raise Usage("--max-memory is for --device-map: it says how much each device takes")
    if o.threads is not None and o.threads < 1:
        raise Usage(f"--threads {o.threads}: at least 1")
    for name in ("cluster", "cluster_workers"):
        value = getattr(o, name)
        if value not in ("", None) and (problem := config.check(name, value)):
            raise Usage(problem.replace(name, option(name), 1))
    if o.remote is not None and isinstance(found := host.split(o.remote), str):
        raise Usage(found)
    if o.remote is not None and config.on_cluster(o.cluster):
        raise Usage("--remote and --cluster are two places to compute at: leave one out")
    if o.out == "":
        raise Usage("--out needs a file name")
    if o.out and not Path(o.out).absolute().parent.is_dir():
        raise Usage(f"--out {o.out}: there is no such folder")


def _check_figure(o: argparse.Namespace, export: Export) -> None:
    """A form that there is, a folder, and heads only where the view is of one."""
    if o.figure is None:
        if o.figure_as is not None:
            raise Usage("--figure-as needs --figure FILE: it says how that is drawn")
        return
    if Path(o.figure).suffix.lower().lstrip(".") not in FORMS:
        raise Usage(f"--figure {o.figure}: a figure is one of .{', .'.join(FORMS)}")
    if not Path(o.figure).absolute().parent.is_dir():
        raise Usage(f"--figure {o.figure}: there is no such folder")
    look = figure_look(o)
    if look.heads and not export.head:
        raise Usage(f"--figure-as {o.figure_as}: {o.view} is of no one head")


def with_head(o: argparse.Namespace) -> argparse.Namespace:
    """The options, with the first head of a figure where no other is named."""
    heads = figure_look(o).heads if o.figure is not None else ()
    return argparse.Namespace(**vars(o) | {"head": head_name(*heads[0])}) if heads and o.head is None else o


def figure_look(o: argparse.Namespace) -> FigureLook:
    """How the figure is drawn."""
    look = read_figure(o.figure_as or "")
    if isinstance(look, str):
        raise Usage(f"--figure-as: {look}")
    return look


def head_of(o: argparse.Namespace) -> tuple[int, int | None] | None:
    """Layer and head; without H a whole layer."""
    if o.head is None:
        return None
    at, layer = jump_at(o.head) if "h" in o.head.lower() else None, layer_at(o.head)
    if not o.head.strip().lower().startswith("l") or (at is None and layer is None):
        raise Usage(f"--head {o.head}: a head is written L1H3")
    return at if at is not None else (layer or 0, None)


def _check_head(o: argparse.Namespace, export: Export) -> None:
    head = head_of(o)
    if head is None and export.head in ("needed", "layer"):
        raise Usage(f"{o.view} needs --head, such as --head L0H0")
    if head is not None and head[1] is None and (export.head != "layer" or o.prompts is not None):
        raise Usage(f"--head {o.head} names a layer; {o.view} needs a head, such as L{head[0]}H0")
    if head is not None and head[1] is None and o.kind not in (None, "pattern"):
        raise Usage(f"--kind {o.kind} needs a head, such as L{head[0]}H0")


def _check_text(o: argparse.Namespace, export: Export) -> None:
    """There is something to run on, and of the right kind."""
    given = [value for value in (o.prompt, o.tokens, o.token_ids) if value is not None]
    if export.reads == "weights" and given:
        raise Usage(f"{o.view} reads the weights alone: leave --prompt, --tokens and --token-ids out")
    if export.reads == "pair" and given:
        raise Usage(f"{o.view} reads --clean and --corrupted: leave --prompt, --tokens and --token-ids out")
    if export.reads == "prompts" and o.prompts is None:
        raise Usage(f"{o.view} needs --prompts FILE: it is over a file of prompts")
    if export.reads == "text" and not given and o.prompts is None:
        more = " or --prompts" if "prompts" in export.takes else ""
        raise Usage(f"{o.view} needs --prompt, --tokens or --token-ids{more}")
    if o.token_ids is not None and not re.fullmatch(r"[0-9,:\s]+", o.token_ids):
        raise Usage(f"--token-ids {o.token_ids}: ids are written 1,2,3 or 0:52")
    if o.bos == "on" and o.prompt is None and o.prompts is None and "bos" not in export.takes:
        raise Usage("--bos is for --prompt: token lists and ids get no BOS")
    if o.chat and o.prompt is None and o.prompts is None and "bos" not in export.takes and export.reads != "pair":
        raise Usage("--chat is for --prompt: token lists and ids are in no template")
    if o.chat and o.bos != "auto":
        raise Usage(f"--bos {o.bos} is not for --chat: the template says whether there is a BOS")
    if o.fields is not None:
        if o.prompts is None:
            raise Usage("--fields is for --prompts: it says what the keys of that file are")
        try:
            parse_fields(o.fields)
        except PromptsError as error:
            raise Usage(f"{error.message} {error.hint}") from None


def _check_values(o: argparse.Namespace, export: Export) -> None:
    for name, values in export.choices.items():
        value = getattr(o, name)
        if value is not None and value not in values:
            names = dict.fromkeys(str(one).replace(" ", "-") for one in values)
            raise Usage(f"--{name} {value} is not for {o.view}, which has {', '.join(names)}")
    for name, flag in FLAGS.items():
        value = getattr(o, name)
        if flag.least is not None and value is not None and value < flag.least:
            raise Usage(f"--{name} {value}: at least {flag.least}")
    if "basis" in export.takes and o.basis == "prompt":
        if "basis" not in export.choices:
            raise Usage(f"{o.view} is over the whole vocabulary: --basis prompt reads one text")
        if o.prompt is None:
            raise Usage("--basis prompt needs --prompt: it reads the stream of a typed text, not a token list")
        if o.offset is not None:
            raise Usage("--offset is for listed tokens; --basis prompt stands at its real positions")
    if o.baseline != "shown" and o.normalize == "none":
        raise Usage("--baseline needs --normalize: nothing is taken off")
    if o.distractor is not None and o.answer is None:
        raise Usage("--distractor needs --answer")
    if o.layer is not None and layer_at(o.layer) is None:
        raise Usage(f"--layer {o.layer}: a layer is written L2")
    if o.sample is not None and o.sample != "all" and not re.fullmatch(r"[1-9][0-9]{0,8}", o.sample):
        raise Usage(f"--sample {o.sample}: a number of tokens, or all")
    if isinstance(problem := parse_filter(o.filter), str):
        raise Usage(f"--filter: {problem}")
