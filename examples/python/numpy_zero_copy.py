"""Large numpy arrays reach the workers without going through a pipe: what arrives is a view of shared memory.

python examples/python/numpy_zero_copy.py
"""

import numpy
import phalanx as mp


def home(array):
    """Name the mapping of this process in which an array's numbers lie."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, _, _, _, _, *name = line.split()
            first, last = (int(end, 16) for end in span.split("-"))
            if first <= address < last:
                return "shared memory" if name and "memfd:" in name[0] else "private memory"
    raise LookupError(f"no mapping holds the address {address:#x}")


def double(array):
    array *= 2.0  # It is the worker's own: it can be written to, and the sender's array stays as it is.
    return home(array), float(array.sum())


def main():
    arrays = [numpy.full(1_000_000, float(number)) for number in range(1, 5)]
    with mp.Pool(2) as pool:
        for number, (where, total) in enumerate(pool.map(double, arrays), start=1):
            print(f"array {number} arrived in {where}, its doubled sum is {total:.0f}")
    print(f"the sender's arrays are unchanged: {[float(array[0]) for array in arrays]}")


if __name__ == "__main__":
    main()
