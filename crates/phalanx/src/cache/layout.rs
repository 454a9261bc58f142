//! Which file is what: the folder of a cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::digest::{Digest, Digester};
use super::error::CacheError;

/// What phalanx has in the folder that the user named; whatever else is there is left alone.
const FOLDER: &str = "phalanx";

/// Says which version of the layout it is.
const FORMAT: &str = ".format";
const FORMAT_TEXT: &str = "phalanx cache 1\n";

/// Keeps version control away.
const IGNORE_TEXT: &str = "# Created by phalanx automatically.\n*\n";

/// Longer parts of a shelf's name are cut, and told apart by a digest.
const LONGEST_PART: usize = 150;

/// The files of a cache.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folder if there is none.
    pub(super) fn make(location: &Path) -> Result<Self, CacheError> {
        // Absolute, so that a later change of the working directory does not matter.
        let root = std::path::absolute(location)
            .map_err(CacheError::io("cannot find", location))?
            .join(FOLDER);
        let layout = Self { root };
        layout.prepare()?;
        Ok(layout)
    }

    /// Makes the folder again if somebody has removed it.
    pub(super) fn prepare(&self) -> Result<(), CacheError> {
        let path = self.root.join(FORMAT);
        match fs::read_to_string(&path) {
            Ok(found) if found == FORMAT_TEXT => return Ok(()),
            // Another process is just making it, or the disk was full when it did.
            Ok(found) if FORMAT_TEXT.starts_with(&found) => {}
            Ok(found) => return Err(CacheError::Version { path, found }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(CacheError::io("cannot read", &path)(e)),
        }
        make_folder(&self.root)?;
        // Nobody wants results among the sources of a program. That it cannot be written is no harm.
        let _ = fs::write(self.root.join(".gitignore"), IGNORE_TEXT);
        fs::write(&path, FORMAT_TEXT).map_err(CacheError::writing(&path, FORMAT_TEXT.len() as u64))
    }

    /// The folder of the cache inside the one that the user named.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the entries of one shelf.
    pub(super) fn shelf(&self, name: &str) -> PathBuf {
        name.split('/').fold(self.root.clone(), |path, part| path.join(safe(part)))
    }

    /// The file of one entry.
    pub(super) fn entry(&self, shelf: &str, key: Digest) -> PathBuf {
        self.shelf(shelf).join(key.to_string())
    }

    /// The folder of what is being made.
    pub(super) fn work(&self) -> PathBuf {
        self.root.join(".work")
    }

    /// The file that is locked by who computes the value of a key.
    pub(super) fn lock(&self, shelf: &str, key: Digest) -> PathBuf {
        let mut name = Digester::new();
        name.update(key.as_bytes()).update(shelf.as_bytes());
        self.work().join(format!("{}.lock", name.finish()))
    }

    /// The file that says how many bytes all entries have.
    pub(super) fn usage(&self) -> PathBuf {
        self.root.join(".usage")
    }
}

/// What a process that has the lock writes, until it is whole.
pub(super) fn part_of(lock: &Path) -> PathBuf {
    lock.with_extension("part")
}

pub(super) fn make_folder(path: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(path).map_err(CacheError::writing(path, 0))
}

/// A part of a shelf's name as the name of a folder: no hidden file, nothing that leads elsewhere, and not
/// longer than file systems allow.
fn safe(part: &str) -> String {
    let mut name: String = part.chars().map(|c| if c == '\0' { '_' } else { c }).collect();
    if name.is_empty() || name.starts_with('.') || Digest::parse(&name).is_some() {
        name.insert(0, '_');
    }
    if name.len() > LONGEST_PART {
        let end = (0..=LONGEST_PART).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
        let digest = Digest::of(name.as_bytes()).to_string();
        name = format!("{}-{}", &name[..end], &digest[..16]);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_is_always_inside_of_the_cache() {
        let layout = Layout { root: "/cache".into() };
        let path = |name: &str| layout.shelf(name).to_string_lossy().into_owned();
        assert_eq!(path("shapes/area"), "/cache/shapes/area");
        assert_eq!(path("../../etc"), "/cache/_../_../etc");
        assert_eq!(path("/etc"), "/cache/_/etc");
        assert_eq!(path("a\0b"), "/cache/a_b");
        assert_eq!(path(".work"), "/cache/_.work");
    }

    #[test]
    fn long_names_stay_apart() {
        let layout = Layout { root: "/cache".into() };
        let (one, other) = ("é".repeat(300) + "1", "é".repeat(300) + "2");
        assert_ne!(layout.shelf(&one), layout.shelf(&other));
        assert!(layout.shelf(&one).as_os_str().len() < 200);
    }
}
