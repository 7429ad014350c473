"""No exception of a library reaches a person: what goes wrong while a model is opened is a sentence with a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from .errors import ModelError, first_line

P = ParamSpec("P")
T = TypeVar("T")

STEP = (
    "Compare its config.json and tokenizer files with those it was made from; where they are right, "
    "pip install -U transformers transformer-lens may know them."
)


def in_words(opened: Callable[P, T]) -> Callable[P, T]:
    """A function that opens a model, its exceptions ModelErrors. What cancels it is no Exception and goes through, as
    does being out of memory, which has an advice of its own."""

    @wraps(opened)
    def guarded(*args: P.args, **options: P.kwargs) -> T:
        try:
            return opened(*args, **options)
        except (ModelError, torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
                raise
            source = args[0] if args else options.get("source", "demo")
            raise ModelError(f"{source} cannot be opened: {reason(error)}.", STEP, fault=True) from error

    return guarded


def reason(error: Exception) -> str:
    """A library's exception as a clause: its first line, with its kind where that alone says nothing."""
    said = first_line(error)
    return said if " " in said else f"{type(error).__name__} {said}".strip()
