"""``circuit-tui describe FILE``: the config that weights imply, in JSON on standard output, to be saved as config.json.

What shapes do not say stands below ``"?"``, a key of reasons that the app ignores, and on standard error in words.
Exit codes: 0 printed, 1 the file cannot be read or its names are of no known architecture, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .process import fail


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``circuit-tui describe``."""
    parser.description = (
        "Print the config.json that a file of weights implies, with what its shapes do not say marked."
    )
    parser.epilog = "circuit-tui describe model.pt > config.json, then look at what stands below ? and delete it."
    parser.add_argument("model", metavar="FILE", help="a file of weights: .safetensors, .pt, .pth or .bin")


def describe(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from .models.describe import MARK, read_shapes_of
    from .models.describe import describe as described
    from .models.errors import ModelError

    try:
        config = described(read_shapes_of(Path(arguments.model).expanduser()))
    except ModelError as error:
        return fail(f"{error.message} {error.hint}".strip(), 1)
    sys.stdout.write(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    doubts = config[MARK]
    if isinstance(doubts, dict) and doubts:
        lines = "".join(f"  {name}: {why}\n" for name, why in doubts.items())
        sys.stderr.write(f"circuit-tui: not known from the weights, look at these before you save it:\n{lines}")
    return 0
