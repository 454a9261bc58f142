"""What the workers of a program print, gathered in a file so that it can be compared.

The parent makes a `Transcript` and hands its path to the workers; a worker prints inside ``with printing_to(path)``.
"""

import contextlib
import os
import tempfile


class Transcript:
    """A temporary file that several processes append lines to; removed at the end of the ``with`` block."""

    def __enter__(self):
        handle, self.path = tempfile.mkstemp(prefix="tour-", suffix=".txt")
        os.close(handle)
        return self

    def __exit__(self, *exc_info):
        os.unlink(self.path)

    def lines(self):
        """The lines printed so far, in the order in which they were written."""
        with open(self.path) as file:
            return file.read().splitlines()


@contextlib.contextmanager
def printing_to(path):
    """Let ``print`` append to the file at ``path`` instead of writing to the terminal."""
    with open(path, "a") as file, contextlib.redirect_stdout(file):
        yield
