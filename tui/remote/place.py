"""Where the keeper of this user is found on this machine: a Unix-domain socket in a folder that nobody else can enter.

The folder is below /tmp and not below $XDG_RUNTIME_DIR, which is taken away when the last login ends: the keeper is
there for just that case. ``$CIRCUIT_TUI_RUNTIME`` names another one. The socket's name has the machine, since a folder
may be shared, and the version, since another one is not understood.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from .. import __version__

RUNTIME = "CIRCUIT_TUI_RUNTIME"


class NoPlace(Exception):
    """The folder cannot be used. ``str``: a sentence with what to do."""


def folder() -> Path:
    """The folder, made if need be. NoPlace: it is not this user's alone."""
    given = os.environ.get(RUNTIME, "")
    path = Path(given) if os.path.isabs(given) else Path("/tmp") / f"circuit-tui-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise NoPlace(f"{path} cannot be made ({error.strerror}): set {RUNTIME} to a folder of yours.") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NoPlace(f"{path} is not yours alone: remove it, or set {RUNTIME} to a folder with mode 700.")
    return path


def address(name: str) -> Path:
    """The socket of the keeper that is called so. NoPlace."""
    digest = hashlib.sha256("\0".join((socket.gethostname(), __version__, name)).encode()).hexdigest()[:16]
    path = folder() / f"{digest}.sock"
    if len(os.fsencode(path)) > 100:  # the kernel's bound is 104 or 108
        raise NoPlace(f"{path} is too long for a socket: set {RUNTIME} to a shorter one.")
    return path


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else of this user starts or ends the keeper at this address meanwhile."""
    with open(path.with_suffix(".lock"), "a", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def connect(path: Path) -> socket.socket | None:
    """A connection to the keeper; None: there is none."""
    out = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        out.connect(str(path))
    except OSError:
        out.close()
        return None
    return out


def listen(path: Path) -> socket.socket:
    """The keeper's socket, in place of one that nobody listens at any more. To be called ``alone``."""
    path.unlink(missing_ok=True)
    out = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        out.bind(str(path))
    finally:
        os.umask(before)
    out.listen(16)
    return out


def is_mine(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's, where the system says so; the folder's mode says it too."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())
