//! Crash-consistent shared-memory structures: arena, process table, ring, locks.
