"""What can be asked: whole cache keys, each with one function that answers it."""

from __future__ import annotations

import inspect
from dataclasses import fields
from types import ModuleType

import pytest

from tui.engine import jobs
from tui.engine.jobs import base, changes, circuit, effects, finding, head, many, parts, patching, paths, stream
from tui.engine.run import ANSWERS

BASES = {base.Job, base.OfHead, parts.OnRun, parts.OnLayer, patching.Patching, paths.OfPair, many.OverPrompts}
MODULES = (base, circuit, finding, head, many, changes, effects, patching, paths, parts, stream)


def defined(module: ModuleType) -> list[type]:
    return [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]


def test_every_job_is_answered_and_nothing_else() -> None:
    asked = {kind for module in MODULES for kind in defined(module) if issubclass(kind, base.Job)}
    assert set(ANSWERS) == asked - BASES - {jobs.Open, jobs.Boot}, "these two are the bench's own"


@pytest.mark.parametrize("kind", [*ANSWERS, jobs.Open, jobs.Boot], ids=lambda kind: kind.__name__)
def test_a_job_names_its_model(kind: type[base.Job]) -> None:
    """Through its forward pass or by itself: another model's job is refused, and its result is another key."""
    names = {field.name for field in fields(kind)}
    assert names & {"model", "run", "keys", "clean", "of"} or issubclass(kind, jobs.Open)


@pytest.mark.parametrize("module", MODULES[:9], ids=lambda module: module.__name__)
def test_what_can_be_asked_is_named_in_one_place(module: ModuleType) -> None:
    for kind in defined(module):
        assert kind in BASES or getattr(jobs, kind.__name__, None) is kind
