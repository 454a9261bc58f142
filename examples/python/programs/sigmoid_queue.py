"""A producer fills a queue while a consumer empties it and works on what it finds."""

TITLE = "sigmoid: producer and consumer"


def produce(xs, queue):
    for x in xs:
        queue.put(x)


def consume(count, queue, results):
    import numpy

    for _ in range(count):
        x = queue.get()
        results.put((float(x), float(1 / (1 + numpy.exp(-x)))))


def program(mp, scale):
    import numpy

    xs = numpy.arange(0.1, 1, 0.1)
    queue, results = mp.Queue(), mp.Queue()
    producer = mp.Process(target=produce, args=(xs, queue))
    consumer = mp.Process(target=consume, args=(len(xs), queue, results))
    producer.start()
    consumer.start()
    # The parent will put nothing into the queue itself.
    queue.close()
    queue.join_thread()
    received = [results.get() for _ in xs]
    producer.join()
    consumer.join()
    return received
