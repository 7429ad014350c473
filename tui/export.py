"""Headless: the same jobs as the app, run in place, written as JSON, CSV, NPZ, SVG or text.

What can be asked for is what ``pages`` export. Imports are light, so that ``--help`` stays quick; torch comes with
``export``. Exit codes: 0 done, 2 usage, 1 failed with one sentence on stderr and nothing half-written.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from . import atomic, flags, notes, pages
from .asked import Missing, Request
from .benches import bench_of, model_of
from .config import source
from .declared import Asked, Export
from .engine.bench import Bench, Context
from .engine.jobs import Job, Open, interventions_of
from .engine.trouble import told
from .flags import Usage
from .formats import encode, format_of
from .process import fail
from .results import ModelInfo, Result, Tokens, head_name


def _no_job(ask: Asked) -> Job:
    raise NotImplementedError


OTHERS = {
    "tokens": Export("tokens", _no_job),
    "notes": Export("notes", _no_job, reads="weights"),
}
"""What belongs to no page, and is there without a job."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui export``."""
    flags.add_arguments(parser, OTHERS)


def export(options: argparse.Namespace) -> int:
    """Compute and write one view; returns the exit code. ``options`` as parsed by ``add_arguments``."""
    try:
        options = flags.with_head(options)
        form, wanted = form_of(options), {**OTHERS, **pages.exports()}[options.view]
        flags.check(options, wanted)
        name, placing = source(model_of(options), options.revision), (options.device_map, options.max_memory)
        with bench_of(options) as bench:
            context = InPlace(bench, sys.stderr if sys.stderr.isatty() else None)
            try:
                how = flags.opening(options)
                job = Open(name, options.device, options.dtype, options.threads, how, *placing)
                model: ModelInfo = context.get(job)
                ask = Request(options, model, context)
                result = _result(ask, wanted)
            finally:
                context.quiet()
        for note in ask.notes:
            fail(note, 0)
        figure = _figure(ask, wanted, result) if options.figure else b""
        if options.out or not options.figure:
            data = encode(result, form, model, ask.tokens, options.prompt or "")
        if options.figure:
            save(figure, Path(options.figure))
        if options.out:
            save(data, Path(options.out))
        elif not options.figure:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except Usage as error:
        return fail(str(error), 2)
    except BrokenPipeError:
        # The reader went away (``| head``): nobody is left to tell, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return fail("interrupted", 1)
    except Exception as error:
        return fail(told(error), 1)
    return 0


def _result(ask: Request, wanted: Export) -> Result:
    """What was asked for: tokens and notes are there, the rest is computed."""
    if wanted.name == "tokens" and ask.tokens is not None:
        return ask.tokens
    if wanted.name == "notes":
        written, problem = notes.read(ask.model.key, ask.model.name)
        if problem:
            raise Missing(problem)
        return notes.as_table(written)
    job = wanted.job(ask)
    if ask.options.stack is not None and not interventions_of(job):
        raise Usage(f"--stack: {wanted.name} does not depend on a run that could be changed")
    result: Result = ask.get(job)
    return result


def _figure(ask: Request, wanted: Export, result: Result) -> bytes:
    """The result as a figure, or those of several heads in a row."""
    from .figures import About, encoded

    look, o = flags.figure_look(ask.options), ask.options
    results = [
        _result(Request(argparse.Namespace(**vars(o) | {"head": head_name(*at)}), ask.model, ask), wanted)
        for at in look.heads
    ]
    form = Path(o.figure).suffix.lower().lstrip(".")
    return encoded(results or [result], form, look, About(ask.model, ask.tokens, o.prompt or ""))


def write(
    result: Result,
    path: Path,
    model: ModelInfo,
    tokens: Tokens | None = None,
    prompt: str = "",
    form: str | None = None,
) -> Path:
    """Write a result that is already there (``e`` in the app); the format is ``form`` or by the path's ending.

    Whole or not at all: OSError if it cannot be written, ValueError for an unknown ending or a picture that a result
    does not have. Returns the absolute path.
    """
    target = path.expanduser().absolute()
    save(encode(result, form or format_of(target), model, tokens, prompt), target)
    return target


def save(data: bytes, path: Path) -> None:
    """Write bytes whole or not at all, where a file can be. OSError if that cannot be."""
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(data)  # a pipe or a device: nothing to rename over
        return
    atomic.write(path, data, private=False)


class InPlace(Context):
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

    def known(self, job: Job) -> Any | None:
        return self._values.get(job)

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


def form_of(options: argparse.Namespace) -> str:
    """The format that is asked for; Usage where an ending says none."""
    if options.format:
        return str(options.format)
    try:
        return format_of(Path(options.out)) if options.out else "txt"
    except ValueError as error:
        raise Usage(f"--out {options.out}: {error}") from None
