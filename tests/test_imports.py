"""Each floor, imported in a fresh process, brings in no more than it may; ``lint-imports`` reads the same as text."""

from __future__ import annotations

import importlib.util
import pkgutil
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformer_lens", "transformers", "plotext", "textual")
PACKAGES = {package: importlib.util.find_spec(f"tui.{package}") for package in ("views", "pages", "circuits", "models")}


def modules(package: str) -> list[str]:
    """The modules of one of our packages."""
    spec = PACKAGES[package]
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return [f"tui.{package}.{found.name}" for found in pkgutil.iter_modules(spec.submodule_search_locations)]


def heavy_after(statement: str) -> set[str]:
    """Which of the heavy libraries a fresh process holds after a statement."""
    code = f"import sys\n{statement}\nprint('\\n' + ' '.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("\n\n")[2].split() if done.stdout.strip() else [])


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_command_line_answers_alone(flag: str) -> None:
    assert heavy_after(f"from tui import cli\ntry: cli.main(['{flag}'])\nexcept SystemExit: pass") == set()


@pytest.mark.parametrize(
    "module",
    ["tui.results", "tui.text", "tui.config", "tui.terminal", "tui.process", "tui.shelf", "tui.label"],
)
def test_ground_floor(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


@pytest.mark.parametrize("module", ["tui.engine.jobs", "tui.engine.cache", "tui.engine.engine"])
def test_engine_without_torch_and_screen(module: str) -> None:
    """torch is imported by the worker's first job, after the first paint."""
    assert heavy_after(f"import {module}") == set()


def test_engine_s_worker_side_without_screen() -> None:
    assert heavy_after("import tui.engine.run") & {"textual", "plotext"} == set()


def test_views_without_torch() -> None:
    """Together in one process, but for the one that draws with plotext: what none brings in, each alone does not."""
    others = [module for module in modules("views") if module != "tui.views.plot"]
    assert heavy_after("\n".join(f"import {module}" for module in others)) <= {"textual"}
    assert heavy_after("import tui.views.plot") <= {"textual", "plotext"}


@pytest.mark.parametrize("module", ["tui.explorer", "tui.app"])
def test_screen_and_app_without_torch_and_plotext(module: str) -> None:
    """plotext costs 0.27 s and torch seconds: neither may come before the first paint."""
    assert heavy_after(f"import {module}") <= {"textual"}


def test_what_a_selection_says_and_needs_knows_no_screen_at_all() -> None:
    """Pages, and what is derived of them, serve the export as well as the screen."""
    above = ("selection", "pages", "phrases", "needs", "moves", "questions", "commands", "tree", "wishes", "trail")
    statement = "\n".join(f"import {module}" for module in (*modules("pages"), *(f"tui.{name}" for name in above)))
    assert heavy_after(statement) == set()


@pytest.mark.parametrize("module", ["tui.flags", "tui.asked", "tui.export"])
def test_export_is_light_until_it_computes_and_draws(module: str) -> None:
    """``export --help`` answers at once: torch comes with the first job, plotext with the first picture."""
    assert heavy_after(f"import {module}") == set()


@pytest.mark.parametrize("package", ["circuits", "models"])
def test_computation_without_screen_and_engine(package: str) -> None:
    """Together in one process: torch takes seconds, and none of them may bring in a screen."""
    statement = "\n".join(f"import {module}" for module in modules(package))
    watched = "\nassert not [m for m in sys.modules if m.startswith(('tui.engine', 'tui.views', 'textual', 'plotext'))]"
    assert heavy_after(statement + watched) & {"textual", "plotext"} == set()
