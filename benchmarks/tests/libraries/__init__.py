"""Libraries that misbehave, one a module, for the tests of the harness."""
