"""How many processors are there: logical ones from the library, physical ones from the kernel's topology."""

import glob
import os

TITLE = "count the processors"


def physical_cores():
    """The number of distinct cores: processors that share a core list the same siblings."""
    cores = set()
    for path in glob.glob("/sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list"):
        with open(path) as file:
            cores.add(file.read().strip())
    return len(cores) or os.cpu_count()


def program(mp, scale):
    logical = mp.cpu_count()
    # A library may take an affinity mask or a container's quota into account, so it may count fewer, never more.
    return {
        "at least one": logical >= 1,
        "no more than the machine has": logical <= os.cpu_count(),
        "physical cores": physical_cores(),
    }
