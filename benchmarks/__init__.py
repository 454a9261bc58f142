"""Benchmarks: phalanx and the standard library in turns, case by case (see docs/benchmarks.md)."""
