//! A command with places for values: `{}`, `{1}`, `{#}`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use phalanx::jobs::{Job, quoted};

use crate::command;

/// A command line, or the words of a command, in which values are put: all of them for `{}`, the `n`th for
/// `{n}`, the number of the job for `{#}`. If it has no place for values, they are put at the end.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    words: Vec<OsString>,
    has_place: bool,
}

impl Template {
    pub(crate) fn new(words: Vec<OsString>) -> Self {
        let mut has_place = false;
        for word in &words {
            fill(word.as_bytes(), &mut |place| {
                has_place |= place != Place::Number;
                Some(Vec::new())
            });
        }
        Self { words, has_place }
    }

    /// The job for some values. One word is a line, in which values are quoted for the shell.
    pub(crate) fn job(&self, values: &[OsString], number: usize, python: &Path) -> Job {
        let is_line = self.words.len() == 1;
        let value = |value: &OsString| match is_line {
            true => quoted(value).into_vec(),
            false => value.as_bytes().to_vec(),
        };
        let all = || values.iter().map(value).collect::<Vec<_>>().join(&b' ');
        let mut put = |place| match place {
            Place::All => Some(all()),
            Place::One(n) => values.get(n - 1).map(value),
            Place::Number => Some(number.to_string().into_bytes()),
        };
        let mut words: Vec<_> =
            self.words.iter().map(|word| fill(word.as_bytes(), &mut put)).collect();
        if !self.has_place {
            match words.first_mut() {
                Some(line) if is_line => line.extend_from_slice(&[b" ", &all()[..]].concat()),
                _ => words.extend(values.iter().map(value)),
            }
        }
        let words: Vec<_> = words.into_iter().map(OsString::from_vec).collect();
        match &words[..] {
            [line] if is_line => command::line(line, python),
            _ => command::words(&words, python),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    All,
    One(usize),
    Number,
}

/// The text with its places filled; one that `put` has nothing for stays as it is.
fn fill(text: &[u8], put: &mut dyn FnMut(Place) -> Option<Vec<u8>>) -> Vec<u8> {
    let (mut filled, mut rest) = (Vec::new(), text);
    while let Some(open) = rest.iter().position(|&byte| byte == b'{') {
        let (before, from) = rest.split_at(open);
        filled.extend_from_slice(before);
        let close = from.iter().position(|&byte| byte == b'}');
        let place = close.and_then(|close| {
            let place = match &from[1..close] {
                b"" => Place::All,
                b"#" => Place::Number,
                digits => {
                    Place::One(std::str::from_utf8(digits).ok()?.parse().ok().filter(|&n| n > 0)?)
                }
            };
            Some((close, put(place)?))
        });
        match place {
            Some((close, value)) => {
                filled.extend_from_slice(&value);
                rest = &from[close + 1..];
            }
            None => {
                filled.push(b'{');
                rest = &from[1..];
            }
        }
    }
    filled.extend_from_slice(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(words: &[&str], values: &[&str]) -> String {
        let template = Template::new(words.iter().map(OsString::from).collect());
        let values: Vec<_> = values.iter().map(OsString::from).collect();
        template.job(&values, 7, Path::new("python3")).to_string()
    }

    #[test]
    fn values_go_to_their_places() {
        assert_eq!(made(&["gzip", "-k", "{}"], &["a b"]), "gzip -k 'a b'");
        assert_eq!(made(&["cp", "{2}", "{1}.{#}"], &["x", "y"]), "cp y x.7");
        assert_eq!(made(&["echo {} | wc -c"], &["it's"]), r"echo 'it'\''s' | wc -c");
        assert_eq!(made(&["echo {1} {3} {x} ${HOME} {"], &["a"]), "echo a {3} {x} ${HOME} {");
    }

    #[test]
    fn without_a_place_they_go_to_the_end() {
        assert_eq!(made(&["wc", "-l"], &["a", "b c"]), "wc -l a 'b c'");
        assert_eq!(made(&["wc -l"], &["b c"]), "wc -l 'b c'");
        assert_eq!(made(&["train.py", "--job={#}"], &["b c"]), "train.py --job=7 'b c'");
    }
}
