"""`put_many` and `get_many`, which the standard library does not have."""

import queue as standard_queue

import pytest
from support import mp, phalanx_only

pytestmark = phalanx_only


def test_what_is_there_comes_at_once_and_in_order():
    queue = mp.Queue()
    queue.put_many(range(100))
    assert queue.qsize() == 100
    assert queue.get_many(30) == list(range(30))
    assert queue.get_many() == list(range(30, 100))
    assert queue.get_many(0) == []
    queue.close()


def test_the_first_is_waited_for():
    queue = mp.Queue()
    with pytest.raises(standard_queue.Empty):
        queue.get_many(block=False)
    with pytest.raises(standard_queue.Empty):
        queue.get_many(timeout=0.01)
    process = mp.Process(target=queue.put_many, args=([1, 2, 3],))
    process.start()
    taken = queue.get_many()
    while len(taken) < 3:
        taken += queue.get_many()
    assert taken == [1, 2, 3]
    process.join()
    queue.close()


def test_what_does_not_fit_stays_behind():
    queue = mp.Queue(2)
    items = iter(range(5))
    with pytest.raises(standard_queue.Full):
        queue.put_many(items, block=False)
    assert queue.get_many() == [0, 1]
    assert list(items) == [3, 4]
    queue.close()


def test_an_item_that_cannot_be_pickled_ends_the_batch():
    queue = mp.Queue()
    with pytest.raises(TypeError, match="generator"):
        queue.put_many([1, 2, (n for n in ()), 3])
    assert queue.get_many() == [1, 2]
    queue.close()
    with pytest.raises(ValueError, match="closed"):
        queue.put_many([1])
    with pytest.raises(ValueError, match="closed"):
        queue.get_many()
