//! Files that programs make. What cannot be made whole is not left behind in pieces.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Removes a new file when it is dropped, unless it is [kept](Self::keep). A file that was there
/// before stays, and so does a device.
#[derive(Debug)]
pub(crate) struct Leftover(Option<PathBuf>);

impl Leftover {
    /// The file is whole.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It is gone already, or will not go.
            let _ = fs::remove_file(path);
        }
    }
}

/// Begins a file, before the work whose result it will hold.
pub(crate) fn create(path: &Path) -> anyhow::Result<(File, Leftover)> {
    let is_new = !path.exists();
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok((file, Leftover(is_new.then(|| path.to_owned()))))
}

/// That a file can be written, if it comes to that; what is in it stays.
pub(crate) fn must_be_writable(path: &Path) -> anyhow::Result<()> {
    let leftover = Leftover((!path.exists()).then(|| path.to_owned()));
    let opened = File::options().create(true).append(true).open(path);
    opened.with_context(|| format!("cannot create {}", path.display()))?;
    drop(leftover);
    Ok(())
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let (file, leftover) = create(path)?;
    finish(path, (file, leftover), text).map(Leftover::keep)
}

/// Writes all of a file that was begun. It is whole then, and kept if the caller keeps it.
pub(crate) fn finish(
    path: &Path,
    (mut file, leftover): (File, Leftover),
    text: &str,
) -> anyhow::Result<Leftover> {
    let written = file.write_all(text.as_bytes());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(leftover)
}
