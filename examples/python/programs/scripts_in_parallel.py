"""Three scripts, each run by an interpreter of its own which a worker of the pool starts."""

import pathlib
import subprocess
import sys
import tempfile

TITLE = "three scripts in parallel"

SCRIPT = """\
import sys
print("hello from script {number}")
with open(sys.argv[1], "w") as file:
    file.write("written by script {number}")
"""


def run(paths):
    script, output = paths
    return subprocess.run([sys.executable, script, output], capture_output=True, text=True, check=True).stdout


def program(mp, scale):
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        paths = []
        for number in (1, 2, 3):
            script = pathlib.Path(folder, f"script{number}.py")
            script.write_text(SCRIPT.format(number=number))
            paths.append((str(script), str(script.with_suffix(".txt"))))
        with mp.Pool(processes=3) as pool:
            printed = pool.map(run, paths)
        return printed, [pathlib.Path(output).read_text() for _, output in paths]
