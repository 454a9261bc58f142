"""`Process`: its life, its names, how it ends, and what it may and may not do."""

from __future__ import annotations

import os
import signal

import pytest
import targets
from support import START_METHODS, mp, phalanx_only, run_script, submodule, wait_until


class Recorder(mp.Process):
    """A subclass that overrides `run`, as users do."""

    def __init__(self, connection, value):
        super().__init__()
        self.connection, self.value = connection, value

    def run(self):
        self.connection.send(("ran", self.value, os.getpid()))
        self.connection.close()


def finished(process):
    process.join()
    return process.exitcode


# --- running --------------------------------------------------------------------------------------


def test_target_gets_its_arguments(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_call, args=(there, 1, "two"), kwargs={"three": [3]})
    process.start()
    assert here.recv() == ((1, "two"), {"three": [3]})
    assert finished(process) == 0


def test_runs_in_another_process(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, os.getpid))
    process.start()
    assert here.recv() == ("ok", process.pid)
    assert process.pid != os.getpid()
    assert process.ident == process.pid
    process.join()


def test_without_a_target_it_ends_at_once(ctx):
    process = ctx.Process()
    process.start()
    assert finished(process) == 0


def test_subclass_overrides_run():
    here, there = mp.Pipe()
    process = Recorder(there, "value")
    process.start()
    assert here.recv() == ("ran", "value", process.pid)
    assert finished(process) == 0


def test_run_can_be_called_directly():
    collected = []
    mp.Process(target=collected.append, args=("here",)).run()
    assert collected == ["here"]


def test_many_at_once(ctx):
    queue = ctx.SimpleQueue()
    processes = [ctx.Process(target=targets.put_many, args=(queue, [index])) for index in range(8)]
    for process in processes:
        process.start()
    assert sorted(queue.get() for _ in processes) == list(range(8))
    assert [finished(process) for process in processes] == [0] * 8
    queue.close()


# --- names and identity ---------------------------------------------------------------------------


def test_name_is_kept_and_can_change():
    process = mp.Process(target=targets.nothing, name="first")
    assert process.name == "first"
    process.name = "second"
    assert process.name == "second"
    with pytest.raises(AssertionError):
        process.name = 3


def test_name_arrives_in_the_child(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, current_name), name="the name")
    process.start()
    assert here.recv() == ("ok", "the name")
    process.join()


def current_name():
    return mp.current_process().name


def test_default_names_count_along_the_path(tmp_path):
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp

        def inner(queue):
            queue.put((mp.current_process().name, mp.current_process()._identity))

        def outer(queue):
            inner(queue)
            for _ in range(2):
                process = mp.Process(target=inner, args=(queue,))
                process.start()
                process.join()

        if __name__ == "__main__":
            queue = mp.SimpleQueue()
            print(mp.current_process().name, mp.current_process()._identity)
            for _ in range(2):
                process = mp.Process(target=outer, args=(queue,))
                process.start()
                process.join()
                for _ in range(3):
                    print(*queue.get())
            print(mp.get_context("fork").Process().name)
            print(mp.get_context("spawn").Process().name)
            print(mp.get_context("forkserver").Process().name)
        """,
    )
    assert done.stdout.splitlines() == [
        "MainProcess ()",
        "Process-1 (1,)",
        "Process-1:1 (1, 1)",
        "Process-1:2 (1, 2)",
        "Process-2 (2,)",
        "Process-2:1 (2, 1)",
        "Process-2:2 (2, 2)",
        "ForkProcess-3",
        "SpawnProcess-4",
        "ForkServerProcess-5",
    ]


def test_current_and_parent_process_here():
    assert mp.current_process().name == "MainProcess"
    assert mp.current_process().pid == os.getpid()
    assert mp.current_process().is_alive()
    assert not mp.current_process().daemon
    assert mp.parent_process() is None


def test_parent_process_in_a_child(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, facts_about_parent))
    process.start()
    status, facts = here.recv()
    process.join()
    assert status == "ok"
    assert facts == {"pid": os.getpid(), "name": "MainProcess", "alive": True, "exitcode": None}


def facts_about_parent():
    parent = mp.parent_process()
    return {
        "pid": parent.pid,
        "name": parent.name,
        "alive": parent.is_alive(),
        "exitcode": parent.exitcode,
    }


def test_parent_cannot_be_joined_as_a_child_but_waited_for(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, wait_for_parent))
    process.start()
    assert here.recv() == ("ok", (True, []))
    process.join()


def wait_for_parent():
    parent = mp.parent_process()
    parent.join(0.01)  # allowed, unlike the join of a sibling
    return parent.is_alive(), submodule("connection").wait([parent.sentinel], 0)


# --- representation -------------------------------------------------------------------------------


def test_repr_tells_the_state(default_ctx):
    go = default_ctx.Event()
    process = default_ctx.Process(target=targets.wait_for_event, args=(go,), name="shown")
    kind, parent = type(process).__name__, os.getpid()
    assert repr(process) == f"<{kind} name='shown' parent={parent} initial>"
    process.start()
    pid = process.pid
    assert repr(process) == f"<{kind} name='shown' pid={pid} parent={parent} started>"
    go.set()
    process.join()
    assert repr(process) == f"<{kind} name='shown' pid={pid} parent={parent} stopped exitcode=0>"
    process.close()
    assert repr(process) == f"<{kind} name='shown' parent={parent} closed>"


@pytest.mark.parametrize(("signum", "shown"), [(signal.SIGTERM, "-SIGTERM"), (signal.SIGKILL, "-SIGKILL")])
def test_repr_names_the_signal(default_ctx, signum, shown):
    process = default_ctx.Process(target=targets.exit_with, args=("signal", signum), daemon=True)
    process.start()
    process.join()
    assert f"stopped exitcode={shown} daemon>" in repr(process)


def test_repr_of_the_current_process():
    assert "MainProcess" in repr(mp.current_process())
    assert "started" in repr(mp.current_process())


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("sys.exit()", None, 0),
        ("sys.exit", None, 0),
        ("sys.exit", 0, 0),
        ("sys.exit", 7, 7),
        ("sys.exit", 255, 255),
        ("sys.exit", True, 1),
        ("SystemExit", 9, 9),
        ("os._exit", 5, 5),
        ("none", None, 0),
        ("signal", signal.SIGTERM, -signal.SIGTERM),
        ("signal", signal.SIGKILL, -signal.SIGKILL),
        ("signal", signal.SIGUSR2, -signal.SIGUSR2),
    ],
)
def test_exit_code(default_ctx, kind, value, code):
    process = default_ctx.Process(target=targets.exit_with, args=(kind, value))
    assert process.exitcode is None
    process.start()
    process.join()
    assert process.exitcode == code
    assert not process.is_alive()


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [("sys.exit", 7, 7), ("os._exit", 5, 5), ("signal", signal.SIGKILL, -signal.SIGKILL)],
)
def test_exit_code_by_every_start_method(ctx, kind, value, code):
    process = ctx.Process(target=targets.exit_with, args=(kind, value))
    process.start()
    assert finished(process) == code


OUTPUT_OF_A_CHILD = """
import atexit
import os
import sys
import LIBRARY as mp
import targets

def say():
    print("without a newline", end="")

class Knot:
    # Refers to itself, so that only the collector can free it.
    def __init__(self):
        self.itself, self.write = self, os.write

    def __del__(self):
        self.write(1, b"collected ")

def leave_things_behind():
    global knot, unfinished
    knot = Knot()
    atexit.register(os.write, 1, b"atexit ")
    unfinished = open(1, "w", closefd=False)
    unfinished.write("flushed ")

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    case = {
        "end": context.Process(target=leave_things_behind),
        "exit": context.Process(target=targets.exit_with, args=("sys.exit", "farewell")),
        "raise": context.Process(target=targets.exit_with, args=("raise", "on purpose"), name="unlucky"),
        "print": context.Process(target=say),
    }[sys.argv[2]]
    case.start()
    case.join()
    sys.exit(case.exitcode)
"""


@pytest.fixture(params=START_METHODS)
def method(request):
    return request.param


def test_sys_exit_with_a_text_prints_it_and_fails(tmp_path, method):
    done = run_script(tmp_path, OUTPUT_OF_A_CHILD, method, "exit", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "farewell\n")


def test_uncaught_exception_prints_its_traceback(tmp_path, method):
    done = run_script(tmp_path, OUTPUT_OF_A_CHILD, method, "raise", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Process unlucky:\nTraceback (most recent call last):\n")
    assert "in exit_with" in done.stderr
    assert done.stderr.endswith("RuntimeError: on purpose\n")


def test_a_fresh_interpreter_ends_as_any_other(tmp_path):
    done = run_script(tmp_path, OUTPUT_OF_A_CHILD, "spawn", "end")
    assert sorted(done.stdout.split()) == ["atexit", "collected", "flushed"]


MODULES_OF_A_CHILD = """
import sys
import LIBRARY as mp

def list_modules():
    print(*sys.modules)

if __name__ == "__main__":
    process = mp.get_context("spawn").Process(target=list_modules)
    process.start()
    process.join()
"""


@phalanx_only
def test_a_fresh_interpreter_imports_little(tmp_path):
    """Most of what can be saved of a start is imports: pickle's alone take a quarter of a start."""
    bare = run_script(tmp_path, "import sys; print(*sys.modules)").stdout.split()
    child = run_script(tmp_path, MODULES_OF_A_CHILD).stdout.split()
    more = {name for name in set(child) - set(bare) if name.partition(".")[0] != "phalanx"}
    # Python 3.13 imports `linecache` for any program given with `-c`.
    assert more <= {"__mp_main__", "atexit", "gc", "itertools", "linecache"}


def test_what_a_child_printed_is_flushed(tmp_path, method):
    done = run_script(tmp_path, OUTPUT_OF_A_CHILD, method, "print")
    assert (done.stdout, done.stderr) == ("without a newline", "")


def test_child_reads_an_empty_standard_input(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, read_stdin))
    process.start()
    assert here.recv() == ("ok", "")
    process.join()


def read_stdin():
    import sys

    return sys.stdin.read()


# --- waiting, stopping ----------------------------------------------------------------------------


def test_join_with_timeout_returns_while_it_runs(ctx):
    go = ctx.Event()
    process = ctx.Process(target=targets.wait_for_event, args=(go,))
    process.start()
    assert process.join(0.05) is None
    assert process.is_alive()
    assert process.exitcode is None
    assert process.join(0) is None
    assert process.join(-1) is None
    go.set()
    process.join(60)
    assert process.exitcode == 0
    process.join()  # again does nothing


def test_terminate(ctx):
    process = ctx.Process(target=targets.sleep_forever)
    process.start()
    assert process.is_alive()
    process.terminate()
    assert finished(process) == -signal.SIGTERM
    process.terminate()  # of an ended process does nothing


def test_kill(ctx):
    process = ctx.Process(target=targets.sleep_forever)
    process.start()
    process.kill()
    assert finished(process) == -signal.SIGKILL
    process.kill()


def test_kill_reaches_one_that_ignores_sigterm(default_ctx):
    ready = default_ctx.Event()
    process = default_ctx.Process(target=ignore_sigterm, args=(ready,))
    process.start()
    ready.wait()
    process.terminate()
    process.join(0.05)
    assert process.is_alive()
    process.kill()
    assert finished(process) == -signal.SIGKILL


def ignore_sigterm(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    targets.sleep_forever()


def test_sentinel_becomes_ready_at_the_end(ctx):
    wait = submodule("connection").wait
    go = ctx.Event()
    process = ctx.Process(target=targets.wait_for_event, args=(go,))
    process.start()
    assert isinstance(process.sentinel, int)
    assert wait([process.sentinel], 0) == []
    go.set()
    assert wait([process.sentinel], 60) == [process.sentinel]
    assert wait([process.sentinel], 0) == [process.sentinel]  # and stays so
    assert finished(process) == 0


def test_is_alive_sees_the_end_without_join(default_ctx):
    process = default_ctx.Process(target=targets.nothing)
    assert not process.is_alive()
    process.start()
    wait_until(lambda: not process.is_alive(), "the process has ended")
    assert process.exitcode == 0


def test_active_children(default_ctx):
    assert mp.active_children() == []
    go = default_ctx.Event()
    processes = [default_ctx.Process(target=targets.wait_for_event, args=(go,)) for _ in range(3)]
    for process in processes:
        process.start()
    assert set(mp.active_children()) == set(processes)
    go.set()
    for process in processes:
        process.join()
    assert mp.active_children() == []


def test_active_children_reaps(default_ctx):
    process = default_ctx.Process(target=targets.nothing)
    process.start()
    wait_until(lambda: mp.active_children() == [], "the ended child is reaped")
    assert process.exitcode == 0


def test_close(default_ctx):
    go = default_ctx.Event()
    process = default_ctx.Process(target=targets.wait_for_event, args=(go,))
    process.start()
    with pytest.raises(ValueError):
        process.close()
    go.set()
    process.join()
    process.close()
    process.close()  # twice is fine
    for use in (
        process.is_alive,
        process.join,
        process.start,
        process.terminate,
        process.kill,
        lambda: process.exitcode,
        lambda: process.pid,
        lambda: process.sentinel,
    ):
        with pytest.raises(ValueError):
            use()


# --- misuse ---------------------------------------------------------------------------------------


def test_cannot_start_twice(default_ctx):
    process = default_ctx.Process(target=targets.nothing)
    process.start()
    with pytest.raises(AssertionError):
        process.start()
    process.join()
    with pytest.raises(AssertionError):
        process.start()


def test_join_before_start(default_ctx):
    with pytest.raises(AssertionError):
        default_ctx.Process(target=targets.nothing).join()


def test_before_start_nothing_is_known(default_ctx):
    process = default_ctx.Process(target=targets.nothing)
    assert process.pid is None
    assert process.ident is None
    assert process.exitcode is None
    assert not process.is_alive()
    with pytest.raises(ValueError):
        process.sentinel  # noqa: B018


def test_group_is_reserved():
    with pytest.raises(AssertionError):
        mp.Process("group")


def test_sibling_cannot_be_joined():
    context = mp.get_context("fork")
    go, (here, there) = context.Event(), context.Pipe()
    sibling = context.Process(target=targets.wait_for_event, args=(go,))
    sibling.start()
    process = context.Process(target=targets.send_result, args=(there, sibling.join))
    process.start()
    assert here.recv()[:2] == ("error", "AssertionError")
    go.set()
    process.join()
    sibling.join()


# --- daemons --------------------------------------------------------------------------------------


def test_daemon_flag(default_ctx):
    process = default_ctx.Process(target=targets.nothing, daemon=True)
    assert process.daemon
    process.daemon = False
    assert not process.daemon
    process.start()
    with pytest.raises(AssertionError):
        process.daemon = True
    process.join()


@phalanx_only
def test_daemonic_process_may_have_children(ctx):
    """The standard library forbids it, lest they be left behind; here nothing is left behind."""
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, start_a_child), daemon=True)
    process.start()
    assert here.recv() == ("ok", 0)
    process.join()


def test_child_may_have_children(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, start_a_child))
    process.start()
    assert here.recv() == ("ok", 0)
    process.join()


def start_a_child():
    process = mp.Process(target=targets.nothing)
    process.start()
    process.join()
    return process.exitcode


def test_at_exit_children_are_joined_and_daemons_ended(tmp_path):
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp, time

        def work(go):
            go.wait()
            print("worked", flush=True)

        def linger(ready):
            ready.set()
            time.sleep(600)
            print("lingered", flush=True)

        if __name__ == "__main__":
            go, ready = mp.Event(), mp.Event()
            mp.Process(target=linger, args=(ready,), daemon=True).start()
            ready.wait()
            mp.Process(target=work, args=(go,)).start()
            go.set()
            print("main is done", flush=True)
        """,
    )
    assert sorted(done.stdout.splitlines()) == ["main is done", "worked"]
    assert done.stderr == ""


def test_authkey_is_inherited(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.send_result, args=(there, own_authkey))
    process.start()
    assert here.recv() == ("ok", bytes(mp.current_process().authkey))
    process.join()


def own_authkey():
    return bytes(mp.current_process().authkey)


def test_inside_a_thread(default_ctx):
    import threading

    codes = []

    def use():
        process = default_ctx.Process(target=targets.nothing)
        process.start()
        process.join()
        codes.append(process.exitcode)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert codes == [0]


def write_at_exit(path):
    import atexit

    atexit.register(path.write_text, "called")


@pytest.mark.phalanx_only
def test_functions_to_be_called_at_exit(ctx, tmp_path):
    process = ctx.Process(target=write_at_exit, args=(tmp_path / "file",))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "file").read_text() == "called"
