//! What can go wrong with what a program was passed.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::plain::PlainError;
use crate::sync::CreateError;

/// Why an object that was passed cannot be had.
///
/// ```
/// use phalanx::program::InheritError;
///
/// # fn main() -> Result<(), phalanx::Error> {
/// # let Ok(inherited) = phalanx::inherited() else {
/// #     let ready = phalanx::sync::Event::new()?;
/// #     let mut program = phalanx::program::Program::new(std::env::current_exe()?);
/// #     program.pass("ready", &ready);
/// #     let status = program.start()?.wait(phalanx::Patience::forever())?;
/// #     assert_eq!(status, phalanx::process::ExitStatus::Code(0));
/// #     return Ok(());
/// # };
/// match phalanx::inherited()?.event("done") {
///     Ok(done) => done.set(),
///     Err(InheritError::Missing { name, there }) => println!("no {name} among {there:?}"),
///     Err(other) => return Err(other.into()),
/// }
/// # assert!(inherited.event("ready").is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum InheritError {
    /// This process was not started with anything passed to it.
    Nothing,
    /// Nothing of that name was passed.
    Missing {
        /// The name.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// What was passed under the name is something else.
    Kind {
        /// The name.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A plain value does not fit the type, or what was passed makes no sense.
    Plain(PlainError),
    /// The object cannot be had; why.
    Lost(String),
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str(
                "nothing was passed to this process: start it as a program of phalanx, with the \
                 objects that it is to share",
            ),
            Self::Missing { name, there } if there.is_empty() => {
                write!(f, "nothing named {name:?} was passed to this process, nor anything else")
            }
            Self::Missing { name, there } => {
                let there = there.join(", ");
                write!(f, "nothing named {name:?} was passed to this process; there is {there}")
            }
            Self::Kind { name, wanted, found } => {
                write!(f, "what was passed as {name:?} is {found}, not {wanted}")
            }
            Self::Plain(error) => write!(f, "cannot read what was passed to this process: {error}"),
            Self::Lost(why) => write!(f, "cannot open what was passed to this process: {why}"),
        }
    }
}

/// The same, for a `main` that returns it.
impl fmt::Debug for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for InheritError {}

impl From<PlainError> for InheritError {
    fn from(error: PlainError) -> Self {
        Self::Plain(error)
    }
}

impl From<CreateError> for InheritError {
    fn from(error: CreateError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<InheritError> for Error {
    fn from(error: InheritError) -> Self {
        let kind = match &error {
            InheritError::Plain(_) => ErrorKind::Decode,
            InheritError::Lost(_) => ErrorKind::NotHeld,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<PlainError> for Error {
    fn from(error: PlainError) -> Self {
        Self::new(ErrorKind::Decode, error.to_string())
    }
}
