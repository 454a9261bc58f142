"""A program in Rust and one in Python share queues, locks, values and arrays."""

import math
import signal
import time

import phalanx as mp
import pytest
from support import Script, phalanx_only, runs, wait_until

pytestmark = [phalanx_only, pytest.mark.watchdog(120)]

SECONDS = 30


def started(peer, *arguments, **passing):
    program = mp.Program([peer, *arguments], passing)
    program.start()
    return program


def joined(program, exitcode=0):
    program.join(SECONDS)
    assert program.exitcode == exitcode


PLAIN = [
    0,
    -(2**63),
    2**63,
    -(2**127),
    True,
    1.5,
    -math.inf,
    "",
    "日本語 🐍",
    "x" * 300,
    b"",
    bytes(range(256)),
    b"z" * 300_000,
    "long " * 50_000,
    [],
    (),
    {},
    [1, 2, 3],
    [1.0, 2.0],
    (1, "two", 3.0, None),
    {"a": 1, 7: [1, {"b": (2, [3])}]},
    [[1, 2], [3, [4, b"5"]], {"six": {"seven": [8.0, False]}}],
    {"large": b"y" * 100_000, "small": ["t" * 70_000, 1]},
]


@pytest.mark.parametrize("kind", [mp.Queue, mp.SimpleQueue, mp.JoinableQueue])
def test_plain_values_there_and_back(peer, kind):
    to, back = kind(), kind()
    program = started(peer, "echo", **{"in": to, "out": back})
    for value in PLAIN:
        to.put(value)
        arrived = back.get()
        assert arrived == value and type(arrived) is type(value)
    to.put(None)
    assert back.get() is None
    joined(program)


def test_types_of_the_rust_program(peer):
    jobs, answers = mp.Queue(), mp.Queue(4)
    settings = {"step": 3, "unused": [1, 2]}
    program = started(peer, "typed", **{"in": jobs, "out": answers, "settings": settings})
    jobs.put({"id": 7, "words": ["zebra", "über"], "factor": 0.5, "kind": {"Cut": {"at": 2}}, "more": None})
    assert answers.get() == {
        "id": 7,
        "words": ["ze", "üb"],
        "score": 1.5,
        "kind": {"Cut": {"at": 2}},
        "big": 2**127 - 1,
    }
    joined(program)
    program = started(peer, "typed", **{"in": jobs, "out": answers, "settings": settings})
    jobs.put({"id": 1, "words": ["a"], "kind": "Count"})
    assert answers.get()["words"] == ["1"]
    joined(program)


def test_a_lock_a_value_and_an_array_are_counted_in_by_both(peer):
    times = 20_000
    total, cells, lock = mp.Value("q", 5), mp.Array("d", 3), mp.Lock()
    program = started(peer, "count", str(times), total=total, cells=cells, lock=lock)
    for _ in range(times):
        with total.get_lock():
            total.value += 1
        with lock:
            cells[0] += 1
    joined(program)
    assert total.value == 5 + 2 * times
    assert cells[:] == [2.0 * times, 0.0, 0.0]


def test_arrays_of_every_kind(peer):
    arrays = {
        "b": mp.Array("b", 3),
        "H": mp.RawArray("H", 2),
        "i": mp.Array("i", [7, 7, 7], lock=mp.Lock()),
        "Q": mp.Array("Q", 1, lock=False),
        "f": mp.Array("f", 1),
        "c": mp.Array("c", 4),
        "d": mp.Array("d", [1.5, -2.0]),
        "raw": mp.RawValue("d", 1.0),
    }
    joined(started(peer, "array", **arrays))
    assert arrays["b"][:] == [-1, 2, -3]
    assert arrays["H"][:] == [1, 65535]
    assert arrays["i"][:] == [7, -5, 7]
    assert arrays["Q"][0] == 2**64 - 1
    assert arrays["f"][0] == 0.5
    assert arrays["c"].value == b"text"
    assert arrays["d"][:] == [2.25, 4.0]
    assert arrays["raw"].value == 2.5


def test_the_other_objects(peer):
    permits, here, gate, again, out = mp.Semaphore(0), mp.Event(), mp.Barrier(2), mp.RLock(), mp.Queue()
    program = started(peer, "meet", permits=permits, here=here, gate=gate, again=again, out=out)
    assert not here.wait(0.05)
    permits.release()
    assert here.wait(SECONDS)
    gate.wait(SECONDS)
    assert out.get() == 2
    joined(program)
    assert again.acquire(timeout=SECONDS)


def test_what_is_missing_or_something_else_is_named(peer):
    out = mp.Queue()
    passing = {"out": out, "total": mp.Value("i"), "cells": mp.Array("d", 2), "text": "hello"}
    program = started(peer, "describe", **passing)
    assert out.get() == [
        "cells: an array of 2 f64",
        "out: a queue",
        "text: a string that is no shared object",
        "total: a value of i32",
    ]
    missing, lock, value, array, plain = out.get()
    assert missing.startswith(
        'nothing named "nothing" was passed to this process; there is "cells" (an array'
    )
    assert lock == 'what was passed as "out" is a queue, not a lock'
    assert value == 'what was passed as "total" is a value of i32, not a value of i64'
    assert array == 'what was passed as "cells" is an array of 2 f64, not an array of i32'
    assert "invalid type: string" in plain
    joined(program)


def test_a_message_that_is_not_plain_costs_itself_only(peer):
    to, back = mp.Queue(), mp.Queue()
    to.put({1, 2, 3})
    to.put("next")
    program = started(peer, "opaque", **{"in": to, "out": back})
    error, value = back.get()
    assert "only programs in its sender's language can read" in error
    assert value == "next"
    joined(program)


def test_arguments_and_exit_code(peer):
    out = mp.Queue()
    program = mp.Program([peer, "arguments", "ü x", b"y"], {"out": out}, name="rusty")
    assert program.name == "rusty" and program.exitcode is None and not program.is_alive()
    program.start()
    assert out.get() == ["ü x", "y"]
    joined(program)
    assert mp.connection.wait([program.sentinel], 0) == [program.sentinel]
    program.close()
    joined(started(peer, "leave", "3"), 3)


def test_a_program_that_knows_nothing_of_phalanx():
    program = mp.Program("true", {"queue": mp.Queue()})
    program.start()
    joined(program)
    # The argument by which phalanx tells where to look is one too many for most programs.
    program = mp.Program(["sh", "-c", "exec sleep 600"], daemon=True)
    program.start()
    program.terminate()
    joined(program, -signal.SIGTERM)


def test_what_cannot_be_started_or_passed(tmp_path):
    with pytest.raises(FileNotFoundError, match="no directory of PATH has it"):
        mp.Program("no-such-program-anywhere").start()
    with pytest.raises(FileNotFoundError, match="missing"):
        mp.Program(tmp_path / "missing").start()
    with pytest.raises(PermissionError):
        mp.Program([tmp_path]).start()
    with pytest.raises(ValueError, match="at least its path"):
        mp.Program([]).start()
    for odd in ({1}, object(), [mp.Lock()], lambda: 0, 2**200):
        with pytest.raises(TypeError, match='cannot pass "odd" to a program'):
            mp.Program("true", {"odd": odd}).start()
    with pytest.raises(TypeError, match="pickled"):
        import pickle

        pickle.dumps(mp.Program("true"))


def test_the_rust_program_dies_holding_locks(peer):
    lock, total, here = mp.Lock(), mp.Value("q", 1), mp.Event()
    program = started(peer, "hold", lock=lock, total=total, here=here)
    assert here.wait(SECONDS)
    assert not lock.acquire(timeout=0.05)
    assert program.is_alive() and program in mp.active_children()
    program.kill()
    with pytest.raises(mp.OwnerDiedError) as caught:
        lock.acquire(timeout=SECONDS)
    assert caught.value.pid == program.pid
    lock.release()
    with pytest.raises(mp.OwnerDiedError):
        total.get_lock().acquire(timeout=SECONDS)
    total.get_lock().release()
    assert total.value == 1
    joined(program, -signal.SIGKILL)


def test_the_rust_program_is_killed_while_it_takes_and_puts(peer):
    to, back = mp.Queue(), mp.Queue()
    for delay in (0.0, 0.01, 0.03):
        program = started(peer, "echo", **{"in": to, "out": back})
        to.put([0, "first"])
        back.get()
        until = time.monotonic() + delay
        while time.monotonic() < until:
            to.put([1, "x" * 100])
        program.kill()
        joined(program, -signal.SIGKILL)
        # Both queues go on, whatever it was doing.
        to.put("ours")
        while to.get(timeout=SECONDS) != "ours":
            pass
        back.put("ours")
        while back.get(timeout=SECONDS) != "ours":
            pass


PARENT = """
import os, sys
import phalanx as mp

if __name__ == "__main__":
    to, back = mp.Queue(), mp.Queue()
    program = mp.Program([sys.argv[1], "linger"], {"in": to, "out": back}, daemon=sys.argv[2] == "daemon")
    program.start()
    print(back.get(), flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), 9)
    if sys.argv[2] == "waits":
        to.put("go on")
"""


@pytest.mark.parametrize("how", ["killed", "daemon", "waits"])
def test_the_python_program_ends_first(peer, tmp_path, how):
    with Script(tmp_path, PARENT, peer, how) as script:
        pid = int(script.line())
        answer = script.finish()
        wait_until(lambda: not runs(pid), "the end of the program in Rust")
    assert answer.returncode == (-signal.SIGKILL if how == "killed" else 0)


def test_many_programs_leave_nothing_behind(peer, resources):
    out = mp.Queue()
    for _ in range(20):
        total = mp.Value("q")
        program = started(peer, "arguments", out=out, total=total)
        out.get()
        joined(program)
        program.close()
    del out, total, program
    resources.settle()
