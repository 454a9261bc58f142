"""Processes that print a name each, and what their representations say before, during and after the run."""

import re

from programs.transcript import Transcript, printing_to

TITLE = "states of Process objects"

PEOPLE = ("Grace", "Alan", "Edsger", "Barbara", "Tony", "Leslie")


def introduce(name, gate, path):
    gate.wait()
    with printing_to(path):
        print(f"my name is {name}")


def states(processes):
    """The representations, without the numbers that differ from run to run."""
    return [
        re.sub(r"\d+", "#", re.sub(r"exitcode=0", "exitcode=zero", repr(process))) for process in processes
    ]


def program(mp, scale):
    gate = mp.Event()
    with Transcript() as transcript:
        processes = [mp.Process(target=introduce, args=(name, gate, transcript.path)) for name in PEOPLE]
        before = states(processes)
        for process in processes:
            process.start()
        during = states(processes)
        gate.set()
        for process in processes:
            process.join()
        return before, during, states(processes), sorted(transcript.lines())
