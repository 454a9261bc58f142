//! Commands in parallel: other people's programs and scripts, so many at a time.
//!
//! ```
//! use std::time::Duration;
//! use phalanx::jobs::{Ending, Job, Runner};
//!
//! let jobs = [Job::new("echo").arg("one"), Job::shell("echo two | tr a-z A-Z"), Job::shell("sleep 600")];
//! let outcomes = Runner::new().limit(3).timeout(Duration::from_millis(300)).run(jobs)?;
//! assert_eq!(outcomes[0].stdout.to_vec()?, b"one\n");
//! assert_eq!(outcomes[1].stdout.to_vec()?, b"TWO\n");
//! assert!(matches!(outcomes[2].ending, Ending::TimedOut(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One thread does all of it: it sleeps until a job writes, ends or has used up its time. A job costs
//! three descriptors while it runs and none afterwards; what it writes is kept in memory as long as that
//! is little, and in a file without a name otherwise.
//!
//! A job is its **process group**, which has the number of its first process. What of the group is left
//! when the first process has ended may finish writing for two seconds, and is killed then; a process
//! that is meant to live longer has to leave the group (`setsid`).
//!
//! | what happens | what becomes of the jobs |
//! |---|---|
//! | a job's time is over | its whole group gets `SIGTERM`, and `SIGKILL` after the grace time |
//! | the runner dies, however it does | the kernel kills the groups; there is no instant at which one escapes |
//! | the thread that runs them ends | likewise: it must not, before they have |
//! | a job is killed | its outcome names the signal; the others go on |
//! | the disk is full | jobs go on; [`Captured::lost`] says how much of an output is missing |

mod error;
mod feed;
mod halt;
mod job;
mod log;
mod outcome;
mod process;
mod run;
mod runner;
mod side;
mod spool;
mod surroundings;
mod watch;

pub use error::RunError;
pub use feed::{Feed, Next, from_iter};
pub use halt::{Halt, Limit, ParseHaltError};
pub use job::{Job, quoted};
pub use outcome::{Ending, Outcome};
pub use phalanx_os::wait::ExitStatus;
pub use runner::{Output, Runner};
pub use spool::Captured;
pub use watch::{Order, Stream, Watch};
