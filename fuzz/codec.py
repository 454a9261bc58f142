"""Random values through the codec, against pickle; and damaged frames, which must be errors.

    scripts/fuzz-codec [--seconds N] [--seed S] [--only S]

Each round has a seed of its own, which is printed when it fails; ``--only`` runs that round alone.  Rounds run
in a child process, so that a crash is found too.
"""

import argparse
import array
import collections
import dataclasses
import datetime
import decimal
import enum
import faulthandler
import fractions
import math
import os
import pickle
import random
import resource
import sys
import time
import uuid

from phalanx import _core

try:
    import numpy
except ImportError:
    numpy = None

ROUNDS = 500
LIMIT = 60


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Bits(enum.IntFlag):
    A = 1
    B = 2


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Record:
    name: object
    value: object


class Plain:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


class MyList(list):
    pass


class MyDict(dict):
    pass


class MyInt(int):
    pass


class MyError(Exception):
    def __init__(self, first, second=None):
        super().__init__(first, second)
        self.extra = second


def an_int(rng):
    bits = rng.choice([0, 1, 7, 8, 15, 16, 31, 32, 53, 62, 63, 64, 65, 127, 2000])
    return rng.choice([-1, 1]) * (rng.getrandbits(bits) if bits else 0) + rng.choice([-1, 0, 0, 1])


def a_float(rng):
    return rng.choice(
        [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324, rng.random(), rng.uniform(-1e300, 1e300)]
    )


def a_text(rng):
    alphabet = rng.choice(["ab", "aé", "aü\u20ac", "\U0001f600x", "\x00\x7f", "\ud800a"])
    return "".join(rng.choices(alphabet, k=rng.choice([0, 1, 3, 30, 300, 9000])))


def some_bytes(rng):
    return rng.randbytes(rng.choice([0, 1, 5, 64, 1000, 9000, 70000]))


def an_array(rng):
    if numpy is None:
        return array.array(rng.choice("bBhHiIlLqQfd"), [1, 2, 3])
    dtype = rng.choice(["f8", "f4", "i8", "u1", "?", "c16", ">i4", "M8[s]", "S5", "U3"])
    shape = rng.choice([(), (0,), (3,), (2, 3), (1, 2, 2), (3000,)])
    made = numpy.zeros(shape, dtype=dtype)
    made.reshape(-1).view("u1")[:] = 1 if dtype == "?" else rng.randrange(60)
    return rng.choice([made, made.T, made[..., ::2] if shape else made, numpy.asfortranarray(made)])


LEAVES = [
    lambda rng: None,
    lambda rng: rng.random() < 0.5,
    an_int,
    an_int,
    a_float,
    a_text,
    some_bytes,
    lambda rng: bytearray(some_bytes(rng)),
    lambda rng: complex(a_float(rng), a_float(rng)),
    lambda rng: range(rng.randrange(9), rng.randrange(99), rng.randrange(1, 5)),
    lambda rng: slice(None, rng.randrange(9)),
    lambda rng: rng.choice([..., NotImplemented, int, len, Plain, Colour.RED, Bits.A | Bits.B, os.path.join]),
    lambda rng: datetime.datetime(
        2000, 1, 1, microsecond=rng.randrange(10**6), tzinfo=rng.choice([None, datetime.timezone.utc])
    ),
    lambda rng: datetime.timedelta(rng.randrange(1000), rng.randrange(1000)),
    lambda rng: decimal.Decimal(an_int(rng)) / 7,
    lambda rng: fractions.Fraction(an_int(rng), rng.randrange(1, 99)),
    lambda rng: uuid.UUID(int=rng.getrandbits(128)),
    lambda rng: MyInt(an_int(rng)),
    lambda rng: array.array("d", [rng.random() for _ in range(rng.choice([0, 3, 2000]))]),
    an_array,
]


def hashable(rng):
    leaf = rng.choice(
        [
            an_int,
            a_float,
            a_text,
            lambda rng: rng.randbytes(3),
            lambda rng: (1, a_text(rng)),
            lambda rng: None,
        ]
    )
    return leaf(rng)


def value(rng, depth, made):
    """A random value; now and then one that is in the value already."""
    if made and rng.random() < 0.1:
        return rng.choice(made)
    if depth == 0 or rng.random() < 0.3:
        leaf = rng.choice(LEAVES)(rng)
        made.append(leaf)
        return leaf
    count = rng.choice([0, 1, 2, 3, 5, 40 if depth < 2 else 3])
    items = [value(rng, depth - 1, made) for _ in range(count)]
    kind = rng.randrange(14)
    if kind < 3:
        built = items
    elif kind == 3:
        built = tuple(items)
    elif kind < 6:
        built = {hashable(rng): item for item in items}
    elif kind == 6:
        built = rng.choice([set, frozenset])(hashable(rng) for _ in items)
    elif kind == 7:
        built = Plain(**{f"field{n}": item for n, item in enumerate(items)})
    elif kind == 8:
        built = Record(*[*items, None, None][:2])
    elif kind == 9:
        built = Point(*[*items, None, None][:2])
    elif kind == 10:
        built = Slotted(*[*items, None, None][:2])
    elif kind == 11:
        built = rng.choice(
            [
                MyList(items),
                MyDict(enumerate(items)),
                collections.deque(items),
                collections.OrderedDict(enumerate(items)),
                collections.defaultdict(list, enumerate(items)),
            ]
        )
    elif kind == 12:
        built = rng.choice([MyError, ValueError, KeyError])(*items[:2] or ["x"])
    else:
        # Values that contain themselves.
        built = list(items)
        built.append(built)
    made.append(built)
    return built


# Compared by equality alone.
ATOMS = (
    type(None),
    bool,
    int,
    str,
    bytes,
    type,
    type(len),
    type(os.path.join),
    enum.Enum,
    type(...),
    type(NotImplemented),
)
# Whether equal values of these are one object is nobody's business.
IMMUTABLE = (
    float,
    complex,
    tuple,
    frozenset,
    range,
    slice,
    datetime.date,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
)


class Difference(Exception):
    pass


def same(one, two, seen, path="value"):
    """Raises Difference unless both are alike: types, contents, and what is the same object within."""
    if type(one) is not type(two):
        raise Difference(f"{path}: {type(one)} and {type(two)}")
    if isinstance(one, ATOMS):
        if one is not two and one != two:
            raise Difference(f"{path}: {one!r:.200} and {two!r:.200}")
        return
    was_met = (id(one) in seen, ("r", id(two)) in seen)
    is_alike = was_met[0] == was_met[1] and seen.get(id(one), id(two)) == id(two)
    if not is_alike and not isinstance(one, IMMUTABLE):
        raise Difference(f"{path}: not the same object on both sides")
    if id(one) in seen:
        return
    seen[id(one)] = id(two)
    seen["r", id(two)] = True
    if isinstance(one, (float, complex)):
        if repr(one) != repr(two):
            raise Difference(f"{path}: {one!r} and {two!r}")
        return
    if numpy is not None and isinstance(one, numpy.ndarray):
        if one.dtype != two.dtype or one.shape != two.shape or one.tobytes() != two.tobytes():
            raise Difference(f"{path}: arrays differ")
        return
    if isinstance(one, (set, frozenset)):
        if {repr(item) for item in one} != {repr(item) for item in two}:
            raise Difference(f"{path}: sets differ")
        return
    if isinstance(one, dict):
        if [repr(key) for key in one] != [repr(key) for key in two]:
            raise Difference(f"{path}: keys differ")
        for (key, item), other in zip(one.items(), two.values(), strict=True):
            same(item, other, seen, f"{path}[{key!r:.20}]")
    elif isinstance(one, (list, tuple, collections.deque)):
        if len(one) != len(two):
            raise Difference(f"{path}: {len(one)} and {len(two)} items")
        for n, (item, other) in enumerate(zip(one, two, strict=True)):
            same(item, other, seen, f"{path}[{n}]")
    elif isinstance(one, BaseException):
        same(one.args, two.args, seen, f"{path}.args")
    elif isinstance(one, Slotted):
        same(one.a, two.a, seen, f"{path}.a")
        same(one.b, two.b, seen, f"{path}.b")
    elif not hasattr(one, "__dict__") and one != two:
        raise Difference(f"{path}: {one!r:.200} and {two!r:.200}")
    if hasattr(one, "__dict__"):
        same(vars(one), vars(two), seen, f"{path}.__dict__")


def damage(rng, frame):
    frame = bytearray(frame)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(frame) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            del frame[at:]
        elif kind == 1:
            frame[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del frame[at : at + rng.randrange(1, 9)]
        elif at < len(frame):
            frame[at] = rng.getrandbits(8) if kind == 3 else frame[at] ^ 1 << rng.randrange(8)
    return bytes(frame)


def one_round(seed):
    rng = random.Random(seed)
    made = []
    sent = value(rng, rng.randrange(5), made)
    frame, buffers = _core._codec_dumps(sent)
    oracle = pickle.loads(pickle.dumps(sent, 5))
    same(oracle, _core._codec_loads(frame, buffers), {})
    for _ in range(4):
        try:
            _core._codec_loads(damage(rng, frame), buffers if rng.random() < 0.8 else [])
        except Exception:
            pass


def batch(seeds):
    """Runs rounds in a child process; the seed that failed, if one did."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            # Damage may ask for any amount of memory.
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            faulthandler.enable()
            for seed in seeds:
                os.write(writing, seed.to_bytes(8, "little"))
                faulthandler.dump_traceback_later(LIMIT, exit=True)
                try:
                    one_round(seed)
                except RecursionError:
                    pass
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    os.close(writing)
    told = b""
    while chunk := os.read(reading, 1 << 16):
        told = (told + chunk)[-8:]
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    return None if status == 0 else (int.from_bytes(told, "little"), status)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", type=int, default=None)
    options = parser.parse_args()
    if options.only is not None:
        one_round(options.only)
        return
    # Rounds of other runs are others, unless a seed is given.
    first = options.seed if options.seed is not None else int(time.time()) << 24
    print(f"codec: seeds from {first}", flush=True)
    end, done = time.monotonic() + options.seconds, 0
    while time.monotonic() < end or done == 0:
        if failed := batch(range(first + done, first + done + ROUNDS)):
            seed, status = failed
            print(f"codec: FAILED with seed {seed} (wait status {status}): scripts/fuzz-codec --only {seed}")
            sys.exit(1)
        done += ROUNDS
    print(f"codec: {done} values as pickle has them, {4 * done} damaged frames, no fault")


if __name__ == "__main__":
    main()
