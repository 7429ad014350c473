"""Training dynamics: keys and commands that step through the weights of one run, with everything staying as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.app.driving import drawn, driven, notice, pressed, until
from tests.app.recorded import KEY, RecordedBench, info
from tests.models.folders import random_checkpoint, tl_checkpoint
from tui import moves
from tui.app import CircuitApp
from tui.config import Options
from tui.declared import Say
from tui.engine.jobs import Ablation, Open, Patch, Run, Target
from tui.engine.run import Bench
from tui.selection import Answer, Entry, Selection, with_model
from tui.training import rekeyed

STEPS = tuple((f"step_{n}.pt", f"/run/step_{n}.pt") for n in (0, 100, 1000))


def at(step: int, **changes: Any) -> Any:
    return info(**{"key": replace(KEY, folder=STEPS[step][1]), "steps": STEPS, "step": step, **changes})


def test_steps_by_key_and_by_name() -> None:
    s = Selection(open=Open("/run"), opened=Open("/run"), model=at(2))
    there = moves.step_checkpoint(s, -1)
    assert isinstance(there, Selection)
    assert there.open.source == STEPS[1][1]
    again = moves.step_checkpoint(there, -1)  # while the first is loading
    assert isinstance(again, Selection)
    assert again.open.source == STEPS[0][1]
    assert moves.step_checkpoint(again, -1) == Say("step_0.pt is the first of 3 steps")
    assert moves.step_checkpoint(s, 1) == Say("step_1000.pt is the last of 3 steps")
    for name, number in (("step_100.pt", 1), ("100", 1), ("1000", 2), ("_0", 0)):
        there = moves.to_checkpoint(s, name)
        assert isinstance(there, Selection)
        assert there.open.source == STEPS[number][1]
    some = moves.to_checkpoint(s, "step")
    assert some == Say("step_0.pt, step_100.pt, step_1000.pt are all called so; there are step_0.pt, step_100.pt, "
                       "step_1000.pt")  # fmt: skip
    none = moves.to_checkpoint(s, "77")
    assert isinstance(none, Say)
    assert none.sentence.startswith("there is no step 77; there are step_0.pt")
    for model in (None, info()):
        assert moves.step_checkpoint(replace(s, model=model), 1) == moves.NO_STEPS
        assert moves.to_checkpoint(replace(s, model=model), "1") == moves.NO_STEPS


def test_what_stays_at_another_step() -> None:
    old, new = at(2), at(1)
    run = Run(old.key, (1, 2, 3), False)
    stack = (Entry(Patch("L1H3", run)), Entry(Ablation("L0H1")))
    s = Selection(open=Open(STEPS[1][1]), opened=Open("/run"), model=old, stack=stack, row=1, col=0, layer=2, head=3,
                  answer=Answer(Target((7,)), "x"))  # fmt: skip
    there = with_model(s, s.open, new)
    assert (there.answer, there.row, there.arriving, there.layer, there.head) == (s.answer, 1, (1, 0), 2, 3)
    patch = there.stack[0].change
    assert isinstance(patch, Patch)
    assert patch.source == replace(run, model=new.key)
    assert there.stack[1] is stack[1] or there.stack[1] == stack[1]
    # Another vocabulary, another size or a model that is no step of it: as ever, nothing stays.
    for other in (at(1, vocabulary="other"), at(1, d_model=64), info(key=replace(KEY, folder="/other"))):
        gone = with_model(s, s.open, other)
        assert (gone.answer, gone.stack) == (None, ())


def test_keys_of_models_inside_of_values() -> None:
    old, new = KEY, replace(KEY, folder="/new")
    value = (Run(old, (1,), False), ("text", 3))
    assert rekeyed(value, old, new) == (Run(new, (1,), False), ("text", 3))
    assert rekeyed(value, new, old) is value


class Steps(RecordedBench):
    """Three steps of a run; the numbers of each are its own."""

    def _open(self, job: Open) -> Any:
        sources = [source for _, source in STEPS]
        self.model = at(sources.index(job.source) if job.source in sources else 2)
        return self.model

    def compute(self, job: Any, ctx: Any) -> Any:
        run = getattr(job, "run", None)
        if run is not None:
            assert run.model == self.model.key, "that model is not the one that is open"
        result = super().compute(job, ctx)
        return replace(result, values=result.values * (1 + self.model.step)) if hasattr(result, "values") else result


async def test_every_view_follows() -> None:
    async with driven(bench=Steps(at(2))) as (explorer, pilot):
        await pressed(explorer, pilot, "k", "k")
        last, cell = drawn(explorer).values.copy(), explorer.selection.prompt_cell
        await pressed(explorer, pilot, "f7")
        assert np.allclose(drawn(explorer).values, last * 2 / 3, equal_nan=True)
        assert explorer.selection.prompt_cell == cell
        assert "step 2 of 3" in explorer.query_one("Status").conventions  # type: ignore[attr-defined]
        await pressed(explorer, pilot, "f7", "f7")
        assert notice(explorer) == "step_0.pt is the first of 3 steps"
        assert np.allclose(drawn(explorer).values, last / 3, equal_nan=True)
        await pressed(explorer, pilot, "colon", *"checkpoint 1000", "enter")
        assert np.allclose(drawn(explorer).values, last, equal_nan=True)


async def test_steps_of_a_real_run(tmp_path: Path) -> None:
    """Two files beside one config: the pattern on the screen is that of the file that is open."""
    want = []
    for seed in range(2):
        config, state = random_checkpoint(seed)
        torch.save(state, tl_checkpoint(tmp_path / "run", config, {}) / f"step_{seed * 500}.pt")
    (tmp_path / "run" / "model.pt").unlink()
    from tui.models.load import load

    for seed in range(2):
        live = load(str(tmp_path / "run" / f"step_{seed * 500}.pt"), device="cpu")
        want.append(live.trace([3, 1, 4], [0]).patterns[0][0].numpy())
    app = CircuitApp(Options(model=str(tmp_path / "run"), prompt="3 1 4", device="cpu"), bench=Bench)
    explorer = app.explorer
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: explorer.selection.tokens is not None, 60)
        for key, step in (("1", 1), ("f7", 0), ("f8", 1)):
            await pressed(explorer, pilot, key)
            await until(pilot, lambda: explorer.selection.open == explorer.selection.opened, 60)
            await pressed(explorer, pilot, "1")
            seen = ~np.isnan(drawn(explorer).values)
            assert np.allclose(drawn(explorer).values[seen], want[step][seen], atol=1e-6)
            assert explorer.selection.model is not None
            assert explorer.selection.model.name == f"run/step_{step * 500}.pt"
