"""Lists of a fixed length in shared memory."""

import pickle

import pytest
from support import phalanx_only, submodule

shared_memory = submodule("shared_memory")
ShareableList = shared_memory.ShareableList
standard = pytest.importorskip("multiprocessing.shared_memory", reason="not in every build of Python")
ITEMS = ["howdy", b"HoWdY", -273.154, 100, None, True, 42, "", b"", "a longer text than eight"]


@pytest.fixture
def items():
    made = ShareableList(ITEMS)
    yield made
    made.shm.close()
    made.shm.unlink()


def test_items(items):
    assert len(items) == len(ITEMS)
    assert list(items) == ITEMS
    assert [type(item) for item in items] == [type(item) for item in ITEMS]
    assert items[-7] == ITEMS[-7]
    assert items.count("howdy") == 1
    assert items.index(42) == 6
    with pytest.raises(ValueError):
        items.index("not there")
    with pytest.raises(IndexError):
        items[len(ITEMS)]
    with pytest.raises(IndexError):
        items[100] = 1
    assert items.format.startswith("8s8sdq")


@phalanx_only  # the standard library reads what lies before the first
def test_no_item_before_the_first(items):
    with pytest.raises(IndexError):
        items[-len(ITEMS) - 1]


def test_items_are_replaced_in_their_room(items):
    items[0] = "other"
    items[3] = 2.5
    items[4] = 7
    items[5] = None
    assert [items[0], items[3], items[4], items[5]] == ["other", 2.5, 7, None]
    items[0] = b"bytes"
    assert items[0] == b"bytes"
    items[0] = 1
    items[0] = "text"
    assert items[0] == "text"
    with pytest.raises(ValueError):
        items[0] = "far too long for its room"
    assert list(items)[1:3] == ITEMS[1:3]


def test_the_same_list_by_its_name(items):
    opened = ShareableList(name=items.shm.name)
    opened[3] = 101
    assert items[3] == 101
    again = pickle.loads(pickle.dumps(opened))
    again[3] = 102
    assert items[3] == 102
    assert repr(opened) == f"ShareableList({list(items)}, name={items.shm.name!r})"
    opened.shm.close()
    again.shm.close()


@phalanx_only  # the standard library's own tracker would be told of its own list
def test_the_format_is_that_of_the_standard_library(items):
    theirs = standard.ShareableList(ITEMS)
    try:
        assert bytes(theirs.shm.buf[: theirs.shm.size]) == bytes(items.shm.buf[: items.shm.size])
        assert theirs.format == items.format
        assert list(ShareableList(name=theirs.shm.name)) == ITEMS
    finally:
        theirs.shm.close()
        theirs.shm.unlink()


@phalanx_only  # cut short there
def test_text_that_needs_more_bytes_than_letters():
    made = ShareableList(["ääääääää", "日本語日本語"])
    assert list(made) == ["ääääääää", "日本語日本語"]
    made.shm.close()
    made.shm.unlink()


def test_an_empty_list():
    made = ShareableList([])
    assert (len(made), list(made), made.format) == (0, [], "")
    made.shm.close()
    made.shm.unlink()


def test_in_a_child(ctx, items):
    child = ctx.Process(target=_replace, args=(items,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert items[0] == "child"


def _replace(items):
    items[0] = "child"
    items.shm.close()
