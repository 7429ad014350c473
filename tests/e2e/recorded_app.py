"""The real command line around the real app on recorded results: no model and no torch, so that a start is cheap.

``HOLD`` in the environment names a type of job that computes for ever without looking whether it is still wanted, as a
kernel does; a file ``holding`` in the working folder says that it has begun. The app is imported when the command line
asks for it: after it has set what Textual reads then.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from tui import cli


class Recorded:
    """Finds ``tui.app`` as ever, and gives it another bench."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "tui.app":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.CircuitApp.__init__.__defaults__ = (bench, *module.CircuitApp.__init__.__defaults__[1:])

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def bench() -> object:
    """Recorded results, one type of them never done."""
    from tests.app.recorded import RecordedBench

    class Holding(RecordedBench):
        def compute(self, job: Any, ctx: Any) -> Any:
            if type(job).__name__ == os.environ.get("HOLD"):
                Path("holding").touch()
                while True:
                    sum(range(10_000))
            return super().compute(job, ctx)

    return Holding()


sys.meta_path.insert(0, Recorded())  # type: ignore[arg-type]
cli.main()
