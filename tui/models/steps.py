"""The training steps of one run, by the names of their files or folders alone: nothing is read.

A TransformerLens checkpoint may have its weights at several steps, ``run/step_0.pt run/step_1000.pt run/config.json``.
Hugging Face's Trainer writes ``run/checkpoint-500/ run/checkpoint-1000/``; the run's folder itself may hold the last.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from ..shelf import step_of

CONFIGS = ("config.json", "cfg.json")
STATES = (".safetensors", ".pt", ".pth")
"""How the name of a checkpoint's state dict may end."""
_BESIDE = ("optimizer*", "optim*", "scheduler*", "lr_scheduler*", "scaler*", "training_args*", "rng_state*",
           "trainer_state*")  # fmt: skip
"""Files that a training run leaves beside its weights and that hold no model."""
LAST = "last"
"""What the weights in the run's own folder are called as a step."""
Step = tuple[str, str]
"""Its name, and what opens it."""


def in_order(path: Path) -> tuple[object, ...]:
    """Numbers in a name count as numbers: step_900 before step_1000."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", path.name))


def config_of(folder: Path) -> Path | None:
    """The folder's configuration: ``config.json``, or ``cfg.json``; None where there is none."""
    return next((folder / name for name in CONFIGS if (folder / name).is_file()), None)


def weight_files(folder: Path) -> list[Path]:
    """A TransformerLens checkpoint's state dicts in the order of their steps; what a training run leaves beside them is
    left out."""
    files = (file for file in folder.iterdir() if file.suffix in STATES and file.is_file())
    return sorted((file for file in files if not is_beside(file)), key=in_order)


def is_beside(file: Path) -> bool:
    """Whether a file is the optimizer's, the scheduler's or the like, by its name."""
    return any(fnmatch.fnmatch(file.name.lower(), pattern) for pattern in _BESIDE)


def run_folders(folder: Path) -> list[Path]:
    """The folders of a run's checkpoints in the order of their steps: those that are called so and have a
    configuration."""
    try:
        inside = [path for path in folder.iterdir() if step_of(path.name) is not None and config_of(path) is not None]
    except OSError:
        return []
    return sorted(inside, key=in_order)


def steps_of(folder: Path, file: Path | None) -> tuple[Step, ...]:
    """All steps of the run that this model is one of, first to last; empty where it is by itself. ``file``: its
    weights, where the folder holds those of several steps."""
    if file is not None:
        return tuple((one.name, str(one)) for one in weight_files(folder))
    inside = run_folders(folder)
    if inside:
        return (*((one.name, str(one)) for one in inside), (LAST, str(folder)))
    siblings = run_folders(folder.parent) if step_of(folder.name) is not None else []
    # Steps of one run share what stands before the number.
    alike = [one for one in siblings if _stem(one) == _stem(folder)]
    whole = bool(alike) and config_of(folder.parent) is not None
    if len(alike) + whole < 2:
        return ()
    steps = [(one.name, str(one)) for one in alike]
    return (*steps, (LAST, str(folder.parent))) if whole else tuple(steps)


def _stem(folder: Path) -> str:
    return re.sub(r"[0-9]+$", "", folder.name)
