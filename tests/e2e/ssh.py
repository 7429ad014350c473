"""A real sshd on a free port of the loopback interface, with keys of its own, and the command that logs in to it."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


def need(program: str, found: object) -> None:
    """Skip, visibly, without a program; fail where continuous integration has promised it."""
    if found:
        return
    if os.environ.get("CIRCUIT_TUI_REQUIRE_E2E") == "1":
        pytest.fail(f"{program} is missing, and CIRCUIT_TUI_REQUIRE_E2E=1 forbids to skip this", pytrace=False)
    pytest.skip(f"{program} is not installed")


def open_sshd(folder: Path) -> Iterator[Sshd]:
    """A server as a fixture yields it; its keys and log go to ``folder``."""
    need("sshd", SSHD)
    need("ssh", shutil.which("ssh"))
    server = Sshd(folder)
    yield server
    server.close()


class Sshd:
    """The server. Only this user, only this key."""

    def __init__(self, folder: Path) -> None:
        """Keys, settings and log go to ``folder``."""
        assert SSHD is not None
        self._folder = folder
        folder.chmod(0o700)
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, capture_output=True
            )
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        self.port = _free_port()
        (folder / "sshd_config").write_text(
            f"""
            ListenAddress 127.0.0.1:{self.port}
            HostKey {folder}/host
            AuthorizedKeysFile {folder}/authorized_keys
            PidFile {folder}/sshd.pid
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            StrictModes no
            UsePAM no
            PrintMotd no
            PrintLastLog no
            """
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd drops privileges into it
        self._process = subprocess.Popen([SSHD, "-D", "-f", folder / "sshd_config", "-E", folder / "log"])
        self._wait()

    @property
    def log(self) -> str:
        """What the server says about itself."""
        return (self._folder / "log").read_text()

    def login(self, port: int, command: Sequence[str], env: Mapping[str, str], cwd: Path, pid_file: Path) -> list[str]:
        """The command that runs ``command`` over there on a terminal; its process id is written to ``pid_file``."""
        remote = (
            f"cd {shlex.quote(str(cwd))} && echo $$ > {shlex.quote(str(pid_file))} && "
            + shlex.join(["exec", "env", *(f"{name}={value}" for name, value in env.items() if name != "TERM")])
            + " "
            + shlex.join(command)
        )
        return [
            *self.ssh(port), "-tt", "-o", "BatchMode=yes", "-o", "Compression=no", f"{getpass.getuser()}@127.0.0.1",
            remote,
        ]  # fmt: skip

    def ssh(self, port: int, key: str = "user") -> list[str]:
        """``ssh`` with what it needs for this server, reached at ``port``."""
        return [
            *("ssh", "-F", "none", "-p", str(port), "-i", str(self._folder / key), "-o", "LogLevel=ERROR"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"),
        ]

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(5)

    def _wait(self) -> None:
        for _ in range(200):
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd did not start:\n{self.log}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"sshd does not listen:\n{self.log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
