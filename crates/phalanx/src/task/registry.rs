//! The list of all tasks of a program.
//!
//! The linker makes it: each task contributes one entry. An entry that nothing refers to may be dropped
//! by a linker that collects garbage, but a handle refers to its own entry, and every process of a
//! family runs the same program: whatever one of them can name, the others have.
//!
//! An entry's number is a hash of where its function stands in the source, so it is the same in all
//! processes of a program, and a wrong guess in any other.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use super::run::{Out, Outcome};

/// All tasks of the program, in the linker's order.
#[linkme::distributed_slice]
pub static TASKS: [Registered];

/// A task's entry: made by [`#[phalanx::task]`](macro@crate::task).
#[derive(Debug)]
pub struct Registered {
    name: &'static str,
    id: u64,
    run: fn(&[u8], &mut Out) -> Outcome,
}

impl Registered {
    /// The entry of the function `name`, whose arguments and result are written as `signature`, and
    /// which stands at `place`: a file, a line and a column.
    #[must_use]
    pub const fn new(
        name: &'static str,
        signature: &str,
        place: (&str, u32, u32),
        run: fn(&[u8], &mut Out) -> Outcome,
    ) -> Self {
        let mut id = hash(FIRST, name.as_bytes());
        id = hash(id, signature.as_bytes());
        id = hash(id, place.0.as_bytes());
        id = hash(id, &place.1.to_le_bytes());
        id = hash(id, &place.2.to_le_bytes());
        Self { name, id, run }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Decodes the argument, calls the function, and appends the encoded result.
    pub(crate) fn run(&self, argument: &[u8], out: &mut Out) -> Outcome {
        (self.run)(argument, out)
    }

    /// Whether other processes find this very entry by its number.
    ///
    /// # Errors
    /// [`Unknown`] when they would find none, or that of another function.
    pub(crate) fn check(&'static self) -> Result<(), Unknown> {
        match find(self.id) {
            Ok(found) if std::ptr::eq(found, self) => Ok(()),
            _ => Err(Unknown::Ambiguous(self.name)),
        }
    }
}

const FIRST: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: of so few short texts good enough, and it can be computed by the compiler. A collision is
/// found before a task is sent.
const fn hash(mut state: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        state = (state ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    (state ^ 0xff).wrapping_mul(0x0100_0000_01b3)
}

/// The entry with that number.
///
/// # Errors
/// [`Unknown`] when there is none.
pub(crate) fn find(id: u64) -> Result<&'static Registered, Unknown> {
    static BY_ID: OnceLock<HashMap<u64, &'static Registered>> = OnceLock::new();
    let by_id = BY_ID.get_or_init(|| TASKS.iter().map(|task| (task.id, task)).collect());
    by_id.get(&id).copied().ok_or(Unknown::Number(id))
}

/// A task cannot be told from others, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Number(u64),
    Ambiguous(&'static str),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => write!(
                f,
                "this program has no task with the number {id:#x}: it is not the program that sent it"
            ),
            Self::Ambiguous(name) => write!(
                f,
                "the task {name} cannot be told from another one of the program: give it another name"
            ),
        }
    }
}

impl std::error::Error for Unknown {}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &[u8], _: &mut Out) -> Outcome {
        Outcome::Value
    }

    #[test]
    fn each_difference_makes_another_number() {
        let ids = [
            Registered::new("a::f", "(u8) -> u8", ("a.rs", 1, 1), nothing),
            Registered::new("a::g", "(u8) -> u8", ("a.rs", 1, 1), nothing),
            Registered::new("a::f", "(u8) -> u9", ("a.rs", 1, 1), nothing),
            Registered::new("a::f", "(u8) -> u8", ("b.rs", 1, 1), nothing),
            Registered::new("a::f", "(u8) -> u8", ("a.rs", 2, 1), nothing),
            Registered::new("a::f", "(u8) -> u8", ("a.rs", 1, 2), nothing),
            Registered::new("a::f(", "u8) -> u8", ("a.rs", 1, 2), nothing),
        ]
        .map(|task| task.id);
        let different: std::collections::HashSet<u64> = ids.into_iter().collect();
        assert_eq!(different.len(), ids.len());
    }

    #[test]
    fn what_is_not_in_the_list_is_refused() {
        static LONELY: Registered = Registered::new("lonely", "()", ("", 0, 0), nothing);
        assert_eq!(LONELY.check(), Err(Unknown::Ambiguous("lonely")));
        assert_eq!(find(LONELY.id()).err(), Some(Unknown::Number(LONELY.id())));
    }
}
