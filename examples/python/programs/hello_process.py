"""The smallest program: one process says hello."""

from programs.transcript import Transcript, printing_to

TITLE = "one process says hello"


def greet(name, path):
    with printing_to(path):
        print("hello", name)


def program(mp, scale):
    with Transcript() as transcript:
        process = mp.Process(target=greet, args=("Ada", transcript.path))
        process.start()
        process.join()
        return transcript.lines(), process.exitcode
