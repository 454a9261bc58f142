"""Ten processes print their number, in whatever order they get to it."""

from programs.transcript import Transcript, printing_to

TITLE = "printing without a lock"


def say(number, path):
    with printing_to(path):
        print(number)


def program(mp, scale):
    with Transcript() as transcript:
        processes = [mp.Process(target=say, args=(number, transcript.path)) for number in range(10)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return sorted(transcript.lines())
