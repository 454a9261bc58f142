# Sourced by the scripts beside it: where things are, how they speak, how they fail.
# shellcheck shell=sh

set -eu

ROOT=$(cd "$(dirname "$0")/.." && pwd -P)
PYTHON=${PYTHON:-python3}
MINIMUM_RUST=1.88

# Settings of the caller's shell that would let another installation leak into ours.
unset PYTHONHOME PYTHONPATH || true
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '==> %s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Sets PYTHON_ID (all that identifies the interpreter), PYTHON_KEY (such as 3.11 or 3.14t),
# CORE (the extension module it will load) and ENV_DIR (its environment).
# The probe also has to run on interpreters that are far too old, to be able to say so.
find_python() {
    have "$PYTHON" || fail "no Python found: '$PYTHON' is not a command" \
        "install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3.11 ..."
    probe=$("$PYTHON" -c '
import sys
import sysconfig
abi = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print("%d.%d%s" % (sys.version_info[0], sys.version_info[1], abi))
print(sys.version_info[:2] >= (3, 10) and sys.implementation.name == "cpython")
print(sysconfig.get_config_var("EXT_SUFFIX"))
print("%s %s" % (sys.version.split()[0], getattr(sys, "base_prefix", sys.prefix)))
') || fail "'$PYTHON' does not run (its message is above)"
    PYTHON_KEY=$(printf '%s\n' "$probe" | sed -n 1p)
    supported=$(printf '%s\n' "$probe" | sed -n 2p)
    [ "$supported" = True ] || fail "Python is too old: '$PYTHON' is $PYTHON_KEY" \
        "phalanx needs CPython 3.10 or newer; name one: make PYTHON=/path/to/python3.11 ..."
    CORE=$ROOT/python/phalanx/_core$(printf '%s\n' "$probe" | sed -n 3p)
    PYTHON_ID=$(printf '%s\n' "$probe" | sed -n 4p)
    ENV_DIR=$ROOT/.venv/$PYTHON_KEY
    ENV_PYTHON=$ENV_DIR/bin/python
}

# True if version $1 is at least version $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

find_rust() {
    have cargo || fail "no cargo found: the engine is written in Rust" \
        "install Rust $MINIMUM_RUST or newer, then run this again"
    rust=$(cargo --version | cut -d ' ' -f 2) || fail "cargo does not run (its message is above)"
    at_least "$rust" "$MINIMUM_RUST" || fail "Rust is too old: cargo is $rust" \
        "phalanx needs Rust $MINIMUM_RUST or newer"
    have cc || fail "no C linker found: 'cc' is not a command" \
        "install gcc or clang (Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc)"
}

# Sets UNSTABLE, the beginning of a command of cargo that takes unstable flags: a nightly toolchain's, or the
# stable one's, which is told to. HOST is the target it has to be given, so that build scripts get no such flags.
find_unstable_cargo() {
    find_rust
    UNSTABLE="env RUSTC_BOOTSTRAP=1 cargo"
    ! { have rustup && rustup run nightly cargo --version; } >/dev/null 2>&1 || UNSTABLE="cargo +nightly"
    HOST=$(rustc -vV | sed -n 's/^host: //p')
}

# Waits until no other script works on this interpreter's environment.
lock_env() {
    mkdir -p "$ROOT/.venv"
    exec 9>"$ROOT/.venv/$PYTHON_KEY.lock"
    have flock || return 0
    flock -n 9 || { say "waiting for another build for Python $PYTHON_KEY"; flock 9; }
}

digest() { sha256sum | cut -d ' ' -f 1; }
