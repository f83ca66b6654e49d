import threading
import time

import pytest

from jungle.video.workers.timeout_threads import GivenUp, TimeoutThreads


def test_results_and_errors_are_the_works_own():
    def work(item):
        if item == 3:
            raise KeyError("three")
        return item * 10

    threads = TimeoutThreads(work, threads=2, timeout_s=5)
    tasks = [threads.submit(i) for i in range(6)]
    assert [threads.wait(t) for t in tasks[:3]] == [0, 10, 20]
    with pytest.raises(KeyError):
        threads.wait(tasks[3])
    assert [threads.wait(t) for t in tasks[4:]] == [40, 50]
    threads.close()


def test_as_many_work_at_once_as_asked():
    together = threading.Barrier(3, timeout=5)  # broken unless three meet
    threads = TimeoutThreads(lambda _: together.wait(), threads=3, timeout_s=20)
    assert sorted(threads.wait(t) for t in [threads.submit(i) for i in range(3)]) == [0, 1, 2]
    threads.close()


def test_what_hangs_is_given_up_and_what_waits_behind_it_is_done():
    release = threading.Event()

    def work(item):
        if item == "hang":
            release.wait(60)
        return item

    threads = TimeoutThreads(work, threads=1, timeout_s=0.3)
    tasks = [threads.submit(item) for item in ("hang", "a", "hang", "b")]
    began = time.monotonic()
    # Waiting for the last one first: those before it hold the only thread.
    assert threads.wait(tasks[3]) == "b"
    assert threads.wait(tasks[1]) == "a"
    for task in (tasks[0], tasks[2]):
        with pytest.raises(GivenUp, match=r"no answer within 0\.3 s"):
            threads.wait(task)
    assert threads.hung == 2
    assert time.monotonic() - began < 10
    release.set()  # a late answer changes nothing
    time.sleep(0.1)
    with pytest.raises(GivenUp):
        threads.wait(tasks[0])
    assert threads.wait(threads.submit("c")) == "c"
    threads.close()


def test_closing_ends_the_threads_and_those_who_wait():
    entered, gate = threading.Event(), threading.Event()
    threads = TimeoutThreads(lambda _: entered.set() or gate.wait(60), threads=1, timeout_s=60)
    running, queued = threads.submit(1), threads.submit(2)
    assert entered.wait(5)
    threads.close()
    with pytest.raises(GivenUp, match="stopped"):
        threads.wait(queued)
    gate.set()
    assert running.result.result(5)
    for _ in range(100):
        if not any(t.name == "gpu-decoding" for t in threading.enumerate()):
            return
        time.sleep(0.05)
    pytest.fail("a thread outlives its pool")
