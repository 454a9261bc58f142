"""The cases, one module a subject.

This file imports nothing: a spawned child imports the package to find its target, and what it
would import here would be paid for by the measured start-up.
"""
