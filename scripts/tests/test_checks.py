"""The checks find what they are there to find, and let pass what is in order."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent


def load(name: str):
    """One of the scripts as a module; most have no `.py` to their names."""
    path = SCRIPTS / name
    if not path.exists():
        path = path.with_suffix(".py")
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.path.insert(0, str(SCRIPTS))
    # A byte-code file for a script without `.py` would lie beside it.
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="module")
def layers():
    return load("check-layers")


def crate(name: str, *dependencies: str, kind: str | None = None) -> dict:
    return {"name": name, "dependencies": [{"name": d, "kind": kind} for d in dependencies]}


@pytest.mark.parametrize(
    "package",
    [
        crate("phalanx-os", "rustix", "libc"),
        crate("phalanx", "phalanx-os", "phalanx-shm", "phalanx-macros"),
        crate("phalanx-macros", "phalanx", kind="dev"),
        crate("phalanx-python", "phalanx", "pyo3"),
    ],
    ids=lambda package: package["name"],
)
def test_downward_dependencies_pass(layers, package):
    assert layers.edges({"packages": [package]}) == []


@pytest.mark.parametrize(
    "package",
    [
        crate("phalanx-os", "phalanx-shm"),
        crate("phalanx-shm", "phalanx", kind="dev"),
        crate("phalanx-macros", "phalanx"),
        crate("phalanx", "phalanx-python"),
        crate("phalanx-shm", "pyo3"),
        crate("phalanx-new"),
    ],
    ids=lambda package: package["name"],
)
def test_other_dependencies_are_refused(layers, package):
    assert layers.edges({"packages": [package]})


def test_unsafe_is_found_in_code_only(layers):
    source = r"""
// unsafe in a comment
/* unsafe /* nested */ unsafe */
const TEXT: &str = "unsafe \" unsafe";
const RAW: &str = r#"unsafe " unsafe"#;
const QUOTE: char = '"';
fn lifetime<'a>(x: &'a u8) -> &'a u8 { x }
#![deny(unsafe_code)]
unsafe { now() }
"""
    assert layers.unsafe_lines(source) == [9]


def test_only_cloudpickle_may_be_needed_at_run_time(layers):
    assert layers.run_time_packages('dependencies = ["cloudpickle>=3.0"]\n') == []
    assert layers.run_time_packages('dependencies = [\n  "cloudpickle",\n  "numpy>=2",\n]\n')


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0", False),
        ("", False),
        (None, False),
    ],
)
def test_licence_expressions(expression, answer):
    assert load("check-licences").permissive(expression) is answer


def test_lines_of_a_rust_file_are_told_apart():
    source = """//! A module.

fn program() {
    // a comment
    work();
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_works() {}
}
"""
    assert load("count-lines").rust_lines(source) == (3, 5)


def test_docstrings_are_not_counted_as_python_lines():
    source = (
        '"""A module."""\n\nx = """two\nlines"""\n\n\ndef f():\n    """Nothing."""\n    return 1  # one\n'
    )
    assert load("count-lines").python_lines(source) == 4


GOOD_WHEEL = [
    "phalanx/__init__.py",
    "phalanx/py.typed",
    "phalanx/_core.pyi",
    "phalanx/_core.cpython-311-x86_64-linux-gnu.so",
    "phalanx-0.1.0.data/scripts/phalanx",
    "phalanx-0.1.0.dist-info/METADATA",
    "phalanx-0.1.0.dist-info/licenses/LICENSE-MIT",
    "phalanx-0.1.0.dist-info/licenses/LICENSE-APACHE",
]
NAME = "phalanx-0.1.0-cp311-cp311-linux_x86_64.whl"
METADATA = "Name: phalanx\nRequires-Dist: cloudpickle>=3.0\nRequires-Dist: numpy ; extra == 'numpy'\n"


def test_a_good_wheel_passes():
    assert load("wheel_contents").complaints(NAME, GOOD_WHEEL, METADATA, "cp311") == []


@pytest.mark.parametrize(
    ("name", "entries", "metadata"),
    [
        (NAME, GOOD_WHEEL[1:], METADATA),
        (NAME, [name for name in GOOD_WHEEL if "/scripts/" not in name], METADATA),
        (NAME, [*GOOD_WHEEL, "phalanx-0.1.0.data/scripts/other"], METADATA),
        (NAME, [*GOOD_WHEEL, "phalanx/_core.cpython-312-x86_64-linux-gnu.so"], METADATA),
        (NAME, [*GOOD_WHEEL, "tests/unit/test_pool.py"], METADATA),
        ("phalanx-0.1.0-cp310-abi3-linux_x86_64.whl", GOOD_WHEEL, METADATA),
        (NAME, GOOD_WHEEL, METADATA + "Requires-Dist: numpy\n"),
    ],
    ids=[
        "a file is missing",
        "no command",
        "another command",
        "two extensions",
        "a stray test",
        "abi3",
        "another requirement",
    ],
)
def test_a_bad_wheel_is_refused(name, entries, metadata):
    assert load("wheel_contents").complaints(name, entries, metadata, "cp311")
