//! Process parallelism that is fast and never hangs: the engine.
