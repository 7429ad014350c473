"""Headless: the same jobs as the app, run in place, written as JSON, CSV, NPZ, SVG or text.

``add_arguments`` and this module's imports are light, so that ``--help`` stays quick; torch comes with ``export``.
Exit codes: 0 done, 2 usage, 1 failed with one sentence on stderr and nothing half-written.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

from .engine.jobs import (
    OV,
    QK,
    Baseline,
    Basis,
    Form,
    Job,
    LayerPatterns,
    Measure,
    Normalize,
    Open,
    Pattern,
    Residual,
    ResidualParts,
    Run,
    Term,
    Tokenize,
    Unit,
    Weights,
    Words,
)
from .formats import FORMATS, encode, format_of
from .results import ModelInfo, Result, Tokens

if TYPE_CHECKING:
    from .engine.run import Bench

VIEWS = ("tokens", "pattern", "scores", "qk", "ov", "residual")
HEAD = re.compile(r"L([0-9]{1,6})(?:H([0-9]{1,6}))?$", re.IGNORECASE)


ONLY: dict[str, tuple[tuple[str, ...], Any]] = {
    "head": (("pattern", "scores", "qk", "ov"), None),
    "form": (("qk",), "bilinear"),
    "normalize": (("qk", "ov"), "none"),
    "baseline": (("qk", "ov"), "shown"),
    "basis": (("qk", "ov"), "embed"),
    "term": (("qk",), "token-token"),
    "offset": (("qk",), None),
    "outputs": (("ov",), "shown"),
    "kind": (("pattern",), "pattern"),
    "measure": (("residual",), None),
    "unit": (("residual",), "component"),
    "position": (("residual",), None),
    "answer": (("residual",), None),
    "distractor": (("residual",), None),
}
"""Options that change only some views, and their defaults: elsewhere they are an error, never silently ignored."""


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

    def choice(name: str, values: Any, default: str | None, text: str) -> None:
        said = f" (default: {default})" if default else ""
        parser.add_argument(f"--{name}", choices=get_args(values) or values, default=default, help=text + said)

    choice("form", Form, "bilinear", "qk: the form alone, or with biases and over attn_scale")
    choice("normalize", Normalize, "none", "qk, ov: take a baseline off each row")
    choice("baseline", Baseline, "shown", "qk, ov: what --normalize compares with")
    choice("basis", Basis, "embed", "qk, ov: what the head is imagined to read")
    choice("term", Term, "token-token", "qk: tokens or learned positions on each side")
    parser.add_argument("--offset", type=int, metavar="N", help="qk: rotary distance query − key (default: 0)")
    choice("outputs", ("shown", "all"), "shown", "ov: columns are the shown tokens or the whole vocabulary")
    choice("kind", ("pattern", "value-weighted"), "pattern", "pattern: attention, or the size of what it moves")
    choice("measure", Measure, None, "residual: norm, or answer where --answer is given")
    choice("unit", Unit, "component", "residual: one row a layer's attention, or one a head")
    parser.add_argument("--position", type=int, metavar="N", help="residual: the parts at one position (−1: last)")
    parser.add_argument("--answer", metavar="WORD", help="residual: attribute this token's logit")
    parser.add_argument("--distractor", metavar="WORD", help="residual: minus this token's logit")
    choice("weights", Weights, "processed", "norms folded and weights centred, or as stored")
    choice("bos", ("auto", "on", "off"), "auto", "whether a BOS is prepended to --prompt")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")
    choice("dtype", ("auto", "float32", "bfloat16", "float16"), "auto", "what the model runs in")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of --out, else txt")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: standard output)")


def export(options: argparse.Namespace) -> int:
    """Compute and write one view; returns the exit code. ``options`` as parsed by ``add_arguments``."""
    try:
        form = _format(options)
        head = _head(options)
        _consistent(options, head)
        from .engine.run import Bench

        context = InPlace(Bench(), sys.stderr if sys.stderr.isatty() else None)
        try:
            model: ModelInfo = context.get(Open(options.model, options.device, options.dtype, options.threads))
            tokens = _tokens(options, model, context)
            ask = Ask(options, head, model, tokens, context)
            result = tokens if options.view == "tokens" else context.get(_job(ask))
        finally:
            context.quiet()
        data = encode(result, form, model, tokens, options.prompt or "")
        if options.out:
            save(data, Path(options.out))
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except Usage as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        # The reader went away (``| head``): nobody is left to tell, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _fail("interrupted", 1)
    except Exception as error:
        return _fail(_sentence(error), 1)
    return 0


def write(
    result: Result,
    path: Path,
    model: ModelInfo,
    tokens: Tokens | None = None,
    prompt: str = "",
    form: str | None = None,
) -> Path:
    """Write a result that is already there (the app's ``e``); the format is ``form`` or by the path's ending.

    Whole or not at all: OSError if it cannot be written, ValueError for an unknown ending or a picture that a result
    does not have. Returns the absolute path.
    """
    target = path.expanduser().absolute()
    save(encode(result, form or format_of(target), model, tokens, prompt), target)
    return target


def save(data: bytes, path: Path) -> None:
    """Write bytes whole or not at all: beside the target first, then renamed over it. OSError if that cannot be."""
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(data)  # a pipe or a device: nothing to rename over
        return
    part = path.with_name(f".{path.name[:40]}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename:
            error.filename = str(path)  # the file that was asked for, not the one beside it
        raise


class InPlace:
    """The engine's context without an engine: jobs are computed at once, each once; progress goes to a terminal."""

    def __init__(self, bench: Bench, terminal: TextIO | None) -> None:
        self._bench = bench
        self._terminal = terminal
        self._values: dict[Job, Any] = {}
        self._told = ""

    def get(self, job: Job) -> Any:
        if job not in self._values:
            self._values[job] = self._bench.compute(job, self)
        return self._values[job]

    def check(self) -> None:
        """Nobody cancels an export but by a signal."""

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        if self._terminal is None:
            return
        text = f"{stage} {100 * done // total} %" if total else stage
        if text != self._told:
            self._told = text
            self._terminal.write(f"\r\x1b[K{text}")
            self._terminal.flush()

    def partial(self, result: Result) -> None:
        """Only whole results are exported."""

    def quiet(self) -> None:
        """Take the progress line away."""
        if self._terminal is not None and self._told:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()


@dataclass(frozen=True)
class Ask:
    """One export: what was asked for, the model, and the tokens."""

    options: argparse.Namespace
    head: tuple[int, int | None] | None
    """Layer and head; no head: the whole layer."""
    model: ModelInfo
    tokens: Tokens
    context: InPlace

    @property
    def run(self) -> Run:
        return Run(self.model.key, self.tokens.ids, self.tokens.bos)

    @property
    def basis_run(self) -> Run | None:
        """The forward pass behind basis ``prompt``."""
        return self.run if self.options.basis == "prompt" else None

    def word(self, name: str) -> int | None:
        """The one token that an option names."""
        text = getattr(self.options, name)
        if text is None:
            return None
        ids: tuple[int, ...] = self.context.get(Words(self.model.key, text, "words")).ids
        if len(ids) != 1:
            raise Usage(f"--{name} takes one token, not {len(ids)}")
        return ids[0]


def _tokens(options: argparse.Namespace, model: ModelInfo, context: InPlace) -> Tokens:
    if options.prompt is None:
        words = options.tokens is not None
        job = Words(model.key, options.tokens, "words") if words else Words(model.key, options.token_ids, "ids")
        listed: Tokens = context.get(job)
        return listed
    if options.bos == "on" and model.bos_id is None:
        raise Usage(f"--bos on: {model.name} has no BOS token")
    bos = model.bos_default if options.bos == "auto" else options.bos == "on"
    text: Tokens = context.get(Tokenize(model.key, options.prompt, bos))
    return text


def _job(ask: Ask) -> Job:
    """The job that the app would ask for."""
    o, model, ids = ask.options, ask.model, ask.tokens.ids
    layer, head = ask.head or (0, None)
    if o.view == "residual":
        return _residual(ask)
    if o.view == "ov":
        outputs = None if o.outputs == "all" else ids
        return OV(model.key, layer, head, ids, outputs, o.weights, o.normalize, o.baseline, o.basis, ask.basis_run)
    if head is None:
        return LayerPatterns(ask.run, layer)
    if o.view in ("pattern", "scores"):
        return Pattern(ask.run, layer, head, "scores" if o.view == "scores" else o.kind)
    if o.offset is not None and model.positions != "rotary":
        raise Usage(f"--offset is for rotary positions; {model.name} has {model.positions} ones")
    return QK(
        model.key, layer, head, ids, ids, o.weights, o.form, o.normalize, o.baseline, o.basis, o.offset or 0, o.term,
        ask.basis_run,
    )  # fmt: skip


def _residual(ask: Ask) -> Job:
    o, answer, distractor = ask.options, ask.word("answer"), ask.word("distractor")
    measure: Measure = o.measure or ("norm" if answer is None else "answer")
    if o.position is None:
        return Residual(ask.run, o.weights, measure, answer, distractor, o.unit)
    count = len(ask.tokens)
    if not -count <= o.position < count:
        raise Usage(f"--position {o.position}: there are {count} tokens")
    return ResidualParts(ask.run, o.position % count, o.weights, o.unit, measure, answer, distractor)


def _head(options: argparse.Namespace) -> tuple[int, int | None] | None:
    if options.head is None:
        return None
    match = HEAD.match(options.head.strip())
    if not match:
        raise Usage(f"--head {options.head}: a head is written L1H3")
    return int(match[1]), None if match[2] is None else int(match[2])


def _consistent(options: argparse.Namespace, head: tuple[int, int | None] | None) -> None:
    """What can be refused before a model is loaded."""
    view = options.view
    for name, (views, default) in ONLY.items():
        if view not in views and getattr(options, name) != default:
            raise Usage(f"--{name} is for {' and '.join(views)}; {view} does not depend on it")
    if options.prompt is None and options.tokens is None and options.token_ids is None:
        raise Usage(f"{view} needs --prompt, --tokens or --token-ids")
    if options.token_ids is not None and not re.fullmatch(r"[0-9,:\s]+", options.token_ids):
        raise Usage(f"--token-ids {options.token_ids}: ids are written 1,2,3 or 0:52")
    if view in ("pattern", "scores", "qk") and head is None:
        raise Usage(f"{view} needs --head, such as --head L0H0")
    if head is not None and head[1] is None and view != "pattern":
        raise Usage(f"--head {options.head} names a layer; {view} needs a head, such as L{head[0]}H0")
    if options.basis == "prompt" and options.prompt is None and view in ("qk", "ov"):
        raise Usage("--basis prompt needs --prompt: it reads the stream of a typed text, not a token list")
    if options.basis == "prompt" and options.offset is not None:
        raise Usage("--offset is for listed tokens; --basis prompt stands at its real positions")
    if options.baseline != "shown" and options.normalize == "none":
        raise Usage("--baseline needs --normalize: nothing is taken off")
    if options.bos == "on" and options.prompt is None:
        raise Usage("--bos is for --prompt: token lists and ids get no BOS")
    if options.kind != "pattern" and head is not None and head[1] is None:
        raise Usage(f"--kind {options.kind} needs a head, such as L{head[0]}H0")
    if options.measure == "norm" and options.answer is not None and options.position is None:
        raise Usage("--answer changes nothing with --measure norm; leave one of them out")
    if options.threads is not None and options.threads < 1:
        raise Usage(f"--threads {options.threads}: at least 1")
    if options.measure == "answer" and options.answer is None:
        raise Usage("--measure answer needs --answer")
    if options.distractor is not None and options.answer is None:
        raise Usage("--distractor needs --answer")
    if options.out == "":
        raise Usage("--out needs a file name")
    if options.out and not Path(options.out).absolute().parent.is_dir():
        raise Usage(f"--out {options.out}: there is no such folder")


def _format(options: argparse.Namespace) -> str:
    if options.format:
        return str(options.format)
    try:
        return format_of(Path(options.out)) if options.out else "txt"
    except ValueError as error:
        raise Usage(f"--out {options.out}: {error}") from None


def _sentence(error: Exception) -> str:
    """What went wrong and what to do, on one line."""
    message, hint = getattr(error, "message", None), getattr(error, "hint", None)
    if isinstance(message, str):
        return f"{message} {hint}".strip() if isinstance(hint, str) else message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _fail(sentence: str, code: int) -> int:
    safe = "".join(char if char.isprintable() else "?" for char in sentence)
    print(f"circuit-tui: {safe}", file=sys.stderr)
    return code
