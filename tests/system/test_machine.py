"""Work on all cores: what `spread` promises, whatever the threads do; and memory that is kept."""

import sys
import threading
import time

import numpy as np
import pytest
from processes import run_python

from picogpt.system import machine


@pytest.fixture
def two_threads(keep_threads):
    machine.set_threads(2)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_items(threads, n):
    assert machine.spread(lambda i: i * i, range(n)) == [i * i for i in range(n)]


class Blas:
    """The controls of libraries that tell these numbers of threads."""

    def __init__(self, *numbers):
        self.numbers, self.asked = numbers, []

    def info(self):
        return [{"num_threads": n} for n in self.numbers]

    def limit(self, limits):
        self.asked.append(limits)


@pytest.mark.parametrize(("numbers", "most"), [((), 1), ((None,), 1), ((3,), 3), ((2, None, 4), 4)])
def test_there_are_as_many_cores_as_a_library_says_or_one(numbers, most, monkeypatch):
    monkeypatch.setattr(machine, "blas", lambda: Blas(*numbers))
    assert machine.n_threads() == most


def test_no_number_of_threads_leaves_it_as_it_is(monkeypatch):
    blas = Blas(2)
    monkeypatch.setattr(machine, "blas", lambda: blas)
    for n in (0, 3, 1):
        machine.set_threads(n)
    assert blas.asked == [3, 1]


def test_two_items_are_computed_at_the_same_time(two_threads):
    both = threading.Barrier(2, timeout=20)  # passes only while two wait at it
    assert sorted(machine.spread(lambda i: both.wait(), range(2))) == [0, 1]


def test_an_item_may_wait_for_an_earlier_one(threads):
    done = [threading.Event() for _ in range(9)]

    def work(i):
        assert i == 0 or done[i - 1].wait(timeout=20)
        done[i].set()

    machine.spread(work, range(9))


def test_blas_shares_the_cores_with_the_threads(threads):
    before = machine.n_threads()
    inside = machine.spread(lambda i: machine.n_threads(), range(2))
    assert inside == ([1, 1] if threads > 1 else [before, before])
    assert machine.n_threads() == before


def test_an_error_is_raised_and_what_has_not_begun_never_does(two_threads):
    begun = []

    def work(i):
        begun.append(i)
        raise KeyError(i)

    with pytest.raises(KeyError):
        machine.spread(work, range(100))
    assert len(begun) <= 2
    assert machine.n_threads() == 2


@pytest.mark.parametrize("wrong", [0, 1])
def test_an_error_in_one_thread_stops_the_others_soon(two_threads, wrong):
    begun, failed = [], threading.Event()

    def work(i):
        begun.append(i)
        if i == wrong:
            failed.set()
            raise KeyError(i)
        assert failed.wait(timeout=20)
        time.sleep(0.01)

    with pytest.raises(KeyError):
        machine.spread(work, range(100))
    assert len(begun) < 10


@pytest.mark.parametrize(("n", "parts"), [(10, 3), (2, 2), (7, 1), (5, 5), (1023, 6)])
def test_a_split_covers_everything_once_and_evenly(n, parts):
    slices = machine.split(n, parts)
    lengths = [s.stop - s.start for s in slices]
    assert np.concatenate([np.arange(n)[s] for s in slices]).tolist() == list(range(n))
    assert max(lengths) - min(lengths) <= 1


KEPT = """
import resource, sys
import numpy as np
from picogpt.system.machine import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(3_000_000, np.float32)  # 12 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(sum(faults() for _ in range(5)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's C library is told to keep memory")
def test_memory_that_is_kept_costs_no_new_pages():
    def pages(how):
        return int(run_python("-c", KEPT, how).out)

    assert pages("keep") < 5 < pages("plain")
