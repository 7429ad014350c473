"""How a cluster is found, or one started on this machine, and what of it workers take."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..circuits.errors import Refusal
from ..config import Options
from .lane import Needs

LOCAL, AUTO = "local", "auto"
INSTALL = "pip install 'circuit-tui[cluster]' installs it, here and on every node of the cluster."
WITHOUT = "Without --cluster the model is run on this machine."
KNOCKS = 5.0
"""Seconds until an address that does not answer is given up."""
STORE = 100_000_000
"""Bytes of shared memory of a cluster that is started here: results pass through it, weights do not."""
PATIENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(10**8)}
"""Ray ends a process whose cluster's head is gone for a minute: ours is the app's. What goes wrong is said by us."""
SHORT, PREFIX = Path("/tmp"), "circuit-tui-ray-"


@dataclass(frozen=True)
class Wish:
    """What ``--cluster`` and its companions ask for."""

    address: str
    """``auto``, ``local``, or the ``host:port`` of the cluster's head."""
    workers: int | None = None
    """None: one for each GPU, or each set of GPUs that a copy takes; without GPUs one a node, and two if ``local``."""
    threads: int | None = None
    """CPU threads of each worker; None: its share of the cluster's."""
    device_map: str = ""
    max_memory: str = ""

    @staticmethod
    def of(o: Options | argparse.Namespace) -> Wish:
        """As the options of the app or of an export say."""
        return Wish(o.cluster, o.cluster_workers, o.threads, o.device_map, o.max_memory)


def problem(address: str) -> str:
    """What is wrong with an address, as a sentence; empty: nothing that can be seen from it."""
    if address.startswith("ray://"):
        return ("cluster takes no ray:// address: Ray Client is not made to be connected for long. Start circuit-tui "
                "on a node of the cluster, with --cluster auto.")  # fmt: skip
    if address in (AUTO, LOCAL, "off") or _split(address) is not None:
        return ""
    return f"cluster must be auto, local, off or the HOST:PORT of the cluster's head, not {address!r}."


def _split(address: str) -> tuple[str, int] | None:
    match = re.fullmatch(r"\[?([^\[\]\s/]+?)\]?:([0-9]{1,5})", address)
    return (match[1], int(match[2])) if match and 0 < int(match[2]) < 65536 else None


def missing() -> str:
    """Why there can be no cluster here: a sentence and what to do; empty: Ray is installed."""
    there = importlib.util.find_spec("ray") is not None
    return "" if there else f"--cluster needs Ray, which is not installed. {INSTALL}"


def join(wish: Wish) -> tuple[int, Needs]:
    """Connect to the cluster; how many workers there are to be, and what each of them takes. Refusal with a sentence
    where there is none, within seconds."""
    if why := problem(wish.address):
        raise Refusal(why[:1].upper() + why[1:], WITHOUT)
    if why := missing():
        raise Refusal(why, WITHOUT)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if wish.address == LOCAL:
        _start(wish)
    else:
        _connect(wish.address)
    return _shares(wish)


def leave() -> None:
    """Disconnect; a cluster that was started here ends."""
    import ray

    with contextlib.suppress(Exception):
        ray.shutdown()
    shutil.rmtree(_own(os.getpid()), ignore_errors=True)


def _start(wish: Wish) -> None:
    """A cluster of this machine alone, whose processes listen on 127.0.0.1 and end with this one."""
    for folder, pid in _left():
        if not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
    # Ray binds to all interfaces unless clusters are ruled out, which this variable says: it is read at its import.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own is 15: somebody waits for these
    import ray

    try:
        ray.init(
            LOCAL, num_cpus=max(wish.workers or 2, os.cpu_count() or 1), object_store_memory=STORE,
            include_dashboard=False, _temp_dir=str(_own(os.getpid())), namespace="circuit-tui", log_to_driver=False,
            configure_logging=False,
        )  # fmt: skip
    except Exception as error:
        raise Refusal(f"A cluster could not be started on this machine: {_first_line(error)}", WITHOUT) from None


def _own(pid: int) -> Path:
    """Where Ray keeps its logs and sockets: a short name, since those of sockets have 107 bytes at most."""
    return SHORT / f"{PREFIX}{pid}"


def _left() -> Iterator[tuple[Path, str]]:
    """Folders of clusters that were started here, with the process that did."""
    for folder in SHORT.glob(f"{PREFIX}*"):
        yield folder, folder.name.removeprefix(PREFIX)


def _connect(address: str) -> None:
    """To a cluster that is there, as a process of one of its nodes."""
    where = (os.environ.get("RAY_ADDRESS") or _noted()) if address == AUTO else address
    if where.startswith("ray://"):
        raise Refusal(f"RAY_ADDRESS is {where}: {problem(where)}", WITHOUT)
    place = _split(where)
    if address == AUTO and not where:
        raise Refusal("No cluster was found on this machine.", "`ray start --head` starts one, --cluster local one for "
                      f"this run. {WITHOUT}")  # fmt: skip
    if place is not None:
        try:
            socket.create_connection(place, timeout=KNOCKS).close()
        except OSError as error:
            raise Refusal(f"No cluster answers at {where}: {error.strerror or error}.",
                          f"`ray status` on a node says whether it runs. {WITHOUT}") from None  # fmt: skip
    import ray

    try:
        ray.init(where or AUTO, namespace="circuit-tui", log_to_driver=False, configure_logging=False)
    except Exception as error:
        raise Refusal(f"The cluster at {where or address} could not be joined: {_first_line(error)}",
                      f"Start circuit-tui on one of its nodes, with the same Ray and Python. {WITHOUT}") from None


def _noted() -> str:
    """The address that ``ray start`` has left on this machine; empty: none."""
    folder = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray"
    try:
        return (folder / "ray_current_cluster").read_text("utf-8").strip()
    except OSError:
        return ""


def _first_line(error: Exception) -> str:
    text = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
    return text if text.endswith(".") else f"{text}."


def _shares(wish: Wish) -> tuple[int, Needs]:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = sum(int(node.get("CPU", 0)) for node in nodes)
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    each = gpus_of_one(wish, max(gpus, default=0))
    if each:
        room = sum(count // each for count in gpus)
        if not room:
            raise Refusal(f"A copy of the model takes {each} GPUs by --device-map, and no node has as many.",
                          f"Name fewer devices. {WITHOUT}")  # fmt: skip
    else:
        room = 2 if wish.address == LOCAL else len(nodes)
    count = wish.workers or room
    return count, Needs(each, wish.threads or max(1, cpus // max(count, 1)))


def gpus_of_one(wish: Wish, most: int) -> int:
    """How many GPUs a copy of the model takes: those that its map names; all of a node for a map that names none."""
    if not most or not wish.device_map:
        return min(1, most)
    named: set[str] = set()
    if wish.max_memory:
        named = {part.partition("=")[0].strip() for part in wish.max_memory.split(",")}
    elif (path := Path(wish.device_map)).is_file():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            named = {str(value).removeprefix("cuda:") for value in json.loads(path.read_text("utf-8")).values()}
    return len([name for name in named if name.isdigit()]) or most
