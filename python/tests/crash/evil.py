"""Values that do their worst to whoever packs, unpacks, compares, prints or drops them."""

from __future__ import annotations

import sys
import threading


class Evil:
    """What it is, is said by `how`; the functions below it are called by the machinery."""

    def __init__(self, how):
        self.how = how


def deeper():
    return deeper()


def recurse(*_):
    # Not itself: CPython 3.13.0 counts no depth in calls that leave optional arguments out, and such a
    # recursion takes all memory instead of ending in a RecursionError.
    return deeper()


def exit_quietly(*_):
    sys.exit(0)


def interrupt(*_):
    raise KeyboardInterrupt("made up")


def fail(*_):
    raise RuntimeError("made to fail")


def group(*_):
    raise BaseException("not even an Exception")


class ReduceRaises(Evil):
    def __reduce__(self):
        fail()


class ReduceRecurses(Evil):
    def __reduce__(self):
        return recurse()


class ReduceExits(Evil):
    def __reduce__(self):
        exit_quietly()


class ReduceInterrupts(Evil):
    def __reduce__(self):
        interrupt()


class ReduceRaisesBase(Evil):
    def __reduce__(self):
        group()


class ReduceReturnsNonsense(Evil):
    def __reduce__(self):
        return 1, 2, 3


class ReduceNeverEnds(Evil):
    """Each part has a part of its kind."""

    def __reduce__(self):
        return ReduceNeverEnds, (ReduceNeverEnds(self.how),)


class LoadRaises(Evil):
    def __reduce__(self):
        return fail, ()


class LoadRecurses(Evil):
    def __reduce__(self):
        return recurse, ()


class LoadExits(Evil):
    def __reduce__(self):
        return exit_quietly, ()


class LoadInterrupts(Evil):
    def __reduce__(self):
        return interrupt, ()


class LoadRaisesBase(Evil):
    def __reduce__(self):
        return group, ()


class LoadFindsNothing(Evil):
    def __reduce__(self):
        return "this_name_is_in_no_module"


class StateRaises(Evil):
    def __setstate__(self, state):
        fail()


class DropRaises(Evil):
    def __del__(self):
        fail()


class DropExits(Evil):
    def __del__(self):
        exit_quietly()


class ReprRaises(Evil):
    __repr__ = __str__ = fail


class ReprRecurses(Evil):
    __repr__ = __str__ = recurse


class ReprExits(Evil):
    __repr__ = __str__ = exit_quietly


class CompareRaises(Evil):
    __eq__ = __lt__ = __hash__ = __bool__ = __len__ = __iter__ = fail  # type: ignore[assignment]


class AttributesRaise(Evil):
    def __getattribute__(self, name):
        if name in ("__class__", "__reduce_ex__", "__reduce__", "__dict__", "how"):
            return object.__getattribute__(self, name)
        return fail()


class ClassLies(Evil):
    @property
    def __class__(self):
        fail()


def deep():
    value = []
    for _ in range(200_000):
        value = [value]
    return value


def endless():
    value = []
    value.append(value)
    return value


def lock():
    return threading.Lock()


def file():
    return sys.stderr


def generator():
    return (number for number in range(3))


def frame():
    return sys._getframe()


def module():
    return sys


KINDS = {kind.__name__: kind for kind in Evil.__subclasses__()}
OTHERS = {maker.__name__: maker for maker in (deep, endless, lock, file, generator, frame, module)}
NAMES = [*KINDS, *OTHERS]


def make(name):
    """One such value."""
    return KINDS[name](name) if name in KINDS else OTHERS[name]()


# --- exceptions -----------------------------------------------------------------------------------


class NeedsKeyword(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class TextRaises(Exception):
    __str__ = __repr__ = fail


class TextRecurses(Exception):
    __str__ = __repr__ = recurse


class TextExits(Exception):
    __str__ = __repr__ = exit_quietly


class NotPicklable(Exception):
    def __reduce__(self):
        fail()


class NotLoadable(Exception):
    def __reduce__(self):
        return fail, ()


class LoadsAsExit(Exception):
    def __reduce__(self):
        return exit_quietly, ()


class LoadsAsNumber(Exception):
    def __reduce__(self):
        return int, ("7",)


class HoldsEvil(Exception):
    def __init__(self):
        super().__init__(ReduceRaises("inside"), LoadExits("inside"))
        self.more = ReprExits("inside")


class EvilBase(BaseException):
    pass


class AttributesOfItRaise(Exception):
    def __getattribute__(self, name):
        fail()


def raise_needs_keyword():
    raise NeedsKeyword(code=7)


def raise_in_circles():
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    one.__cause__, other.__cause__ = other, one
    raise one


def raise_deep_chain():
    error = ValueError("the first")
    for number in range(20_000):
        after = ValueError(number)
        after.__cause__ = error
        error = after
    raise error


RAISES = {
    "needs keyword": raise_needs_keyword,
    "circle": raise_in_circles,
    "deep chain": raise_deep_chain,
    "SystemExit": SystemExit,
    "SystemExit(3)": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "BaseException": BaseException,
    **{
        kind.__name__: kind
        for kind in (
            TextRaises,
            TextRecurses,
            TextExits,
            NotPicklable,
            NotLoadable,
            LoadsAsExit,
            LoadsAsNumber,
            HoldsEvil,
            EvilBase,
            AttributesOfItRaise,
        )
    },
}


def raise_it(name):
    made = RAISES[name]()
    raise made
