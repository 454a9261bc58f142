"""The command `phalanx run`, as it is installed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from support import PATIENCE, phalanx_only, runs, wait_until

pytestmark = phalanx_only
COMMAND = str(Path(sys.executable).with_name("phalanx"))


def phalanx(*arguments, timeout=2 * PATIENCE, **options):
    """Run the command; what it wrote is bytes."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, timeout=timeout, **options)


def lines(output: bytes) -> list[str]:
    return output.decode().splitlines()


def test_three_scripts(tmp_path):
    for name in "abc":
        script = (
            f"import sys, time\nprint('{name}', flush=True); time.sleep(0.1); print('{name}', sys.prefix)"
        )
        (tmp_path / f"{name}.py").write_text(script)
    done = phalanx("run", "a.py", "b.py", "c.py", "-j", 3, cwd=tmp_path)
    assert done.returncode == 0
    printed = lines(done.stdout)
    # Each whole, whichever ended first.
    blocks = {tuple(printed[n : n + 2]) for n in (0, 2, 4)}
    assert blocks == {(name, f"{name} {sys.prefix}") for name in "abc"}
    assert lines(done.stderr)[-1].startswith("phalanx: 3 jobs in ")


def test_exit_codes_and_messages():
    done = phalanx("run", "true", "exit 3", "kill -9 $$", "-j1")
    assert done.returncode == 1 and done.stdout == b""
    first, second, summary = lines(done.stderr)
    assert first == "phalanx: job 2 failed: exit code 3: exit 3"
    assert second == "phalanx: job 3 failed: signal 9: kill -9 $$"
    assert summary.startswith("phalanx: 3 jobs in ") and summary.endswith(": 1 succeeded, 2 failed")
    assert phalanx("run", "-q", "exit 3").stderr == b""
    assert phalanx("run", "no-such-command", "-q").returncode == 1
    for wrong in (
        [],
        ["walk"],
        ["run"],
        ["run", "--wrong", "x"],
        ["run", "-j", "0", "x"],
        ["run", "--from", "/no"],
    ):
        done = phalanx(*wrong)
        assert done.returncode == 2 and done.stderr and not done.stdout, wrong
    assert phalanx("run", "--help").stdout.startswith(b"Runs scripts")
    assert phalanx("--version").stdout.startswith(b"phalanx 0.")


def test_a_command_that_is_not_found():
    done = phalanx("run", "no-such-command", "--", ":::")
    assert done.returncode == 0, "no values, no jobs"
    done = phalanx("run", "--", "no-such-command", "-x", ":::", "1")
    assert done.returncode == 1
    assert "cannot find 'no-such-command'" in done.stderr.decode()


def test_commands_come_from_a_file_and_from_standard_input(tmp_path):
    (tmp_path / "s.py").write_text("print('script')")
    commands = "echo one\n\n# not this one\n  echo two | tr a-z A-Z\ns.py\necho last"
    (tmp_path / "commands").write_text(commands)
    done = phalanx("run", "-j1", "--from", "commands", cwd=tmp_path)
    assert lines(done.stdout) == ["one", "TWO", "script", "last"]
    for dash in (["-"], ["--from", "-"]):
        done = phalanx("run", "-j1", *dash, cwd=tmp_path, stdin=None, input=commands.encode())
        assert lines(done.stdout) == ["one", "TWO", "script", "last"]
    done = phalanx("run", "-j1", "-0", "-", stdin=None, input=b"echo 'a\nb'\0echo c")
    assert lines(done.stdout) == ["a", "b", "c"]
    values = b"a b\n\xff\n"
    done = phalanx("run", "-j1", "--from", "-", "--", "printf", "%s;%s.", "{#}", stdin=None, input=values)
    assert done.stdout == b"1;a b.2;\xff."


def test_standard_input_is_not_waited_for():
    """Commands start as they come, while the rest of the input is still to be written."""
    with subprocess.Popen(
        [COMMAND, "run", "-q", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as runner:
        for word in (b"one", b"two"):
            runner.stdin.write(b"echo " + word + b"\n")
            runner.stdin.flush()
            assert runner.stdout.readline() == word + b"\n"
        runner.stdin.close()
        assert runner.wait(PATIENCE) == 0


def test_values_are_put_into_commands():
    done = phalanx("run", "-j1", "echo {2}{1} {#}", ":::", "a b", "c", ":::", "1", "2")
    assert lines(done.stdout) == ["1a b 1", "2a b 2", "1c 3", "2c 4"]
    done = phalanx("run", "-j1", "--", "echo", "-n", "<{}>", ":::", "$HOME", "'")
    assert done.stdout == b"<$HOME><'>"


def test_what_would_be_run_is_printed(tmp_path):
    log = tmp_path / "log"
    phalanx("run", "true", "--joblog", log)
    before = log.read_text()
    done = phalanx(
        "run", "--dry-run", "--resume", "--joblog", log, "true", "touch made", "wc -l", cwd=tmp_path
    )
    assert (done.returncode, lines(done.stdout)) == (0, ["touch made", "wc -l"])
    assert not (tmp_path / "made").exists() and log.read_text() == before


def test_surroundings_of_the_jobs(tmp_path):
    (tmp_path / "x.py").write_text("import sys; print(sys.executable)")
    shell = "echo $A; pwd; cat"
    done = phalanx("run", "-j1", "--env", "A=b c", "--cwd", tmp_path, "--python", "/bin/echo", shell, "x.py")
    assert lines(done.stdout) == ["b c", str(tmp_path), "x.py"]


def test_output_modes(tmp_path):
    two = ["printf a; sleep 0.3; echo a", "sleep 0.1; printf b; sleep 0.3; echo b; printf end"]
    done = phalanx("run", "-j2", "--output", "line", *two)
    assert lines(done.stdout) == ["aa", "bb", "end"]
    (tmp_path / "slow.py").write_text("import time\nprint('first')\ntime.sleep(600)")
    with subprocess.Popen(
        [COMMAND, "run", "--output", "line", "slow.py"], cwd=tmp_path, stdout=-1, stderr=-1
    ) as runner:
        assert runner.stdout.readline() == b"first\n", "while the script runs"
        runner.terminate()
        runner.communicate(timeout=PATIENCE)
    done = phalanx("run", "-j2", "--output", "none", "echo x")
    assert done.stdout == b"" and done.returncode == 0
    done = phalanx("run", "--output", tmp_path / "out", "echo x; echo y >&2", "echo z")
    assert done.stdout == b""
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {
        "1.out": "x\n",
        "1.err": "y\n",
        "2.out": "z\n",
        "2.err": "",
    }
    done = phalanx("run", "--tag", "-j1", "echo {}; echo e >&2", ":::", "1", "2", "-q")
    assert done.stdout.startswith(b"echo 1; echo e >&2\t1\necho 2; echo e >&2\t2\n")


def test_outputs_are_never_mixed():
    """Each of forty jobs writes a thousand lines, slowly enough for all of them to run at once."""
    line = "for i in $(seq 1000); do echo job {#} line $i; [ $((i % 200)) = 0 ] && sleep 0.01; done; true {}"
    done = phalanx("run", "-q", "-j8", line, ":::", *range(40))
    printed = lines(done.stdout)
    assert done.returncode == 0 and len(printed) == 40_000
    for begin in range(0, 40_000, 1000):
        number = printed[begin].split()[1]
        assert printed[begin : begin + 1000] == [f"job {number} line {i}" for i in range(1, 1001)]


def test_output_that_is_no_text():
    everything = bytes(range(256)) * 100
    done = phalanx("run", "-q", f"{sys.executable} -c 'import os; os.write(1, bytes(range(256)) * 100)'")
    assert done.stdout == everything


def test_huge_output_does_not_stay_in_memory(tmp_path):
    """200 MB of output, read slowly: the runner has to keep them, and must not keep them in memory."""
    limit = "ulimit -v 400000; exec"
    shell = f"{limit} '{COMMAND}' run -q -j2 'yes 0123456789abcde | head -c 100000000' 'yes x | head -c 100000000'"
    with subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as runner:
        total = 0
        peak = 0
        while piece := runner.stdout.read(1 << 20):
            total += len(piece)
            status = Path(f"/proc/{runner.pid}/status").read_text()
            peak = max(
                [peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))]
            )
        assert runner.wait(PATIENCE) == 0
    assert total == 200_000_000
    assert 0 < peak < 120_000, "KiB of memory"


def test_ten_thousand_short_commands():
    limited = f"ulimit -n 64; exec '{COMMAND}' run -q -j4 --joblog /dev/null -- true :::"
    done = subprocess.run(
        ["sh", "-c", f"{limited} $(seq 10000)"],
        capture_output=True,
        timeout=4 * PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_time_limit_retries_and_halt(tmp_path):
    done = phalanx("run", "--timeout", "300ms", "--kill-after", "200ms", "trap '' TERM; sleep 600; sleep 600")
    assert done.returncode == 1 and b"timed out, signal 9" in done.stderr
    done = phalanx("run", "--retries", 2, "echo x >> tries; test $(wc -l < tries) = 3", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.count(b"is run again") == 2
    done = phalanx("run", "-j1", "--halt", "soon", "exit 1", "echo x")
    assert done.returncode == 1 and done.stdout == b"" and b"1 failed, 1 not run" in done.stderr
    done = phalanx("run", "-j3", "--halt", "now,fail=2", "sleep 600", "exit 1", "exit 1")
    assert done.returncode == 1 and b"job 1 failed: stopped, signal 15" in done.stderr


def start(tmp_path, *arguments, **options):
    command = "echo $$ >> pids; sleep 600 & echo $! >> pids; wait"
    process = subprocess.Popen(
        [COMMAND, "run", "-j2", "--joblog", "log", "true", *arguments, command, command],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    path = tmp_path / "pids"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 4, "all jobs run")
    return process, [int(pid) for pid in path.read_text().split()]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_jobs_and_then_the_runner(tmp_path, signum):
    runner, pids = start(tmp_path)
    runner.send_signal(signum)
    _, error = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 128 + signum
    assert not any(runs(pid) for pid in pids)
    assert error.count(b"failed: stopped, signal 15") == 2


def test_a_second_signal_kills_stubborn_jobs(tmp_path):
    stubborn = "trap 'echo asked >> asked' TERM; while :; do sleep 1; done"
    runner = subprocess.Popen([COMMAND, "run", "-q", "--kill-after", "600", stubborn], cwd=tmp_path)
    time.sleep(0.3)
    runner.send_signal(signal.SIGINT)
    wait_until((tmp_path / "asked").exists, "the job has been asked")
    assert runner.poll() is None
    runner.send_signal(signal.SIGINT)
    assert runner.wait(PATIENCE) == 130


def test_a_killed_runner_leaves_no_process_and_a_log_to_go_on_from(tmp_path):
    runner, pids = start(tmp_path)
    runner.kill()
    runner.communicate(timeout=PATIENCE)
    wait_until(lambda: not any(runs(pid) for pid in pids), "all jobs are dead")
    done = phalanx("run", "--joblog", "log", "--resume", "true", "echo more", cwd=tmp_path)
    assert done.stdout == b"more\n" and b"1 succeeded, 1 done before" in done.stderr


def test_children_that_inherit_nothing_die_with_the_runner(tmp_path):
    """`subprocess` closes what binds a group to its runner; the script that called it has it still."""
    script = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
    (tmp_path / "x.py").write_text(script + "print(os.getpid(), child.pid, flush=True)\nchild.wait()")
    arguments = [COMMAND, "run", "-q", "--output", "line", "x.py"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as runner:
        pids = [int(pid) for pid in runner.stdout.readline().split()]
        assert len(pids) == 2 and all(runs(pid) for pid in pids)
        runner.kill()
    wait_until(lambda: not any(runs(pid) for pid in pids), "both are dead")


def test_a_runner_killed_at_any_time_can_be_gone_on_from(tmp_path):
    """Killed again and again, in the end every job has run, and nearly none of them twice."""
    commands = [f"echo {n} >> done; sleep 0.00{n % 5}" for n in range(300)]
    (tmp_path / "commands").write_text("\n".join(commands))
    arguments = [COMMAND, "run", "-q", "-j4", "--joblog", "log", "--resume", "--from", "commands"]
    for kill in range(12):
        with subprocess.Popen(arguments, cwd=tmp_path, stdin=subprocess.DEVNULL) as runner:
            time.sleep(0.01 + 0.007 * kill)
            runner.kill()
    assert (
        subprocess.run(arguments, cwd=tmp_path, timeout=2 * PATIENCE, stdin=subprocess.DEVNULL).returncode
        == 0
    )
    ran = [int(line) for line in (tmp_path / "done").read_text().split()]
    assert set(ran) == set(range(300))
    assert len(ran) <= 300 + 12 * 4


def test_a_killed_job_is_one_failure(tmp_path):
    runner, pids = start(tmp_path)
    for pid in pids[:1]:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert runner.poll() is None
    runner.send_signal(signal.SIGTERM)
    _, error = runner.communicate(timeout=PATIENCE)
    assert b"failed: signal 9" in error and b"failed: stopped, signal 15" in error


def test_a_reader_who_goes_away_ends_the_run():
    with subprocess.Popen(
        [COMMAND, "run", "-j1", "seq 100000", "sleep 600"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as runner:
        assert runner.stdout.readline() == b"1\n"
        runner.stdout.close()
        assert runner.wait(PATIENCE) == 141


def test_ctrl_c_while_nobody_reads():
    with subprocess.Popen(
        [COMMAND, "run", "yes | head -c 10000000", "sleep 600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as runner:
        time.sleep(0.5)
        runner.send_signal(signal.SIGINT)
        assert runner.wait(PATIENCE) == 130


def test_closed_standard_streams():
    shell = f"'{COMMAND}' run -q 'cat; echo out; echo err >&2' <&- 2>&-"
    done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, b"out\n")
    shell = f"'{COMMAND}' run -q 'echo out' <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], timeout=PATIENCE).returncode == 0


def test_a_terminal_gets_one_line_that_changes():
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 24, 70, 0, 0))
    try:
        arguments = [COMMAND, "run", "-j1", *(f"sleep 0.05; true {n}" for n in range(20))]
        runner = subprocess.Popen(arguments, stderr=child, stdin=subprocess.DEVNULL)
        assert runner.wait(PATIENCE) == 0
    finally:
        os.close(child)
    shown = b""
    try:
        while piece := os.read(parent, 1 << 16):
            shown += piece
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(parent)
    text = shown.decode()
    assert "/20 done, 1 running" in text
    assert text.count("\n") == 1 and "phalanx: 20 jobs in " in text
    assert text.count(" running") <= 20, "not for each event of twenty jobs"


def test_as_a_module(tmp_path):
    arguments = [sys.executable, "-m", "phalanx", "run"]
    done = subprocess.run(
        [*arguments, "-q", "echo a", "exit 1"], capture_output=True, cwd=tmp_path, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"a\n", b"")
    # A script of that name goes first, as it always did.
    (tmp_path / "run").write_text("import json, multiprocessing, sys; print(json.dumps(sys.argv))")
    done = subprocess.run([*arguments, "echo a"], capture_output=True, cwd=tmp_path, timeout=PATIENCE)
    assert json.loads(done.stdout) == ["run", "echo a"]
