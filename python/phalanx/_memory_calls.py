"""Names, parameters and texts of the calls that `phalanx.memory` remembers."""

import inspect
import os
import pprint
import reprlib
import warnings

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 500
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 20


def name_of(func):
    """Return the names of the modules and classes around a function, and its own."""
    module = getattr(func, "__module__", None)
    if module is None:
        module = getattr(type(func), "__module__", "") if not hasattr(func, "__module__") else ""
    if module in ("__main__", "__mp_main__"):
        module = _main_name(func)
    modules = module.split(".") if module else []
    name = getattr(func, "__name__", None) or type(func).__name__
    qualified = getattr(func, "__qualname__", name)
    if qualified != name:
        modules += qualified.split(".")[:-1]
    return modules, name


def _main_name(func):
    """Return a name for the main program that does not depend on where it lies."""
    code = getattr(inspect.unwrap(func), "__code__", None)
    path = code.co_filename if code else ""
    file = os.path.basename(path)
    # A cell of a notebook or the console has a name of its own each time.
    if not file.endswith(".py") or f"{os.sep}ipykernel_" in path:
        return "__main__"
    return f"__main__-{file[:-3].replace('.', '_')}"


def parameters_of(func, ignore):
    """Return rows about the parameters of a function, and the object that it is bound to.

    Without rows all arguments count, as they are written.
    """
    if isinstance(ignore, str):
        raise ValueError(f"ignore must be a list of names of parameters, not {ignore!r} ({type(ignore)})")
    if not inspect.ismethod(func) and not inspect.isfunction(func):
        if ignore:
            warnings.warn(f"Cannot inspect object {func}, ignore list will not work.", stacklevel=5)
        return None, None
    bound, rows, known = None, [], set()
    signature = inspect.signature(func)
    if inspect.ismethod(func):
        bound = func.__self__
        first = next(iter(inspect.signature(func.__func__).parameters))
        known.add(first)
        rows.append((first, 0, False, None, first not in ignore))
    for parameter in signature.parameters.values():
        has_default = parameter.default is not parameter.empty
        label = _label(parameter)
        known.add(label)
        default = parameter.default if has_default else None
        rows.append((parameter.name, int(parameter.kind), has_default, default, label not in ignore))
    for item in ignore:
        if item not in known:
            name = name_of(func)[1]
            raise ValueError(f"Ignore list: argument '{item}' is not defined for function {name}{signature}")
    return rows, bound


def _label(parameter):
    return {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, parameter.name)


def label_of(func):
    """Return a function's name and signature."""
    try:
        return f"{name_of(func)[1]}{inspect.signature(func)}"
    except (TypeError, ValueError):
        return name_of(func)[1]


def describe(func, ignore, args, kwargs):
    """Return short texts for the arguments of a call, by the names of the parameters."""
    try:
        call = inspect.signature(func).bind(*args, **kwargs)
        call.apply_defaults()
        named = {_label(call.signature.parameters[name]): v for name, v in call.arguments.items()}
    except (TypeError, ValueError):
        named = {"*": args, "**": kwargs}
    return {name: _short.repr(value) for name, value in named.items() if name not in ignore}


def format_call(func, args, kwargs):
    """Return a text that announces a call."""
    modules, name = name_of(func)
    path = ".".join([*(module for module in modules if module), name])
    return f"{80 * '_'}\n[Memory] Calling {path}...\n{signature_text(func, args, kwargs)}"


def signature_text(func, args, kwargs):
    """Return a call as one would write it."""
    parts, length = [], 0
    for arg in args:
        text = _argument(arg)
        parts.append(f"\n{text}" if length > 80 else text)
        length = len(text)
    parts += [f"{name}={_argument(value)}" for name, value in kwargs.items()]
    return f"{name_of(func)[1]}({', '.join(parts)})"


def _argument(value):
    text = pformat(value, indent=2)
    return text if len(text) <= 1500 else f"{text[:700]}..."


def pformat(obj, indent=0, depth=3):
    """Return a readable text for any object."""
    return pprint.pformat(obj, indent=indent or 1, depth=depth)


def format_time(seconds):
    """Return a duration in seconds and in minutes."""
    return f"{seconds:.1f}s, {seconds / 60.0:.1f}min"


def bytes_of(size):
    """Return a size, which may be written as in '10G', in bytes."""
    if not isinstance(size, str):
        return size
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    try:
        return int(units[size[-1:].upper()] * float(size[:-1]))
    except (KeyError, ValueError):
        raise ValueError(
            f"cannot read the size {size!r}: it should be written as in '10G', '500M' or '50K'"
        ) from None
