"""Calls on an executor that take turns: each counts in a manager's list, under the manager's lock."""

from touring import rivals

TITLE = "executor: a manager's lock"


def count(number, lock, totals):
    with lock:
        totals[number % 3] = totals[number % 3] + number


def program(mp, scale):
    with mp.Manager() as manager, rivals.futures(mp).ProcessPoolExecutor(max_workers=4) as executor:
        lock, totals = manager.Lock(), manager.list([0, 0, 0])
        submitted = [executor.submit(count, number, lock, totals) for number in range(int(200 * scale))]
        for future in submitted:
            future.result()
        return list(totals)
