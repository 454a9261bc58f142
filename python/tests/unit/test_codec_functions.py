"""Functions reach a worker by name where it has them, by value where it has not."""

import functools
import math
import pickle
import subprocess
import sys
import textwrap

import pytest
from phalanx import _core


def run(source, *, stdin=True):
    """Run a program whose `__main__` cannot be imported; return the lines it prints."""
    done = subprocess.run(
        [sys.executable, "-"] if stdin else [sys.executable, "-c", source],
        input=textwrap.dedent(source) if stdin else None,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def ship(source, expression="f", by_value=None):
    """The bytes that a program sends for a function of its `__main__`."""
    source = textwrap.dedent(source)
    source += f"\nfrom phalanx import _core\nprint(_core._codec_ship({expression}, {by_value})[1].hex())\n"
    return run(source)[-1]


def worker(shipped, source):
    """Run a worker's program, in which `f` is the function that arrived."""
    head = f"""\
from phalanx import _core
functions = _core._CodecFunctions()
def arrive(shipped={shipped!r}):
    return functions.resolve(bytes.fromhex(shipped))
"""
    return run(head + textwrap.dedent(source))


def arrive(callable):
    return _core._CodecFunctions().resolve(_core._codec_ship(callable)[1])


def module_function(x):
    return x + 1


class Counter:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return self.count


def test_what_has_a_name_arrives_as_itself():
    for callable in (module_function, len, math.sqrt, Counter, functools.partial):
        assert arrive(callable) is callable


def test_what_has_no_name_arrives_by_value():
    step = 2
    assert arrive(lambda x: x + step)(3) == 5
    assert arrive(functools.partial(module_function, 3))() == 4
    assert arrive("abc".upper)() == "ABC"


def test_an_object_with_state_is_made_anew_for_each_use():
    functions = _core._CodecFunctions()
    identity, shipped = _core._codec_ship(Counter())
    assert [functions.resolve(shipped)(), functions.resolve(shipped)()] == [1, 1]
    assert functions.get(identity)() == 1


def test_the_same_function_has_the_same_id_and_is_made_once():
    functions = _core._CodecFunctions()
    identity, shipped = _core._codec_ship(module_function)
    assert _core._codec_ship(module_function) == (identity, shipped)
    assert functions.get(identity) is None
    assert functions.resolve(shipped) is functions.get(identity) is module_function


def test_the_functions_used_last_are_kept():
    functions = _core._CodecFunctions(2)
    ships = [_core._codec_ship(callable) for callable in (len, max, min)]
    for _, shipped in ships:
        functions.resolve(shipped)
    kept = [functions.get(identity) for identity, _ in ships]
    assert kept == [None, max, min]


def test_a_closure_that_changes_is_shipped_anew():
    step = 1

    def add(x):
        return x + step

    assert arrive(add)(0) == 1
    assert _core._codec_ship(add) == _core._codec_ship(add)
    step = 5
    assert arrive(add)(0) == 5
    items = []

    def count():
        return len(items)

    assert arrive(count)() == 0
    items.append(1)
    assert arrive(count)() == 1


def test_a_function_whose_parts_change_is_shipped_anew():
    def f(x=1):
        return x

    assert arrive(f)() == 1
    f.__defaults__ = (7,)
    assert arrive(f)() == 7
    f.__code__ = (lambda x: -x).__code__
    assert arrive(f)() == -7


def test_what_cannot_be_sent_is_refused():
    import threading

    lock = threading.Lock()
    with pytest.raises(Exception, match=r"cannot pickle '_thread\.lock' object: lock of <function "):
        _core._codec_ship(lambda: lock)
    with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock' object"):
        _core._codec_ship(functools.partial(module_function, lock))


def test_damaged_bytes_raise():
    functions = _core._CodecFunctions()
    shipped = bytes.fromhex(ship("def f(x): return x"))
    for length in range(len(shipped)):
        with pytest.raises((ValueError, EOFError, AttributeError, pickle.UnpicklingError)):
            functions.resolve(shipped[:length])


F = """
    scale = 2
    def helper(x): return x * scale
    def f(x): return helper(x) + 1
"""


def test_a_worker_with_the_same_main_uses_its_own_function():
    shipped = ship(F)
    assert worker(shipped, F_WORKER := textwrap.dedent(F) + "print(arrive() is f)") == ["True"]
    assert "scale" in F_WORKER


def test_a_worker_without_the_function_is_given_it():
    assert worker(ship(F), "print(arrive()(3), f(3), helper(3), scale)") == ["7 7 6 2"]


def test_a_plain_function_needs_no_cloudpickle_on_either_side():
    source = """
        import math
        from os.path import join
        limit = 10
        def helper(x, *, power=2): return min(math.floor(x) ** power, limit)
        def f(x, suffix="!"): return join("a", str(helper(x)) + suffix)
    """
    lines = run(
        textwrap.dedent(source)
        + "import sys\nfrom phalanx import _core\n"
        + "print(_core._codec_ship(f)[1].hex(), 'cloudpickle' in sys.modules)"
    )
    shipped, imported = lines[0].split()
    assert imported == "False"
    assert worker(shipped, "import sys\nprint(arrive()(2.5), 'cloudpickle' in sys.modules)") == ["a/4! False"]


def test_a_worker_with_another_function_of_that_name_is_given_the_senders():
    other = "def helper(x): return 0\ndef f(x): return 'old'\n"
    assert worker(ship(F), other + "print(arrive()(3))") == ["7"]


def test_a_worker_whose_helper_differs_is_given_the_senders():
    other = textwrap.dedent(F).replace("x * scale", "x * scale * 100")
    assert worker(ship(F), other + "print(arrive()(3))") == ["7"]


def test_values_that_the_worker_has_set_stay():
    assert worker(ship(F), "scale = 10\nprint(arrive()(3), scale)") == ["31 10"]


def test_an_initializer_sets_the_global_that_the_function_reads():
    source = """
        resource = None
        def initialise(value):
            global resource
            resource = value
        def f(x): return (resource, x)
    """
    first, second = ship(source, "initialise", True), ship(source, "f", True)
    assert worker(first, f"arrive()(5)\nprint(arrive({second!r})(1), resource)") == ["(5, 1) 5"]


def test_a_lambda_of_main_reads_the_workers_globals():
    assert worker(ship("offset = 1", "lambda x: x + offset"), "print(arrive()(1))") == ["2"]
    assert worker(ship("offset = 1", "lambda x: x + offset"), "offset = 5\nprint(arrive()(1))") == ["6"]


def test_a_value_that_changes_in_the_sender_changes_in_the_worker():
    shipped = [ship(F.replace("scale = 2", f"scale = {scale}"), "f", True) for scale in (2, 3)]
    assert worker(shipped[0], f"print(arrive()(1), arrive({shipped[1]!r})(1))") == ["3 4"]


def test_recursion_and_mutual_references():
    source = """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        def f(n): return f(n - 1) if n > 100 else even(n)
    """
    for by_value in (None, True):
        assert worker(ship(source, "f", by_value), "print(arrive()(110))") == ["True"]


def test_classes_of_main_go_along():
    source = """
        import dataclasses, enum
        class Colour(enum.Enum):
            RED = 1
        @dataclasses.dataclass
        class Point:
            x: int
            def double(self): return Point(make(self.x))
        def make(x): return 2 * x
        def f(x): return (Point(x).double(), Colour.RED)
    """
    assert worker(ship(source, "f", True), "print(arrive()(2))") == ["(Point(x=4), <Colour.RED: 1>)"]


def test_a_method_of_a_class_in_main():
    source = """
        class Shape:
            def area(self): return 5
            @staticmethod
            def name(): return "shape"
    """
    assert worker(ship(source, "Shape.name", True), "print(arrive()())") == ["shape"]
    assert worker(ship(source, "Shape().area", True), "print(arrive()())") == ["5"]


def test_globals_that_are_not_definitions_are_not_pickled_for_a_worker_that_has_them():
    source = """
        class Heavy:
            def __reduce__(self): raise SystemExit("was pickled")
        heavy = Heavy()
        def f(x): return (x, type(heavy).__name__)
    """
    shipped = ship(source)
    assert worker(shipped, textwrap.dedent(source) + "print(arrive()(1))") == ["(1, 'Heavy')"]
    assert worker(shipped, "try:\n    arrive()\nexcept AttributeError as error:\n    print(error)") == [
        "cannot find 'f' in the __main__ module of this worker: define it before the worker is started"
    ]


def test_the_receiver_of_an_object_keeps_its_own_main():
    """Only a worker adopts: a function that a queue brings must not change its receiver."""
    source = """
        from phalanx import _core
        def helper(): return 1
        def f(): return helper()
        own = helper
        frame, buffers = _core._codec_dumps([f], True)
        arrived, = _core._codec_loads(frame, buffers)
        assert helper is own and arrived is not f
        print(arrived())
    """
    assert run(source) == ["1"]


def test_results_of_classes_that_were_adopted_come_back_as_the_senders():
    source = """
        import subprocess, sys
        from phalanx import _core
        class Point:
            def __init__(self, x): self.x = x
        def f(x): return Point(x)
        shipped = _core._codec_ship(f, True)[1]
        worker = "\\n".join([
            "import sys",
            "from phalanx import _core",
            "f = _core._CodecFunctions().resolve(bytes.fromhex(sys.argv[1]))",
            "print(_core._codec_dumps(f(3), True)[0].hex())",
        ])
        done = subprocess.run([sys.executable, "-c", worker, shipped.hex()], capture_output=True, text=True)
        point = _core._codec_loads(bytes.fromhex(done.stdout.strip()))
        print(type(point) is Point, point.x)
    """
    assert run(source) == ["True 3"]


def test_builtins_of_main_stay_the_module():
    assert worker(ship(F), "arrive()\nimport builtins\nprint(__builtins__ is builtins)") == ["True"]
