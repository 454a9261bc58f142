"""A pool with four tasks that take a minute: ``endings.py LIBRARY``. It says when they run, and how it ended."""

import importlib
import signal
import sys
import time


def work(_number: int) -> None:
    """Longer than anybody waits."""
    time.sleep(60)


def main() -> None:
    """Ends by Ctrl-C, or is killed."""
    library = importlib.import_module(sys.argv[1])
    # As in a terminal: a program that a shell has put into the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with library.Pool(4) as pool:
            pool.map(abs, range(8))
            print("ready", flush=True)
            pool.map(work, range(100), chunksize=1)
    except KeyboardInterrupt:
        print("interrupted", flush=True)


if __name__ == "__main__":
    main()
