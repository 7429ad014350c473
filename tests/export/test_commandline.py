"""The shell command of every view: it makes the very job that the view shows, so that its numbers are the same."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.circuits.desk import Desk
from tests.export import views
from tui import commandline, export, flags, pages
from tui.asked import Request
from tui.declared import Say
from tui.engine import jobs
from tui.formats import encode
from tui.models.find import demo_folder
from tui.selection import Entry


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
    changed: dict[str, Any] = {}
    if (reference := getattr(job, "reference", None)) is not None:
        changed["reference"] = reference.runs
    return repr(replace(job, **changed)) if changed else job


@pytest.mark.parametrize("case", ["cut", "circuit, paths"])
def test_a_shell_runs_the_command_and_gets_the_numbers(case: str, desk: Desk, tmp_path: Path) -> None:
    """What a file would hold comes with the command."""
    s, job = views.shown(desk, case)
    program = tmp_path / "circuit-tui"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tui "$@"\n')
    program.chmod(0o755)
    line = views.said(commandline.command(s, job)).replace(" --model", " --format json --model", 1)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", line], capture_output=True, env=env, cwd=tmp_path, timeout=240, check=False)
    assert done.returncode == 0, done.stderr.decode()
    want = json.loads(encode(desk.get(job), "json", desk.info))
    got = json.loads(done.stdout)
    assert got["values"] == want["values"]
    assert got["convention"].items() >= want["convention"].items()


def test_what_a_prompt_holds_is_quoted_for_a_shell() -> None:
    for word in ("a b", "it's", "$(reboot)", "`x`", "a\nb", "\x1b]52;c;aGk=\a", "\\n", "é·東", "-x", "!!"):
        quoted = commandline.quoted(word)
        assert "\x1b" not in quoted
        assert "\n" not in quoted
        out = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True).stdout
        assert out.decode("utf-8") == word


def test_changes_that_no_line_says_are_refused(desk: Desk) -> None:
    s = views.selection(desk, "lens")
    given = jobs.AddVector(1, jobs.SteeringDirection("x.npy", "given", numbers=(1.0,)), 1.0)
    s = replace(s, stack=(Entry(given),))
    job = pages.of(s).shown(s)
    assert isinstance(job, jobs.Job)
    answer = commandline.command(s, job)
    assert isinstance(answer, Say)
    assert "cannot be written as a line of --stack" in answer.sentence


def test_a_file_that_is_not_open_any_more_is_named(desk: Desk) -> None:
    s, job = views.shown(desk, "lens over a file")
    answer = commandline.command(replace(s, file=None), job)
    assert isinstance(answer, Say)
    assert "O opens induction" in answer.sentence


def test_every_export_of_a_page_knows_its_inverse() -> None:
    """No view is without a command: each of these jobs is made by one export."""
    unasked = export.OTHERS["tokens"].gives
    named = [made.name for page in pages.every() for made in page.exports if made.gives.__code__ is unasked.__code__]
    assert named == []
