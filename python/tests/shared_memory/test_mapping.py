"""When memory with a name is mapped, and what happens when it cannot be."""

import threading

import support
from support import phalanx_only, run_script, submodule

SharedMemory = submodule("shared_memory").SharedMemory


def mappings(name):
    with open("/proc/self/maps") as maps:
        return sum(name in line for line in maps)


@phalanx_only
def test_it_is_mapped_when_it_is_looked_at():
    made = SharedMemory(create=True, size=5000)
    opened = SharedMemory(made.name)
    assert mappings(made.name) == 0
    assert opened.size >= 5000
    opened.buf[4999] = 9
    assert mappings(made.name) == 1
    assert made.buf[4999] == 9
    assert mappings(made.name) == 2
    opened.close()
    made.close()
    assert mappings(made.name) == 0
    assert made.buf is None
    made.unlink()


def test_all_threads_get_one_view():
    made = SharedMemory(create=True, size=100)
    barrier, views = threading.Barrier(4), []

    def look():
        barrier.wait(support.PATIENCE)
        views.append(made.buf)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [view is made.buf for view in views] == [True] * 4
    made.close()
    made.unlink()


@phalanx_only
def test_no_room_to_map_it(tmp_path):
    done = run_script(
        tmp_path,
        """
        import resource
        from LIBRARY.shared_memory import SharedMemory

        made = SharedMemory(create=True, size=64 << 20)
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), resource.RLIM_INFINITY))
        try:
            made.buf
        except OSError as error:
            print(error.errno, made.name in str(error), "could not be mapped" in str(error))
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        made.buf[0] = 1
        made.close()
        made.unlink()
        """,
    )
    assert done.stdout.split() == ["12", "True", "True"]
