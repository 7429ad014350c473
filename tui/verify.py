"""``circuit-tui verify``: what has been published of a model, measured on it again.

Each fact of ``published`` becomes rows of a table (fact, published, measured, agrees), computed by the jobs that the
app and the export ask for. What cannot be measured here is listed there. Exit codes: 0 all agree, 1 some do not, or the
model cannot be had or has no published facts (one sentence on stderr), 2 usage.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import config
from .circuits.errors import Refusal
from .engine.jobs import (
    Attribution,
    CopyingScores,
    FindPairs,
    FindTarget,
    HeadScores,
    Job,
    LensTop,
    NextTokens,
    Open,
    PairSearch,
    Repeats,
    Run,
    Target,
    Tokenize,
)
from .engine.trouble import told
from .export import InPlace
from .process import fail
from .published import MODELS, BestHeads, Effects, Fact, PairHeads, Published, Says, Stands, StrongHeads
from .results import Found, Grid, ModelInfo, Pairs, Table, Tokens, head_name
from .text import shorten, visible, width

COLUMNS = ("fact", "published", "measured", "agrees")
WIDTHS = (28, 20, 20, 6)
"""Of the columns: 80 with two blanks between them."""
GAP = "  "
WHOLE = sum(WIDTHS) + len(GAP) * (len(WIDTHS) - 1)
Size = Callable[[float], float]
"""By what values are ranked: as they are, or ``abs``."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    about: str
    """What it was measured on: a line of its own above all rows that share it."""
    fact: str
    published: str
    measured: str
    agrees: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui verify``."""
    parser.description = "Measure what has been published of a model, and say whether it agrees."
    parser.epilog = f"{_with_facts()} have published facts."
    parser.add_argument("model", nargs="?", metavar="MODEL", type=_checked("model"),
                        help="demo, gpt2 or a folder that holds one of them (default: demo)")  # fmt: skip
    parser.add_argument("--model", dest="model_too", metavar="MODEL", type=_checked("model"), help="the same")
    for name, metavar, text in (
        ("device", "DEVICE", "auto, cpu, cuda[:N] or mps (default: auto)"),
        ("dtype", "|".join(config.CHOICES["dtype"]), "what the model runs in (default: auto)"),
        ("threads", "N", "CPU threads"),
    ):
        default = None if name == "threads" else "auto"
        parser.add_argument(f"--{name}", metavar=metavar, default=default, type=_checked(name), help=text)


def _checked(name: str) -> Callable[[str], str | int]:
    """What reads an option's text, by the rules of the app's own options."""

    def read(text: str) -> str | int:
        value = int(text) if name == "threads" and text.isascii() and text.isdigit() else text
        if problem := config.check(name, value):
            raise argparse.ArgumentTypeError(problem)
        return value

    return read


def verify(options: argparse.Namespace) -> int:
    """Measure and print; returns the exit code. ``options`` as parsed by ``add_arguments``."""
    try:
        source = options.model or "demo"
        published = find(source)
        if published is None:
            raise Refusal(f"There are no published facts for {source}.", f"{_with_facts()} have them.")
        from .engine.run import Bench

        context = InPlace(Bench(), sys.stderr if sys.stderr.isatty() else None)
        try:
            model: ModelInfo = context.get(Open(source, options.device, options.dtype, options.threads))
            rows = list(itertools.chain.from_iterable(measure(fact, model, context) for fact in published.facts))
        finally:
            context.quiet()
    except Exception as error:
        return fail(told(error), 1)
    sys.stdout.buffer.write(report(published, model, rows).encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
    return 0 if all(row.agrees for row in rows) else 1


def find(source: str) -> Published | None:
    """Whose facts a model should have: by its name, a folder by the sizes in its ``config.json``.

    ModelError for a folder that is none. Asks no network.
    """
    source = source.strip() or "demo"
    if source != "demo" and (source.startswith(("/", "~", ".")) or (Path(source) / "config.json").exists()):
        from .models.find import find_model

        entries = find_model(source).config
        return next((model for model in MODELS if all(entries.get(k) == v for k, v in model.sizes)), None)
    return next((model for model in MODELS if source in model.names), None)


def _with_facts() -> str:
    return " and ".join(f"{model.names[0]} ({model.title})" for model in MODELS) + ", by name or as a folder,"


def measure(fact: Fact, model: ModelInfo, context: InPlace) -> Iterator[Row]:
    """The rows of one fact."""
    match fact:
        case BestHeads():
            about, values = _scores(fact, model, context)
            yield from _largest(about, fact.score, fact.heads, values, fact.tolerance, float, ".3f")
        case StrongHeads():
            about, values = _scores(fact, model, context)
            order = _order(values, float)
            for head in fact.heads:
                place = order.index(head) + 1
                yield Row(
                    about,
                    f"{fact.score}, {head}",
                    f"among the {fact.among} best",
                    f"{values[head]:.3f} (#{place})",
                    place <= fact.among and values[head] > 0,
                )
        case PairHeads():
            yield from _pairs(fact, model, context)
        case Effects():
            yield from _effects(fact, model, context)
        case Says():
            yield _says(fact, model, context)


def _scores(fact: BestHeads | StrongHeads, model: ModelInfo, context: InPlace) -> tuple[str, Mapping[str, float]]:
    """What a score was read on, and its value for every head."""
    copying = fact.score == "copying"
    job: Job = CopyingScores(model.key) if copying else HeadScores(model.key, Repeats(0, fact.rows, fact.length))
    grid: Grid = context.get(job)
    said = grid.header.convention
    about = "Weights: the full OV circuit"
    if not copying:
        about = f"Repeated random tokens: {said['rows']} rows of {said['length']}, seed {said['seed']}"
    column = grid.values[:, grid.cols.labels.index(fact.score)]
    return about, dict(zip(grid.rows.labels, map(float, column), strict=True))


def _pairs(fact: PairHeads, model: ModelInfo, context: InPlace) -> Iterator[Row]:
    """One search for all pairs of a circuit; it holds their reverses too."""
    words: list[tuple[str, str]] = []
    for stands in fact.stands:
        if (stands.first, stands.second) not in words and (stands.second, stands.first) not in words:
            words.append((stands.first, stands.second))
    pairs: Pairs = context.get(FindPairs(model.key, ", ".join(f"{first}>{second}" for first, second in words)))
    grid: Grid = context.get(PairSearch(model.key, pairs.ids, fact.circuit))
    sides = "query → key" if fact.circuit == "qk" else "source → output"
    about = f"Weights: {fact.circuit.upper()} circuit, {sides}, over {model.d_vocab:,} tokens"
    for stands in fact.stands:
        pair = f"{stands.first}→{stands.second}"
        z = _cell(grid, stands.head, f"z {pair}")
        rank = _cell(grid, stands.head, f"rank {pair}")
        agrees = z > stands.z and (stands.rank is None or rank <= stands.rank)
        found = f"z {z:.2f} (#{rank:.0f})"
        if stands.above:
            other = _cell(grid, stands.above, f"z {pair}")
            agrees = agrees and z > other
            found += f", {stands.above} {other:.2f}"
        yield Row(about, f"{stands.head} {pair}", _expected(stands), found, agrees)


def _expected(stands: Stands) -> str:
    if stands.rank is not None:
        return "first of its row" if stands.rank == 1 else f"first {stands.rank} of its row"
    return f"z > {stands.z:g}" + (f", more than in {stands.above}" if stands.above else "")


def _cell(grid: Grid, head: str, column: str) -> float:
    return float(grid.values[grid.rows.labels.index(head), grid.cols.labels.index(column)])


def _effects(fact: Effects, model: ModelInfo, context: InPlace) -> Iterator[Row]:
    target = context.get(FindTarget(model.key, fact.target))
    if not isinstance(target, Found):
        raise Refusal(f"“{target.word}” is not one token of this vocabulary.", "Is this the model that it seems to be?")
    job = Attribution(_run(fact.prompt, model, context), -1, Target(target.answers.ids, target.distractors.ids))
    grid: Grid = context.get(job)
    parts = dict(zip(grid.rows.labels, map(float, grid.values[:, 0]), strict=True))
    names = (head_name(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads))
    about = f"“{fact.prompt}” → {fact.target.replace(' - ', ' − ')}"
    values = {name: parts[name] for name in names}
    yield from _largest(about, "attribution", fact.heads, values, fact.tolerance, abs, "+.2f")


def _says(fact: Says, model: ModelInfo, context: InPlace) -> Row:
    run = _run(fact.prompt, model, context)
    table: Table = context.get(LensTop(run, fact.state, -1, 1) if fact.state else NextTokens(run, -1, 1))
    first = dict(zip(table.columns, table.rows[0], strict=True))
    token, probability = str(first["token"]), float(first["probability"] or 0)
    return Row(
        f"“{fact.prompt}”",
        f"logit lens, {fact.state}" if fact.state else "next token",
        f"{visible(fact.token)} {fact.probability:g} ±{fact.tolerance:g}",
        f"{shorten(visible(token), 12)} {probability:.4f}",
        token == fact.token and abs(probability - fact.probability) <= fact.tolerance,
    )


def _run(prompt: str, model: ModelInfo, context: InPlace) -> Run:
    tokens: Tokens = context.get(Tokenize(model.key, prompt, model.bos_id is not None))
    return Run(model.key, tokens.ids, tokens.bos)


def _largest(
    about: str,
    name: str,
    heads: Sequence[tuple[str, float]],
    values: Mapping[str, float],
    tolerance: float,
    size: Size,
    form: str,
) -> Iterator[Row]:
    """The heads with the largest values as a set and in order, then each of the published ones by its value."""
    found = _order(values, size)[: len(heads)]
    ordered = all(
        size(values[first]) > size(values[second])
        for (first, a), (second, b) in itertools.combinations(heads, 2)
        if size(a) - size(b) > tolerance
    )
    agrees = ordered and {head for head, _ in heads} == {*found}
    yield Row(about, f"{name}, top {len(heads)}", " ".join(head for head, _ in heads), " ".join(found), agrees)
    for head, value in heads:
        near = abs(values[head] - value) <= tolerance
        yield Row(about, f"{name}, {head}", f"{value:{form}} ±{tolerance:g}", f"{values[head]:{form}}", near)


def _order(values: Mapping[str, float], size: Size) -> list[str]:
    """Heads, largest first; those without a number last."""
    return sorted(values, key=lambda head: (math.isnan(values[head]), -size(values[head])))


def report(published: Published, model: ModelInfo, rows: Sequence[Row]) -> str:
    """What was verified, the table in 80 columns, and how many rows agree."""
    bos = "BOS" if model.bos_id is not None else "no BOS"
    run = f"{model.architecture} · {model.key.device} · {model.key.dtype} · {bos} · processed weights"
    lines = [
        *textwrap.wrap(f"{visible(model.name)} · {run}", WHOLE),
        *textwrap.wrap(f"Facts of {published.title}: {published.source}", WHOLE),
        "",
        *_line(COLUMNS),
        *_line(["─" * columns for columns in WIDTHS]),
    ]
    about = ""
    for row in rows:
        if row.about != about:
            about = row.about
            lines += ["", *textwrap.wrap(about, WHOLE)]
        lines += _line((row.fact, row.published, row.measured, "yes" if row.agrees else "NO"))
    agree = sum(row.agrees for row in rows)
    return "\n".join([*lines, "", f"{agree} of {len(rows)} agree."]) + "\n"


def _line(cells: Sequence[str]) -> Iterator[str]:
    """A row of the table, its cells wrapped to their columns."""
    wrapped = [
        textwrap.wrap(cell, columns, break_on_hyphens=False) for cell, columns in zip(cells, WIDTHS, strict=True)
    ]
    for parts in itertools.zip_longest(*wrapped, fillvalue=""):
        padded = (part + " " * (columns - width(part)) for part, columns in zip(parts, WIDTHS, strict=True))
        yield GAP.join(padded).rstrip()
