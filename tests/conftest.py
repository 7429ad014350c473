"""Every test runs offline, in a terminal that is always the same, and away from the user's own files."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Before anything of ours is imported: Textual and the model libraries read these at import.
for name in [*os.environ]:
    if name.startswith("TEXTUAL_SNAPSHOT"):
        continue  # the snapshot plugin tells its workers this way
    if name.startswith(("TEXTUAL", "SSH_", "TMUX")) or name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "STY"):
        del os.environ[name]
_HOME = tempfile.mkdtemp(prefix="circuit-tui-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TERM": "xterm-256color",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TRANSFORMERS_VERBOSITY": "error",
    "XDG_CONFIG_HOME": f"{_HOME}/config",
    "XDG_STATE_HOME": f"{_HOME}/state",
}
# With torch imported there are half a million objects that stay: looking through them takes a tenth of the tests' time.
gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True)
def nothing_of_the_test_before() -> None:
    """No session, notes, circuits, prompts of another test: the app would go on where that one left off."""
    for kept in Path(f"{_HOME}/state/circuit-tui").glob("*"):
        if kept.is_dir():
            shutil.rmtree(kept, ignore_errors=True)
        elif kept.suffix == ".jsonl":
            kept.unlink()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the end-to-end tests measured (bytes, seconds): worth reading also when everything passes."""
    lines = [
        f"{report.nodeid.rpartition('/')[2]}: {name} {value}"
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call"
        for name, value in report.user_properties
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
