"""Shared memory with a name: who makes it, who opens it, and who removes it."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap

import pytest
import support
from support import LIBRARY, phalanx_only, submodule

shared_memory = submodule("shared_memory")
SharedMemory = shared_memory.SharedMemory
standard = pytest.importorskip("multiprocessing.shared_memory", reason="not in every build of Python")


@pytest.fixture
def made():
    segment = SharedMemory(create=True, size=100)
    yield segment
    segment.close()
    try:
        segment.unlink()
    except FileNotFoundError:
        pass


def exists(name):
    return os.path.exists(f"/dev/shm/{name}")


def run(program, *args):
    """Run a program in an interpreter of its own; return what it wrote."""
    program = textwrap.dedent(program).replace("LIBRARY", LIBRARY)
    return subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=60)


def test_what_one_writes_the_other_reads(made):
    opened = SharedMemory(made.name)
    assert opened.size >= 100
    made.buf[:5] = b"hello"
    assert bytes(opened.buf[:5]) == b"hello"
    opened.buf[99] = 7
    assert made.buf[99] == 7
    opened.close()
    assert exists(made.name)
    assert made.buf[0] == ord("h")


def test_misuse():
    for arguments in ({}, {"create": True}, {"create": True, "size": 0}, {"create": True, "size": -1}):
        with pytest.raises(ValueError):
            SharedMemory(**arguments)
    with pytest.raises(FileNotFoundError):
        SharedMemory("not-there-at-all")
    with pytest.raises(OSError):
        SharedMemory("a/b", create=True, size=1)
    with pytest.raises(ValueError):
        SharedMemory("a\0b", create=True, size=1)


def test_a_name_is_taken_once(made):
    with pytest.raises(FileExistsError):
        SharedMemory(made.name, create=True, size=10)
    assert exists(made.name)
    made.unlink()
    assert not exists(made.name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(made.name)
    made.buf[0] = 1  # The memory is there as long as it is open.


def test_closing(made):
    view = made.buf[10:20]
    with pytest.raises(BufferError):
        made.close()
    view.release()
    made.close()
    assert made.buf is None
    made.close()
    assert made._fd == -1
    assert SharedMemory(made.name).size >= 100


def test_names_and_text(made):
    assert made.name.startswith("psm_")
    assert made._name == "/" + made.name
    assert repr(made) == f"SharedMemory({made.name!r}, size={made.size})"
    named = SharedMemory("phalanx-a-name", create=True, size=1)
    assert named.name == "phalanx-a-name"
    named.close()
    named.unlink()


def test_the_standard_library_at_the_other_end(made):
    made.buf[:3] = b"abc"
    theirs = standard.SharedMemory(made.name)
    assert bytes(theirs.buf[:3]) == b"abc"
    theirs.close()
    # Its tracker takes what is opened for made; so it has to be told.
    from multiprocessing import resource_tracker

    resource_tracker.unregister("/" + made.name, "shared_memory")


def test_a_pickle_opens_the_same(made):
    opened = pickle.loads(pickle.dumps(made))
    opened.buf[3] = 33
    assert made.buf[3] == 33
    opened.close()


def test_in_a_child(ctx, made):
    child = ctx.Process(target=_write, args=(made, made.name))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert bytes(made.buf[:2]) == b"ab"
    assert exists(made.name)


def _write(segment, name):
    segment.buf[0] = ord("a")
    opened = SharedMemory(name)
    opened.buf[1] = ord("b")
    opened.close()


def test_made_by_a_child_that_has_ended(ctx):
    here, there = ctx.Pipe()
    child = ctx.Process(target=_make, args=(there,))
    child.start()
    name = here.recv()
    child.join()
    opened = SharedMemory(name)
    assert bytes(opened.buf[:4]) == b"made"
    opened.close()
    opened.unlink()


def _make(pipe):
    segment = SharedMemory(create=True, size=10)
    segment.buf[:4] = b"made"
    segment.close()
    pipe.send(segment.name)


@phalanx_only  # there, the tracker of any program that opened it removes it
def test_who_opens_never_removes(made):
    done = run(
        """
        import sys
        from LIBRARY.shared_memory import SharedMemory
        segment = SharedMemory(sys.argv[1])
        segment.buf[0] = 5
        """,
        made.name,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert exists(made.name)
    assert made.buf[0] == 5


@phalanx_only
def test_what_others_have_removed_is_not_missed():
    done = run(
        """
        from LIBRARY.shared_memory import SharedMemory
        import os
        segment = SharedMemory(create=True, size=10)
        os.unlink("/dev/shm/" + segment.name)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


LEAK = """
    from LIBRARY.shared_memory import SharedMemory
    segment = SharedMemory(create=True, size=10)
    print(segment.name, flush=True)
"""


def test_what_is_left_behind_is_removed_with_a_warning():
    done = run(LEAK)
    assert "leaked shared_memory" in done.stderr
    support.wait_until(lambda: not exists(done.stdout.strip()), "the segment is gone")


def test_what_a_killed_program_leaves_behind_is_removed():
    done = run(LEAK + "    import os; os.kill(os.getpid(), 9)\n")
    assert done.returncode == -signal.SIGKILL
    support.wait_until(lambda: not exists(done.stdout.strip()), "the segment is gone")


@phalanx_only  # since 3.13 there
def test_without_tracking_it_stays():
    done = run(LEAK.replace("size=10", "size=10, track=False"))
    assert done.stderr == ""
    segment = SharedMemory(done.stdout.strip())
    segment.close()
    segment.unlink()


@phalanx_only
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_a_killed_family_leaves_behind_is_removed(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import os, {LIBRARY} as mp
            from {LIBRARY}.shared_memory import SharedMemory

            def make(pipe):
                segment = SharedMemory(create=True, size=10)
                segment.close()
                pipe.send(segment.name)

            if __name__ == "__main__":
                ctx = mp.get_context({method!r})
                here, there = ctx.Pipe()
                child = ctx.Process(target=make, args=(there,))
                child.start()
                name = here.recv()
                child.join()
                assert SharedMemory(name).size == 10
                print(name, flush=True)
                os.kill(os.getpid(), 9)
            """
        )
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    name = done.stdout.strip()
    support.wait_until(lambda: not exists(name), "the segment is gone")


@phalanx_only
def test_more_memory_than_there_is():
    with pytest.raises(OSError, match="no memory for the shared segment") as refused:
        SharedMemory("phalanx-huge", create=True, size=1 << 50)
    assert refused.value.errno
    assert not exists("phalanx-huge")


@phalanx_only
def test_memory_that_was_granted_is_reserved(made):
    segment = SharedMemory(create=True, size=1 << 20)
    assert os.fstat(segment._fd).st_blocks * 512 >= 1 << 20
    segment.close()
    segment.unlink()


@phalanx_only
def test_views_outlive_an_object_that_was_forgotten():
    segment = SharedMemory(create=True, size=10)
    segment.unlink()
    view = segment.buf[2:5]
    view[0] = 9
    del segment
    assert view[0] == 9


def test_no_other_user_can_open_it(made):
    assert os.stat(f"/dev/shm/{made.name}").st_mode & 0o077 == 0


def test_a_subclass():
    class Own(SharedMemory):
        def __init__(self, size):
            super().__init__(create=True, size=size)
            self.extra = 1

    own = Own(5)
    assert own.size >= 5
    own.close()
    own.unlink()


def test_a_name_with_a_zero_byte_is_refused_and_names_nothing_else():
    memory = shared_memory.SharedMemory(create=True, size=10)
    name = memory._name
    with pytest.raises(ValueError, match="null"):
        shared_memory.SharedMemory(name + "\0a")
    memory._name = name + "\0a"
    with pytest.raises(ValueError, match="null"):
        memory.unlink()
    memory._name = name
    memory.close()
    memory.unlink()
