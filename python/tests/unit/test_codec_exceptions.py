"""Exceptions arrive with type, arguments, attributes, notes, chain and traceback, or described."""

import dataclasses
import pickle
import random
import subprocess
import sys
import textwrap
import threading

import pytest
from phalanx import _core, errors


def raised(make):
    try:
        make()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def send(error):
    return _core._codec_load_exception(_core._codec_dump_exception(error))


def arrives(make):
    def call():
        raise make()

    return send(raised(call))


class Plain(Exception):
    pass


class NeedsTwo(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Prefixes(Exception):
    def __init__(self, text):
        super().__init__("prefix " + text)


class NeedsKeyword(Exception):
    def __init__(self, *, code):
        super().__init__()
        self.code = code


class InitRaises(Exception):
    allowed = True

    def __init__(self, error):
        super().__init__("text")
        if not InitRaises.allowed:
            raise error


class ReduceRaises(Exception):
    error = ValueError("no")

    def __reduce__(self):
        raise type(self).error


class GetstateRaises(Exception):
    def __getstate__(self):
        raise SystemExit(5)


class ReducesToAnother(Exception):
    def __reduce__(self):
        return ValueError, ("other",)


class ReducesToNoException(Exception):
    def __reduce__(self):
        return list, ()


class Custom(Exception):
    def __init__(self, a, b):
        super().__init__("custom")
        self.a, self.b = a, b

    def __reduce__(self):
        return Custom, (self.a, self.b)


class ReprRaises(Exception):
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


class NewNeedsTwo(Exception):
    def __new__(cls, a, b):
        return super().__new__(cls, a)

    def __init__(self, a, b):
        super().__init__(a)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


class Holds(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text"),
        ValueError(),
        KeyError("key", 2),
        OSError(2, "missing", "file"),
        FileNotFoundError(2, "missing"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(5),
        SystemExit(3),
        KeyboardInterrupt(),
        ImportError("m", name="n", path="p"),
        SyntaxError("bad", ("file", 1, 2, "text")),
        Plain("a", 1, None),
        Custom(1, 2),
        errors.WorkerDiedError("gone", pid=3, exitcode=-9, signal=9),
        errors.OwnerDiedError("gone", pid=3, what="lock"),
        errors.BufferTooShort(b"data"),
        errors.RemoteError("a.B", "B()", "text"),
        errors.MaybeEncodingError(ValueError(1), [2]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_that_pickle(error):
    arrived = arrives(lambda: error)
    assert type(arrived) is type(error)
    assert arrived.args == error.args
    assert str(arrived) == str(error) and repr(arrived) == repr(error)
    assert arrived.__dict__ == error.__dict__


@pytest.mark.parametrize(
    "make",
    [
        lambda: NeedsTwo(3, "text"),
        lambda: Prefixes("text"),
        lambda: NeedsKeyword(code=3),
        lambda: ReduceRaises("a", 1),
        lambda: GetstateRaises("a", 1),
        lambda: ReducesToAnother("a"),
        lambda: ReducesToNoException("a"),
        lambda: ReprRaises("a"),
        lambda: NewNeedsTwo(1, 2),
        lambda: Frozen(3),
    ],
)
def test_exceptions_that_do_not_pickle(make):
    error = make()
    arrived = arrives(lambda: error)
    assert type(arrived) is type(error)
    assert arrived.args == error.args
    assert arrived.__dict__ == error.__dict__
    assert isinstance(arrived.__cause__, errors.RemoteTraceback)


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyError(2), RecursionError("deep"), GeneratorExit(), KeyboardInterrupt()]
)
def test_whatever_reduce_raises_stays_inside(error):
    kind = type("Raising", (ReduceRaises,), {"error": error, "__module__": __name__})
    globals()["Raising"] = kind
    kind.__qualname__ = "Raising"
    arrived = arrives(lambda: kind("x"))
    assert type(arrived) is kind and arrived.args == ("x",)


def test_whatever_the_constructor_raises_on_arrival_stays_inside(monkeypatch):
    frame = _core._codec_dump_exception(InitRaises(SystemExit(3)))
    monkeypatch.setattr(InitRaises, "allowed", False)
    arrived = _core._codec_load_exception(frame)
    assert type(arrived) is InitRaises and arrived.args == ("text",)


def test_a_class_that_has_gone_is_described():
    frame = _core._codec_dump_exception(raised(lambda: fail(Plain("a", 1))))
    script = f"""
        from phalanx import _core, errors
        error = _core._codec_load_exception({frame!r})
        assert type(error) is errors.RemoteError, error
        print(error.type_name)
        print(error.repr)
        print("in fail" in error.traceback, "in fail" in str(error.__cause__))
    """
    assert run(script) == [f"{__name__}.Plain", "Plain('a', 1)", "True True"]


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def fail(error):
    raise error


def test_a_local_class_goes_by_value():
    class Local(Exception):
        pass

    arrived = arrives(lambda: Local(1))
    assert type(arrived) is Local and arrived.args == (1,)


def test_arguments_that_cannot_be_sent_become_their_repr():
    lock = threading.Lock()
    error = Holds("text", lock)
    error.lock = lock
    error.number = 3
    arrived = arrives(lambda: error)
    assert type(arrived) is Holds
    assert arrived.args == ("text", repr(lock)) and arrived.lock == repr(lock)
    assert arrived.number == 3


def test_the_remote_traceback_is_the_cause():
    error = raised(lambda: fail(ValueError("text")))
    arrived = send(error)
    assert type(arrived.__cause__) is errors.RemoteTraceback
    text = str(arrived.__cause__)
    assert text.startswith('\n"""\nTraceback (most recent call last):\n')
    assert "in fail" in text and text.endswith('ValueError: text\n"""')
    assert arrived.__traceback__ is None


def test_the_chain_arrives():
    def explicit():
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    arrived = send(raised(explicit))
    assert type(arrived) is ValueError and type(arrived.__cause__) is KeyError
    assert arrived.__context__ is arrived.__cause__
    assert type(arrived.__cause__.__cause__) is errors.RemoteTraceback

    def implicit():
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer")  # noqa: B904

    arrived = send(raised(implicit))
    assert type(arrived.__cause__) is errors.RemoteTraceback
    assert type(arrived.__context__) is KeyError

    def suppressed():
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None

    assert send(raised(suppressed)).__suppress_context__


def test_chains_that_are_circles_or_long():
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    arrived = send(a)
    assert arrived.args == ("a",) and arrived.__cause__.args == ("b",)
    first = error = ValueError(0)
    for number in range(1, 500):
        error.__cause__ = ValueError(number)
        error = error.__cause__
    arrived = send(first)
    length = 0
    while type(arrived) is ValueError:
        arrived, length = arrived.__cause__, length + 1
    assert length > 10 and type(arrived) is errors.RemoteTraceback


def test_a_second_journey_keeps_one_traceback():
    arrived = send(send(raised(lambda: fail(ValueError("text")))))
    assert type(arrived.__cause__) is errors.RemoteTraceback
    assert arrived.__cause__.__cause__ is None
    assert "in fail" in str(arrived.__cause__)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups came with Python 3.11")
def test_notes_and_groups():
    error = ValueError("text")
    error.add_note("first")
    error.add_note("second")
    assert arrives(lambda: error).__notes__ == ["first", "second"]
    group = ExceptionGroup("several", [ValueError(1), KeyError(2)])  # noqa: F821
    arrived = arrives(lambda: group)
    assert repr(arrived) == repr(group)


def test_text_with_surrogates():
    arrived = arrives(lambda: ValueError("\ud800"))
    assert arrived.args == ("\ud800",)


def test_damaged_frames_raise():
    frame = _core._codec_dump_exception(raised(lambda: fail(Plain("a"))))
    for length in range(len(frame)):
        with pytest.raises((ValueError, UnicodeDecodeError)):
            _core._codec_load_exception(frame[:length])
    rng = random.Random(3)
    for _ in range(20_000):
        data = rng.randbytes(rng.randrange(80))
        with pytest.raises(ValueError):
            _core._codec_load_exception(data)


def test_the_exceptions_of_phalanx_pickle():
    error = errors.WorkerDiedError("gone", pid=3, exitcode=-9, signal=9, task="f")
    arrived = pickle.loads(pickle.dumps(error))
    assert arrived.__dict__ == error.__dict__ and arrived.args == ("gone",)
    assert isinstance(error, RuntimeError) and isinstance(error, errors.ProcessError)
