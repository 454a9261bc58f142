"""Descriptors that may be sent to processes which run already."""

from . import _core
from ._passing import PassedFd

__all__ = ["stop", "DupFd"]


class DupFd(PassedFd):
    """A stand-in for a descriptor, to be sent to another process; can be collected once."""

    def __init__(self, fd: int) -> None:
        super().__init__(_core.deposit_fd(fd))


def stop(timeout: float | None = None) -> None:
    """Close what was laid out for others and is not collected yet."""
    _core.clear_deposits()
