"""Builds the wheel: maturin's build backend, which is given the command `phalanx` to put into it.

maturin makes a wheel of one crate's library. The command is a program of another crate: it is built first,
and maturin puts what lies in the folder `target/wheel` (`data` in pyproject.toml) where programs belong.

Run as a program it only builds the command, for those who call maturin themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "wheel" / "scripts" / "phalanx"


def build_command() -> None:
    """Build the command `phalanx` and put it where maturin looks for it."""
    cargo = [
        "cargo",
        "build",
        "--release",
        "--package",
        "phalanx-cli",
        "--message-format",
        "json-render-diagnostics",
    ]
    answer = subprocess.run(cargo, cwd=ROOT, stdout=subprocess.PIPE)
    if answer.returncode != 0:
        sys.exit("error: the command `phalanx` could not be built (cargo's message is above)")
    messages = [json.loads(line) for line in answer.stdout.splitlines()]
    [built] = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "phalanx"]
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    # In one step: another build may be reading it.
    new = PLACE.with_name(f"{PLACE.name}.{os.getpid()}")
    shutil.copy2(built, new)
    new.replace(PLACE)


def _maturin():
    import maturin

    return maturin


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    build_command()
    return _maturin().build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    build_command()
    return _maturin().build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    return _maturin().build_sdist(sdist_directory, config_settings)


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    return _maturin().prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def get_requires_for_build_wheel(config_settings=None):
    return _maturin().get_requires_for_build_wheel(config_settings)


def get_requires_for_build_editable(config_settings=None):
    return _maturin().get_requires_for_build_editable(config_settings)


def get_requires_for_build_sdist(config_settings=None):
    return _maturin().get_requires_for_build_sdist(config_settings)


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


if __name__ == "__main__":
    build_command()
