"""coverage sees what children run, under every start method."""

import os
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import multiprocessing
import sys


def work(x):
    if x > 0:
        return x * 2
    return 0


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    assert multiprocessing.Process.__module__ == "phalanx.context"
    with multiprocessing.Pool(2) as pool:
        assert pool.map(work, [1, 2]) == [2, 4]
        pool.close()
        pool.join()
    process = multiprocessing.Process(target=work, args=(1,))
    process.start()
    process.join()
    assert process.exitcode == 0, process.exitcode
"""


def main(method):
    import coverage

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("program.py").write_text(PROGRAM)
        Path(".coveragerc").write_text("[run]\nconcurrency = multiprocessing\nparallel = True\nsource = .\n")
        line = [sys.executable, "-m", "phalanx", "-m", "coverage", "run", "program.py", method]
        assert os.spawnv(os.P_WAIT, sys.executable, line) == 0
        data = coverage.CoverageData(".combined")
        files = [str(path) for path in Path().glob(".coverage.*")]
        assert len(files) > 1, files
        combined = coverage.Coverage(data_file=".combined", config_file=".coveragerc")
        combined.combine(files)
        data = combined.get_data()
        lines = data.lines(str(Path("program.py").resolve()))
        assert lines is not None and 8 in lines, lines


if __name__ == "__main__":
    main(sys.argv[1])
    print("ok")
