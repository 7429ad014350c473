"""A checkpoint with two outputs from end to end: a head knocked out by keys, what each knock-out does, patching, and
the exports, with the numbers of the model itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.app.driving import drawn, notice, pressed, settled, text_of, until
from tests.circuits.desk import Desk
from tests.export.headless import run
from tests.models import folders
from tui.app import CircuitApp
from tui.config import Options
from tui.engine.jobs import Ablation, Effects, PatchingGrid, Run, Target
from tui.engine.jobs.parts import Forward
from tui.engine.run import Bench

PROMPT, OTHER = "3,1,4,1,5", "3,1,4,9,5"
YES = Target((1,), (0,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two")
    folders.tl_checkpoint(path, *folders.random_checkpoint(d_vocab_out=2))
    (path / "vocab_out.json").write_text(json.dumps(["no", "yes"]))
    return path


@pytest.fixture(scope="module")
def desk(folder: Path) -> Desk:
    return Desk(folder)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def apart(desk: Desk, run: Run) -> float:
    """yes − no after the last token."""
    logits = desk.get(Forward(run)).logits[-1].double()
    return float(logits[1] - logits[0])


async def test_by_keys(folder: Path, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = CircuitApp(Options(model=str(folder), prompt=PROMPT), bench=Bench)
    explorer = app.explorer
    clean = desk.run(3, 1, 4, 1, 5)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: explorer.selection.tokens is not None, 60)
        await settled(explorer, pilot)
        assert explorer.selection.run == clean
        await pressed(explorer, pilot, "A", *"yes - no", "enter")
        assert explorer.selection.target == YES
        await pressed(explorer, pilot, "K")
        want = desk.get(Effects(clean, 4, YES))
        at = want.rows.labels.index("L1H2"), want.cols.labels.index("logit difference")
        shown = drawn(explorer)
        assert shown.values[1, 2] == pytest.approx(want.values[at], abs=1e-6)
        gone = Run(clean.model, clean.ids, clean.bos, (Ablation("L1H2"),))
        assert want.values[at] == pytest.approx(apart(desk, gone) - apart(desk, clean), abs=1e-5)
        await pressed(explorer, pilot, "P", "ctrl+u", *OTHER, "enter", "9")
        job = PatchingGrid(clean, desk.run(3, 1, 4, 9, 5), YES)
        np.testing.assert_allclose(drawn(explorer).values[:, :4], desk.get(job).values[:, :4], atol=1e-5)
        await pressed(explorer, pilot, "1", *["right_curly_bracket"] * 2, "right_square_bracket", "a")
        assert explorer.selection.stack[0].change == Ablation("L1H2")
        assert text_of(explorer, "#title").strip().startswith("changed · L1H2")
        line = str(explorer.query_one("TokenStrip").predictions.rows)  # type: ignore[attr-defined]
        assert "yes" in line
        assert "no" in line
        await pressed(explorer, pilot, "plus")
        assert "classes" in notice(explorer), "a class is no token that could go on a text"


def test_without_a_screen(folder: Path, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = desk.run(3, 1, 4, 1, 5)
    gone = Run(clean.model, clean.ids, clean.bos, (Ablation("L1H2"),))
    out, changes = tmp_path / "out.json", tmp_path / "changes.txt"
    changes.write_text("L1H2\n")
    asked = ("--prompt", PROMPT, "--answer", "yes", "--distractor", "no", "--out", str(out))
    assert run(folder, "attribution", *asked, "--stack", str(changes)) == 0
    assert json.loads(out.read_text())["checks"]["value"] == pytest.approx(apart(desk, gone), abs=1e-5)
    assert run(folder, "ablation", *asked, "--ablate", "L1H2") == 0
    checks = json.loads(out.read_text())["checks"]
    assert checks["logit_difference_clean"] == pytest.approx(apart(desk, clean), abs=1e-5)
    assert checks["logit_difference_ablated"] == pytest.approx(apart(desk, gone), abs=1e-5)
    arguments = ("--clean", PROMPT, "--corrupted", OTHER, "--answer", "yes", "--distractor", "no", "--out", str(out))
    assert run(folder, "patching", *arguments) == 0
    got = np.array(json.loads(out.read_text())["values"], dtype=float)
    want = desk.get(PatchingGrid(clean, desk.run(3, 1, 4, 9, 5), YES)).values
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert run(folder, "continue", "--prompt", PROMPT) == 1
    assert "classes, not tokens" in capsys.readouterr().err
