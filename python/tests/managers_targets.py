"""What the tests of managers run in other processes: registered classes, and children's work."""

from __future__ import annotations

import importlib
import os
import signal
import sys

LIBRARY = os.environ.get("PHALANX_TEST_LIBRARY", "phalanx")
managers = importlib.import_module(f"{LIBRARY}.managers")


class Counter:
    """Counts."""

    def __init__(self, start=0):
        self.value = start
        self._secret = "hidden"

    def add(self, number=1):
        self.value += number
        return self.value

    def get(self):
        return self.value

    def fail(self, error):
        raise error

    def unpicklable(self):
        return sys._getframe()

    def keys(self):
        return {1: 2}.keys()

    def pid(self):
        return os.getpid()

    def exit(self):
        raise SystemExit

    def wait(self, seconds):
        import time

        time.sleep(seconds)
        return seconds

    def _private(self):
        return self._secret


def squares(count):
    for number in range(count):
        yield number * number


def child_counter(counter):
    return Counter(counter.value)


class CounterProxy(managers.BaseProxy):
    _exposed_ = ("add", "get", "__repr__")

    def add(self, number=1):
        return self._callmethod("add", (number,))

    def doubled(self):
        return 2 * self._callmethod("get")


class Parent:
    """Has children that stay in the server."""

    def __init__(self):
        self.child = Counter(10)

    def first(self):
        return self.child

    def value(self):
        return self.child.value


class OwnManager(managers.BaseManager):
    pass


OwnManager.register("Counter", Counter)
OwnManager.register("Exposed", Counter, exposed=("get", "_private"))
OwnManager.register("Special", Counter, CounterProxy)
OwnManager.register("squares", squares, proxytype=managers.IteratorProxy)
OwnManager.register("Parent", Parent, method_to_typeid={"first": "Child"})
OwnManager.register("Child", create_method=False)
OwnManager.register("Hidden", Counter, create_method=False)


def mark_start(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))


def use_all(mapping, sequence, value, space, array):
    mapping["child"] = [1, 2]
    sequence.append("child")
    value.value += 1
    space.child = True
    array[0] = 7


def add_often(lock, value, times):
    for _ in range(times):
        with lock:
            value.value += 1


def put_numbers(queue, count):
    for number in range(count):
        queue.put(number)


def hold_and_die(lock, ready):
    lock.acquire()
    ready.set()
    os.kill(os.getpid(), signal.SIGKILL)


def add_through(proxy, times):
    for _ in range(times):
        proxy.add()


def meet(barrier, results):
    results.append(barrier.wait())


def wait_for_it(event, results):
    results.append(event.wait(60))


def notify_when_told(condition, results):
    with condition:
        results.append("told")
        condition.notify_all()


def hold_proxy(proxy, ready, go_on):
    ready.set()
    go_on.wait(60)
    proxy.append("held")


def pick_odd(mapping):
    mapping[frozenset([1])] = "odd"


def remote_work(library, address, key):
    """In an interpreter of its own: use a manager at an address with another library."""
    client = importlib.import_module(f"{library}.managers")
    importlib.import_module(f"{library}.process").current_process().authkey = key
    manager = client.SyncManager(address=address, authkey=key)
    manager.connect()
    mapping, sequence = manager.dict(a=1), manager.list([1])
    mapping["inner"] = sequence
    mapping["inner"].append(2)
    value, space = manager.Value("i", 4), manager.Namespace(x=1)
    value.value += 1
    space.y = 2
    queue, event, lock = manager.Queue(1), manager.Event(), manager.Lock()
    queue.put("item")
    event.set()
    pool = manager.Pool(1)
    errors = []
    for attempt in (
        lambda: mapping["missing"],
        lambda: queue.put(1, False),
        lambda: lock.release(),
        lambda: space.missing,
        lambda: manager.nothing_of_that_kind(),
    ):
        try:
            attempt()
        except Exception as error:
            errors.append(type(error).__name__)
    found = {
        "list": list(sequence),
        "items": sorted(mapping.keys()),
        "iter": sorted(mapping),
        "value": value.value,
        "space": (space.x, space.y),
        "queue": queue.get(),
        "event": event.wait(1),
        "lock": (lock.acquire(), lock.acquire(False)),
        "array": list(manager.Array("i", [1, 2])),
        "map": pool.map(abs, [-1, -2]),
        "later": pool.apply_async(abs, (-3,)).get(60),
        "lazy": list(pool.imap(abs, [-4])),
        "str": (str(value), str(space), str(sequence)),
        "copies": (value._getvalue().value, space._getvalue().x, sequence._getvalue()),
        "errors": errors,
    }
    pool.terminate()
    print(found)


def remote_server(library, address, key):
    """In an interpreter of its own: serve, after telling the address."""
    module = importlib.import_module(f"{library}.managers")
    server = module.SyncManager(address=address, authkey=key).get_server()
    print(repr(server.address), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    import ast

    globals()[sys.argv[1]](sys.argv[2], ast.literal_eval(sys.argv[3]), bytes.fromhex(sys.argv[4]))


def try_and_tell(attempt, args, answers):
    answers.put("begin")
    try:
        answers.put(attempt(*args))
    except Exception as error:
        answers.put(type(error).__name__)
