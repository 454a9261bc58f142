"""An array in shared memory that several processes add to, each addition under the array's lock.

python examples/python/shared_array.py
"""

import phalanx as mp


def throw_dice(histogram, seed):
    import random

    dice = random.Random(seed)
    for _ in range(1000):
        eyes = dice.randrange(6)
        with histogram.get_lock():
            histogram[eyes] += 1


def main():
    histogram = mp.Array("i", 6)
    processes = [mp.Process(target=throw_dice, args=(histogram, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(f"{sum(histogram)} throws: {histogram[:]}")


if __name__ == "__main__":
    main()
