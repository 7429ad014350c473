"""A short soak in the suite: ``CIRCUIT_TUI_SOAK_MINUTES`` for longer, ``CIRCUIT_TUI_SEED`` for other inputs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.varieties import VARIETIES, soaked, table

pytestmark = pytest.mark.e2e
MINUTES = float(os.environ.get("CIRCUIT_TUI_SOAK_MINUTES", "1.5"))
SEED = int(os.environ.get("CIRCUIT_TUI_SEED", "8"))


@pytest.mark.timeout(60 * MINUTES + 400)
@pytest.mark.parametrize("name", VARIETIES)
def test_soak(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    report, problem = soaked(name, tmp_path, SEED, 60 * MINUTES * VARIETIES[name])
    for what, value in report.rows():
        record_property(what, value)
    assert not problem, f"{table(report)}\n{problem}"
