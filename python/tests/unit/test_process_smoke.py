"""Processes in a few strokes: what the whole suite builds on. The details are in test_process."""

import os
import signal
import subprocess
import sys
import textwrap

import phalanx as mp
import pytest

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=METHODS)
def ctx(request):
    return mp.get_context(request.param)


def leave(code):
    sys.exit(code)


def check_surroundings(parent):
    assert mp.parent_process().pid == parent
    assert mp.parent_process().is_alive()
    assert mp.current_process().name == "somebody"
    assert sys.stdin.read() == ""


def linger():
    while True:
        signal.pause()


def run_script(tmp_path, source, *arguments):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(source))
    return subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, timeout=60)


def test_start_join_and_exit_code(ctx):
    process = ctx.Process(target=leave, args=(3,))
    assert process.exitcode is None
    process.start()
    assert process.pid != os.getpid()
    process.join()
    assert process.exitcode == 3
    assert not process.is_alive()
    process.close()


def test_a_child_knows_where_it_is(ctx):
    process = ctx.Process(target=check_surroundings, args=(os.getpid(),), name="somebody")
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_lambda_can_be_the_target(ctx):
    code = 5
    process = ctx.Process(target=lambda: sys.exit(code))
    process.start()
    process.join()
    assert process.exitcode == 5


def test_terminate_and_kill(ctx):
    for end, number in (("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)):
        process = ctx.Process(target=linger)
        process.start()
        process.join(0.01)
        assert process.is_alive()
        getattr(process, end)()
        process.join()
        assert process.exitcode == -number


def test_no_zombie_and_no_descriptor_is_left(ctx):
    def cycle():
        process = ctx.Process(target=leave, args=(0,))
        process.start()
        process.join()
        process.close()

    cycle()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        cycle()
    assert len(os.listdir("/proc/self/fd")) == before
    assert mp.active_children() == []


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_missing_guard_is_one_clear_error(tmp_path, method):
    done = run_script(
        tmp_path,
        """
        import sys
        import phalanx as mp

        mp.set_start_method(sys.argv[1])
        process = mp.Process(target=print, args=("the child's work",))
        process.start()
        process.join()
        print("exit code", process.exitcode)
        """,
        method,
    )
    assert done.stdout == "exit code 1\n"
    assert done.stderr.count("\nRuntimeError:") == 1
    assert "if __name__ == '__main__':" in done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_a_program_without_a_file_defines_arrives(method):
    source = f"""
import phalanx as mp
greeting = "hello"
class Thing:
    def __init__(self, x): self.x = x
def work(thing): print(greeting, type(thing).__name__, thing.x)
process = mp.get_context({method!r}).Process(target=work, args=(Thing(3),))
process.start()
process.join()
print(process.exitcode)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "hello Thing 3\n0\n", done.stderr


def test_a_main_module_with_threads_is_not_loaded_into_the_forkserver(tmp_path):
    done = run_script(
        tmp_path,
        """
        import threading
        import phalanx as mp

        threading.Thread(target=threading.Event().wait, daemon=True).start()

        def work():
            print("worked")

        if __name__ == "__main__":
            process = mp.get_context("forkserver").Process(target=work)
            process.start()
            process.join()
            print(process.exitcode)
        """,
    )
    assert done.stdout == "worked\n0\n", done.stderr


def test_ends_are_told_although_the_forkserver_has_a_native_thread(tmp_path):
    """A thread of a library may take signals; several at a time, since it is a matter of luck."""
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent(
            """
            import faulthandler
            import phalanx as mp

            faulthandler.dump_traceback_later(1000)

            if __name__ == "__main__":
                process = mp.get_context("forkserver").Process(target=abs, args=(1,))
                process.start()
                process.join()
            """
        )
    )
    programs = [subprocess.Popen([sys.executable, str(path)]) for _ in range(12)]
    assert [program.wait(60) for program in programs] == [0] * 12


def test_preloaded_modules_are_there_in_children(tmp_path):
    (tmp_path / "slow_module.py").write_text("import os\nloaded_by = os.getpid()\n")
    done = run_script(
        tmp_path,
        """
        import os, sys
        import phalanx as mp

        def work():
            print("slow_module" in sys.modules, sys.modules["slow_module"].loaded_by == os.getppid())

        if __name__ == "__main__":
            mp.set_forkserver_preload(["slow_module", "no_such_module"])
            process = mp.get_context("forkserver").Process(target=work)
            process.start()
            process.join()
        """,
    )
    assert done.stdout == "True True\n", done.stderr


def test_processors_are_counted(monkeypatch):
    usable = mp.cpu_count()
    assert 1 <= usable <= len(os.sched_getaffinity(0))
    assert 1 <= mp.cpu_count(physical=True) <= usable
    monkeypatch.setenv("PHALANX_CPU_COUNT", "7")
    assert mp.cpu_count() == 7


def test_the_forkserver_is_replaced_when_it_was_killed():
    from phalanx import forkserver

    ctx = mp.get_context("forkserver")
    for _ in range(2):
        process = ctx.Process(target=leave, args=(4,))
        process.start()
        process.join()
        assert process.exitcode == 4
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    forkserver._forkserver._stop()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the interpreter does not warn before 3.12")
def test_forking_with_threads_draws_no_warning(tmp_path):
    done = run_script(
        tmp_path,
        """
        import threading, warnings
        import phalanx as mp

        warnings.simplefilter("error")
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        process = mp.get_context("fork").Process(target=print, args=("worked",))
        process.start()
        process.join()
        """,
    )
    assert (done.stdout, done.stderr) == ("worked\n", "")
