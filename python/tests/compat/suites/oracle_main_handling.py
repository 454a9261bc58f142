"""The interpreter's own tests of how children find the main module; they name the start methods."""

from test.test_multiprocessing_main_handling import *  # noqa: F403
