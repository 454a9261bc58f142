//! When a run ends before its jobs do.

use std::fmt;
use std::str::FromStr;

/// What failed jobs do to the rest of a run. A job counts as failed once it will not be run again.
///
/// As text: `never`, `soon`, `now`, and with a limit `soon,fail=3` or `now,fail=20%`.
///
/// ```
/// use phalanx::jobs::{Halt, Limit};
///
/// assert_eq!("now,fail=20%".parse(), Ok(Halt::Now(Limit::Percent(20))));
/// assert_eq!("soon".parse(), Ok(Halt::Soon(Limit::Count(1))));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halt {
    /// Nothing: all jobs are run.
    #[default]
    Never,
    /// At the limit no more jobs are started; those that run are waited for.
    Soon(Limit),
    /// At the limit those that run are ended too.
    Now(Limit),
}

/// How many failed jobs are too many.
///
/// ```
/// use phalanx::jobs::{Ending, Halt, Job, Limit, Runner};
///
/// let jobs = ["false", "false", "true", "true"].map(Job::new);
/// let outcomes = Runner::new().limit(1).halt(Halt::Soon(Limit::Percent(50))).run(jobs)?;
/// assert!(matches!(outcomes[3].ending, Ending::NotRun));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many of them.
    Count(u64),
    /// So many of a hundred jobs of the run; as long as that has no known number of jobs, of those known.
    Percent(u8),
}

impl Limit {
    pub(super) fn is_reached(self, failed: u64, jobs: u64) -> bool {
        match self {
            Self::Count(count) => failed >= count.max(1),
            Self::Percent(percent) => {
                failed > 0 && u128::from(failed) * 100 >= u128::from(jobs) * u128::from(percent)
            }
        }
    }
}

/// A text that names no [`Halt`].
///
/// ```
/// let error = "later".parse::<phalanx::jobs::Halt>().unwrap_err();
/// assert!(error.to_string().contains("'later'"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseHaltError(String);

impl fmt::Display for ParseHaltError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = "never, soon, now, soon,fail=3 or now,fail=20%";
        write!(f, "cannot halt at '{}': give {forms}", self.0)
    }
}

impl std::error::Error for ParseHaltError {}

impl FromStr for Halt {
    type Err = ParseHaltError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseHaltError(text.to_owned());
        let (when, limit) =
            text.split_once(',').map_or((text, None), |(when, limit)| (when, Some(limit)));
        let limit = match limit {
            None => Limit::Count(1),
            Some(limit) => {
                let number = limit.strip_prefix("fail=").ok_or_else(refused)?;
                match number.strip_suffix('%') {
                    Some(percent) => Limit::Percent(
                        percent
                            .parse()
                            .ok()
                            .filter(|n| (1..=100).contains(n))
                            .ok_or_else(refused)?,
                    ),
                    None => {
                        Limit::Count(number.parse().ok().filter(|&n| n > 0).ok_or_else(refused)?)
                    }
                }
            }
        };
        match when {
            "never" if limit == Limit::Count(1) => Ok(Self::Never),
            "soon" => Ok(Self::Soon(limit)),
            "now" => Ok(Self::Now(limit)),
            _ => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_one_of_all_jobs() {
        let limit = Limit::Percent(20);
        assert!(!limit.is_reached(0, 0));
        assert!(!limit.is_reached(1, 6));
        assert!(limit.is_reached(1, 5));
        assert!(limit.is_reached(2, 6));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_rules() {
        for text in
            ["", "later", "now,", "now,fail=0", "soon,fail=101%", "never,fail=2", "now,done=1"]
        {
            let error = text.parse::<Halt>().unwrap_err().to_string();
            assert!(error.contains("now,fail=20%"), "{error}");
        }
    }
}
