"""The app and the export on a cluster: as a person sees it, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.driving import until
from tests.circuits.desk import Desk
from tests.cluster.conftest import DEMO, Lent, need_ray
from tests.cluster.test_cluster import kill, opened, same, settle
from tests.e2e.terminal import APP, ROOT, Terminal, environment
from tests.export import headless
from tui import cli
from tui.app import CircuitApp
from tui.circuits.errors import Refusal
from tui.cluster import joining
from tui.cluster.joining import Wish, join, problem
from tui.config import Options
from tui.engine.jobs import LensOver
from tui.views.status import Status

LONG = 300.0


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Enough of them that a sweep lasts."""
    path = tmp_path / "prompts.txt"
    lines = [f"the capital of {land} is {word}" for land in ("France", "Italy", "Spain") for word in ("a", "in", "the")]
    path.write_text("\n".join(lines * 60) + "\n")
    return path


def test_export_gives_the_same_bytes(
    cluster: Lent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    wishes: list[Wish] = []

    def lent(wish: Wish) -> Lent:
        wishes.append(wish)
        return cluster

    monkeypatch.setattr("tui.cluster.bench.ClusterBench", lent)
    opened(cluster)
    arguments = ("head-scores", "--threads", "1", "--format", "json")
    assert headless.run(DEMO, *arguments) == 0
    here = capfdbinary.readouterr()
    assert headless.run(DEMO, *arguments, "--cluster", "auto", "--cluster-workers", "2") == 0
    there = capfdbinary.readouterr()
    assert there.out == here.out
    assert there.err == b""
    assert wishes == [Wish("auto", 2, 1)]


async def test_a_worker_is_lost_on_the_screen(cluster: Lent, desk: Desk, prompts: Path) -> None:
    """The status line says so, the sweep goes on, and its numbers are those of one machine."""
    opened(cluster)
    settle(cluster)
    options = Options(model=str(DEMO), device="cpu", dtype="float32", prompts=str(prompts))
    app = CircuitApp(options, bench=lambda: cluster)
    async with app.run_test(size=(140, 40)) as pilot:
        scene, status = app.explorer.scene, app.explorer.query_one(Status)
        await until(pilot, lambda: scene.selection.file is not None and scene.selection.file.prepared is not None, LONG)
        await until(pilot, lambda: scene.selection.model is not None and not scene.selection.model.source, LONG)
        await pilot.press("5")
        await until(pilot, lambda: "prompts" in status.activity and "/" in status.activity, LONG)
        kill(cluster.crew.lanes[1])
        await until(pilot, lambda: "worker 2 was lost: its share runs again" in status.activity, LONG)
        assert isinstance(_lens(app), LensOver)
        await until(pilot, lambda: app.engine.cached(_lens(app)) is not None, LONG)
        job = _lens(app)
        same(app.engine.cached(job), desk.get(job))
    settle(cluster)


def _lens(app: CircuitApp) -> Any:
    """The job of the picture."""
    from tui import pages

    s = app.explorer.selection
    return pages.of(s).shown(s)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://gpu-1:10001", "takes no ray:// address: Ray Client is not made to be connected for long"),
        ("gpu-1", "must be auto, local, off or the HOST:PORT"),
        ("gpu-1:99999", "must be auto, local, off or the HOST:PORT"),
    ],
)
def test_addresses_that_cannot_be(
    address: str, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sentence in problem(address)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.options(["--cluster", address])
    assert ended.value.code == cli.USAGE
    assert sentence in capsys.readouterr().err
    assert headless.run(DEMO, "head-scores", "--cluster", address) == 1
    assert sentence in capsys.readouterr().err


def test_without_ray(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(SystemExit):
        cli.options(["--cluster", "auto"])
    said = capsys.readouterr().err
    assert "--cluster needs Ray, which is not installed. pip install 'circuit-tui[cluster]'" in said
    assert cli.options(["--cluster", "off"]).cluster == "off"


def test_number_of_workers(capsys: pytest.CaptureFixture[str]) -> None:
    need_ray()
    assert cli.options(["--cluster", "local", "--cluster-workers", "3"]).cluster_workers == 3
    with pytest.raises(SystemExit):
        cli.options(["--cluster", "local", "--cluster-workers", "0"])
    assert "--cluster-workers must be a whole number" in capsys.readouterr().err
    assert headless.run(DEMO, "head-scores", "--cluster", "local", "--cluster-workers", "0") == 2
    assert "--cluster-workers must be a whole number" in capsys.readouterr().err


def test_nobody_at_an_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sentence within seconds."""
    need_ray()
    started = time.monotonic()
    with pytest.raises(Refusal, match=r"No cluster answers at 127.0.0.1:9: ") as raised:
        join(Wish("127.0.0.1:9"))
    assert "ray status" in raised.value.hint
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(Refusal, match="No cluster was found on this machine"):
        join(Wish("auto"))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9\n")  # one that has ended
    with pytest.raises(Refusal, match=r"No cluster answers at 127.0.0.1:9: "):
        join(Wish("auto"))
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(Refusal, match="RAY_ADDRESS is ray://head:10001"):
        join(Wish("auto"))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("map_text", "memory", "most", "count"),
    [("", "", 0, 0), ("", "", 8, 1), ("balanced", "", 8, 8), ("auto", "0=20GB,1=20GB,cpu=60GB", 8, 2),
     ('{"a": 0, "b": "cuda:1", "c": 1, "d": "disk"}', "", 8, 2)],
)  # fmt: skip
def test_how_many_gpus_a_copy_takes(map_text: str, memory: str, most: int, count: int, tmp_path: Path) -> None:
    if map_text.startswith("{"):
        (tmp_path / "map.json").write_text(map_text)
        map_text = str(tmp_path / "map.json")
    assert joining.gpus_of_one(Wish("auto", device_map=map_text, max_memory=memory), most) == count


def processes(of: int) -> list[int]:
    """The processes of the cluster that this one has started."""
    out = subprocess.run(["pgrep", "-f", f"{joining.PREFIX}{of}/"], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in out.split()]


def listening(pids: list[int]) -> set[str]:
    """The addresses that these listen on, in the kernel's hexadecimal."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(link)
            except OSError:
                continue
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    out = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                out.add(fields[1].partition(":")[0])
    return out


def gone(pid: int, seconds: float = 30) -> None:
    until_then = time.monotonic() + seconds
    while processes(pid):
        assert time.monotonic() < until_then, "processes of the cluster are left"
        time.sleep(0.05)


@pytest.fixture
def killed() -> Iterator[list[int]]:
    """Clusters that must not outlive the test, by who started them."""
    started: list[int] = []
    yield started
    for pid in started:
        for left in processes(pid):
            os.kill(left, signal.SIGKILL)


@pytest.mark.e2e
def test_a_cluster_of_its_own_listens_here_alone_and_ends_with_the_app(tmp_path: Path, killed: list[int]) -> None:
    need_ray()
    command = (*APP, "--cluster", "local", "--cluster-workers", "1", "--threads", "1")
    with Terminal(command, environment(tmp_path, OMP_NUM_THREADS="1"), tmp_path) as terminal:
        killed.append(terminal.process.pid)
        terminal.wait_for("demo · cpu", LONG)
        terminal.wait_for("L0H0", LONG)
        there = [terminal.process.pid, *processes(terminal.process.pid)]
        assert len(there) > 4
        assert listening(there) <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
        terminal.signal(signal.SIGTERM)
        terminal.ended(5)
        assert terminal.process.returncode == 128 + signal.SIGTERM
        terminal.assert_restored()
    gone(terminal.process.pid)


@pytest.mark.e2e
def test_a_cluster_of_its_own_ends_when_the_export_is_killed(tmp_path: Path, killed: list[int]) -> None:
    need_ray()
    command = [sys.executable, "-m", "tui", "export", "head-scores", "--cluster", "local", "--cluster-workers", "1"]
    child = subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE)
    killed.append(child.pid)
    until_then = time.monotonic() + LONG
    while len(processes(child.pid)) < 4:
        assert time.monotonic() < until_then
        time.sleep(0.05)
    child.kill()
    child.wait()
    gone(child.pid)
