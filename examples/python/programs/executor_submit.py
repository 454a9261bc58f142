"""Many short calls, submitted one by one and gathered as they are completed."""

from touring import rivals

TITLE = "executor: submit, as_completed"


def digits(number):
    return sum(map(int, str(number**7)))


def program(mp, scale):
    futures = rivals.futures(mp)
    with futures.ProcessPoolExecutor(max_workers=4) as executor:
        submitted = [executor.submit(digits, number) for number in range(int(4000 * scale))]
        return sum(future.result() for future in futures.as_completed(submitted))
