"""Headless: the view of a session's file, or the one that a log leads to, written as ``e`` writes it.

``circuit-tui export --session FILE`` and ``circuit-tui export --replay FILE``: both make a selection, ask for the jobs
that it waits for, one after the other and in place, and export what its page shows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import flags, needs, pages, session, steps
from .arrange import difference
from .asked import Missing
from .choices import graft
from .circuits.errors import Refusal
from .declared import Nothing
from .engine.jobs import Job, Open
from .engine.trouble import told
from .export import InPlace, form_of, save
from .flags import Usage
from .formats import FORMATS, encode
from .models.errors import ModelError
from .process import fail
from .results import Result
from .selection import Selection, settle
from .session import Unreadable

MOST = 16 << 20
"""Bytes of a log that is read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui export`` where a session or a log says what is exported."""
    parser.description = "Write the view of a session, or the one that a log leads to."
    parser.add_argument("--session", metavar="FILE", help="a session that the app saved")
    parser.add_argument("--replay", metavar="FILE", help="a log that the app wrote (:log), or lines like its lines")
    parser.add_argument("--model", metavar="MODEL", help="another model than the file names")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda[:N] or mps (default: auto)")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto",
                        help="what the model runs in (default: auto)")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of --out, else txt")
    parser.add_argument("--out", "--output", metavar="FILE", help="where to write (default: standard output)")
    parser.set_defaults(model_too=None, weights_only=False, stream=False)


def asked_for(arguments: Sequence[str]) -> bool:
    """Whether the arguments of an export are these."""
    return any(argument.split("=")[0] in ("--session", "--replay") for argument in arguments)


def export(options: argparse.Namespace) -> int:
    """Compute and write one view; returns the exit code. ``options`` as parsed by ``add_arguments``."""
    try:
        if (options.session is None) == (options.replay is None):
            raise Usage("--session and --replay both say what is exported: leave one of them out")
        form = form_of(options)
        lines = _script(options.replay) if options.replay is not None else []
        kept = session.read(options.session) if options.session is not None else None
        from .engine.run import Bench

        context = InPlace(Bench(), sys.stderr if sys.stderr.isatty() else None)
        try:
            start = Open(options.model or (kept.source if kept else "demo"), options.device, options.dtype,
                         options.threads, flags.opening(options))  # fmt: skip
            here = Selection(open=start)
            s = _opened(here, kept, context.get) if kept else _replayed(here, lines, options, context.get)
            s, result = _shown(s, context.get)
        finally:
            context.quiet()
        assert s.model is not None
        data = encode(result, form, s.model, pages.of(s).tokens(s), s.text)
        if options.out:
            save(data, Path(options.out))
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except Usage as error:
        return fail(str(error), 2)
    except BrokenPipeError:
        raise  # nobody is left to tell
    except KeyboardInterrupt:
        return fail("interrupted", 1)
    except Exception as error:
        return fail(str(error) if isinstance(error, Unreadable) else told(error), 1)
    return 0


def _script(path: str) -> list[str]:
    """The lines of a log. Missing where it cannot be read."""
    file = Path(path).expanduser()
    try:
        if file.exists() and not file.is_file():
            raise Missing(f"{path} cannot be read: it is not a file.", "Give a log that :log wrote.")
        with file.open("rb") as opened:
            data = opened.read(MOST + 1)
        if len(data) > MOST:
            raise Missing(f"{path} cannot be read: it has more than {MOST >> 20} MB.", "Give a log that :log wrote.")
        return data.decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Missing(f"{path} cannot be read: {why}.", "Give a log that :log wrote.") from None


def known(s: Selection, get: Callable[[Job], Any], whole: bool = False) -> Selection:
    """The selection with the answers that it waits for: model, tokens, file; ``whole``: also what its page asks, and
    the likeliest tokens, where there are such."""
    asked: set[Job] = set()
    while (job := next((job for job in needs.deciding(s, whole) if job not in asked), None)) is not None:
        asked.add(job)
        if job in needs.deciding(s, whole=False):
            s = needs.told(s, job, get(job))
            continue
        try:
            s = needs.told(s, job, get(job))
        except Exception:  # the page says what it lacks when it is drawn
            s = needs.failed(s, job)
    return s


def _opened(s: Selection, kept: session.Kept, get: Callable[[Job], Any]) -> Selection:
    """The selection of a session, on its model."""
    s = known(s, get)
    assert s.key is not None
    wanted, said = session.restored(s, kept, kept.on(s.key)[0])
    if said:
        fail(said, 0)
    # Twice: a file of prompts that has just been read brings answers of its own.
    for _ in range(2):
        s = known(graft(s, wanted), get)
    return s


def _replayed(s: Selection, lines: list[str], o: argparse.Namespace, get: Callable[[Job], Any]) -> Selection:
    """The selection after all lines. Missing names the first that cannot be done, and the one that was refused where
    no later line has taken that back."""
    start = s.open if o.model is not None else None  # the command line has the last word
    refused = ""
    for number, line in enumerate(lines, 1):
        try:
            s, said = step(s, line, get, start)
        except ValueError as error:
            raise Missing(f"Line {number} of {o.replay}: {error}.", "See the README, “Sessions, undo and the log”."
                          ) from None  # fmt: skip
        refused = (refused or f"Line {number} of {o.replay}: {said}") if said else ""
    if refused:
        raise Missing(refused)
    return known(s, get)


def step(
    s: Selection, line: str, get: Callable[[Job], Any], start: Open | None = None
) -> tuple[Selection, str]:
    """The selection after one line, with the answers that it waits for: the next line stands on them. And why there is
    no answer, as where a prompt is too long, which the app says and goes on; "" where there is. ``start``: the model,
    whatever the line says. ValueError says what is wrong with the line."""
    there = steps.done(s, line, get)
    if not steps.is_step(line):
        there = s
    elif start is not None:
        there = replace(there, open=start)
    try:
        return known(there, get), ""
    except (ModelError, Refusal) as error:
        if needs.deciding(there)[:1] == [there.open]:
            raise
        return there, told(error)


def _shown(s: Selection, get: Callable[[Job], Any]) -> tuple[Selection, Result]:
    """What the page shows, and the selection with all that it waited for. Missing where there is nothing."""
    s = known(settle(pages.of(s).settled(s)), get, whole=True)
    s = settle(pages.of(s).settled(s))
    jobs = [pages.of(s).shown(one) for one in ((s, s.base) if s.contrast == "difference" else (s,))]
    for job in jobs:
        if isinstance(job, Nothing):
            raise Missing(f"{pages.of(s).title} has nothing to show: {job.why or 'what it needs is not there'}.")
    first, *others = [get(job) for job in dict.fromkeys(jobs) if isinstance(job, Job)]
    result = difference(first, *others, ranked=False) if others else first
    if result is None:
        raise Missing("The two models have no difference here: d shows one of them.")
    return s, result
