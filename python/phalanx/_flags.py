"""The flags of this interpreter, for another one that is started."""

import sys


def _args_from_interpreter_flags():
    """Return the options that give another interpreter this one's flags, warnings and `-X`."""
    flags = sys.flags
    args = []
    if flags.optimize > 0:
        args.append("-" + "O" * flags.optimize)
    letters = {
        "debug": "d",
        "dont_write_bytecode": "B",
        "no_site": "S",
        "verbose": "v",
        "bytes_warning": "b",
        "quiet": "q",
    }
    for name, letter in letters.items():
        value = getattr(flags, name)
        if value > 0:
            args.append("-" + letter * value)
    if flags.isolated:
        args.append("-I")
    else:
        if flags.ignore_environment:
            args.append("-E")
        if flags.no_user_site:
            args.append("-s")
        if getattr(flags, "safe_path", False):
            args.append("-P")
    warn = sys.warnoptions[:]
    implied = [("error::BytesWarning", flags.bytes_warning > 1)]
    implied.append(("default::BytesWarning", flags.bytes_warning == 1))
    implied.append(("default", flags.dev_mode))
    for option, is_implied in implied:
        if is_implied and option in warn:
            warn.remove(option)
    args += [f"-W{option}" for option in warn]
    if flags.dev_mode:
        args += ["-X", "dev"]
    given = sys._xoptions
    for option in (
        "faulthandler",
        "tracemalloc",
        "importtime",
        "frozen_modules",
        "showrefcount",
        "utf8",
        "gil",
    ):
        if option in given:
            value = given[option]
            args += ["-X", option if value is True else f"{option}={value}"]
    return args
