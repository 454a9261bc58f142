"""The harness: declares cases, isolates each measurement, pairs, summarises and reports."""
