"""How often each number occurs in twenty files: one file a task, the counts merged in the parent."""

import collections
import pathlib
import random
import tempfile

TITLE = "count the numbers in 20 files"


def count(path):
    return collections.Counter(pathlib.Path(path).read_text().split())


def program(mp, scale):
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        paths = []
        for number in range(20):
            path = pathlib.Path(folder, f"numbers-{number}.txt")
            draw = random.Random(number).choices(range(100), k=1000)
            path.write_text("\n".join(map(str, draw)))
            paths.append(str(path))
        total = collections.Counter()
        with mp.Pool() as pool:
            for counts in pool.imap_unordered(count, paths):
                total.update(counts)
    return sorted(total.items())
