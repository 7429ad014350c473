"""What the program has on its screen against what a fresh computation gives: the session that it saves, exported."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tui import cli

LARGEST = 1e-4
"""Share of the picture's largest number by which two may differ: in the app the first views are read from the files,
batches are cut by what is in the cache, and sums of float32 depend on that order."""


@dataclass(frozen=True)
class Fresh:
    """An export without a screen."""

    code: int
    said: str
    picture: dict[str, Any] | None


def fresh(session: Path, folder: Path) -> Fresh:
    """``circuit-tui export --session FILE --out …``, in this process: nothing of the program's cache is in it."""
    out = folder / "fresh.json"
    out.unlink(missing_ok=True)
    arguments = ["--session", str(session), "--out", str(out), "--threads", "1", "--device", "cpu"]
    add, run = cli.headless("export", arguments)
    parser = argparse.ArgumentParser()
    add(parser)
    said, here = io.StringIO(), os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(said):
            code = run(parser.parse_args(arguments))
    finally:
        os.chdir(here)
    return Fresh(code, said.getvalue(), json.loads(out.read_text("utf-8")) if code == 0 else None)


def differs(shown: dict[str, Any], made: dict[str, Any]) -> str:
    """What is not the same in two exports of one view; empty: nothing."""
    for name in sorted({*shown, *made}):
        if name not in shown or name not in made:
            return f"{name} is in one of them alone"
        if name in ("checks", "rounding"):
            continue  # errors of rounding, which are of that size by nature
        if where := _apart(shown[name], made[name], name):
            return where
    return ""


def _apart(one: Any, other: Any, where: str) -> str:
    if _numbers(one) and _numbers(other):
        a, b = (np.array(value, dtype=float) for value in (one, other))
        if a.shape != b.shape:
            return f"{where}: {a.shape} and {b.shape}"
        if a.size and not np.allclose(a, b, rtol=LARGEST, atol=LARGEST * _most(a), equal_nan=True):
            return f"{where}: apart by {np.nanmax(np.abs(a - b))}, the largest is {_most(a)}"
        return ""
    if isinstance(one, dict) and isinstance(other, dict):
        return differs(one, other) and f"{where}.{differs(one, other)}"
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next(filter(None, (_apart(*pair, f"{where}[{at}]") for at, pair in pairs)), "")
    return "" if one == other else f"{where}: {str(one)[:200]!r} and {str(other)[:200]!r}"


def _most(values: Any) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def _numbers(value: Any) -> bool:
    """Whether this is a number, or lists of them (None: none there)."""
    if isinstance(value, list):
        return bool(value) and all(map(_numbers, value))
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
