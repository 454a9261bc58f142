"""The tasks of a pool fill a shared array, each its own place; the workers get the array from the initializer."""

TITLE = "shared array filled by a pool"

shared = None


def use_array(array):
    global shared
    shared = array


def fill(place):
    shared[place] = place * place


def program(mp, scale):
    array = mp.Array("i", [0] * 10)
    with mp.Pool(initializer=use_array, initargs=(array,)) as pool:
        pool.map(fill, range(10))
    return array[:]
