"""Runs one class of the interpreter's own tests with phalanx in the place of `multiprocessing`.

    run_class.py SUITE --list                       print the names of the suite's classes and tests
    run_class.py SUITE CLASS [TEST]...              run tests, all or those named

Outcomes are written as lines of JSON to the descriptor that PHALANX_COMPAT_REPORT names, as they happen:
so whoever waits for them knows which test hangs.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import unittest
from pathlib import Path

REPORT = int(os.environ.pop("PHALANX_COMPAT_REPORT", "1"))


def tell(**event):
    os.write(REPORT, f"{json.dumps(event)}\n".encode())


class Reporter(unittest.TestResult):
    """Tells of each outcome at once."""

    #: The test that runs; `None` while none has been started.
    _running = None

    def startTest(self, test):
        super().startTest(test)
        self._running = test
        self._outcome = None
        tell(event="start", test=name_of(test))

    def stopTest(self, test):
        tell(event="end", test=name_of(test), outcome=self._outcome or "passed", text=self._text)
        self._running = None
        super().stopTest(test)

    def _set(self, test, outcome, text):
        if not hasattr(test, "_testMethodName") and not hasattr(test, "test_case"):
            # A fixture of the class or the module.
            tell(event="fixture", test=str(test), outcome=outcome, text=text)
        elif self._outcome not in ("failed", "error"):
            self._outcome, self._text = outcome, text

    _text = ""

    def addSuccess(self, test):
        self._set(test, "passed", "")

    def addError(self, test, err):
        self._set(test, "error", self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        self._set(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        if self._running is None and hasattr(test, "_testMethodName"):
            # unittest of 3.12.1 does not start tests that are skipped by a decorator.
            tell(event="start", test=name_of(test))
            tell(event="end", test=name_of(test), outcome="skipped", text=reason)
            return
        self._set(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self._set(test, "passed", "")

    def addUnexpectedSuccess(self, test):
        self._set(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._set(test, "failed", f"{subtest}\n{self._exc_info_to_string(err, test)}")


def name_of(test):
    return f"{type(test).__name__}.{test._testMethodName}"


def run_programs_on_phalanx():
    """Let the programs that tests start run on phalanx too: `python -m phalanx PROGRAM`."""
    from test.support import script_helper

    run = script_helper.run_python_until_end

    def run_on_phalanx(*args, **env_vars):
        at = 0
        while at < len(args) and args[at].startswith("-") and args[at] not in ("-c", "-m", "-"):
            at += 2 if args[at] in ("-W", "-X") else 1
        return run(*args[:at], "-m", "phalanx", *args[at:], **env_vars)

    script_helper.run_python_until_end = run_on_phalanx


def classes_of(suite):
    return {
        name: kind
        for name, kind in vars(suite).items()
        if isinstance(kind, type) and issubclass(kind, unittest.TestCase)
    }


def main():
    suite_name, *names = sys.argv[1:]
    os.set_inheritable(REPORT, False)
    faulthandler.enable()
    # A shell lets what it starts in the background ignore it; the tests send it to their processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("PHALANX_COMPAT_IMPL") != "multiprocessing":
        import phalanx

        phalanx.patch()
        run_programs_on_phalanx()
    loader = unittest.TestLoader()
    classes = classes_of(importlib.import_module(suite_name))
    if names == ["--list"]:
        for name, kind in sorted(classes.items()):
            tell(name=name, tests=loader.getTestCaseNames(kind))
        return
    kind = classes[names[0]]
    tests = names[1:] or loader.getTestCaseNames(kind)
    result = Reporter()
    unittest.TestSuite([unittest.TestSuite([kind(test) for test in tests])]).run(result)
    tell(event="done")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "suites"))
    main()
