"""The first pool one writes: a function of one number over a short list."""

TITLE = "a first pool: x * x + 1"


def successor_of_square(x):
    return x * x + 1


def program(mp, scale):
    with mp.Pool(4) as pool:
        return pool.map(successor_of_square, list(range(8)))
