"""`Pipe` and `Connection`."""

from __future__ import annotations

import array
import os
import pickle
import select
import threading

import pytest
import targets
from support import big, mp, phalanx_only, submodule, wait_until

SIZES = [0, 1, 16, 4095, 4096, 65_535, 65_536, 65_537, 1 << 20, 10_000_000, 64 << 20]


def piped(duplex=True, context=mp):
    """Two ends; the first reads, the second writes."""
    return context.Pipe(duplex)


@pytest.fixture(params=[True, False], ids=["duplex", "one-way"])
def ends(request):
    reader, writer = piped(request.param)
    yield reader, writer
    reader.close()
    writer.close()


# --- objects and bytes ----------------------------------------------------------------------------


def test_objects_in_order(ends):
    reader, writer = ends
    items = [1, "two", None, [3, {"four": (5, 6.0)}], b"seven"]
    for item in items:
        writer.send(item)
    assert [reader.recv() for _ in items] == items


def test_bytes(ends):
    reader, writer = ends
    for value in (b"", b"x", bytes(range(256)), bytearray(b"array"), memoryview(b"view")):
        assert writer.send_bytes(value) is None
        assert reader.recv_bytes() == bytes(value)


def test_bytes_and_objects_mix(ends):
    reader, writer = ends
    writer.send_bytes(pickle.dumps({"a": 1}))
    assert reader.recv() == {"a": 1}
    writer.send("text")
    writer.send_bytes(b"raw")
    assert reader.recv() == "text"
    assert reader.recv_bytes() == b"raw"


def test_an_object_can_be_received_as_bytes(ends):
    reader, writer = ends
    writer.send(["as", "bytes"])
    assert pickle.loads(reader.recv_bytes()) == ["as", "bytes"]


def test_part_of_a_buffer(ends):
    reader, writer = ends
    value = b"0123456789"
    writer.send_bytes(value, 3)
    writer.send_bytes(value, 3, 4)
    writer.send_bytes(value, 10)
    writer.send_bytes(array.array("i", [1, 2, 3]))
    assert reader.recv_bytes() == b"3456789"
    assert reader.recv_bytes() == b"3456"
    assert reader.recv_bytes() == b""
    assert reader.recv_bytes() == array.array("i", [1, 2, 3]).tobytes()
    for offset, size in [(-1, None), (11, None), (0, 11), (5, 6), (0, -1)]:
        with pytest.raises(ValueError):
            writer.send_bytes(value, offset, *([] if size is None else [size]))


def test_bytes_have_to_be_bytes(ends):
    with pytest.raises(TypeError):
        ends[1].send_bytes("text")


def test_receive_into_a_buffer(ends):
    reader, writer = ends
    buffer = bytearray(b"." * 10)
    writer.send_bytes(b"abc")
    assert reader.recv_bytes_into(buffer) == 3
    assert buffer == b"abc......."
    writer.send_bytes(b"xy")
    assert reader.recv_bytes_into(buffer, 8) == 2
    assert buffer == b"abc.....xy"
    numbers = array.array("i", [0] * 3)
    writer.send_bytes(array.array("i", [1, 2]))
    assert reader.recv_bytes_into(numbers, numbers.itemsize) == 2 * numbers.itemsize
    assert list(numbers) == [0, 1, 2]
    with pytest.raises(ValueError):
        reader.recv_bytes_into(buffer, -1)
    with pytest.raises(ValueError):
        reader.recv_bytes_into(buffer, 11)


def test_buffer_too_short_keeps_the_message(ends):
    reader, writer = ends
    for size in (11, 1_000_000):
        thread = threading.Thread(target=writer.send_bytes, args=(b"m" * size,))
        thread.start()
        with pytest.raises(mp.BufferTooShort) as caught:
            reader.recv_bytes_into(bytearray(10))
        thread.join()
        assert caught.value.args == (b"m" * size,)
    writer.send_bytes(b"next")
    assert reader.recv_bytes() == b"next"


def test_receive_bytes_with_a_limit(ends):
    reader, writer = ends
    writer.send_bytes(b"12345")
    assert reader.recv_bytes(5) == b"12345"
    with pytest.raises(ValueError):
        reader.recv_bytes(-1)
    writer.send_bytes(b"123456")
    with pytest.raises(OSError):
        reader.recv_bytes(5)
    # What follows an oversized message is undefined: the end is no longer readable.
    with pytest.raises(OSError):
        reader.recv_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_payloads_through_a_child(ctx, size):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.echo_bytes, args=(there,))
    process.start()
    there.close()
    value = os.urandom(min(size, 1 << 16)) * (-(-size // (1 << 16)) if size > 1 << 16 else 1)
    value = value[:size]
    thread = threading.Thread(target=here.send_bytes, args=(value,))
    thread.start()
    assert here.recv_bytes() == value
    thread.join()
    here.send_bytes(b"stop")
    process.join()
    here.close()
    assert process.exitcode == 0


@pytest.mark.parametrize("size", SIZES)
def test_payloads_as_objects(default_ctx, size):
    here, there = default_ctx.Pipe()
    process = default_ctx.Process(target=targets.echo, args=(there,))
    process.start()
    there.close()
    value = {"payload": b"p" * size, "size": size}
    here.send(value)
    assert here.recv() == value
    here.send("stop")
    process.join()
    here.close()


@big
@pytest.mark.watchdog(900)
def test_three_gibibytes(default_ctx):
    size = 3 << 30
    reader, writer = default_ctx.Pipe(duplex=False)
    process = default_ctx.Process(target=send_three_gibibytes, args=(writer, size))
    process.start()
    writer.close()
    value = reader.recv_bytes()
    assert len(value) == size
    assert value[:3] == b"abc"
    assert value[-3:] == b"xyz"
    del value
    process.join()
    assert process.exitcode == 0
    reader.close()


def send_three_gibibytes(writer, size):
    value = bytearray(size)
    value[:3], value[-3:] = b"abc", b"xyz"
    writer.send_bytes(value)


def test_numpy_through_a_pipe(default_ctx):
    numpy = pytest.importorskip("numpy", reason="numpy is an optional companion")
    here, there = default_ctx.Pipe()
    process = default_ctx.Process(target=targets.echo, args=(there,))
    process.start()
    there.close()
    source = numpy.arange(1_000_000.0)
    here.send(source)
    arrived = here.recv()
    assert numpy.array_equal(arrived, source)
    arrived[0] = 1  # writable
    here.send("stop")
    process.join()
    here.close()


def test_unpicklable_object_leaves_the_pipe_usable(ends):
    reader, writer = ends
    with pytest.raises(TypeError, match="generator"):
        writer.send(n for n in ())
    writer.send("fine")
    assert reader.recv() == "fine"


@phalanx_only
def test_lambdas_travel(ends):
    reader, writer = ends
    writer.send(lambda value: value + 1)
    assert reader.recv()(1) == 2


# --- directions and both ends ---------------------------------------------------------------------


def test_flags():
    reader, writer = mp.Pipe(duplex=False)
    assert (reader.readable, reader.writable) == (True, False)
    assert (writer.readable, writer.writable) == (False, True)
    reader.close()
    writer.close()
    for end in (ends := mp.Pipe()):
        assert (end.readable, end.writable, end.closed) == (True, True, False)
    for end in ends:
        end.close()
        assert end.closed


def test_wrong_direction():
    reader, writer = mp.Pipe(duplex=False)
    with reader, writer:
        for use in (
            lambda: reader.send(1),
            lambda: reader.send_bytes(b"1"),
            writer.recv,
            writer.recv_bytes,
            writer.poll,
            lambda: writer.recv_bytes_into(bytearray(1)),
        ):
            with pytest.raises(OSError):
                use()


def test_duplex_both_ways():
    left, right = mp.Pipe()
    with left, right:
        left.send("to the right")
        right.send("to the left")
        assert left.recv() == "to the left"
        assert right.recv() == "to the right"


def test_ping_pong(ctx):
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.echo, args=(there,))
    process.start()
    there.close()
    for number in range(300):
        here.send(number)
        assert here.recv() == number
    here.send("stop")
    process.join()
    here.close()
    assert process.exitcode == 0


def test_both_ends_send_a_lot_at_once(default_ctx):
    """Neither side reads before it has sent everything it can: threads keep them from blocking."""
    here, there = default_ctx.Pipe()
    process = default_ctx.Process(target=targets.echo_bytes, args=(there,))
    process.start()
    there.close()
    thread = threading.Thread(target=lambda: [here.send_bytes(b"b" * 100_000) for _ in range(50)])
    thread.start()
    assert [len(here.recv_bytes()) for _ in range(50)] == [100_000] * 50
    thread.join()
    here.send_bytes(b"stop")
    process.join()
    here.close()


# --- poll -----------------------------------------------------------------------------------------


def test_poll(ends):
    reader, writer = ends
    assert reader.poll() is False
    assert reader.poll(0) is False
    assert reader.poll(0.01) is False
    assert reader.poll(-1) is False
    writer.send(1)
    assert reader.poll() is True
    assert reader.poll(None) is True
    assert reader.recv() == 1
    assert reader.poll() is False


def test_poll_waits_for_the_other_process(ctx):
    here, there = ctx.Pipe()
    go = ctx.Event()
    process = ctx.Process(target=send_at_go, args=(there, go))
    process.start()
    there.close()
    assert not here.poll(0.01)
    go.set()
    assert here.poll(60)
    assert here.recv() == "at last"
    assert here.poll(None)  # the end of the stream counts as something to read
    with pytest.raises(EOFError):
        here.recv()
    process.join()
    here.close()


def send_at_go(connection, go):
    go.wait()
    connection.send("at last")
    connection.close()


def test_select_sees_a_connection(ends):
    reader, writer = ends
    assert isinstance(reader.fileno(), int)
    assert reader.fileno() != writer.fileno()
    assert select.select([reader], [], [], 0)[0] == []
    writer.send(1)
    assert select.select([reader], [], [], 60)[0] == [reader]
    reader.recv()
    assert select.select([reader], [], [], 0)[0] == []


def test_select_stays_ready_while_messages_are_left(ends):
    reader, writer = ends
    for number in range(3):
        writer.send(number)
    for number in range(3):
        assert select.select([reader], [], [], 60)[0] == [reader]
        assert reader.recv() == number
    assert select.select([reader], [], [], 0)[0] == []


# --- the end --------------------------------------------------------------------------------------


def test_end_of_file_when_the_other_end_is_closed(ends):
    reader, writer = ends
    writer.send("last")
    writer.close()
    assert reader.recv() == "last"
    for read in (reader.recv, reader.recv_bytes, lambda: reader.recv_bytes_into(bytearray(1))):
        with pytest.raises(EOFError):
            read()
    assert reader.poll()


def test_broken_pipe_when_nobody_reads(ends):
    reader, writer = ends
    reader.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100):
            writer.send_bytes(b"x" * 100_000)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        writer.send("more")


@pytest.mark.parametrize("how", ["kill", "exit", "segfault"])
def test_end_of_file_when_the_peer_dies(ctx, how):
    here, there = ctx.Pipe()
    carrier = ctx.Process(target=hold_and_die, args=(there, how))
    carrier.start()
    there.close()
    assert here.recv() == "alive"
    with pytest.raises(EOFError):
        here.recv()
    carrier.join()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100):
            here.send_bytes(b"x" * 100_000)
    here.close()


def hold_and_die(connection, how):
    connection.send("alive")
    targets.die(how)


def test_a_blocked_recv_sees_the_end(default_ctx):
    here, there = default_ctx.Pipe()
    process = default_ctx.Process(target=targets.sleep_forever, args=(there,))
    process.start()
    there.close()
    outcome = []

    def receive():
        try:
            outcome.append(here.recv())
        except EOFError:
            outcome.append("end")

    thread = threading.Thread(target=receive)
    thread.start()
    process.kill()
    thread.join()
    process.join()
    assert outcome == ["end"]
    here.close()


def test_a_blocked_send_sees_the_end(default_ctx):
    here, there = default_ctx.Pipe()
    process = default_ctx.Process(target=targets.sleep_forever, args=(there,))
    process.start()
    there.close()
    outcome = []

    def send():
        try:
            for _ in range(1000):
                here.send_bytes(b"x" * 1_000_000)
        except OSError as error:
            outcome.append(type(error))

    thread = threading.Thread(target=send)
    thread.start()
    process.kill()
    thread.join()
    process.join()
    assert outcome[0] in (BrokenPipeError, ConnectionResetError)
    here.close()


def test_use_after_close(ends):
    reader, writer = ends
    reader.close()
    writer.close()
    reader.close()  # twice is fine
    for use in (
        reader.recv,
        reader.recv_bytes,
        reader.poll,
        reader.fileno,
        lambda: reader.recv_bytes_into(bytearray(1)),
        lambda: writer.send(1),
        lambda: writer.send_bytes(b"1"),
        writer.fileno,
    ):
        with pytest.raises(OSError, match="closed"):
            use()


def test_context_manager_closes():
    left, right = mp.Pipe()
    with left as inside:
        assert inside is left
        left.send(1)
    assert left.closed
    assert right.recv() == 1
    right.close()


def test_forgotten_ends_are_closed(resources):
    for _ in range(20):
        left, right = mp.Pipe()
        left.send("never read")
        del left, right
    resources.settle(slack_descriptors=4)  # what the library opens once and keeps


def test_representation(ends):
    assert "Connection" in repr(ends[0])
    assert isinstance(ends[0], submodule("connection").Connection)


# --- travelling ends ------------------------------------------------------------------------------


def test_an_end_is_passed_to_a_child(ctx):
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=targets.send_call, args=(writer, "hello"))
    process.start()
    writer.close()
    assert reader.recv() == (("hello",), {})
    with pytest.raises(EOFError):
        reader.recv()
    process.join()
    reader.close()


def test_both_ends_are_passed_to_two_children(ctx):
    left, right = ctx.Pipe()
    here, there = ctx.Pipe(duplex=False)
    sender = ctx.Process(target=targets.send_call, args=(left, 1))
    receiver = ctx.Process(target=forward_one, args=(right, there))
    sender.start()
    receiver.start()
    for end in (left, right, there):
        end.close()
    assert here.recv() == ((1,), {})
    sender.join()
    receiver.join()
    here.close()


def forward_one(source, target):
    target.send(source.recv())


def test_an_end_is_sent_through_another_pipe(ctx):
    """To a child that already runs."""
    here, there = ctx.Pipe()
    process = ctx.Process(target=targets.use_received_connection, args=(there,))
    process.start()
    there.close()
    left, right = ctx.Pipe()
    here.send(right)
    assert left.recv() == "through the received end"
    process.join()
    right.close()
    with pytest.raises(EOFError):
        left.recv()
    left.close()
    here.close()


def test_an_end_through_a_queue(default_ctx):
    queue = default_ctx.Queue()
    process = default_ctx.Process(target=use_end_from_queue, args=(queue,))
    process.start()
    left, right = default_ctx.Pipe()
    queue.put(right)
    assert left.recv() == "from the queue"
    process.join()
    left.close()
    right.close()
    queue.close()
    queue.join_thread()


def use_end_from_queue(queue):
    queue.get().send("from the queue")


def test_many_writers_one_reader(default_ctx):
    """With a lock, as the documentation asks for."""
    reader, writer = default_ctx.Pipe(duplex=False)
    lock = default_ctx.Lock()
    processes = [default_ctx.Process(target=send_tagged, args=(writer, lock, tag, 200)) for tag in range(4)]
    for process in processes:
        process.start()
    writer.close()
    taken = [reader.recv() for _ in range(800)]
    assert sorted(taken) == [(tag, index) for tag in range(4) for index in range(200)]
    for process in processes:
        process.join()
    wait_until(reader.poll, "the end of file")
    with pytest.raises(EOFError):
        reader.recv()
    reader.close()


def send_tagged(writer, lock, tag, count):
    for index in range(count):
        with lock:
            writer.send((tag, index))
