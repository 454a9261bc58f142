"""Names of `reduction`, `resource_tracker`, `spawn`, `forkserver`, `popen_*` and `shared_memory`."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from typing import ClassVar

import pytest
from support import START_METHODS, command_line, mp, run_script, submodule, wait_until

reduction = submodule("reduction")
spawn = submodule("spawn")


class Box:
    def __init__(self, content):
        self.content = content


def reduce_box(box):
    return Box, (f"reduced {box.content}",)


def send_content(pipe, box):
    pipe.send(box.content)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(
        reduction.ForkingPickler, "_extra_reducers", dict(reduction.ForkingPickler._extra_reducers)
    )
    reduction.register(Box, reduce_box)


def test_reducers_of_ones_own(registered):
    loads = reduction.ForkingPickler.loads
    assert loads(reduction.ForkingPickler.dumps(Box("a"))).content == "reduced a"
    file = io.BytesIO()
    reduction.dump(Box("b"), file)
    assert loads(file.getvalue()).content == "reduced b"
    here, there = mp.Pipe()
    here.send(Box("c"))
    assert there.recv().content == "reduced c"
    queue = mp.SimpleQueue()
    queue.put([Box("d")])
    assert queue.get()[0].content == "reduced d"
    for end in (here, there, queue):
        end.close()


@pytest.mark.parametrize("method", [m for m in START_METHODS if m != "fork"])
def test_they_hold_for_arguments_of_children(registered, method):
    ctx = mp.get_context(method)
    here, there = ctx.Pipe()
    child = ctx.Process(target=send_content, args=(there, Box("e")))
    child.start()
    assert here.recv() == "reduced e"
    child.join()


def test_descriptors_over_a_socket():
    assert reduction.HAVE_SEND_HANDLE
    one, other = socket.socketpair()
    read, write = os.pipe()
    reduction.sendfds(one, [read, write])
    arrived = reduction.recvfds(other, 2)
    os.write(arrived[1], b"x")
    assert os.read(read, 1) == b"x"
    for fd in (read, write, *arrived):
        os.close(fd)
    one.close()
    other.close()


def receive_handle(pipe):
    fd = reduction.recv_handle(pipe)
    os.write(fd, b"from the child")


def test_a_handle_for_a_child(ctx):
    here, there = ctx.Pipe()
    child = ctx.Process(target=receive_handle, args=(there,))
    child.start()
    read, write = os.pipe()
    reduction.send_handle(here, write, child.pid)
    os.close(write)
    assert os.read(read, 100) == b"from the child"
    os.close(read)
    child.join()


def write_to(dup):
    fd = dup.detach()
    os.write(fd, b"dup")
    os.close(fd)


@pytest.mark.parametrize("method", [m for m in START_METHODS if m != "fork"])
def test_a_stand_in_for_a_descriptor(method):
    read, write = os.pipe()
    child = mp.get_context(method).Process(target=write_to, args=(LateDup(write),))
    child.start()
    os.close(write)
    assert os.read(read, 100) == b"dup"
    os.close(read)
    child.join()


class LateDup:
    def __init__(self, fd):
        self.fd = fd

    def __reduce__(self):
        return hand_on, (reduction.DupFd(self.fd),)


def hand_on(dup):
    return dup


def test_the_resource_sharer(default_ctx):
    sharer = submodule("resource_sharer")
    read, write = os.pipe()
    here, there = default_ctx.Pipe()
    child = default_ctx.Process(target=collect, args=(there,))
    child.start()
    here.send(sharer.DupFd(write))
    os.close(write)
    assert os.read(read, 100) == b"collected"
    os.close(read)
    child.join()
    sharer.stop(timeout=10)


def collect(pipe):
    fd = pipe.recv().detach()
    os.write(fd, b"collected")
    os.close(fd)


def test_sockets_are_rebuilt():
    one, other = socket.socketpair()
    rebuild, args = reduction._reduce_socket(one)
    again = rebuild(*args)
    again.sendall(b"again")
    assert other.recv(10) == b"again"
    for end in (one, other, again):
        end.close()
    assert rebuild is reduction._rebuild_socket


# The resource tracker, which many programs work around.


def test_assigning_to_register_and_unregister(tmp_path):
    """The recipe against trackers that remove what was only opened."""
    done = run_script(
        tmp_path,
        """
        from LIBRARY import resource_tracker, shared_memory

        def fix_register(name, rtype):
            if rtype == "shared_memory":
                calls.append(("register", name))
                return None
            return resource_tracker._resource_tracker.register(name, rtype)

        def fix_unregister(name, rtype):
            if rtype == "shared_memory":
                calls.append(("unregister", name))
                return None
            return resource_tracker._resource_tracker.unregister(name, rtype)

        calls = []
        resource_tracker.register = fix_register
        resource_tracker.unregister = fix_unregister
        if "shared_memory" in resource_tracker._CLEANUP_FUNCS:
            del resource_tracker._CLEANUP_FUNCS["shared_memory"]

        if __name__ == "__main__":
            made = shared_memory.SharedMemory(create=True, size=10)
            name = made._name
            made.close()
            made.unlink()
            print(calls == [("register", name), ("unregister", name)])
        """,
    )
    assert done.stdout.split() == ["True"]
    assert done.stderr == ""


def test_unregistering_what_was_opened(tmp_path):
    """The other recipe: the program takes back what its library has registered."""
    done = run_script(
        tmp_path,
        """
        import os
        from LIBRARY import resource_tracker, shared_memory

        made = shared_memory.SharedMemory(create=True, size=10)
        resource_tracker.unregister(made._name, "shared_memory")
        print(made.name)
        """,
    )
    path = f"/dev/shm/{done.stdout.strip()}"
    assert os.path.exists(path), "it was to stay"
    os.unlink(path)
    assert done.stderr == ""


def test_the_tracker(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os
        from LIBRARY import resource_tracker

        one = resource_tracker._resource_tracker
        print(isinstance(one, resource_tracker.ResourceTracker), one._fd, one._pid)
        resource_tracker.ensure_running()
        print(resource_tracker.getfd() == one._fd, os.path.exists(f"/proc/{one._pid}"))
        os.fstat(one._fd)
        print({"noop", "shared_memory", "semaphore"} <= set(resource_tracker._CLEANUP_FUNCS))
        one._stop()
        print(one._fd, one._pid, callable(resource_tracker.main))
        """,
    )
    assert done.stdout.splitlines() == ["True None None", "True True", "True", "None None True"]


# Shared memory.


def test_parts_of_shared_memory():
    shared_memory = submodule("shared_memory")
    assert shared_memory._USE_POSIX is True
    name = shared_memory._make_filename()
    assert name.startswith("/psm_") and name != shared_memory._make_filename()
    memory = shared_memory.SharedMemory(create=True, size=4096)
    assert memory._name == "/" + memory.name
    assert os.fstat(memory._fd).st_size == 4096
    view = memoryview(memory._mmap)
    view[1] = 5
    assert memory.buf[1] == 5
    assert len(memory._mmap) == memory._mmap.size() == 4096
    memory._mmap.flush()
    view.release()
    memory.close()
    assert memory._mmap is None and memory._fd == -1
    memory.unlink()


# Starting processes.


def test_the_executable(tmp_path):
    before = spawn.get_executable()
    assert os.fsdecode(before) == sys.executable
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPHALANX_TEST_WRAPPED=1 exec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    mp.set_executable(str(wrapper))
    try:
        ctx = mp.get_context("spawn")
        here, there = ctx.Pipe()
        child = ctx.Process(target=report_wrapped, args=(there,))
        child.start()
        assert here.recv() == "1"
        child.join()
    finally:
        spawn.set_executable(before)
    assert spawn.get_executable() == before


def report_wrapped(pipe):
    pipe.send(os.environ.get("PHALANX_TEST_WRAPPED"))


class Marked:
    """What is in the data is unpickled before the main module is imported."""

    def __reduce__(self):
        return os.putenv, ("PHALANX_TEST_PREPARED", "yes")


def test_preparation_data(monkeypatch):
    data = spawn.get_preparation_data("a name")
    assert data["name"] == "a name"
    assert data["sys_argv"] == sys.argv
    assert data["authkey"] == mp.current_process().authkey
    assert isinstance(data["sys_path"], list) and "orig_dir" in data and "start_method" in data
    assert spawn.old_main_modules == [] or spawn.old_main_modules

    original = spawn.get_preparation_data

    def replaced(name):
        return {**original(name), "marked": Marked()}

    monkeypatch.setattr(spawn, "get_preparation_data", replaced)
    ctx = mp.get_context("spawn")
    here, there = ctx.Pipe()
    child = ctx.Process(target=report_prepared, args=(there,))
    child.start()
    assert here.recv() == "yes"
    child.join()


def report_prepared(pipe):
    # The environment of the process, which `os.environ` has read at the start, is passed on.
    pipe.send(subprocess.check_output("echo $PHALANX_TEST_PREPARED", shell=True, text=True).strip())


def test_the_command_line_of_a_child():
    line = [os.fsdecode(part) for part in spawn.get_command_line(parent_pid=1, pipe_handle=2)]
    assert line[0] == sys.executable
    assert line[-1] == "--multiprocessing-fork"
    assert "spawn_main" in line[-2]
    assert spawn.is_forking([sys.executable, "--multiprocessing-fork"])
    assert not spawn.is_forking([sys.executable, "program.py"])
    assert callable(spawn.spawn_main) and callable(spawn._main) and callable(spawn.freeze_support)


def test_command_lines_of_children_can_be_told(tmp_path):
    """Monitors look for `spawn_main` in them."""
    ctx = mp.get_context("spawn")
    here, there = ctx.Pipe()
    child = ctx.Process(target=there.recv)
    child.start()
    try:
        wait_until(lambda: "spawn_main" in command_line(child.pid), "its arguments can be read")
    finally:
        here.send(None)
        child.join()


def test_preparing_this_process(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, sys
        from LIBRARY import process, spawn

        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "other_main.py")
        with open(path, "w") as file:
            file.write("where = __name__")
        spawn.prepare({"name": "prepared", "sys_argv": ["one", "two"], "dir": "/"})
        print(process.current_process().name, sys.argv, os.getcwd())
        spawn.import_main_path(path)
        print(sys.modules["__main__"].where, len(spawn.old_main_modules))
        """,
    )
    assert done.stdout.splitlines() == ["prepared ['one', 'two'] /", "__mp_main__ 1"]


def test_the_forkserver(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os
        import LIBRARY as mp
        from LIBRARY import forkserver

        def work():
            print("parent", os.getppid() == forkserver._forkserver._forkserver_pid or os.getppid() != 0)

        if __name__ == "__main__":
            server = forkserver._forkserver
            print(server._forkserver_pid)
            forkserver.set_forkserver_preload(["json"])
            forkserver.ensure_running()
            first = server._forkserver_pid
            print(first > 0, os.path.exists(f"/proc/{first}"))
            forkserver.ensure_running()
            print(server._forkserver_pid == first)
            child = mp.get_context("forkserver").Process(target=work)
            child.start()
            child.join()
            server._stop()
            print(server._forkserver_pid)
        """,
    )
    assert done.stdout.splitlines() == ["None", "True True", "True", "parent True", "None"]


@pytest.mark.parametrize("method", START_METHODS)
def test_popen_classes(method):
    module = {"fork": "popen_fork", "spawn": "popen_spawn_posix", "forkserver": "popen_forkserver"}[method]
    kind = submodule(module).Popen
    child = mp.get_context(method).Process(target=os._exit, args=(3,))
    child.start()
    assert type(child._popen) is kind
    assert kind.method == method
    assert child._popen.wait() == 3
    assert child._popen.sentinel == child.sentinel
    child.join()
    assert child._popen.poll() == 3


class PatchedPopen(submodule("popen_spawn_posix").Popen):
    """What frozen programs did: a `Popen` that does something around the start."""

    launched: ClassVar[list[str]] = []

    def __init__(self, process_obj):
        self.launched.append(process_obj.name)
        super().__init__(process_obj)


class PatchedProcess(mp.get_context("spawn").Process):
    @staticmethod
    def _Popen(process_obj):
        return PatchedPopen(process_obj)


def test_a_popen_of_ones_own():
    child = PatchedProcess(target=os._exit, args=(4,), name="patched")
    child.start()
    child.join()
    assert child.exitcode == 4
    assert PatchedPopen.launched == ["patched"]
