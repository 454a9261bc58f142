//! Attribute macros of phalanx: `#[phalanx::task]` and `#[phalanx::main]`.
