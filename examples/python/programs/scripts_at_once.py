"""Forty short scripts, a few at a time: what each has written, and with which exit code it has ended.

With the standard library, threads wait for one child process each.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from touring import rivals

TITLE = "scripts, two at a time"

SCRIPT = """\
import sys
number = int(sys.argv[1])
print("script", number, "writes")
sys.exit(number % 3)
"""


def outcome(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout


def program(mp, scale):
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        script = Path(folder, "script.py")
        script.write_text(SCRIPT)
        commands = [[sys.executable, "-S", str(script), str(n)] for n in range(max(int(40 * scale), 2))]
        if rivals.is_phalanx(mp):
            return [(done.returncode, done.stdout) for done in mp.run(commands, jobs=2, text=True)]
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(outcome, commands))
