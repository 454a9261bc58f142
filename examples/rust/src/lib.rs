//! What the example programs have in common.
