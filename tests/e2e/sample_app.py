"""The real command line around a tiny app, for tests of the process itself: no torch, no views.

Its first argument says how the app misbehaves; the others go to the command line.
"""

from __future__ import annotations

import os
import sys
import time
import types
import warnings

from tui import cli
from tui.config import Options


def module() -> types.ModuleType:
    """A ``tui.app`` whose CircuitApp only shows its options."""
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class CircuitApp(App[None]):
        unkept = ()
        """What could not be kept: nothing is."""

        def __init__(self, options: Options, reached: object = None) -> None:
            super().__init__()
            self.options = options

        def compose(self) -> ComposeResult:
            yield Static(f"sample {self.options.model} {self.console.color_system} {self.size}", markup=False)

        def on_mount(self) -> None:
            self.set_timer(0.1, getattr(self, sys.argv[1]))

        def behave(self) -> None:
            self.mount(Static("ready"))

        def chatter(self) -> None:
            """What libraries do: print, warn, write to the descriptors, start children that write."""
            print("noise of print")
            print("noise on stderr", file=sys.stderr)
            warnings.warn("noise of warnings", stacklevel=1)
            os.write(1, b"noise on descriptor 1\n")
            os.write(2, b"noise on descriptor 2\n")
            os.system("echo noise of a child")
            self.behave()

        def hang(self) -> None:
            """A loop that is never free again, as while a library imports."""
            self.mount(Static("ready"))
            self.set_timer(0.2, lambda: time.sleep(60))

        def break_down(self) -> None:
            raise RuntimeError("broken on purpose")

        def key_q(self) -> None:
            self.exit()

        def hang_up(self, code: int) -> None:
            self.exit(return_code=code)

    out = types.ModuleType("tui.app")
    out.CircuitApp = CircuitApp  # type: ignore[attr-defined]
    return out


class Finder:
    """Makes the module when it is first imported: after the command line has set Textual's variables."""

    @staticmethod
    def find_spec(name: str, *_: object) -> object:
        if name == "tui.app":
            sys.modules[name] = module()
            from importlib.machinery import ModuleSpec

            return ModuleSpec(name, Finder())  # type: ignore[arg-type]
        return None

    def create_module(self, _spec: object) -> types.ModuleType:
        return sys.modules["tui.app"]

    def exec_module(self, _module: object) -> None:
        """Nothing is left to do."""


sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
cli.main(sys.argv[2:])
