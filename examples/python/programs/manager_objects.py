"""Processes that fill a manager's dictionary and count in a manager's value."""

TITLE = "a manager's dict and Value"


def fill(numbers, squares, total, lock):
    for number in numbers:
        squares[number] = number * number
        with lock:
            total.value = total.value + 1


def program(mp, scale):
    with mp.Manager() as manager:
        squares, total, lock = manager.dict(), manager.Value("i", 0), manager.Lock()
        share = int(300 * scale)
        processes = [
            mp.Process(target=fill, args=(range(start, start + share), squares, total, lock))
            for start in range(0, 4 * share, share)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return total.value, sum(squares.values())
