"""Tests of the harness itself; none of them asserts a time."""
