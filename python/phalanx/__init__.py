"""phalanx: process parallelism that is fast and never hangs."""
