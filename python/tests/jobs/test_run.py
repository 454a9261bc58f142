"""`phalanx.run`: commands in parallel, from Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support import Script, phalanx_only, runs, wait_until

pytestmark = phalanx_only
mp = pytest.importorskip("phalanx", reason="the standard library has nothing like it")


def test_results_come_in_the_order_of_the_commands():
    commands = [f"sleep 0.0{9 - n}; echo {n}; echo error {n} >&2; exit {n}" for n in range(9)]
    results = mp.run(commands, jobs=4, text=True)
    assert [r.stdout for r in results] == [f"{n}\n" for n in range(9)]
    assert [r.stderr for r in results] == [f"error {n}\n" for n in range(9)]
    assert [r.returncode for r in results] == list(range(9))
    assert [r.index for r in results] == list(range(9))
    assert [r.command for r in results] == commands
    assert [r.ok for r in results] == [True] + [False] * 8
    assert all(r.status == "ended" and r.attempts == 1 and r.seconds > 0 for r in results)
    assert results[0].error is None and "exit code 3" in results[3].error
    assert "exit code 3" in repr(results[3])


def test_scripts_are_run_by_this_interpreter(tmp_path):
    script = tmp_path / "a script.py"
    script.write_text("import sys; print(sys.executable, sys.argv[1:])")
    (tmp_path / "plain.py").write_text("import sys; print(sys.executable, sys.argv[1:])")
    results = mp.run([str(script), script, [script, "x y"], "plain.py -z 1"], cwd=tmp_path, text=True)
    printed = [r.stdout.strip() for r in results]
    assert printed == [f"{sys.executable} {a}" for a in ([], [], ["x y"], ["-z", "1"])]


def test_words_are_seen_by_no_shell():
    odd = b"\xff $HOME '\" *"
    [result] = mp.run([[b"printf", b"%s", odd]])
    assert result.stdout == odd
    [result] = mp.run([["printf", "%s", os.fsdecode(odd)]], text=True)
    assert result.stdout == odd.decode(errors="replace")


def test_what_cannot_be_started_says_why():
    missing, denied = mp.run([["no-such-command"], ["/etc/passwd"]])
    assert (missing.returncode, missing.status) == (127, "not started")
    assert "'no-such-command'" in missing.error
    assert denied.returncode == 126 and "/etc/passwd" in denied.error
    [nowhere] = mp.run(["true"], cwd="/no/such/folder")
    assert nowhere.returncode == 127 and "/no/such/folder" in nowhere.error


def test_time_is_limited_and_failures_are_tried_again(tmp_path):
    results = mp.run(
        ["sleep 600", "echo x >> tries; test $(wc -l < tries) = 2", "kill -9 $$"],
        jobs=3,
        timeout=0.5,
        kill_after=0.1,
        retries=1,
        cwd=tmp_path,
    )
    assert [(r.status, r.returncode, r.attempts) for r in results] == [
        ("timed out", -15, 2),
        ("ended", 0, 2),
        ("ended", -9, 2),
    ]


def test_a_failure_may_halt_the_rest():
    results = mp.run(["exit 1", "true", "true"], jobs=1, halt="soon")
    assert [(r.status, r.returncode) for r in results] == [("ended", 1), ("not run", None), ("not run", None)]
    results = mp.run(["sleep 600", "exit 1"], jobs=2, halt="now,fail=50%")
    assert [r.status for r in results] == ["stopped", "ended"]


def test_failed_commands_are_an_error_if_asked_for():
    with pytest.raises(mp.JobError, match=r"2 of 3 commands failed:\n.*exit code 1: exit 1") as caught:
        mp.run(["exit 1", "true", "false"], check=True)
    assert [r.command for r in caught.value.failed] == ["exit 1", "false"]
    assert len(caught.value.results) == 3
    assert isinstance(caught.value, mp.ProcessError)
    assert mp.run(["true"], check=True)[0].ok
    assert mp.run([], check=True) == []


def test_a_log_is_gone_on_with(tmp_path):
    log = tmp_path / "log"
    commands = ["echo x >> a", "test -e b && echo x >> a", "echo x >> a"]
    first = mp.run(commands, cwd=tmp_path, joblog=log)
    assert [r.ok for r in first] == [True, False, True]
    (tmp_path / "b").touch()
    second = mp.run(commands, cwd=tmp_path, joblog=log, resume=True)
    assert [r.status for r in second] == ["skipped", "ended", "skipped"]
    assert all(r.ok for r in second)
    assert (tmp_path / "a").read_text() == "x\n" * 3
    fields = [line.split("\t") for line in log.read_text().splitlines()]
    assert fields[0][0] == "Seq" and sorted(f[6] for f in fields[1:]) == ["0", "0", "0", "1"]


def test_output_goes_elsewhere(tmp_path):
    [nowhere] = mp.run(["echo x"], output=None)
    assert nowhere.ok and nowhere.stdout == b""
    mp.run(["echo x; echo y >&2"], output=tmp_path / "out")
    assert [(tmp_path / "out" / name).read_text() for name in ("1.out", "1.err")] == ["x\n", "y\n"]


def test_environment():
    results = mp.run(["echo $A-$HOME"], env={"A": "b"}, text=True)
    assert results[0].stdout == "b-\n"
    os.environ["PHALANX_TEST_VARIABLE"] = "seen"
    try:
        assert mp.run(["echo $PHALANX_TEST_VARIABLE"], text=True)[0].stdout == "seen\n"
    finally:
        del os.environ["PHALANX_TEST_VARIABLE"]


def test_a_bar_is_told_and_may_refuse():
    class Bar:
        count = 0

        def update(self, n):
            self.count += n
            if self.count == 2:
                raise LookupError("the bar is full")

    bar = Bar()
    mp.run(["true"], progress=bar)
    assert bar.count == 1
    with pytest.raises(LookupError, match="the bar is full"):
        mp.run(["true", "sleep 600", "sleep 600"], jobs=2, progress=bar)


def test_progress_is_shown(capfd):
    mp.run(["true", "exit 1"], progress=True)
    assert "2 jobs in " in (error := capfd.readouterr().err) and "1 failed" in error


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ({"commands": "ls"}, TypeError, "list of commands"),
        ({"commands": [1]}, TypeError, "sequence of words"),
        ({"commands": [[]]}, TypeError, "sequence of words"),
        ({"commands": ["true"], "jobs": 0}, ValueError, "at least 1"),
        ({"commands": ["true"], "timeout": -1}, ValueError, "timeout=-1"),
        ({"commands": ["true"], "timeout": float("nan")}, ValueError, "timeout=NaN"),
        ({"commands": ["true"], "halt": "later"}, ValueError, "now,fail=20%"),
        ({"commands": ["true"], "resume": True}, ValueError, "joblog="),
        ({"commands": ["true"], "progress": "x"}, TypeError, "update"),
        ({"commands": ["true"], "joblog": "/no/such/log"}, FileNotFoundError, "/no/such/log"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error, hint):
    with pytest.raises(error, match=hint):
        mp.run(**arguments)


def test_large_output_is_whole():
    results = mp.run(["yes 0123456789abcde | head -c 40000000"] * 2, jobs=2)
    assert [len(r.stdout) for r in results] == [40_000_000] * 2
    assert results[1].stdout == b"0123456789abcde\n" * 2_500_000


def test_threads_run_commands_at_the_same_time():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        runs = pool.map(lambda n: mp.run([f"echo {n}"] * 20, jobs=2, text=True), range(8))
        assert [[r.stdout for r in results] for results in runs] == [[f"{n}\n"] * 20 for n in range(8)]


PROGRAM = """
    import signal, sys, LIBRARY as mp
    {handler}
    try:
        mp.run(["echo $$ >> pids; sleep 600 & echo $! >> pids; wait"] * 2, jobs=2, cwd=sys.argv[1])
    except BaseException as error:
        print(type(error).__name__, error, flush=True)
"""


def pids_in(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


@pytest.mark.parametrize("handler", ["", "signal.signal(signal.SIGINT, lambda *_: 1 / 0)"])
def test_ctrl_c_ends_all_commands_and_is_raised(tmp_path, handler):
    with Script(tmp_path, PROGRAM.format(handler=handler), str(tmp_path)) as script:
        wait_until(lambda: len(pids_in(tmp_path)) == 4, "all commands run")
        os.kill(script.pid, 2)
        assert script.line().split()[0] == ("ZeroDivisionError" if handler else "KeyboardInterrupt")
        # What is left of a group has been killed, which takes effect when the kernel comes to it.
        wait_until(lambda: not any(runs(pid) for pid in pids_in(tmp_path)), "all commands have ended")
        script.finish()


def test_a_killed_caller_takes_the_groups_of_its_commands_along(tmp_path):
    with Script(tmp_path, PROGRAM.format(handler=""), str(tmp_path)) as script:
        pids = wait_until(lambda: len(pids := pids_in(tmp_path)) == 4 and pids, "all commands run")
        os.kill(script.pid, 9)
        wait_until(lambda: not any(runs(pid) for pid in pids), "all commands are dead")
