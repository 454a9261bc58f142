"""A process cannot return a value: it sends its result through a queue."""

TITLE = "a process's result by queue"


def answer(queue):
    queue.put(6 * 7)


def program(mp, scale):
    queue = mp.Queue()
    process = mp.Process(target=answer, args=(queue,))
    process.start()
    result = queue.get()
    process.join()
    return result
