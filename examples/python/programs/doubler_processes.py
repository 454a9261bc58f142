"""Five processes double a number each and say who they are; a sixth one has a name of its own."""

import importlib

from programs.transcript import Transcript, printing_to

TITLE = "doubling in named processes"


def double(library, number, path):
    mp = importlib.import_module(library)
    with printing_to(path):
        print(f"{number} doubled is {number * 2}, says {mp.current_process().name}")


def program(mp, scale):
    library = mp.__name__
    with Transcript() as transcript:
        processes = [
            mp.Process(target=double, args=(library, number, transcript.path)) for number in (5, 10, 15, 20)
        ]
        processes.append(mp.Process(target=double, name="Extra", args=(library, 2, transcript.path)))
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        lines = transcript.lines()
    # The numbers in the default names go on from program to program: replace each name by whose it is.
    for place, process in enumerate(processes):
        if process.name != "Extra":
            lines = [line.replace(f"says {process.name}", f"says process {place}") for line in lines]
    return sorted(lines)
