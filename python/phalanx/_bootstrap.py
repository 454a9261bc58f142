"""The first steps of a fresh process. Imports as little as possible: each child pays for it."""

import atexit
import os
import sys

from . import process, spawn, util
from ._core import accept_handover, parent_sentinel, serve_zygote, unpack

#: The exit code of a zygote that can do its work only if the main module is not loaded into it.
UNSAFE_MAIN = 75


def spawn_main(fd):
    """Be the child that the handover behind the descriptor describes, and exit."""
    import gc

    # What every interpreter has is no garbage. Not looking there, at exit above all, saves a tenth
    # of a short process's time; what the program makes from now on is collected as ever.
    gc.freeze()
    code = 1
    try:
        payload, _ = accept_handover(fd)
        code = spawn._main(payload, parent_sentinel())
    except SystemExit:
        raise
    except BaseException as error:
        _report(error)
    sys.exit(code)


def zygote_main(fd):
    """Load what children will need, then fork on request until nobody is left who could ask."""
    payload, door = accept_handover(fd, zygote=True)
    plan = unpack(payload)
    del payload
    if not _preload(plan):
        os._exit(UNSAFE_MAIN)
    pid = os.getpid()
    code = 1
    try:
        born = serve_zygote(door)
        if born is None:
            return
        code = _be_born(*born)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        _report(error)
    finally:
        # In a child neither the zygote's `atexit` functions nor its destructors may run.
        if os.getpid() != pid:
            atexit._run_exitfuncs()
            os._exit(code)
    sys.exit(code)


def _report(error):
    """Say why a process could not become what its parent wanted.

    Frames of this package explain nothing to its user. Siblings often fail alike and at once, so
    each writes its message in one go. After Ctrl-C there is nothing to say.
    """
    if isinstance(error, KeyboardInterrupt):
        return
    import traceback

    report = traceback.TracebackException.from_exception(error)
    here = os.path.dirname(__file__)
    outside = [frame for frame in report.stack if not frame.filename.startswith((here, "<string>"))]
    if outside:
        report.stack = traceback.StackSummary.from_list(outside)
    sys.stderr.write("".join(report.format()))
    util._flush_std_streams()


def _complain(name, error, on_error):
    """Do what `set_forkserver_preload` was told to do about a module that cannot be imported."""
    if on_error == "ignore":
        return
    why = f"{type(error).__name__}: {error}"
    sys.stderr.write(f"phalanx: the forkserver could not import {name!r}: {why}\n")
    util._flush_std_streams()
    if on_error == "fail":
        os._exit(1)


def _be_born(payload, fds):
    from . import forkserver

    atexit._clear()
    forkserver._forkserver._inherited_fds = fds
    return spawn._main(payload, parent_sentinel())


def _preload(plan):
    """Import what the plan names; return whether forking is safe afterwards."""
    import _pickle  # noqa: F401
    import _thread
    import gc

    from . import popen_fork, popen_forkserver  # noqa: F401

    sys.path = plan["sys_path"]
    sys.argv = plan["sys_argv"]
    spawn._set_patched(plan["patched"])
    main = plan["main_path"]
    if main is not None:
        spawn._default_context.set_start_method(plan["start_method"], force=True)
        current = process.current_process()
        current._inheriting = True
        try:
            spawn.import_main_path(main)
        except BaseException:
            # Each child will meet the same error, and report it.
            pass
        finally:
            del current._inheriting
    if plan["main_by_value"]:
        from . import _by_value  # noqa: F401
    for name in plan["modules"]:
        try:
            __import__(name)
        except BaseException as error:
            # Whatever needs the module will fail again, where its failure is reported.
            if name in plan["wanted"]:
                _complain(name, error, plan["on_error"])
    # Output that is still buffered would be written by every child.
    util._flush_std_streams()
    if _thread._count() > 0:
        if main is not None:
            return False
        sys.stderr.write(
            "phalanx: the forkserver cannot fork safely, because a module that it was told to "
            f"preload ({', '.join(plan['modules'])}) has started a thread; remove it from "
            "set_forkserver_preload()\n"
        )
        sys.exit(1)
    util._prepare_stdin()
    gc.collect()
    gc.freeze()
    return True
