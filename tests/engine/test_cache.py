from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from tui.engine.cache import Cache, size_of
from tui.engine.jobs import Job

from .fakes import Plain


def test_keeps_what_fits_and_lets_the_least_recently_used_go() -> None:
    cache = Cache(100)
    for name in "abc":
        cache.put(Plain(name), name, 30)
    assert cache.get(Plain("a")) == "a"
    cache.put(Plain("d"), "d", 30)
    assert cache.get(Plain("b")) is None, "b was used least recently"
    assert [cache.get(Plain(name)) for name in "acd"] == ["a", "c", "d"]


def test_equal_jobs_are_one_entry_and_a_new_value_replaces_its_size() -> None:
    cache = Cache(100)
    cache.put(Plain("a"), 1, 60)
    cache.put(Plain("a"), 2, 50)
    assert (len(cache), cache.used_bytes, cache.get(Plain("a"))) == (1, 50, 2)


def test_a_lower_limit_holds_at_once_for_what_is_there() -> None:
    cache = Cache(100)
    for name in "abc":
        cache.put(Plain(name), name, 30)
    cache.get(Plain("a"))
    cache.limit(60)
    assert [cache.get(Plain(name)) for name in "abc"] == ["a", None, "c"]
    cache.limit(100)
    assert cache.put(Plain("d"), "d", 40)
    assert cache.used_bytes == 100


def test_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    cache = Cache(100)
    cache.put(Plain("small"), 1, 60)
    assert not cache.put(Plain("large"), 2, 101)
    assert cache.get(Plain("large")) is None
    assert cache.get(Plain("small")) == 1
    assert not cache.put(Plain("small"), 3, 101)
    assert cache.get(Plain("small")) is None, "the old value is not the value any more"
    assert cache.used_bytes == 0


def test_drop_and_clear() -> None:
    cache = Cache(100)
    for name in "abc":
        cache.put(Plain(name), name, 30)
    cache.drop(lambda job: job != Plain("b"))
    assert (len(cache), cache.used_bytes) == (1, 30)
    assert Plain("b") in cache
    cache.clear()
    assert (len(cache), cache.used_bytes) == (0, 0)


@dataclass(frozen=True)
class Slow(Job):
    """Lets another thread in wherever a dictionary looks it up."""

    number: int

    def __hash__(self) -> int:
        time.sleep(1e-5)
        return self.number


def test_threads_do_not_come_between() -> None:
    cache, wrong = Cache(1_000), list[object]()

    def use(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(400):
                job = Slow(chance.randrange(6))
                if chance.random() < 0.6:
                    cache.put(job, job, chance.randrange(1, 400))
                elif (value := cache.get(job)) is not None and value != job:
                    wrong.append(value)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.used_bytes <= 1_000
    cache.drop(lambda job: True)
    assert cache.used_bytes == 0, "sizes add up"


@dataclass(frozen=True, eq=False)
class Labelled:
    values: np.ndarray
    labels: tuple[str, ...] = ()


def test_size_counts_arrays_inside_and_each_once() -> None:
    values = np.zeros(1_000, np.float32)
    assert 4_000 <= size_of(Labelled(values)) < 4_400
    assert size_of((Labelled(values), Labelled(values))) < 4_900
    assert size_of({"a": [values, np.zeros(1_000)]}) >= 12_000
    assert size_of(Labelled(values, ("word" * 100,) * 1)) >= 4_400


def test_size_of_a_view_is_what_it_keeps_alive() -> None:
    logits = np.zeros((100, 1_000))
    assert size_of(logits[-1]) >= logits.nbytes


def test_size_of_a_tensor_like_value_is_its_storage() -> None:
    class Storage:
        def nbytes(self) -> int:
            return 5_000

        def data_ptr(self) -> int:
            return 1

    class Tensor:
        nbytes = 10

        def untyped_storage(self) -> Storage:
            return Storage()

    assert 5_000 <= size_of([Tensor(), Tensor()]) < 5_200


def test_a_value_may_know_its_own_size() -> None:
    class Trace:
        nbytes = 12_345

    assert size_of(Trace()) == 12_345


@pytest.mark.parametrize("measured", [10, 1_000])
def test_sizes_come_from_the_given_function(measured: int) -> None:
    cache = Cache(100, nbytes=lambda value: measured)
    job: Job = Plain()
    assert cache.put(job, "value") is (measured <= 100)
