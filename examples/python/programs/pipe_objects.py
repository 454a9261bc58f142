"""Objects from a child to its parent by pipe, until the child closes its end."""

TITLE = "objects through a pipe"


def send(connection):
    connection.send([42, None, "hello"])
    connection.send({"nested": ({1, 2}, 3.5, b"bytes")})
    connection.close()


def program(mp, scale):
    here, there = mp.Pipe()
    process = mp.Process(target=send, args=(there,))
    process.start()
    # The parent's own copy of the child's end has to go, or the end of the stream would never be seen.
    there.close()
    received = []
    try:
        while True:
            received.append(here.recv())
    except EOFError:
        received.append("end")
    process.join()
    here.close()
    return received
