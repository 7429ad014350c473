"""Where a headless request is computed: in this process, on a cluster, or on another machine."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator

from . import config, host
from .engine.bench import Bench
from .flags import Usage


@contextlib.contextmanager
def bench_of(options: argparse.Namespace) -> Iterator[Bench]:
    """What computes: in this process, which takes the model with it, or elsewhere, which is left."""
    if options.remote is not None:
        from .remote import asking, reach

        machine = host.Host(host.parts(options.remote)[0], options.remote_command, asking.LINGER)
        far = asking.FarBench(reach.reach(machine, reach.by_ssh(machine, sys.stderr.write)))
        with contextlib.closing(far):
            yield far
    elif config.on_cluster(options.cluster):
        from .cluster.bench import ClusterBench
        from .cluster.joining import Wish

        with contextlib.redirect_stdout(io.StringIO()):  # Ray prints what befalls its workers
            crew = ClusterBench(Wish.of(options))
            with contextlib.closing(crew):
                yield crew
    else:
        from .engine.run import Bench as RealBench

        yield RealBench()


def model_of(options: argparse.Namespace) -> str:
    """Which model: the one of ``--model``, or the one that is named behind the machine."""
    there = host.parts(options.remote)[1] if options.remote is not None else None
    if there is not None and options.model not in ("demo", there):
        raise Usage(f"two models are named, {options.model} (--model) and {there} (--remote): leave one out")
    return there or str(options.model)
