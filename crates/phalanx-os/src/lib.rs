//! Linux system calls behind safe types, for the phalanx engine.
