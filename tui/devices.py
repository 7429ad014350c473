"""What this machine computes on, asked of torch in a process of its own: a broken driver can hang or kill it.

Run as a script it prints one JSON object; ``look`` runs it and reads that. No model is loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 60.0
"""How long torch may take, which is slow to import from a cold network disk."""


def look(seconds: float = SECONDS) -> dict[str, Any]:
    """``torch`` (version), ``cuda`` (what it was built for, or None), ``driver`` (the CUDA version that the driver
    serves, or None), ``devices`` (each with ``name``, ``total``, ``free`` in bytes, or ``error``), ``mps``,
    ``threads``; ``error`` where something did not answer.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__], capture_output=True, text=True, timeout=seconds, errors="replace",
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"torch did not answer within {seconds:.0f} s"}
    except OSError as error:
        return {"error": f"Python could not be started again ({error.strerror})"}
    try:
        found = json.loads(done.stdout.strip().rpartition("\n")[2])
        return found if isinstance(found, dict) else {"error": "torch answered with something else"}
    except ValueError:
        said = done.stderr.strip().rpartition("\n")[2]
        died = f"was ended by signal {-done.returncode}" if done.returncode < 0 else "failed"
        return {"error": f"importing torch {died}{f': {said}' if said else ''}"}


def driver() -> str | None:
    """The newest CUDA that the driver serves, as ``12.4``; None without one."""
    import ctypes

    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            version = ctypes.c_int()
            if ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(version)) == 0:
                return f"{version.value // 1000}.{version.value % 1000 // 10}"
        except (OSError, AttributeError):
            continue
    return None


def found() -> dict[str, Any]:
    """What ``look`` gives, asked in this process."""
    out: dict[str, Any] = {"driver": driver()}
    import torch

    out |= {"torch": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip,
            "threads": torch.get_num_threads(), "mps": torch.backends.mps.is_available(), "devices": []}  # fmt: skip
    if torch.cuda.is_available():
        out["devices"] = [_device(number) for number in range(torch.cuda.device_count())]
    elif torch.version.cuda and out["driver"]:
        try:
            torch.zeros(1, device="cuda")
        except (RuntimeError, AssertionError) as error:
            out["error"] = str(error).strip().splitlines()[0]
    return out


def _device(number: int) -> dict[str, Any]:
    import torch

    try:
        named = {"name": torch.cuda.get_device_name(number)}
        free, total = torch.cuda.mem_get_info(number)
        return named | {"free": free, "total": total}
    except Exception as error:  # a device that is full, lost or taken by another: the others still are told
        return {"name": f"cuda:{number}", "error": str(error).strip().splitlines()[0]}


if __name__ == "__main__":
    print(json.dumps(found()))
