from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tui.engine.engine import Engine

from .fakes import Events, FakeBench, Rig


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    """Engines with fakes, started; each must be able to end."""
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        bench, events = FakeBench(), Events()
        options = {"emit": events.append, "make_bench": lambda: bench, **options}
        rig = Rig(Engine(**options), bench, events)
        rig.engine.start()
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        assert rig.engine.close(5.0), "the engine's thread did not end"


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
