"""Eight processes make a password each, longer and longer, and leave it in a queue."""

import random
import string

TITLE = "passwords from 8 processes"


def make_password(length, queue):
    letters = random.Random(length).choices(string.ascii_uppercase + string.digits, k=length)
    queue.put("".join(letters))


def program(mp, scale):
    queue = mp.Queue()
    processes = [mp.Process(target=make_password, args=(length, queue)) for length in range(5, 13)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    # They arrive in the order in which the processes happened to finish.
    return sorted((queue.get() for _ in processes), key=len)
