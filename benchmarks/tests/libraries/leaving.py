"""A value that works, and a process that stays when everybody has gone."""

import subprocess
import sys
from multiprocessing import Value

__all__ = ["Value"]

subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
