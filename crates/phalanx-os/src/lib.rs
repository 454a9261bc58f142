//! Linux system calls behind safe types, for the phalanx engine.
//!
//! One module for each kind of kernel object. Nothing here allocates threads, logs or keeps
//! global state; each function names the system call it makes and returns `std::io::Error`
//! when the kernel refuses it. This is one of the three places of the project where `unsafe`
//! is allowed.

#![deny(unsafe_code)]

pub mod clock;
pub mod cpu;
pub mod death;
pub mod epoll;
pub mod eventfd;
pub mod file_lock;
pub mod fork;
pub mod futex;
pub mod inherit;
pub mod launch;
pub mod memory;
pub mod memory_use;
pub mod named;
pub mod net;
pub mod oom;
pub mod parcel;
pub mod per_process;
pub mod pidfd;
pub mod pipe;
pub mod poll;
pub mod proc;
pub mod random;
pub mod release;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod spawn;
pub mod stream;
pub mod surroundings;
pub mod temporary;
pub mod terminal;
pub mod wait;
