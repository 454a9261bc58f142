"""What workers print comes out in whole lines, and before the results do."""

from __future__ import annotations

import collections
import os
import pty
import subprocess
import sys
import textwrap
import threading
import time

import pytest

pytestmark = pytest.mark.phalanx_only

PROGRAM = """
    import os, sys, time
    import phalanx as mp

    def say(number):
        letter = chr(97 + number)
        for turn in range(40):
            print(letter * (9001 if turn % 2 else 37))
            print(letter.upper() * 5000, file=sys.stderr)
        return number

    def say_little(number):
        print("task", number)
        print("part", end="")
        return number

    def kill_self(number):
        print("before the end of", number)
        sys.stdout.flush()
        if number == 1:
            os.kill(os.getpid(), 9)
        return number

    def say_much(number):
        print(chr(97 + number) * 1_000_000)
        return number

    if __name__ == "__main__":
        ctx = mp.get_context(sys.argv[1])
        {body}
"""


def write(script, body):
    body = textwrap.indent(textwrap.dedent(body), "    ").strip()
    script.write_text(textwrap.dedent(PROGRAM).format(body=body), encoding="utf-8")


def run(tmp_path, method, body, *, options=(), read_slowly=True, env=None):
    script = tmp_path / "program.py"
    write(script, body)
    process = subprocess.Popen(
        [sys.executable, *options, script, method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    gathered = {}

    def drain(name, stream):
        if read_slowly:
            time.sleep(1)  # Until the pipe is full, and writes are taken in pieces.
        gathered[name] = stream.read()

    threads = [
        threading.Thread(target=drain, args=(name, getattr(process, name))) for name in ("stdout", "stderr")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert process.wait(60) == 0, gathered
    process.stdout.close()
    process.stderr.close()
    return gathered["stdout"], gathered["stderr"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_lines_of_several_workers_never_tear(tmp_path, method, options):
    body = "with ctx.Pool(4) as pool: pool.map(say, range(8), chunksize=1)"
    out, err = run(tmp_path, method, body, options=options)
    expected = collections.Counter()
    for number in range(8):
        expected.update({chr(97 + number) * 9001: 20, chr(97 + number) * 37: 20})
    assert collections.Counter(out.splitlines()) == expected
    capitals = {chr(65 + number) * 5000: 40 for number in range(8)}
    assert collections.Counter(err.splitlines()) == capitals


def test_what_a_task_printed_is_there_before_its_result(tmp_path):
    body = """
        with ctx.Pool(2) as pool:
            for number in pool.imap(say_little, range(50)):
                os.write(1, b"result %d\\n" % number)
    """
    out, _ = run(tmp_path, "fork", body, read_slowly=False)
    lines = [line.replace("part", "") for line in out.splitlines()]
    for number in range(50):
        assert lines.index(f"task {number}") < lines.index(f"result {number}")


def test_an_executors_workers_print_whole_lines_too(tmp_path):
    body = "with mp.ProcessPoolExecutor(4, mp_context=ctx) as e: list(e.map(say, range(8)))"
    out, _ = run(tmp_path, "fork", body)
    assert {len(line) for line in out.splitlines()} == {37, 9001}
    assert all(len(set(line)) == 1 for line in out.splitlines())


def test_a_worker_that_dies_holds_up_nobody(tmp_path):
    body = """
        with ctx.Pool(2) as pool:
            for result in [pool.apply_async(kill_self, (n,)) for n in range(6)]:
                try:
                    result.get()
                except mp.WorkerDiedError:
                    pass
    """
    out, _ = run(tmp_path, "fork", body, read_slowly=False)
    assert sorted(out.splitlines()) == [f"before the end of {number}" for number in range(6)]


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSTOP"])
def test_a_worker_that_ends_or_stops_amid_a_line_holds_up_nobody(tmp_path, signal):
    needed = 2 if signal == "SIGKILL" else 1  # The one that was stopped never answers.
    body = f"""
        import signal
        with ctx.Pool(2) as pool:
            results = [pool.apply_async(say_much, (number,)) for number in range(2)]
            # Nobody reads so far: one of them writes, the other waits for its turn.
            time.sleep(0.5)
            os.kill(pool._pool[0].pid, signal.{signal})
            answered = 0
            while answered < {needed}:
                answered = sum(result.ready() for result in results)
                time.sleep(0.01)
            sys.stderr.write("done")
    """
    out, err = run(tmp_path, "fork", body)
    assert err == "done"
    assert "a" * 1_000_000 in out or "b" * 1_000_000 in out or signal == "SIGSTOP"


def test_a_terminal_gets_every_line_at_once(tmp_path):
    body = "ctx.Pool(1).apply(print, ('hello',)); time.sleep(30)"
    script = tmp_path / "program.py"
    write(script, body)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, script, "fork"], stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    try:
        assert os.read(ours, 100).replace(b"\r\n", b"\n") == b"hello\n"
    finally:
        process.terminate()
        process.wait()
        os.close(ours)


def test_a_stream_that_the_program_has_replaced_is_left_alone(tmp_path):
    body = """
        import io
        sys.stdout = io.StringIO()
        with ctx.Pool(1) as pool:
            sys.stderr.write(pool.apply(lambda: type(sys.stdout).__name__))
    """
    _, err = run(tmp_path, "fork", body, read_slowly=False)
    assert err == "StringIO"
