"""The shell command of every view: it makes the very job that the view shows, so that its numbers are the same."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

import pytest

from tests.circuits.desk import Desk
from tests.export import views
from tui import commandline, export, flags, pages
from tui.asked import Request
from tui.engine import jobs
from tui.models.find import demo_folder


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(demo_folder())


def parsed(line: str, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """The options that ``circuit-tui export`` makes of a command; a file on standard input is put there."""
    command, _, rest = line.partition(" <<'END'\n")
    words = shlex.split(command)
    assert words[:2] == ["circuit-tui", "export"]
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    if rest:
        assert rest.endswith("\nEND")
        lines = rest.removesuffix("END")
        monkeypatch.setattr(Request, "_text", staticmethod(lambda path, hint: lines))
    return parser.parse_args(words[2:])


@pytest.mark.parametrize("case", views.CASES)
def test_the_command_of_a_view_makes_its_job(case: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    s, job = views.shown(desk, case)
    line = views.said(commandline.command(s, job))
    options = parsed(line, monkeypatch)
    wanted = pages.exports()[options.view]
    flags.check(options, wanted)
    made = wanted.job(Request(options, desk.info, desk))
    assert _bare(made) == _bare(job), line


def _bare(job: jobs.Job) -> Any:
    """The job without what says nothing of its numbers: what a file of prompts is called, and its answers where only
    its texts are read."""
    from dataclasses import replace

    changed: dict[str, Any] = {}
    if (reference := getattr(job, "reference", None)) is not None:
        changed["reference"] = reference.runs
    return repr(replace(job, **changed)) if changed else job
