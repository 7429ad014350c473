"""``python -m tests.soak --minutes 60 --seed 1``: here for two thirds of the time, over a line for the last."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}

from tests.soak.varieties import VARIETIES, soaked, table


def main() -> int:
    """Run it and print the table; 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*VARIETIES], help="one variety for all of the time")
    options = parser.parse_args()
    only = {options.only: 1.0} if options.only else VARIETIES
    code = 0
    for name, share in only.items():
        with tempfile.TemporaryDirectory(prefix="circuit-tui-soak-") as folder:
            report, problem = soaked(name, Path(folder), options.seed, 60 * options.minutes * share)
        print(table(report), flush=True)
        if problem:
            code = 1
            print(problem, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
