"""The worker processes of an executor: how one is started, and what it does."""

import os
from concurrent.futures._base import LOGGER

from . import context as _context, util
from .process import start_worker


def own_context(context, max_tasks):
    """Return phalanx's context for one of any library, or for none."""
    if isinstance(context, _context.BaseContext):
        return context
    if context is not None:
        return _context._default_context.get_context(context.get_start_method(allow_none=False))
    return _context._default_context.get_context("spawn" if max_tasks is not None else None)


class Starter:
    """Starts worker processes for an executor, without keeping the executor alive."""

    def __init__(
        self, context, initializer, initargs, max_tasks, log_levels=None, idle=None, environment=None
    ):
        self.context = context
        if initializer is not None:
            initializer = _Initializer(initializer)
        self.args = (initializer, initargs, max_tasks, log_levels, idle, environment)
        self.environment = environment

    def __call__(self, bench):
        process = self.context.Process(target=work, args=(bench, *self.args))
        process._is_worker = True
        if self.environment:
            process._environment = self.environment
        start_worker(process)
        return process


class _Initializer:
    """Calls an initializer, and logs what it raises as the standard library does."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        try:
            self.function(*args)
        except BaseException:
            LOGGER.critical("Exception in initializer:", exc_info=True)
            raise


def work(bench, initializer, initargs, max_tasks, log_levels=None, idle=None, environment=None):
    """Work at a bench of an executor's until it closes: the target of a worker process."""
    if environment:
        os.environ.update(environment)
    if log_levels is not None:
        from . import _logs

        _logs.forward(bench, log_levels)
    try:
        bench.run(initializer, tuple(initargs), max_tasks, idle)
    except KeyboardInterrupt:
        # The parent was interrupted too, and says so; one report is enough.
        util.debug("worker interrupted")
    except BaseException:
        if initializer is None:
            raise
        os._exit(1)  # It has been logged.
