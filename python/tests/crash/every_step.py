"""Ctrl-C at a chosen step of a program, for `test_every_step.py`; alone it goes through all of them:

    python python/tests/crash/every_step.py [--every N] [PROGRAM [METHOD]]

The interpreter looks for signals where a function of Python's begins and where one of C's has returned.
A profile function is called at just these places; this one counts, and at the chosen one sends this process the signal,
whose handler then runs right there. Each run is a fork of a process in which everything has been
imported already, so that it is short.
"""

from __future__ import annotations

import argparse
import atexit
import concurrent.futures.process  # noqa: F401
import contextlib
import faulthandler
import itertools
import json
import logging  # noqa: F401
import os
import signal
import sys
import tempfile
import threading
import time
import traceback

import cloudpickle  # noqa: F401
import phalanx as mp
from phalanx import Parallel, ProcessPoolExecutor, delayed, managers, queues  # noqa: F401
from phalanx.errors import WorkerDiedError

with contextlib.suppress(ImportError):
    # What other packages do while they are imported is not the subject.
    import numpy  # noqa: F401

LIMIT = 20.0
#: What the interpreter itself calls where it can only print and forget an exception. (It prints nothing for
#: `copyreg`, which passes over every exception when it cannot note the slots of a class.)
FORGETFUL = (
    "_get_module_lock.<locals>.cb",
    "_WeakValueDictionary.__init__.<locals>.KeyedRef.remove",
    "WeakSet.__init__.<locals>._remove",
    "WeakKeyDictionary.__init__.<locals>.remove",
    "WeakValueDictionary.__init__.<locals>.remove",
    "Pool.__del__",
    "_slotnames",
)


def work(number):
    return number


def use_pool(context):
    with context.Pool(2) as pool:
        pool.map(work, range(10))


def use_results(context):
    with context.Pool(2) as pool:
        results = [pool.apply_async(work, (number,), callback=work) for number in range(5)]
        for result in results:
            result.get()
        list(pool.imap(work, range(5)))
        pool.close()
        pool.join()


def use_options(context):
    with context.Pool(2) as pool:
        pool.options(timeout=60).map(work, range(4))


def use_map(context):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(work, range(10)))


def use_futures(context):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        for future in [executor.submit(work, number) for number in range(4)]:
            future.result()


def end_a_call(context):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        try:
            future = executor.submit(time.sleep, 600)
            while not future.running():
                time.sleep(0.01)
            future.cancel(running=True)
        except KeyboardInterrupt:
            executor.kill_workers()
            raise


def use_process(context):
    queue = context.Queue()
    process = context.Process(target=queue.put, args=(1,))
    process.start()
    queue.get()
    process.join()


def use_manager(context):
    with context.Manager() as manager:
        manager.dict()[1] = 2


def use_parallel(context):
    mp.set_start_method(context.get_start_method(), force=True)
    Parallel(2)(delayed(work)(number) for number in range(6))


def lose_a_worker(context):
    with context.Pool(2) as pool:
        result = pool.apply_async(os._exit, (3,))
        try:
            result.get()
        except WorkerDiedError:
            pass
        pool.map(work, range(4))


PROGRAMS = {
    "pool": use_pool,
    "results": use_results,
    "options": use_options,
    "map": use_map,
    "futures": use_futures,
    "cancel": end_a_call,
    "process": use_process,
    "manager": use_manager,
    "parallel": use_parallel,
    "death": lose_a_worker,
}


class Interrupter:
    """Sends Ctrl-C at a step, and notes where that was."""

    def __init__(self, step):
        self.step = step
        self.count = 0
        self.place = ""
        self.process = os.getpid()

    def __call__(self, frame, event, argument):
        if os.getpid() != self.process:
            sys.setprofile(None)
        elif event in ("call", "c_return"):
            self.count += 1
            if self.count == self.step:
                sys.setprofile(None)
                frames = itertools.takewhile(lambda f: f.f_code.co_name != "be", _frames(frame))
                names = [
                    f"{os.path.basename(f.f_code.co_filename)}:{f.f_lineno} {f.f_code.co_name}"
                    for f in frames
                ]
                if event == "c_return":
                    names.insert(0, f"after {argument.__name__}")
                self.place = " < ".join(names)
                os.kill(self.process, signal.SIGINT)


def _frames(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def be(program, method, step, errors):
    """Run a program and end as a program ends, with Ctrl-C at a step."""
    os.setsid()
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupter = Interrupter(step)
    end = "over"
    try:
        sys.setprofile(interrupter)
        try:
            PROGRAMS[program](mp.get_context(method))
        finally:
            sys.setprofile(None)
    except KeyboardInterrupt:
        end = "interrupted"
    except BaseException:
        traceback.print_exc()
        end = "raised"
    if end == "over" and interrupter.place:
        end = "forgotten"
    os.write(errors, b"\n" + json.dumps([end, interrupter.count, interrupter.place]).encode())
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    finally:
        os._exit(0)


def run(program, method, step):
    """Run a program with Ctrl-C at a step; return what came of it, as a dictionary."""
    with tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            be(program, method, step, errors.fileno())
        is_hung = not _until(lambda: os.waitpid(pid, os.WNOHANG)[0] != 0, LIMIT)
        if is_hung:
            os.kill(pid, signal.SIGUSR1)
            time.sleep(0.3)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        left = [] if _until(lambda: not _session(pid), LIMIT) else _session(pid)
        for process in left:
            os.kill(process, signal.SIGKILL)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    lines = said.splitlines()
    told = next((json.loads(line) for line in reversed(lines) if line.startswith('["')), ["died", 0, ""])
    end, count, place = told
    if end == "forgotten" and any(name in said for name in FORGETFUL):
        end = "forgotten by the interpreter"
    return {
        "step": step,
        "end": "hung" if is_hung else end,
        "left": left,
        "steps": count,
        "place": place,
        "said": said,
    }


def is_right(outcome):
    """Whether that is how Ctrl-C has to end a program."""
    return not outcome["left"] and outcome["end"] in ("interrupted", "over", "forgotten by the interpreter")


def _until(condition, limit):
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _session(leader):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(name))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", choices=PROGRAMS)
    parser.add_argument("method", nargs="?")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--steps", type=int, nargs="+", help="for the test: a line of JSON for each")
    options = parser.parse_args()
    if options.steps:
        for step in options.steps:
            print(json.dumps(run(options.program, options.method, step)), flush=True)
        return
    wrong = 0
    for program in [options.program] if options.program else PROGRAMS:
        for method in [options.method] if options.method else mp.get_all_start_methods():
            tally = {}
            for step in itertools.count(1, options.every):
                outcome = run(program, method, step)
                if outcome["end"] == "over":
                    break
                tally[outcome["end"]] = tally.get(outcome["end"], 0) + 1
                if not is_right(outcome):
                    wrong += 1
                    print(json.dumps(outcome, indent=1), flush=True)
            print(program, method, tally, flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
