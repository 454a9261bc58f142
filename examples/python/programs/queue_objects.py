"""Objects from a child to its parent by queue."""

TITLE = "objects through a queue"


def send(queue):
    queue.put([42, None, "hello"])
    queue.put({"nested": ({1, 2}, 3.5, b"bytes")})


def program(mp, scale):
    queue = mp.Queue()
    process = mp.Process(target=send, args=(queue,))
    process.start()
    received = [queue.get(), queue.get()]
    process.join()
    return received
