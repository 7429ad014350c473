"""``circuit-tui completion SHELL``: a script that completes commands, options, their values, files and models.

shtab writes it from the parsers, so it is static: pressing tab starts no Python. Models are those of the hub's cache
and folders; the script lists them itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import config
from .process import fail

SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/circuit-tui",
    "zsh": "~/.zfunc/_circuit-tui",
    "fish": "~/.config/fish/completions/circuit-tui.fish",
}
"""Shell → where to save its script."""
_HUB = '"${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}"'
_LIST = rf"ls {_HUB} 2>/dev/null | sed -n -e 's/^models--//' -e t1 -e d -e :1 -e 's/--/\//' -e p"
PREAMBLE = {
    "bash": f"""\
_circuit_tui_models() {{
  compgen -W "demo $({_LIST})" -- "$1"
  compgen -d -- "$1"
}}
_shtab_circuit_tui_pos_0_COMPGEN=_circuit_tui_models
""",
    "zsh": f"""\
_circuit_tui_models() {{
  compadd demo ${{(f)"$({_LIST})"}}
  _files -/
}}
""",
    "fish": f"""\
function _circuit_tui_models
  echo demo
  sh -c {_LIST!r}
  __fish_complete_directories
end
""",
}
"""What lists the models; in bash they complete the first word too, beside the commands."""
_MODELS = {"bash": "_circuit_tui_models", "zsh": "_circuit_tui_models", "fish": "(_circuit_tui_models)"}
_COMPLETE: dict[str, object] = {"MODEL": _MODELS, "FILE": "file"}
"""Name of a value → how shtab is to complete it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui completion``."""
    parser.description = "Print a script that completes the arguments of circuit-tui."
    places = "; ".join(f"{shell}: {place}" for shell, place in SHELLS.items())
    parser.epilog = f"Where the shells look for it: {places} (a folder of fpath)."
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


class Stored(argparse.Action):
    """An option's or argument's value, with what completes it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        # shtab takes choices that are a dict for commands
        more["choices"] = tuple(more.get("choices") or config.CHOICES.get(dest, ())) or None
        super().__init__(option_strings, dest, **more)
        if self.choices is None and (how := _COMPLETE.get(str(self.metavar or dest.upper()))):
            self.complete = how

    def __call__(self, parser: argparse.ArgumentParser, given: argparse.Namespace, value: Any, _: Any = None) -> None:
        setattr(given, self.dest, value)


def show(shell: str, fill: Callable[[argparse.ArgumentParser], None]) -> int:
    """Print the script; returns the exit code. ``fill`` adds to a parser all that the program takes."""
    try:
        import shtab
    except ImportError:
        return fail("shtab, which writes the script, is missing. Run: pip install shtab", 1)
    whole = Completed(prog=config.NAME)
    fill(whole)
    sys.stdout.write(shtab.complete(whole, shell, preamble=PREAMBLE[shell]))
    return 0


class Completed(argparse.ArgumentParser):
    """A parser whose values know what completes them; its commands are such parsers too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for kind in (None, "store"):
            self.register("action", kind, Stored)
