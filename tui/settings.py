"""``circuit-tui config --print``: what holds here and now, each value with where it comes from.

The output is a config file. What is the default stands in it as a comment, so that saving it changes nothing, and so
does what the environment decides: that may be another on the next terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping

from . import __version__, aliases, commands, config, remapping, terminal
from .config import Options
from .process import fail
from .text import plain
from .toml import quoted

WIDTH = 34
"""Columns of a value, before the comment that says where it comes from."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``circuit-tui config`` takes beside the options of the app."""
    parser.description = "Print what holds, as a config file: each value with where it comes from."
    parser.add_argument("--print", action="store_true", help="print all values (what it does anyway)")
    parser.add_argument("--path", action="store_true", help="print where the config file is looked for, and no more")


def show(opt: Options, path_alone: bool) -> int:
    """Print; returns the exit code: 1 when a line of the config file is wrong, which standard error then says."""
    file = config.read()
    if path_alone:
        print(plain(str(file.path)))
        return 0
    asked = remapping.checked(opt.keys)
    tables = "", *_keys(asked.keys, opt.origins), "", *_aliases(opt)
    text = "\n".join((*_head(file), *_values(opt, os.environ), *tables)) + "\n"
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
    problems = [*file.problems, *remapping.sentences(asked.wrong, opt.origins)]
    for problem in problems:
        fail(f"{problem} That is left out.", 1)
    for remark in remapping.sentences(asked.remarks, opt.origins):
        fail(remark, 0)
    return 1 if problems else 0


def _head(file: config.File) -> Iterator[str]:
    yield f"# circuit-tui {__version__}: what holds here. Lines that begin with # are defaults."
    yield plain(f"# {file.path}" if file.path.exists() else f"# Saved as {file.path} it holds from then on.")


def _values(opt: Options, environ: Mapping[str, str]) -> Iterator[str]:
    said = _from_elsewhere(opt, environ)
    for name in config.NAMES:
        value, origin = getattr(opt, name), opt.origins.get(name, "")
        if name in ("keys", "aliases"):
            continue
        if value is None:
            value = str(config.log_file()) if name == "log" else _UNSET.get(name, "")
        known = f"{origin or 'default'}{said.get(name, '')}"
        yield _line(f"{'' if origin else '# '}{name} = {_toml(value)}", known)


_UNSET = {
    "prompt": "", "prompts": "FILE", "threads": "N", "theme": "circuit-dark", "fields": "prompt=KEY,answer=KEY",
    "cluster_workers": "N", "remote": "HOST[:MODEL]",
}  # fmt: skip
"""What stands in the comment of an option that has no value."""


def _from_elsewhere(opt: Options, environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment makes of a value."""
    drawn, why = terminal.decided(opt.color, environ)
    out = {}
    if opt.color == "auto":
        out["color"] = f"; environment: {why}, so {drawn}"
    if opt.log is None:
        place = "XDG_STATE_HOME" if os.path.isabs(environ.get("XDG_STATE_HOME", "")) else "HOME"
        out["log"] = f"; environment: {place}"
    if opt.threads is None and "OMP_NUM_THREADS" in environ:
        out["threads"] = f"; environment: OMP_NUM_THREADS={environ['OMP_NUM_THREADS']}"
    if opt.device in ("auto", "cuda") and "CUDA_VISIBLE_DEVICES" in environ:
        out["device"] = f"; environment: CUDA_VISIBLE_DEVICES={environ['CUDA_VISIBLE_DEVICES']}"
    return out


def _keys(given: remapping.Keys, origins: Mapping[str, str]) -> Iterator[str]:
    yield "[keys]"
    for command in commands.defaults():
        keys = given.get(command.id, command.keys)
        origin = origins.get(f"keys.{command.id}", "its key was given away") if command.id in given else ""
        setting = f"{'' if origin else '# '}{command.id} = {quoted(','.join(keys))}"
        yield _line(setting, f"{command.label}; {origin or 'default'}")


def _aliases(opt: Options) -> Iterator[str]:
    yield "[aliases]"
    for name, text in {**aliases.OWN, **opt.aliases}.items():
        origin = opt.origins.get(f"aliases.{name}", "")
        yield _line(f"{'' if origin else '# '}{name} = {quoted(text)}", f"after a colon; {origin or 'default'}")


def _line(setting: str, comment: str) -> str:
    return f"{setting:<{WIDTH}}  # {plain(comment)}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else quoted(str(value))
