"""The example of a program in two languages."""

import pytest
from support import phalanx_only, run_script

from .conftest import ROOT, built

pytestmark = [phalanx_only, pytest.mark.watchdog(300)]


def test_words_are_counted_by_workers_in_rust(tmp_path):
    source = (ROOT / "examples" / "rust_and_python" / "parent.py").read_text()
    done = run_script(tmp_path, source, built("statistics_worker"))
    assert done.stdout.splitlines() == [
        "clock: 9 words, the longest is 'years'",
        "river: 7 words, the longest is 'bridge'",
        "snow: 8 words, the longest is 'street'",
        "all: 24 words, by length [0, 0, 2, 6, 8, 6, 2, 0]",
    ]
