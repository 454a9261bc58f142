//! What a job is started with: its program's file and its environment.

use std::collections::HashMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Job;

/// The environment that all jobs of a run have in common, and the programs found by it.
#[derive(Debug)]
pub(super) struct Surroundings {
    variables: Vec<(OsString, OsString)>,
    packed: Vec<CString>,
    path: OsString,
    found: HashMap<OsString, CString>,
}

impl Surroundings {
    pub(super) fn new(variables: Option<&[(OsString, OsString)]>) -> Self {
        let variables = variables.map_or_else(|| std::env::vars_os().collect(), <[_]>::to_vec);
        let path = path_of(&variables);
        Self { packed: packed(&variables), variables, path, found: HashMap::new() }
    }

    /// The file to execute, and the environment if it is another than the common one.
    pub(super) fn prepare(&mut self, job: &Job) -> io::Result<(CString, Option<Vec<CString>>)> {
        if job.changes.is_empty() {
            return Ok((self.find(&job.program)?, None));
        }
        let mut variables = self.variables.clone();
        for (name, value) in &job.changes {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                let text = format!("cannot set a variable of the name '{}'", name.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            variables.retain(|(other, _)| other != name);
            variables.extend(value.clone().map(|value| (name.clone(), value)));
        }
        let path = path_of(&variables);
        let program =
            if path == self.path { self.find(&job.program)? } else { find(&job.program, &path)? };
        Ok((program, Some(packed(&variables))))
    }

    /// The environment of all jobs that ask for no other.
    pub(super) fn common(&self) -> &[CString] {
        &self.packed
    }

    fn find(&mut self, program: &OsStr) -> io::Result<CString> {
        if let Some(file) = self.found.get(program) {
            return Ok(file.clone());
        }
        let file = find(program, &self.path)?;
        self.found.insert(program.to_owned(), file.clone());
        Ok(file)
    }
}

fn path_of(variables: &[(OsString, OsString)]) -> OsString {
    let path = variables.iter().find(|(name, _)| name == "PATH");
    path.map_or_else(|| "/usr/local/bin:/usr/bin:/bin".into(), |(_, path)| path.clone())
}

fn packed(variables: &[(OsString, OsString)]) -> Vec<CString> {
    let one = |(name, value): &(OsString, OsString)| {
        let mut text = name.clone().into_vec();
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        // A variable with a zero byte can be nobody's.
        CString::new(text).ok()
    };
    variables.iter().filter_map(one).collect()
}

fn find(program: &OsStr, path: &OsStr) -> io::Result<CString> {
    if program.as_bytes().contains(&b'/') {
        return zeroless(program);
    }
    let is_program = |file: &PathBuf| {
        file.metadata().is_ok_and(|is| is.is_file() && is.permissions().mode() & 0o111 != 0)
    };
    let mut files = std::env::split_paths(path).map(|place| place.join(program));
    match files.find(is_program) {
        Some(file) if !program.is_empty() => zeroless(file.as_os_str()),
        _ => {
            let text = format!("cannot find '{}': no directory of PATH has it", program.display());
            Err(io::Error::new(io::ErrorKind::NotFound, text))
        }
    }
}

/// The text for the kernel.
pub(super) fn zeroless(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let text = format!("cannot run a command with a zero byte in '{}'", text.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}
