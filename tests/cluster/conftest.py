"""A cluster of this machine with two workers, and the same model in this process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.circuits.desk import Desk
from tui.cluster import crew
from tui.cluster.bench import ClusterBench
from tui.cluster.joining import Wish
from tui.engine.engine import Engine

DEMO = Path(__file__).parents[2] / "assets" / "demo"


def need_ray() -> None:
    """Skip, visibly, without Ray; fail where continuous integration has promised it."""
    if importlib.util.find_spec("ray") is not None:
        return
    if os.environ.get("CIRCUIT_TUI_REQUIRE_E2E") == "1":
        pytest.fail("Ray is missing, and CIRCUIT_TUI_REQUIRE_E2E=1 forbids to skip this", pytrace=False)
    pytest.skip("Ray is not installed")


class Lent(ClusterBench):
    """A cluster that many engines use, one after another: it ends with the tests."""

    def close(self) -> None: ...

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Lent]:
    """Two workers of one CPU thread each."""
    need_ray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crew, "PATIENCE", 200.0)  # both import their libraries at once, beside whatever runs here
        made = Lent(Wish("local", 2, threads=1))
        yield made
        made.end()


@pytest.fixture(scope="session")
def desk() -> Desk:
    """The demo in this process."""
    return Desk(DEMO)


@pytest.fixture
def engine(cluster: Lent) -> Iterator[tuple[Engine, list[object]]]:
    """An engine on the cluster, and what it says."""
    events: list[object] = []
    made = Engine(events.append, lambda: cluster)
    made.start()
    yield made, events
    assert made.close(10), "the engine's thread did not end"
