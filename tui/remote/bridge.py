"""``circuit-tui serve``: what ssh starts. It finds or starts the keeper and passes bytes between it and the line.

Descriptor 1 becomes standard error before anything else, so that nothing that is printed gets between the frames.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from .. import config, process
from . import frames, place
from .place import NoPlace

TRIES = 5
"""A keeper may be leaving just when somebody comes."""
_ROOT = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui serve``."""
    parser.description = (
        "The other end of `circuit-tui --remote`, which starts it over ssh: it computes on this machine what a screen "
        "on another one asks for. Nothing listens on a port. The model stays while a line is cut (--linger there)."
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="with --stay: opened before anybody asks")
    parser.add_argument("--stay", action="store_true",
                        help="keep running here until it is ended, for screens that come (sbatch)")  # fmt: skip
    parser.add_argument("--name", default="", metavar="NAME", help="a process of its own, for this name (other GPU)")
    for option in ("device", "dtype"):
        parser.add_argument(f"--{option}", default="auto", help="of MODEL (default: auto)")


def serve(options: argparse.Namespace) -> int:
    """Serve the screen at the other end of standard input and output; returns the exit code."""
    try:
        if options.model is not None and not options.stay:
            return process.fail("MODEL is for --stay; a screen names its model itself: --remote HOST:MODEL.", 2)
        path = place.address(options.name)
        return _stay(options, path) if options.stay else _pass(path)
    except NoPlace as error:
        return process.fail(str(error), 1)
    except OSError as error:
        return process.fail(f"The keeper cannot be started ({error.strerror}: {error.filename}).", 1)


def _stay(options: argparse.Namespace, path: Path) -> int:
    from ..engine.jobs import Open
    from .keeper import Keeper, run

    with place.alone(path):
        there = place.connect(path)
        if there is not None:
            there.close()
            return process.fail("One is running already for this user; --name NAME starts another.", 1)
        listener = place.listen(path)
    keeper = Keeper(stays=True)
    if options.model is not None:
        keeper.prepare(Open(options.model, options.device, options.dtype))
    sys.stderr.write("circuit-tui: serving; Ctrl+C ends it\n")
    run(keeper, listener, path)
    return 0


def _pass(path: Path) -> int:
    """Bytes from standard input to the keeper and from it to standard output, until either ends the process."""
    line = os.dup(1)
    os.dup2(2, 1)
    if os.isatty(0):
        return process.fail("This is started by `circuit-tui --remote HOST` over ssh; --stay serves without.", 2)
    connection, first = _reach(path)
    threading.Thread(target=_up, args=(connection,), daemon=True).start()
    with contextlib.suppress(frames.Ended, OSError):
        while first:
            frames.put(line, first)
            first = connection.recv(frames.PIECE)
    return process.leave(0)


def _up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(0, frames.PIECE):
            connection.sendall(data)
    # The line is cut, or the screen has said goodbye: what the keeper still says nobody reads.
    process.leave(0)


def _reach(path: Path) -> tuple[socket.socket, bytes]:
    """The keeper, started if there is none, and the first bytes that it says. NoPlace: it ends as soon as it starts."""
    for _ in range(TRIES):
        connection = place.connect(path)
        if connection is None:
            with place.alone(path):
                connection = place.connect(path)  # somebody else was faster
                if connection is None:
                    _start(path)
                    connection = place.connect(path)
        if connection is not None and (first := _first(connection)):
            return connection, first
    raise NoPlace(f"What keeps the model ends as soon as it starts: see {_log()} on that machine.")


def _first(connection: socket.socket) -> bytes:
    try:
        return connection.recv(frames.PIECE)
    except OSError:
        return b""


def _start(path: Path) -> None:
    """Start the keeper, which gets a socket that listens already, no terminal, and a session of its own."""
    root = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    with contextlib.suppress(OSError):
        config.state_directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        log = process.open_log(_log())
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    with place.listen(path) as listener:
        try:
            subprocess.Popen(
                [sys.executable, "-P", "-m", "tui.remote.keeper", str(listener.fileno()), str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(listener.fileno(),),
                start_new_session=True, env=os.environ | {"PYTHONPATH": root},
            )  # fmt: skip
        finally:
            os.close(log)


def _log() -> Path:
    return config.state_directory() / "keeper.log"
