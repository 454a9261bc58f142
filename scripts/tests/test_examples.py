"""The check of the examples finds the items that have none, and those only."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "doc_examples.py"
spec = importlib.util.spec_from_file_location("doc_examples", SCRIPT)
doc_examples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(doc_examples)

RUNS = "Does it.\n\n```\nassert!(true);\n```\n"


@pytest.mark.parametrize(
    ("docs", "has"),
    [
        (RUNS, True),
        ("```no_run\nmain();\n```", True),
        ("```rust,should_panic\nmain();\n```", True),
        ("```text\na picture\n```", False),
        ("```ignore\nmain();\n```", False),
        ("No program.", False),
        (None, False),
    ],
)
def test_what_an_example_is(docs, has):
    assert doc_examples.has_example(docs) is has


def item(name, kind, docs=None, visibility="public", **inner):
    span = {"filename": "lib.rs", "begin": [7, 1]}
    return {"name": name, "docs": docs, "visibility": visibility, "span": span, "inner": {kind: inner}}


def test_which_items_need_one():
    index = {
        "0": item("it", "module", items=[1, 2, 3, 9, 10]),
        "1": item("shown", "function", RUNS),
        "2": item("private", "function", visibility="crate"),
        "3": item("Thing", "struct", RUNS, impls=[4, 5]),
        "4": item(None, "impl", visibility="default", trait=None, items=[6]),
        "5": item(None, "impl", visibility="default", trait={"path": "Clone"}, items=[7]),
        "6": item("method", "function"),
        "7": item("clone", "function", visibility="default"),
        "8": item("required", "function", visibility="default"),
        "9": item("Does", "trait", RUNS, items=[8]),
        "10": item(None, "use", id=3),
        "11": item(None, "use", id=99),
        "12": item("Alias", "type_alias", RUNS, type={"resolved_path": {"id": 98}}),
    }
    index["0"]["inner"]["module"]["items"] += [11, 12]
    places = {"Shown": {"path": ["below", "Shown"]}, "Meant": {"path": ["below", "Meant"]}}
    paths = {"99": places["Shown"], "98": places["Meant"]}
    shown, meant = item("Shown", "enum", impls=[]), item("Meant", "struct", RUNS, impls=[])
    below = {"index": {"5": shown, "6": meant}, "paths": {"5": places["Shown"], "6": places["Meant"]}}
    crates = {"it": {"root": 0, "index": index, "paths": paths}, "below": below}
    lacking = doc_examples.without_example(doc_examples.all_items(crates))
    assert set(lacking) == {"it::Thing::method", "it::Does::required", "it::Shown"}
    assert set(lacking.values()) == {"lib.rs:7"}
