"""The same session through a real sshd; bytes are those of the encrypted connection. And the connection lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.scenario import CONVENTIONS, LOAD, Session
from tests.e2e.ssh import Sshd
from tests.e2e.terminal import APP, Terminal, assert_gone, environment
from tests.e2e.wire import Wire

pytestmark = pytest.mark.e2e
Record = Callable[[str, object], None]


def connect(sshd: Sshd, wire: Wire, home: Path, *prefix: str) -> Terminal:
    """The app at the other end; its process id is in ``home/pid``."""
    env = environment(home)
    return Terminal(sshd.login(wire.port, [*prefix, *APP], env, home, home / "pid"), env, home)


def test_session(sshd: Sshd, wire: Wire, tmp_path: Path, record_property: Record) -> None:
    with connect(sshd, wire, tmp_path) as terminal:
        session = Session(terminal, tmp_path, lambda: wire.down)
        session.open()
        session.type_prompt()
        session.walk_heads()
        session.walk_cells()
        session.walk_views()
        session.resize(80, 24)
        heads = session.walk_heads()
        session.resize(120, 40)
        session.export()
        before = wire.down
        time.sleep(2)
        idle = wire.down - before
        session.quit()
        terminal.assert_restored()
        assert terminal.process.returncode == 0, sshd.log
    record_property("bytes on the wire", session.costs)
    record_property("bytes of a head at 80×24", heads)
    assert max(heads) <= 25_000
    assert idle == 0


@pytest.mark.parametrize("ignored", [False, True], ids=["SIGHUP", "SIGHUP ignored"])
@pytest.mark.parametrize("moment", ["loading", "loaded"])
def test_connection_cut(
    sshd: Sshd, wire: Wire, tmp_path: Path, moment: str, ignored: bool, record_property: Record
) -> None:
    """Nothing is left of it after 2 s, neither a spinning process nor its memory."""
    prefix = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh") if ignored else ()
    with connect(sshd, wire, tmp_path, *prefix) as terminal:
        terminal.wait_for(*((CONVENTIONS, LOAD) if moment == "loaded" else ("Prompt ▸",)))
        if moment == "loading":
            time.sleep(1.5)  # in the middle of the imports
        pid = int((tmp_path / "pid").read_text())
        assert Path(f"/proc/{pid}").exists()
        wire.cut()
        record_property("gone after s", round(assert_gone(pid), 2))
