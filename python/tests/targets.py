"""What the tests run in other processes.

Apart from the test modules, so that a child started by spawn imports this and not pytest.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import signal
import sys
import time

mp = importlib.import_module(os.environ.get("PHALANX_TEST_LIBRARY", "phalanx"))

FOREVER = 600.0

# A test that hangs has the watchdog ask all its processes for their stacks; a forked one inherits its
# parent's handler.
if os.environ.get("PHALANX_TEST_STACKS") and sys.modules.get("pytest") is None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)


# --- plain functions ------------------------------------------------------------------------------


def nothing(*args, **kwargs):
    return None


def identity(value):
    return value


def square(value):
    return value * value


def add(a, b=0, *, c=0):
    return a + b + c


def call_of(*args, **kwargs):
    return args, kwargs


def own_pid(*_):
    return os.getpid()


def raise_value_error(value):
    raise ValueError("no good", value)


def odd_raises(value):
    if value % 2:
        raise ValueError(value)
    return value


def sleep_forever(*_):
    time.sleep(FOREVER)


def send_call(connection, *args, **kwargs):
    connection.send((args, kwargs))
    connection.close()


def send_result(connection, function, *args):
    """Run `function` and send ``("ok", result)`` or ``("error", type name, text)``."""
    try:
        outcome = ("ok", function(*args))
    except BaseException as error:
        outcome = ("error", type(error).__name__, str(error))
    connection.send(outcome)
    connection.close()


def exit_with(kind, value):
    if kind == "sys.exit":
        sys.exit(value)
    if kind == "sys.exit()":
        sys.exit()
    if kind == "os._exit":
        os._exit(value)
    if kind == "raise":
        raise RuntimeError(value)
    if kind == "signal":
        os.kill(os.getpid(), value)
        time.sleep(FOREVER)
    if kind == "SystemExit":
        raise SystemExit(value)


def ready_then_sleep(event):
    event.set()
    time.sleep(FOREVER)


def wait_for_event(event):
    event.wait()


def say_ready_and_wait(ready, go):
    ready.set()
    go.wait()


# --- ways to die ----------------------------------------------------------------------------------


def die(how):
    """End this process at once, in the way asked for."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(FOREVER)
    elif how == "segfault":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)
    raise AssertionError(f"not dead by {how}")


def die_at(value, fatal, how):
    if value == fatal:
        die(how)
    return value * 10


def die_on_seven(value):
    if value == 7:
        die("kill")
    return value * 10


def die_by(how):
    die(how)


# --- initializers ---------------------------------------------------------------------------------

stored = None


def store(*values):
    global stored
    stored = values


def stored_plus(value):
    return stored, value


def failing_initializer(path=None):
    if path is not None:
        with open(path, "a") as file:
            file.write("x")
    raise RuntimeError("the initializer failed on purpose")


# --- exceptions -----------------------------------------------------------------------------------


class NeedsKeyword(Exception):
    """Cannot be rebuilt by calling the class with ``args``."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class NeedsTwo(Exception):
    def __init__(self, left, right):
        super().__init__(f"{left} and {right}")
        self.left, self.right = left, right


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("this exception cannot be pickled")


class BreaksOnLoad(Exception):
    def __reduce__(self):
        return break_on_load, ()


class ValueThatBreaksOnLoad:
    def __reduce__(self):
        return break_on_load, ()


def break_on_load():
    raise RuntimeError("loading breaks on purpose")


class DiesOnLoad:
    def __reduce__(self):
        return die, ("kill",)


def raise_needs_keyword(code):
    raise NeedsKeyword(code=code)


def raise_needs_two(_):
    raise NeedsTwo("left", "right")


def raise_unpicklable(_):
    raise Unpicklable("text of the unpicklable")


def raise_breaks_on_load(_):
    raise BreaksOnLoad("text of the unloadable")


def raise_with_cause(_):
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise ValueError("the effect") from error


def raise_with_notes(_):
    error = ValueError("noted")
    error.add_note("first note")
    error.add_note("second note")
    raise error


def raise_with_attributes(_):
    error = OSError(2, "no such thing", "some/path")
    error.extra = [1, 2]
    raise error


def return_unpicklable(_):
    return (value for value in ())


def return_breaks_on_load(_):
    return ValueThatBreaksOnLoad()


# --- queues and pipes -----------------------------------------------------------------------------


def put_many(queue, values):
    for value in values:
        queue.put(value)


def put_tagged(queue, tag, count):
    for index in range(count):
        queue.put((tag, index))


def put_blob(queue, size):
    queue.put(b"x" * size)


def get_many(queue, count, results):
    results.put([queue.get() for _ in range(count)])


def drain(queue, results):
    """Take until None comes, then send all that was taken."""
    taken = []
    while (item := queue.get()) is not None:
        taken.append(item)
    results.put(taken)


def answer_squares(queue, results):
    while (item := queue.get()) is not None:
        results.put(item * item)
        queue.task_done()
    queue.task_done()


def echo(connection):
    """Send back what comes, until "stop" comes.

    The end of the stream would not do: a forked child holds a copy of the other end, too.
    """
    while not isinstance(item := connection.recv(), str) or item != "stop":
        connection.send(item)
    connection.close()


def echo_bytes(connection):
    while (item := connection.recv_bytes()) != b"stop":
        connection.send_bytes(item)
    connection.close()


def close_and_exit(connection):
    connection.close()


def send_connection(connection, other):
    connection.send(other)
    connection.close()


def use_received_connection(connection):
    other = connection.recv()
    other.send("through the received end")
    other.close()


# --- locks and values -----------------------------------------------------------------------------


def acquire(lock):
    return lock.acquire()


def release(lock):
    lock.release()


def try_acquire(lock):
    return lock.acquire(block=False)


def try_acquire_and_release(lock):
    taken = lock.acquire(block=False)
    if taken:
        lock.release()
    return taken


def take_and_die(lock, held, times=1, how="kill"):
    """Take a lock, say so, and die as its holder."""
    for _ in range(times):
        lock.acquire()
    held.send(os.getpid())
    die(how)


def take_and_hold(lock, held):
    lock.acquire()
    held.send(os.getpid())
    time.sleep(FOREVER)


def increment(value, lock, count):
    for _ in range(count):
        with lock:
            value.value += 1


def increment_locked(value, count):
    for _ in range(count):
        with value.get_lock():
            value.value += 1


def condition_waiter(condition, ready, woken):
    with condition:
        ready.release()
        condition.wait()
    woken.release()


def condition_wait_for(condition, value, wanted, results):
    with condition:
        ok = condition.wait_for(lambda: value.value == wanted, 60)
    results.put((ok, value.value))


def barrier_wait(barrier, results):
    try:
        results.put(barrier.wait())
    except Exception as error:
        results.put(type(error).__name__)


def semaphore_user(semaphore, inside, peak, lock, rounds):
    for _ in range(rounds):
        with semaphore:
            with lock:
                inside.value += 1
                peak.value = max(peak.value, inside.value)
            with lock:
                inside.value -= 1


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_int)]


def change_shared(value, array, point):
    value.value = 42
    for index in range(len(array)):
        array[index] = -array[index]
    point.x, point.y = 2.5, -7


def fill_slot(array, index, value):
    array[index] = value


# --- numpy ----------------------------------------------------------------------------------------


def array_facts(array):
    """What arrived: whether it can be written, its sum and its shape."""
    total = float(array.sum())
    array[0] = -1.0  # raises if it is read only
    return bool(array.flags.writeable), total, array.shape


def double_array(array):
    array *= 2
    return array


# --- odd ends -------------------------------------------------------------------------------------


def raise_by_name(name):
    import builtins

    raise getattr(builtins, name)("made to fail")
