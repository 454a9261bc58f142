"""Five tasks of different length on two workers: which starts when depends on which ends first."""

import time

from programs.transcript import Transcript, printing_to

TITLE = "tasks of uneven length"

PARCELS = (("Maria", 5), ("Emmy", 2), ("Sofia", 1), ("Hedy", 3), ("Rosa", 7))


def carry(parcel):
    name, steps, seconds, path = parcel
    with printing_to(path):
        print(f"{name} sets out for {steps} steps", flush=True)
        time.sleep(steps * seconds)
        print(f"{name} has arrived", flush=True)
    return name


def program(mp, scale):
    with Transcript() as transcript:
        parcels = [(name, steps, 0.03 * scale, transcript.path) for name, steps in PARCELS]
        pool = mp.Pool(2)
        names = pool.map(carry, parcels)
        pool.terminate()
        pool.join()
        return names, sorted(transcript.lines())
