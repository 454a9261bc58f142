"""Builds the other side."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def built(example):
    """Return the path of an example program in Rust, which is built if it is not up to date."""
    if shutil.which("cargo") is None:
        pytest.skip("the programs in Rust cannot be built: there is no cargo")
    command = [
        "cargo",
        "build",
        "--quiet",
        "--message-format=json",
        "-p",
        "phalanx-examples",
        "--example",
        example,
    ]
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    import json

    messages = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    (executable,) = [
        m["executable"]
        for m in messages
        if m.get("target", {}).get("name") == example and m.get("executable")
    ]
    return executable


@pytest.fixture(scope="session")
def peer():
    return built("interop_peer")
