"""The scenes of the soak: each lets processes use something while they are harmed, and checks the accounts.

A scene gets its own source of chance and the saboteur, and returns how many operations it made.
"""

from __future__ import annotations

import os
import signal
import threading
import zlib

import support

mp = support.mp
BIG = int(os.environ.get("PHALANX_SOAK_BIG", str(200 << 20)))


def size_of(choose):
    """From a byte to hundreds of megabytes, mostly small."""
    scale = choose.choice([1, 10, 100, 1000, 8000, 9000, 70_000, 1 << 20, 1 << 20, 1 << 24])
    if choose.random() < 0.002:
        return BIG
    return choose.randrange(1, scale + 1)


def payload(size, mark):
    return bytes([mark % 251]) * size


def started(context, target, *args):
    process = context.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def ended(processes, killed):
    """Join processes; those that nobody harmed have ended well."""
    for process in processes:
        process.join()
        if process.pid not in killed and process.exitcode not in (0, -signal.SIGKILL, -signal.SIGTERM):
            raise AssertionError(f"{process} ended by itself")
        process.close()


def sabotage(saboteur, processes):
    saboteur.victims = [process.pid for process in processes]
    saboteur.start()


# --- queues ---------------------------------------------------------------------------------------


def produce(queue, tag, sizes, acknowledged, index):
    for number, size in enumerate(sizes):
        body = payload(size, number)
        queue.put((tag, number, zlib.crc32(body), body))
        acknowledged[index] = number + 1


def queues(choose, saboteur):
    """What was put and acknowledged arrives once, whole, in order for each producer."""
    context = mp.get_context("fork")
    queue = getattr(context, choose.choice(["Queue", "SimpleQueue", "JoinableQueue"]))()
    count = choose.randrange(1, 5)
    acknowledged = context.RawArray("q", count)
    plans = [[size_of(choose) for _ in range(choose.randrange(1, 60))] for _ in range(count)]
    producers = [
        started(context, produce, queue, tag, plan, acknowledged, tag) for tag, plan in enumerate(plans)
    ]
    sabotage(saboteur, producers)
    over = threading.Event()

    def close():
        for process in producers:
            process.join()
        over.set()
        queue.put(None)

    closer = threading.Thread(target=close)
    closer.start()
    seen = [0] * count
    while True:
        item = queue.get()
        if item is None:
            break
        tag, number, sum_, body = item
        if number != seen[tag]:
            raise AssertionError(f"producer {tag}: item {number} came where {seen[tag]} was due")
        if zlib.crc32(body) != sum_ or len(body) != plans[tag][number]:
            raise AssertionError(f"producer {tag}: item {number} is damaged")
        seen[tag] += 1
    closer.join()
    for tag in range(count):
        if not acknowledged[tag] <= seen[tag] <= acknowledged[tag] + 1:
            raise AssertionError(f"producer {tag}: {acknowledged[tag]} put, {seen[tag]} arrived")
    ended(producers, saboteur.killed)
    queue.close()
    return 2 * sum(seen)


def consume(queue, out, taken, index):
    while (item := queue.get()) is not None:
        taken[index] += 1
        out.put(item)


def consumers(choose, saboteur):
    """Consumers may die with what they have taken; everything else arrives once."""
    context = mp.get_context("fork")
    queue, out = context.Queue(choose.choice([0, 5])), context.Queue()
    count, total = choose.randrange(2, 5), choose.randrange(50, 400)
    taken = context.RawArray("q", count)
    takers = [started(context, consume, queue, out, taken, index) for index in range(count)]
    sabotage(saboteur, takers)
    survivor = threading.Thread(target=consume, args=(queue, out, [0], 0))
    survivor.start()
    for number in range(total):
        queue.put((number, payload(choose.randrange(1, 20_000), number)))
    saboteur.over.set()
    saboteur.join()
    for _ in range(count + 1):
        queue.put(None)
    for process in takers:
        process.join()
    survivor.join()
    out.put(None)
    seen = []
    while (item := out.get()) is not None:
        number, body = item
        if body != payload(len(body), number):
            raise AssertionError(f"item {number} is damaged")
        seen.append(number)
    lost = total - len(seen)
    if len(set(seen)) != len(seen):
        raise AssertionError("an item arrived twice")
    if lost > len(saboteur.killed):
        raise AssertionError(f"{lost} items lost with {len(saboteur.killed)} kills")
    ended(takers, saboteur.killed)
    queue.close()
    out.close()
    return 2 * total


# --- pipes ----------------------------------------------------------------------------------------


def send(connection, sizes):
    for number, size in enumerate(sizes):
        connection.send((number, payload(size, number)))
    connection.close()


def pipes(choose, saboteur):
    """Whole messages in order, then the end."""
    context = mp.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    plan = [size_of(choose) for _ in range(choose.randrange(1, 60))]
    process = started(context, send, writer, plan)
    writer.close()
    sabotage(saboteur, [process])
    due = 0
    try:
        while True:
            number, body = reader.recv()
            if number != due or body != payload(plan[number], number):
                raise AssertionError(f"message {number} came where {due} was due, or is damaged")
            due += 1
    except (EOFError, OSError):
        pass
    process.join()
    if process.exitcode == 0 and due != len(plan):
        raise AssertionError(f"{due} of {len(plan)} messages came of one that was not harmed")
    ended([process], saboteur.killed)
    reader.close()
    return 2 * due


# --- locks ----------------------------------------------------------------------------------------


def exclude(lock, inside, rounds, index):
    for _ in range(400):
        try:
            lock.acquire()
        except mp.OwnerDiedError:
            inside[0] = 0  # put in order what the dead left
        if inside[0] != 0:
            os._exit(77)
        inside[0] = os.getpid()
        inside[1] += 1
        inside[0] = 0
        lock.release()
        rounds[index] += 1


def locks(choose, saboteur):
    """One at a time holds it, whoever dies; its successor is told."""
    context = mp.get_context("fork")
    kind = choose.choice(["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
    lock = getattr(context, kind)()
    inside, rounds = context.RawArray("q", 2), context.RawArray("q", 5)
    users = [started(context, exclude, lock, inside, rounds, index) for index in range(4)]
    sabotage(saboteur, users)
    exclude(lock, inside, rounds, 4)
    ended(users, saboteur.killed)
    saboteur.stop()
    done = sum(rounds)
    if not done <= inside[1] <= done + len(saboteur.killed):
        raise AssertionError(f"{inside[1]} counted, {done} rounds done, {len(saboteur.killed)} killed")
    return 2 * done


def meet(barrier, event, condition):
    for _ in range(20):
        try:
            barrier.wait(5)
        except threading.BrokenBarrierError:
            return
        event.wait(0.001)
        try:
            with condition:
                condition.notify_all()
                condition.wait(0.001)
        except mp.OwnerDiedError:
            pass


def meetings(choose, saboteur):
    """A barrier breaks for all, an event and a condition go on."""
    context = mp.get_context("fork")
    barrier, event, condition = context.Barrier(4), context.Event(), context.Condition()
    users = [started(context, meet, barrier, event, condition) for _ in range(3)]
    sabotage(saboteur, users)
    meet(barrier, event, condition)
    event.set()
    barrier.abort()
    ended(users, saboteur.killed)
    return 60


# --- pools ----------------------------------------------------------------------------------------


def work(task):
    number, size = task
    return number, payload(size, number)


def pools(choose, saboteur):
    """Every task has one outcome; deaths cost no more tasks than there were kills."""
    context = mp.get_context(choose.choice(support.START_METHODS))
    tasks = [(n, choose.choice([0, 1, 100, 10_000, 1 << 20])) for n in range(choose.randrange(20, 400))]
    how = choose.choice(["apply_async", "imap", "imap_unordered", "executor"])
    # Workers that are killed one after another before they are ready are none of a pool that works.
    saboteur.most_kills, lost = 5, 0
    if how == "executor":
        with mp.ProcessPoolExecutor(3, context) as executor:
            calls = [executor.submit(work, task) for task in tasks]
            saboteur.start()
            gets = [call.result for call in calls]
            lost = settle(tasks, gets)
            saboteur.over.set()
            saboteur.join()
    else:
        with context.Pool(3) as pool:
            saboteur.start()
            if how == "apply_async":
                lost = settle(tasks, [pool.apply_async(work, (task,)).get for task in tasks])
            else:
                results = getattr(pool, how)(work, tasks)
                lost = settle(tasks, [results.next] * len(tasks), how == "imap_unordered")
            saboteur.over.set()
            saboteur.join()
        pool.join()
    if lost > len(saboteur.killed):
        raise AssertionError(f"{how}: {lost} tasks lost with {len(saboteur.killed)} kills")
    return len(tasks)


def settle(tasks, gets, shuffled=False):
    lost, seen, last = 0, set(), None
    for (number, size), get in zip(tasks, gets, strict=True):
        try:
            said, body = get()
        except mp.WorkerDiedError as error:
            lost, last = lost + 1, error
            continue
        except StopIteration:
            raise AssertionError(f"the results end early; the last error: {last}") from None
        if not shuffled and (said != number or len(body) != size):
            raise AssertionError(f"task {number} has the result of task {said}")
        if body != payload(len(body), said) or said in seen:
            raise AssertionError(f"the result of task {said} is damaged, or came twice")
        seen.add(said)
    return lost


def ends_of_pools(choose, saboteur):
    """A pool ends, however that comes about, whatever its workers are going through."""
    context = mp.get_context("fork")
    pool = context.Pool(choose.randrange(1, 5))
    saboteur.most_kills = 3
    saboteur.start()
    results = [pool.apply_async(work, ((n, 1000),)) for n in range(choose.randrange(200))]
    stream = pool.imap(work, ((n, 10) for n in range(1000)))
    for _ in range(choose.randrange(5)):
        try:
            next(stream)
        except (mp.WorkerDiedError, RuntimeError):
            pass
    if choose.random() < 0.5:
        pool.close()
    pool.terminate()
    pool.join()
    for result in results:
        try:
            result.get(60)
        except (mp.WorkerDiedError, RuntimeError):
            pass
    return len(results)


# --- managers and processes -----------------------------------------------------------------------


def change(shared, tag):
    for number in range(100):
        shared[f"{tag}-{number}"] = payload(number, number)


def managers(choose, saboteur):
    """What was put into a shared dictionary is whole, whoever of its users dies."""
    context = mp.get_context("fork")
    with context.Manager() as manager:
        shared = manager.dict()
        users = [started(context, change, shared, tag) for tag in range(3)]
        sabotage(saboteur, users)
        change(shared, "mine")
        ended(users, saboteur.killed)
        for key, value in shared.items():
            number = int(key.rpartition("-")[2])
            if value != payload(number, number):
                raise AssertionError(f"{key} is damaged")
        if sum(key.startswith("mine-") for key in list(shared)) != 100:
            raise AssertionError("an entry is lost")
        del shared
    return 400


def beget(depth):
    if depth:
        process = mp.Process(target=beget, args=(depth - 1,))
        process.start()
        process.join()


def families(choose, saboteur):
    """Children of children go with their parents."""
    context = mp.get_context(choose.choice(support.START_METHODS))
    users = [started(context, beget, choose.randrange(3)) for _ in range(4)]
    sabotage(saboteur, users)
    ended(users, saboteur.killed)
    return len(users)


SCENES = {
    scene.__name__: scene
    for scene in (
        queues,
        consumers,
        pipes,
        locks,
        meetings,
        pools,
        ends_of_pools,
        managers,
        families,
    )
}
