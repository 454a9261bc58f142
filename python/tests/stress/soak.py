"""Everything at once under random faults, for as long as one likes: `scripts/soak --minutes 10 --seed 7`.

Each round takes one *scene* (a primitive or a pool, with processes that use it), lets a saboteur loose on its
processes (SIGKILL, SIGSTOP and SIGCONT, signals that are caught), and then checks the scene's accounts:
what was put and acknowledged arrived once, whole and in order; every task has one outcome; a lock still
excludes. After every round the process holds what it held before it. A round that takes longer than its limit
is a hang: the state of the shared memory and all stacks are printed, and the soak ends with code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import soak_programs
import soak_scenes
import support
import watchdog

SCENES = {**soak_scenes.SCENES, **soak_programs.SCENES}
ROUND_LIMIT = 90.0
FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "signal": signal.SIGWINCH}


class Saboteur(threading.Thread):
    """Harms processes of a round at random times, until it is told to stop."""

    def __init__(self, choose: random.Random, totals: Counter):
        super().__init__(daemon=True)
        self.choose, self.totals = choose, totals
        self.most_kills = 1000
        self.over = threading.Event()
        self.victims: list[int] = []
        self.killed: set[int] = set()
        self.lock = threading.Lock()

    def run(self):
        while not self.over.wait(self.choose.uniform(0.0005, 0.03)):
            may_kill = len(self.killed) < self.most_kills
            fault = self.choose.choice(["kill", "stop", "signal"] if may_kill else ["stop", "signal"])
            with self.lock:
                victims = [pid for pid in self.victims or support.children() if support.runs(pid)]
                if not victims:
                    continue
                pid = self.choose.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    if fault == "kill":
                        self.killed.add(pid)
                    os.kill(pid, FAULTS[fault])
                    self.totals[fault] += 1
                    if fault == "stop":
                        time.sleep(self.choose.uniform(0, 0.01))
                        os.kill(pid, signal.SIGCONT)

    def stop(self):
        self.over.set()
        self.join()
        for pid in support.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class Alarm:
    """Ends the soak if a round hangs."""

    def __init__(self):
        self.deadline, self.what = float("inf"), ""
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            time.sleep(0.5)
            if time.monotonic() > self.deadline:
                print(f"HANG: {self.what}", flush=True)
                print(watchdog.shared_state(os.getpid()), flush=True)
                faulthandler.dump_traceback(all_threads=True)
                for pid in support.children():
                    print(watchdog.describe(pid), flush=True)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGABRT)
                time.sleep(2)
                os._exit(1)


def catch_signals():
    """Children inherit a handler that does nothing: system calls are interrupted all the same."""
    signal.signal(signal.SIGWINCH, lambda *_: None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="the same faults again, as far as time allows")
    parser.add_argument("--scene", choices=[*SCENES], help="only this one")
    parser.add_argument("--quiet", action="store_true", help="print the closing lines alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phalanx-soak-") as folder:
        # What other programs leave in the usual place is none of this one's accounts.
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        return soak(options)


def soak(options) -> int:
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    choose, totals, rounds, alarm = random.Random(seed), Counter(), Counter(), Alarm()
    faulthandler.enable()
    support.heed_signals()
    catch_signals()
    support.warm_up()
    print(f"soak: seed {seed}, {options.minutes:g} minutes", flush=True)
    end = time.monotonic() + 60 * options.minutes
    names = [options.scene] if options.scene else list(SCENES)
    failed = 0
    while time.monotonic() < end and not failed:
        name = choose.choice(names)
        number = choose.randrange(2**32)
        alarm.what = f"scene {name}, round {sum(rounds.values())}, its seed {number}, soak's seed {seed}"
        alarm.deadline = time.monotonic() + ROUND_LIMIT
        before = support.Resources.now()
        saboteur = Saboteur(random.Random(number), totals)
        try:
            totals["operations"] += SCENES[name](random.Random(number + 1), saboteur)
        except Exception:
            failed += 1
            print(f"FAILED: {alarm.what}", flush=True)
            sys.excepthook(*sys.exc_info())
        finally:
            saboteur.stop()
        try:
            before.settle()
        except BaseException as error:
            failed += 1
            print(f"LEFT BEHIND: {alarm.what}\n{error}", flush=True)
        rounds[name] += 1
        if not options.quiet and sum(rounds.values()) % 50 == 0:
            print(f"{sum(rounds.values())} rounds, {dict(totals)}", flush=True)
    alarm.deadline = float("inf")
    print("rounds: " + ", ".join(f"{name} {count}" for name, count in sorted(rounds.items())))
    if soak_programs.CAUGHT:
        print(
            f"Ctrl-C: {len(soak_programs.CAUGHT)} times, KeyboardInterrupt after {max(soak_programs.CAUGHT):.3f} s "
            f"at most, nobody left after {max(soak_programs.GONE):.3f} s at most"
        )
    print(
        f"soak: {totals['operations']} operations, {totals['kill']} kills, {totals['stop']} stops, "
        f"{totals['signal']} signals, {failed} failures"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
