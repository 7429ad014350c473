"""``circuit-tui export`` in this process."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui import export


def run(model: Path, *arguments: str) -> int:
    """The exit code of ``circuit-tui export …``."""
    parser = argparse.ArgumentParser(prog="circuit-tui export")
    export.add_arguments(parser)
    try:
        options = parser.parse_args([*arguments, "--model", str(model), "--device", "cpu"])
    except SystemExit as exit:
        return int(exit.code or 0)
    return export.export(options)
