"""A worker is killed in the middle of its task: that task fails, everything else arrives, the pool goes on.

python examples/python/crash_survival.py
"""

import os
import signal

import phalanx as mp


def work(number):
    if number == 5:
        # What the kernel does to a process when memory runs out.
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def main():
    with mp.Pool(2) as pool:
        promises = [pool.apply_async(work, (number,)) for number in range(10)]
        for number, promise in enumerate(promises):
            try:
                print(f"task {number}: {promise.get(timeout=60)}")
            except mp.WorkerDiedError as error:
                print(f"task {number} lost: {type(error).__name__}")
        print(f"the pool goes on: {pool.map(work, [20, 30])}")


if __name__ == "__main__":
    main()
