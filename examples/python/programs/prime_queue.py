"""Primes of a range: numbers go out one by one through a queue, primes come back through another.

Each worker ends at the first end mark it meets and passes it on, so the parent knows when all is said.
"""

import math

TITLE = "prime search over queues"

WORKERS = 4
END = b"end of the numbers"


def is_prime(n):
    return n % 2 != 0 and all(n % divisor for divisor in range(3, math.isqrt(n) + 1, 2))


def search(numbers, primes):
    while (n := numbers.get()) != END:
        if is_prime(n):
            primes.put(n)
    primes.put(END)


def program(mp, scale):
    numbers, primes = mp.Queue(), mp.Queue()
    workers = [mp.Process(target=search, args=(numbers, primes)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for n in range(100_000_000, 100_000_000 + int(20_000 * scale)):
        numbers.put(n)
    for _ in workers:
        numbers.put(END)
    found, running = [], WORKERS
    while running:
        item = primes.get()
        if item == END:
            running -= 1
        else:
            found.append(item)
    for worker in workers:
        worker.join()
    found.sort()
    return len(found), found[:10], found[-10:]
