"""Three maps over a list of numbers and nothing else: ``map_million.py LIBRARY NUMBERS WORKERS``.

A program of its own, so that what its tree of processes holds is the interpreter, the library, the numbers
and the results. It waits for a line before the maps, having said that it is ready.
"""

import importlib
import sys
from operator import eq


def successor(number: int) -> int:
    """A tiny task whose answer can be verified."""
    return number + 1


def main() -> None:
    """Prints whether every result was right."""
    library, count, workers = importlib.import_module(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    numbers = list(range(count))
    right = True
    with library.Pool(workers) as pool:
        pool.map(successor, range(workers))
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(3):
            results = pool.map(successor, numbers)
            # Without a second list, which would count as memory of the map.
            right = right and len(results) == count and all(map(eq, results, range(1, count + 1)))
            del results
        print("right" if right else "wrong", flush=True)
        # What is measured is measured until then: the end of the pool is not a part of it.
        sys.stdin.readline()


if __name__ == "__main__":
    main()
