"""Results kept for later, bounded by bytes: the least recently used ones go first.

A job is its own key (``jobs``), so equal jobs share one entry. The lock makes it safe to read from the screen's thread
while the worker writes.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from ..results import ModelInfo
from .jobs import Job
from .load import Kept

if TYPE_CHECKING:
    import numpy as np
else:
    from ..later import numpy as np


class Cache:
    """Job → value, at most so many bytes of values."""

    def __init__(self, limit_bytes: int, nbytes: Callable[[Any], int] | None = None) -> None:
        self._limit = limit_bytes
        self._nbytes = nbytes or size_of
        self._entries: OrderedDict[Job, tuple[Any, int, float]] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    def get(self, job: Job) -> Any | None:
        """The value, which is then the most recently used one; None if it is not here."""
        with self._lock:
            entry = self._entries.get(job)
            if entry is None:
                return None
            self._entries.move_to_end(job)
            return entry[0]

    def put(self, job: Job, value: Any, nbytes: int | None = None, seconds: float = 0.0) -> bool:
        """Keep a value that took so long, at the cost of older ones. False: it is larger than the whole cache and is
        not kept."""
        size = self._nbytes(value) if nbytes is None else nbytes
        with self._lock:
            self._remove(job)
            if size > self._limit:
                return False
            self._entries[job] = value, size, seconds
            self._used += size
            self._fit()
            return True

    def limit(self, limit_bytes: int) -> None:
        """At most so many bytes from now on: the least recently used values go at once."""
        with self._lock:
            self._limit = limit_bytes
            self._fit()

    def drop(self, unwanted: Callable[[Job], bool]) -> None:
        """Forget every job for which ``unwanted`` holds."""
        with self._lock:
            for job in [job for job in self._entries if unwanted(job)]:
                self._remove(job)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._used = 0

    def kept(self) -> tuple[tuple[Kept, ...], int, int]:
        """What is here, the one used last first, how many bytes that is, and how many it may be."""
        with self._lock:
            entries = [Kept(job, size, seconds) for job, (_, size, seconds) in reversed(self._entries.items())]
            return tuple(entries), self._used, self._limit

    @property
    def used_bytes(self) -> int:
        return self._used

    @property
    def limit_bytes(self) -> int:
        return self._limit

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, job: Job) -> bool:
        return job in self._entries

    def _fit(self) -> None:
        while self._used > self._limit:
            self._remove(next(iter(self._entries)))

    def _remove(self, job: Job) -> None:
        entry = self._entries.pop(job, None)
        if entry is not None:
            self._used -= entry[1]


def room_for(model: ModelInfo) -> int:
    """Results of earlier prompts and heads may take twice the memory of the model: the demo computes them anew sooner
    than anybody comes back to them, and would otherwise fill 1 GiB with 500 prompts. The two forward passes of a long
    prompt (with one layer's patterns, and without) must be there together, or each head switch computes one anew: 677
    tokens on GPT-2 small are 296 MB each."""
    return min(1 << 30, max(48 << 20, 8 * model.n_parameters))


def size_of(value: Any) -> int:
    """Bytes that a value keeps alive, arrays and tensors counted once each.

    A view keeps its whole storage alive, so the storage counts: one row of logits that holds 200 MB is 200 MB. A value
    that knows better says so by an integer attribute ``nbytes``. Tensors are known by ``untyped_storage``: torch is not
    imported here.
    """
    total = 0
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if hasattr(item, "untyped_storage"):
            storage = item.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                total += storage.nbytes()
            continue
        if isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(own := getattr(item, "nbytes", None), int) and not isinstance(item, type):
            total += own
            continue
        total += sys.getsizeof(item)
        waiting.extend(_inside(item))
    return total


def _inside(item: Any) -> Iterable[Any]:
    if is_dataclass(item) and not isinstance(item, type):
        return [getattr(item, field.name) for field in fields(item)]
    if isinstance(item, Mapping):
        return [part for pair in item.items() for part in pair]
    if isinstance(item, list | tuple | set | frozenset):
        return item
    return ()
