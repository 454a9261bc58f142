"""Lambdas, closures and functions of this very script run in a pool, whatever the start method.

python examples/python/lambda_in_pool.py
"""

import phalanx as mp


def main():
    factor = 3

    def scaled(x):
        return factor * x

    for method in mp.get_all_start_methods():
        with mp.get_context(method).Pool(2) as pool:
            squares = pool.map(lambda x: x * x, range(5))
            print(f"{method}: {squares} {pool.map(scaled, range(5))}")


if __name__ == "__main__":
    main()
