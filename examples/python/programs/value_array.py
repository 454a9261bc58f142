"""A child changes a shared value and a shared array; the parent reads what it left."""

TITLE = "Value and Array in shared memory"


def change(number, array):
    number.value = 3.1415927
    for place in range(len(array)):
        array[place] = -array[place]


def program(mp, scale):
    number = mp.Value("d", 0.0)
    array = mp.Array("i", range(10))
    process = mp.Process(target=change, args=(number, array))
    process.start()
    process.join()
    return number.value, array[:]
