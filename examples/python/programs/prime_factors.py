"""The prime factors of a hundred large numbers, counted off one by one as they arrive."""

import random

TITLE = "prime factors, with progress"


def factors(n):
    found = []
    divisor = 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            found.append(divisor)
            n //= divisor
        divisor += 1 if divisor == 2 else 2
    if n > 1:
        found.append(n)
    return found


def program(mp, scale):
    draw = random.Random(5)
    numbers = [draw.randrange(10**10, 10**12) for _ in range(int(100 * scale))]
    results, progress = [], []
    with mp.Pool(2) as pool:
        for result in pool.imap(factors, numbers):
            results.append(result)
            progress.append(len(results) * 100 // len(numbers))
    return results, progress
