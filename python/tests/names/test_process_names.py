"""Names of `process` and `context` that are not documented, as programs use them."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from support import START_METHODS, mp, phalanx_only, run_script, submodule

process = submodule("process")
context = submodule("context")


def test_all_processes_have_one_base():
    for method in START_METHODS:
        assert issubclass(mp.get_context(method).Process, process.BaseProcess)
    assert issubclass(mp.Process, process.BaseProcess)
    assert isinstance(mp.current_process(), process.BaseProcess)


def test_the_original_folder(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, sys
        before = os.getcwd()
        import LIBRARY.process as process
        os.chdir("/")
        print(process.ORIGINAL_DIR == before)
        """,
    )
    assert done.stdout.split() == ["True"]


def nothing():
    pass


def test_children_are_a_set_and_cleaning_up_collects_them(default_ctx):
    child = default_ctx.Process(target=nothing)
    assert child not in process._children
    assert child in process._dangling
    child.start()
    assert child in process._children
    child._popen.wait()
    process._cleanup()
    assert child not in process._children
    assert child.exitcode == 0


def test_a_child_that_is_taken_out_is_not_waited_for(default_ctx, tmp_path):
    done = run_script(
        tmp_path,
        """
        import sys, time
        import LIBRARY as mp
        from LIBRARY import process

        if __name__ == "__main__":
            child = mp.get_context("fork").Process(target=time.sleep, args=(600,))
            child.start()
            process._children.discard(child)
            print(mp.active_children())
            child._popen.terminate()
        """,
    )
    assert done.stdout.split() == ["[]"]


def report_config(pipe):
    config = mp.current_process()._config
    inherited = dict(config)
    config["daemon"] = False  # Of a daemon that wants children of its own.
    child = mp.get_context("fork").Process(target=nothing)
    child.start()
    child.join()
    pipe.send((inherited.get("daemon"), bytes(inherited["authkey"]), inherited["semprefix"], child.exitcode))


def test_config(ctx, monkeypatch):
    config = mp.current_process()._config
    assert config["authkey"] == mp.current_process().authkey
    monkeypatch.setitem(config, "semprefix", "/elsewhere")
    here, there = ctx.Pipe()
    child = ctx.Process(target=report_config, args=(there,), daemon=True)
    child.start()
    assert here.recv() == (True, bytes(config["authkey"]), "/elsewhere", 0)
    child.join()
    name = submodule("synchronize").SemLock._make_name()
    assert name.startswith("/elsewhere-")
    assert name != submodule("synchronize").SemLock._make_name()
    assert len(next(submodule("synchronize").SemLock._rand)) == 8


def report_identity(pipe):
    current = mp.current_process()
    pipe.send((current._identity, current._parent_pid, current._popen, os.getppid()))


def test_identity_and_parent(ctx):
    here, there = ctx.Pipe()
    children = [ctx.Process(target=report_identity, args=(there,)) for _ in range(2)]
    for child in children:
        assert child._parent_pid == os.getpid()
        assert child._popen is None
        child.start()
        assert child._popen.pid == child.pid
        identity, parent, popen, kernels = here.recv()
        assert (identity, parent, popen) == (child._identity, os.getpid(), None)
        if ctx.get_start_method() != "forkserver":
            assert kernels == parent
        child.join()
        assert child._popen.poll() == child._popen.wait(0) == child._popen.returncode == 0
    assert children[1]._identity[-1] == children[0]._identity[-1] + 1
    assert mp.current_process()._identity == ()


def worker_number(_):
    return mp.current_process()._identity[-1]


def test_the_identity_tells_workers_apart():
    with mp.Pool(2) as pool:
        first = min(worker._identity[-1] for worker in pool._pool)
        assert set(pool.map(worker_number, range(50), 1)) <= {first, first + 1}


@pytest.mark.parametrize("method", START_METHODS)
def test_inheriting_is_said_while_the_main_module_is_imported(tmp_path, method):
    done = run_script(
        tmp_path,
        """
        import sys
        import LIBRARY as mp

        inheriting = getattr(mp.current_process(), "_inheriting", False)

        def report():
            print(inheriting, getattr(mp.current_process(), "_inheriting", False), flush=True)

        if __name__ == "__main__":
            report()
            child = mp.get_context(sys.argv[1]).Process(target=report)
            child.start()
            child.join()
        """,
        method,
    )
    # The forkserver imports it for all its children, before there is one.
    answers = {"fork": ["False False"], "spawn": ["True False"], "forkserver": ["True False", "False False"]}
    first, second = done.stdout.splitlines()
    assert first == "False False" and second in answers[method]


def test_bootstrap_can_be_replaced(tmp_path):
    """As packages do that measure or watch children."""
    done = run_script(
        tmp_path,
        """
        import LIBRARY as mp
        from LIBRARY.process import BaseProcess

        original = BaseProcess._bootstrap

        def bootstrap(self, *args, **kwargs):
            print("before", self.name, flush=True)
            try:
                return original(self, *args, **kwargs)
            finally:
                print("after", flush=True)

        BaseProcess._bootstrap = bootstrap

        def work():
            print("work", flush=True)

        if __name__ == "__main__":
            child = mp.get_context("fork").Process(target=work, name="worker")
            child.start()
            child.join()
            print(child.exitcode)
        """,
    )
    assert done.stdout.split() == ["before", "worker", "work", "after", "0"]


# Contexts.


class OwnProcess(mp.get_context("spawn").Process):
    _start_method = "spawn"

    def run(self):
        self._args[0].send("own")


class OwnContext(context.SpawnContext):
    _name = "own"
    Process = OwnProcess


def test_a_context_of_ones_own_has_a_name(monkeypatch):
    monkeypatch.setitem(context._concrete_contexts, "own", OwnContext())
    ctx = mp.get_context("own")
    assert type(ctx) is OwnContext
    assert ctx.get_start_method() == "own"
    here, there = ctx.Pipe()
    child = ctx.Process(args=(there,))
    child.start()
    assert here.recv() == "own"
    child.join()


def test_classes_of_contexts():
    names = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}
    for method in START_METHODS:
        ctx = mp.get_context(method)
        assert type(ctx) is getattr(context, f"{names[method]}Context")
        assert ctx.Process is getattr(context, f"{names[method]}Process")
        assert isinstance(ctx, context.BaseContext)
    assert context.TimeoutError is mp.TimeoutError
    assert context.AuthenticationError is mp.AuthenticationError
    assert isinstance(mp.get_context().reducer.ForkingPickler, type)


class OnlyForChildren:
    """An object that may go to a child only while that is started."""

    def __init__(self, seen=None):
        self.seen = seen

    def __getstate__(self):
        context.assert_spawning(self)
        popen = context.get_spawning_popen()
        assert context._tls.spawning_popen is popen
        return {"seen": type(popen).__module__.rpartition(".")[2]}


def send_back(pipe, thing):
    pipe.send(thing.seen)


@pytest.mark.parametrize("method", [m for m in START_METHODS if m != "fork"])
def test_what_may_only_be_inherited(method):
    ctx = mp.get_context(method)
    here, there = ctx.Pipe()
    child = ctx.Process(target=send_back, args=(there, OnlyForChildren()))
    child.start()
    assert here.recv() == {"spawn": "popen_spawn_posix", "forkserver": "popen_forkserver"}[method]
    child.join()
    assert context.get_spawning_popen() is None
    with pytest.raises(RuntimeError, match="OnlyForChildren objects should only be shared"):
        context.assert_spawning(OnlyForChildren())


class Descriptor:
    """A file descriptor that goes to the child by the popen of its start."""

    def __init__(self, fd):
        self.fd = fd

    def __reduce__(self):
        popen = context.get_spawning_popen()
        return rebuild_descriptor, (popen.DupFd(popen.duplicate_for_child(self.fd)),)


def rebuild_descriptor(dup):
    return Descriptor(dup.detach())


def write_through(descriptor):
    os.write(descriptor.fd, b"through")


@pytest.mark.parametrize("method", [m for m in START_METHODS if m != "fork"])
def test_descriptors_through_the_popen(method):
    read, write = os.pipe()
    child = mp.get_context(method).Process(target=write_through, args=(Descriptor(write),))
    child.start()
    os.close(write)
    assert os.read(read, 100) == b"through"
    os.close(read)
    child.join()


def test_the_spawning_popen_can_be_set():
    marker = object()
    context.set_spawning_popen(marker)
    try:
        assert context.get_spawning_popen() is marker
        assert context._tls.spawning_popen is marker
    finally:
        context.set_spawning_popen(None)


def test_sockets_may_go_to_children(ctx):
    ctx.allow_connection_pickling()
    here, there = socket.socketpair()
    child = ctx.Process(target=use_socket, args=(there,))
    child.start()
    there.close()
    assert here.recv(100) == b"from the child"
    here.close()
    child.join()


def use_socket(sock):
    sock.sendall(b"from the child")
    sock.close()


def test_every_name_of_the_module_can_be_exported(tmp_path):
    """As a package does that stands in front of the library."""
    done = run_script(
        tmp_path,
        """
        import LIBRARY
        from LIBRARY import *
        __all__ = []
        __all__ += LIBRARY.__all__
        print([name for name in __all__ if globals().get(name) is None])
        """,
    )
    assert done.stdout.split() == ["[]"]


@phalanx_only  # what a newer interpreter's library has, an older one's does not
def test_the_names_of_the_running_interpreter_are_all_there():
    import multiprocessing

    assert [name for name in multiprocessing.__all__ if name not in mp.__all__ or not hasattr(mp, name)] == []
    assert sys.modules["multiprocessing"] is multiprocessing
