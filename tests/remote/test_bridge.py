"""What ssh starts over there, as a process with pipes: it finds the keeper or starts it, and nothing stays behind."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import environment
from tests.engine.fakes import wait_until
from tests.remote.rig import Screen
from tui.engine.events import Progress
from tui.engine.jobs import Open, Tokenize
from tui.host import Host
from tui.remote import place, reach
from tui.remote.line import Process
from tui.remote.place import NoPlace
from tui.remote.reach import NoLine

SERVE = f"{shlex.quote(sys.executable)} -m tui serve"


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., reach.Dial]]:
    """Lines to a machine that is this one, with a home of its own, by ``sh`` in place of ssh."""
    home = Path(os.path.realpath(tmp_path))
    env = environment(home, CIRCUIT_TUI_RUNTIME=str(home / "run"), OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1")
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def dials(command: str = SERVE) -> reach.Dial:
        return lambda asks: Process(["sh", "-c", command], alone=not asks)

    yield dials
    for pid in keepers(home):
        os.kill(pid, 9)


def keepers(home: Path) -> list[int]:
    """The keepers that run for a home, by their command lines."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"tui.remote.keeper" in words and any(word.startswith(os.fsencode(home)) for word in words):
                found.append(int(folder.name))
    return found


def reached(dial: reach.Dial, linger: float = 1.0) -> reach.Reached:
    return reach.reach(Host("box", linger=linger), dial)


def gone(home: Path) -> Callable[[], bool]:
    return lambda: not keepers(home)


def test_a_cut_line_keeps_the_model_and_goodbye_ends_all(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    """By a login shell that greets, libraries that print, and a relay that passes whole lines on, as srun does."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("print('hello from a library', flush=True)\n")
    fake = tmp_path / "srun"
    fake.write_text(
        f"#!{sys.executable}\nimport subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE)\n"
        "for line in child.stdout:\n    sys.stdout.buffer.write(line)\n    sys.stdout.buffer.flush()\n"
    )
    fake.chmod(0o755)
    dial = box(f"echo Welcome; echo to box >&2; PYTHONPATH={site}:$PYTHONPATH {fake} --gres=gpu:1 {SERVE}")
    screen = Screen(reached(dial))
    info = screen.value(Open("demo"), 60)
    (pid,) = keepers(tmp_path)
    screen.reached.line.close()
    wait_until(lambda: screen.cuts > 0 and screen.is_tied(), 30)
    assert keepers(tmp_path) == [pid]
    loading = len(screen.events.of(Progress))
    assert screen.value(Tokenize(info.key, "France", True), 30) is not None
    assert not any(isinstance(event.job, Open) for event in screen.events.of(Progress)[loading:]), "loaded again"
    assert screen.engine.close(10.0)
    wait_until(gone(tmp_path), 20)
    assert not list((tmp_path / "run").glob("*.sock"))


def test_nothing_stays_after_the_last_minute(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    line = reached(box(), linger=0.01).line
    assert len(keepers(tmp_path)) == 1
    line.close()
    wait_until(gone(tmp_path), 20)


def test_the_keeper_outlives_the_login(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    """SIGHUP to all that the login has started, as a terminal sends it when it is closed."""
    screen = Screen(reached(box()))
    (pid,) = keepers(tmp_path)
    assert os.getsid(pid) == pid, "it has a session of its own"
    os.kill(pid, signal.SIGHUP)
    screen.reached.line.close()
    wait_until(lambda: screen.cuts > 0 and screen.is_tied(), 30)
    assert keepers(tmp_path) == [pid]
    assert screen.engine.close(10.0)


def test_there_are_never_two(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    dial = box()
    lines = [dial(True) for _ in range(4)]
    for line in lines:
        line.begin()
    assert len(keepers(tmp_path)) == 1
    for line in lines:
        line.close()


def test_a_socket_that_was_left_behind(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    path = place.address("")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    line = reached(box()).line
    assert len(keepers(tmp_path)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    line.close()


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_others_can_enter(box: Callable[..., reach.Dial], tmp_path: Path, mode: int) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)
    with pytest.raises(NoLine, match="not yours alone: remove it"):
        reached(box())
    assert not keepers(tmp_path)


def test_a_folder_that_is_a_link(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoPlace, match="not yours alone"):
        place.folder()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program serve", "Install the same version there"),
        (f"{shlex.quote(sys.executable)} -m nothing", "has no"),
        ("echo nothing here", "answers, but not as circuit-tui does: 'nothing here'"),
        ("exit 3", "ended"),
    ],
)
def test_machines_without_it(box: Callable[..., reach.Dial], command: str, words: str) -> None:
    with pytest.raises(NoLine) as raised:
        reached(box(command))
    assert words in str(raised.value)


def test_it_says_what_it_is_for() -> None:
    made = subprocess.run([sys.executable, "-m", "tui", "serve", "gpt2"], capture_output=True, text=True, timeout=60)
    assert made.returncode == 2
    assert "--remote HOST:MODEL" in made.stderr
    assert not made.stdout


def test_stay_is_there_before_anybody_comes(box: Callable[..., reach.Dial], tmp_path: Path) -> None:
    """As in a job of sbatch."""
    stays = subprocess.Popen([*shlex.split(SERVE), "--stay"], stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        assert stays.stderr is not None
        assert b"serving" in stays.stderr.readline()
        screen = Screen(reached(box()))
        assert not keepers(tmp_path), "no other one was started"
        assert screen.engine.close(10.0)
        second = subprocess.run([*shlex.split(SERVE), "--stay"], capture_output=True, text=True, cwd=tmp_path)
        assert second.returncode == 1
        assert "running already" in second.stderr
        assert stays.poll() is None
    finally:
        stays.terminate()
        assert stays.wait(10) == 0


