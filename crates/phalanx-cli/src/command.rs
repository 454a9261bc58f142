//! What a command line stands for: a script in Python, or a line for the shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use phalanx::jobs::{Job, quoted};

/// The job that one text stands for. A text that is the path of a `.py` file, or begins with the name of
/// one, is a script in Python, with its arguments; every other is a line for the shell.
///
/// ```
/// use std::path::Path;
/// use phalanx_cli::command::line;
///
/// let script = line("train.py --seed 3".as_ref(), Path::new("/usr/bin/python3"));
/// assert_eq!(script.to_string(), "train.py --seed 3");
/// ```
pub fn line(text: &OsStr, python: &Path) -> Job {
    let bytes = text.as_bytes();
    let has_blank = bytes.iter().any(u8::is_ascii_whitespace);
    if is_script(bytes) && (!has_blank || Path::new(text).is_file()) {
        return Job::new(python).arg(text).named(text);
    }
    let first = bytes.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let plain = first
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-./+,@%:".contains(byte) || *byte >= 0x80);
    if is_script(first) && plain {
        let mut line = quoted(python.as_os_str());
        line.push(" ");
        line.push(text);
        return Job::shell(line).named(text);
    }
    Job::shell(text)
}

/// The job that several words stand for: a program and its arguments, or a script in Python and its
/// arguments. No shell is involved.
pub fn words(words: &[OsString], python: &Path) -> Job {
    match words {
        [] => Job::new(""),
        [script, arguments @ ..] if is_script(script.as_bytes()) => {
            Job::new(python).arg(script).args(arguments).named(joined(words))
        }
        [program, arguments @ ..] => Job::new(program).args(arguments),
    }
}

fn is_script(word: &[u8]) -> bool {
    word.ends_with(b".py") && word.len() > 3
}

/// The words as a shell would have to be given them.
fn joined(words: &[OsString]) -> OsString {
    let quoted: Vec<_> = words.iter().map(|word| quoted(word).into_vec()).collect();
    OsString::from_vec(quoted.join(&b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_told_from_shell_lines() {
        let python = Path::new("/my python");
        let is = |text: &str| line(text.as_ref(), python);
        assert_eq!(is("a.py"), Job::new(python).arg("a.py").named("a.py"));
        assert_eq!(is("a.py x | y"), Job::shell("'/my python' a.py x | y").named("a.py x | y"));
        assert_eq!(is("echo a.py"), Job::shell("echo a.py"));
        assert_eq!(is(".py"), Job::shell(".py"));
        assert_eq!(is("$(x).py y"), Job::shell("$(x).py y"));
        let two = ["b.py".into(), "a b".into()];
        assert_eq!(words(&two, python), Job::new(python).args(["b.py", "a b"]).named("b.py 'a b'"));
    }
}
