"""Two processes send a packet back and forth a hundred times and take the time."""

import time

TITLE = "ping-pong of 100 packets"

ROUNDS = 100


def play(connection):
    for _ in range(ROUNDS):
        number, packet = connection.recv()
        connection.send((number + 1, packet))


def program(mp, scale):
    here, there = mp.Pipe()
    process = mp.Process(target=play, args=(there,))
    process.start()
    number, packet = 0, b"x" * 64
    start = time.perf_counter()
    for _ in range(ROUNDS):
        here.send((number, packet))
        number, packet = here.recv()
    elapsed = time.perf_counter() - start
    process.join()
    return number, packet, elapsed > 0
