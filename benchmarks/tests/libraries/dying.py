"""A library that takes the interpreter down."""

import os
import signal


def Value(*_: object) -> None:
    """Die as a segmentation fault does."""
    os.kill(os.getpid(), signal.SIGSEGV)
