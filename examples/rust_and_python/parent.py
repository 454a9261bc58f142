"""A Python program and workers in Rust count words together.

Run it with the path of the worker:

    cargo build --release -p phalanx-examples --example statistics_worker
    python examples/rust_and_python/parent.py target/release/examples/statistics_worker
"""

import sys

import phalanx as mp

TEXTS = {
    "snow": "the snow fell and fell until the street was gone",
    "river": "a river is older than the bridge and the town",
    "clock": "The clock in the tower has not told the time for years",
}


def main(worker, workers=2):
    texts, results = mp.Queue(), mp.Queue()
    total = mp.Value("q")
    lengths = mp.Array("q", 8)  # How many words there are of each length; the last for all beyond.
    lock = mp.Lock()
    shared = {"texts": texts, "results": results, "total": total, "lengths": lengths, "lock": lock}
    programs = [mp.Program(worker, {**shared, "ignored": ["a", "the"]}) for _ in range(workers)]
    for program in programs:
        program.start()

    for name, text in TEXTS.items():
        texts.put({"name": name, "text": text})
    for _ in programs:
        texts.put(None)

    counted = sorted((results.get() for _ in TEXTS), key=lambda result: result["name"])
    for program in programs:
        program.join()
        assert program.exitcode == 0, program
    for result in counted:
        words = sum(result["words"].values())
        print(f"{result['name']}: {words} words, the longest is {result['longest']!r}")
    with lock:
        print(f"all: {total.value} words, by length {lengths[:]}")


if __name__ == "__main__":
    main(sys.argv[1])
