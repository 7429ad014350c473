"""``circuit-tui doctor``: terminal, devices, packages, hub cache and files, and what to do about what is missing.

No model is loaded, nothing is sent anywhere, and of what is personal only paths are printed. Exit codes: 0 nothing is
wrong, 1 something is (a note alone is not wrong).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict

from . import __version__, devices, probe
from .findings import Finding, on_devices, on_files, on_hub, on_packages, on_terminal
from .text import plain

WIDTH = 16
"""Columns of a name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui doctor``."""
    parser.description = "Look at terminal, devices, packages and files, and say what to do about what is missing."
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")


SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "terminal": lambda: on_terminal(os.environ, probe.ask(os.environ)),
    "devices": lambda: on_devices(devices.look()),
    "packages": on_packages,
    "hub": on_hub,
    "files": on_files,
}
"""What is looked at, in the order in which it is said."""


def examine(given: argparse.Namespace) -> int:
    """Look at everything and print it; returns the exit code."""
    all_found: list[tuple[str, Finding]] = []
    if not given.json:
        machine = f"{platform.system()} {platform.machine()}"
        _print(f"circuit-tui {__version__}, Python {platform.python_version()}, {machine}")
    for section, look in SECTIONS.items():
        if not given.json:
            _print(f"\n{section}")
        for finding in look():
            all_found.append((section, finding))
            if not given.json:
                _print(*_lines(finding))
    wrong = sum(finding.state == "wrong" for _, finding in all_found)
    if given.json:
        listed = [{"section": section, **asdict(finding)} for section, finding in all_found]
        _print(json.dumps({"version": __version__, "ok": not wrong, "findings": listed}, indent=1))
    else:
        notes = sum(finding.state == "note" for _, finding in all_found)
        _print(f"\n{wrong or 'nothing'} wrong, {notes or 'nothing'} to know")
    return 1 if wrong else 0


def _lines(finding: Finding) -> Iterator[str]:
    lead, below = f"  {finding.state:<6}{finding.name:<{WIDTH}} ", " " * (WIDTH + 9)
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    yield from textwrap.wrap(plain(finding.value), max(room, 60), initial_indent=lead, subsequent_indent=below,
                             break_long_words=False, break_on_hyphens=False)  # fmt: skip
    if finding.repair:  # on one line, to be copied
        yield plain(f"{below}-> {finding.repair}")


def _print(*lines: str) -> None:
    text = "".join(f"{line}\n" for line in lines)
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "replace"))
    sys.stdout.buffer.flush()
