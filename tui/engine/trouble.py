"""What went wrong, in words for the screen and for the log."""

from __future__ import annotations

from dataclasses import dataclass

from ..text import visible

MEMORY_HINT = "Use a shorter prompt, a smaller model, --dtype bfloat16 or another --device."
FAULT_HINT = "Details are in the log file (--log FILE chooses where)."


@dataclass(frozen=True)
class Trouble:
    """An exception in words. Holds no reference to it."""

    error: str
    hint: str
    memory: bool = False
    expected: bool = False
    """Whether it was raised for a person to read, so that nobody looks for a fault in the program."""

    def __str__(self) -> str:
        """One line, without what a terminal would obey."""
        line = " ".join(f"{self.error} {self.hint}".split())
        return "".join(char if char.isprintable() else visible(char) for char in line)


def explain(error: BaseException) -> Trouble:
    """One sentence that says what went wrong and one that says what to do."""
    memory = is_out_of_memory(error)
    message, hint = getattr(error, "message", None), getattr(error, "hint", None)
    if isinstance(message, str) and isinstance(hint, str):
        return Trouble(message, hint, memory, expected=not (memory or getattr(error, "fault", False)))
    if memory:
        return Trouble(f"Out of memory: {sentence(error)}", MEMORY_HINT, memory)
    return Trouble(sentence(error), FAULT_HINT)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether freeing memory may help. torch has a class for it on CUDA only; elsewhere a RuntimeError says so."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    words = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(part in sentence(error, longest=10_000) for part in words)


def told(error: BaseException) -> str:
    """An error as a command without a screen ends on it: one line, and no log to look into."""
    trouble = explain(error)
    return str(trouble if trouble.hint != FAULT_HINT else Trouble(trouble.error, ""))


def sentence(error: BaseException, longest: int = 300) -> str:
    """Type and message on one line; of a file that cannot be had, what is wrong and which."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(map(str, filter(None, (error.strerror, error.filename))))
    name = type(error).__name__
    try:
        message = " ".join(str(error).split())
    except Exception:
        return name
    text = f"{name}: {message}" if message else name
    return text if len(text) <= longest else text[: longest - 1] + "…"
