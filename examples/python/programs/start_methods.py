"""Every way to start a process, side by side: a context of each start method has the whole interface."""

TITLE = "all start methods"


def cube(x):
    return x**3


def send(queue, word):
    queue.put(word)


def program(mp, scale):
    answers = {"default": mp.get_start_method()}
    for method in sorted(mp.get_all_start_methods()):
        context = mp.get_context(method)
        with context.Pool(2) as pool:
            cubes = pool.map(cube, range(5))
        queue = context.Queue()
        process = context.Process(target=send, args=(queue, method))
        process.start()
        word = queue.get()
        process.join()
        answers[method] = (cubes, word, process.exitcode)
    return answers
