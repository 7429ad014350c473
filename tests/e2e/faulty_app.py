"""The real program with faults: F2 and F3 raise in a handler. The first argument is where it fails by itself: nowhere
(``keys``), or while the first screen is made (``compose``, ``on_mount``)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tui.app
from tui import cli
from tui.config import Options


class Faulty(tui.app.CircuitApp):
    CSS_PATH = Path(tui.app.__file__).with_name("style.tcss")
    BINDINGS = [("f2", "fail"), ("f3", "fail_below")]

    def __init__(self, options: Options, **more: Any) -> None:
        super().__init__(options, **more)
        if sys.argv[1] != "keys":
            setattr(type(self.explorer), sys.argv[1], self.action_fail)

    def action_fail(self, *_: object) -> None:
        raise RuntimeError("broken on purpose")

    def action_fail_below(self) -> None:
        self.explorer.call_later(self.action_fail)


tui.app.CircuitApp = Faulty  # type: ignore[misc]
cli.main(sys.argv[2:])
