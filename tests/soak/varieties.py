"""The varieties: the program alone, and the program whose engine is behind a line that is cut now and then."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.terminal import ROOT
from tests.soak.far import Far
from tests.soak.soaking import SMALL, Report, Soak

VARIETIES = {"here": 2 / 3, "over a line": 1 / 3}
"""Which there are, and their shares of the time."""


def soaked(name: str, folder: Path, seed: int, seconds: float) -> tuple[Report, str]:
    """What one variety did in so many seconds, and what went wrong."""
    env = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(SMALL), str(ROOT)])}
    far = Far(folder, **env) if name == "over a line" else None
    try:
        soak = Soak(name, folder, seed, far, env)
        try:
            return soak.soak(seconds), ""
        except AssertionError as problem:
            return soak.report, str(problem)
        finally:
            soak.close()
    finally:
        if far is not None:
            far.close()


def table(report: Report) -> str:
    """As the README has it."""
    rows = [(report.name, ""), *report.rows()]
    wide = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{wide}}  {value}" for name, value in rows)
