"""The first program: a function over a list, on all processors.

python examples/python/hello_pool.py
"""

import phalanx as mp


def square(x):
    return x * x


def main():
    with mp.Pool() as pool:
        print(pool.map(square, range(10)))
        # Results as they come, in no fixed order, from an input that may be longer than memory.
        print(sum(pool.imap_unordered(square, range(1000), chunksize=50)))


if __name__ == "__main__":
    main()
