"""A pipeline of processes: one reads, three work, the parent collects; an end mark runs through the whole line.

python examples/python/queue_pipeline.py
"""

import phalanx as mp

END = None
WORKERS = 3


def read(lines):
    for number in range(300):
        lines.put(f"line {number} has {number % 7} apples")
    for _ in range(WORKERS):
        lines.put(END)


def count_apples(lines, counts):
    while (line := lines.get()) is not END:
        counts.put(int(line.split()[3]))
    counts.put(END)


def main():
    # A full queue makes the reader wait, so the lines never pile up.
    lines, counts = mp.Queue(maxsize=50), mp.Queue()
    processes = [mp.Process(target=read, args=(lines,))]
    processes += [mp.Process(target=count_apples, args=(lines, counts)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    apples, running = 0, WORKERS
    while running:
        count = counts.get()
        if count is END:
            running -= 1
        else:
            apples += count
    for process in processes:
        process.join()
    print(f"{apples} apples")


if __name__ == "__main__":
    main()
