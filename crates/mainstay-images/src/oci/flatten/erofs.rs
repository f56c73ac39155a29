//! `mkfs.erofs`, which is called with everything fixed that would differ from run to run.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::disk::Ownership;
use super::unpack::Attributes;
use crate::digest::Digest;
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::refusal::shown;

/// How much of what the program says is told on.
const TOLD: usize = 500;

/// Makes a file system of a directory.
pub(super) async fn make(
    program: &Path,
    tree: &Path,
    image: &Path,
    identity: Digest,
    ownership: Ownership,
    attributes: Attributes,
) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["--quiet", "-T0", "-U"]).arg(uuid(identity));
    if ownership == Ownership::Root {
        command.arg("--all-root");
    }
    if attributes == Attributes::None {
        // Labels that this machine gives to all files, and that nobody may take away, are not the image's.
        command.arg("-x-1");
    }
    command.arg(image).arg(tree);
    command.env("LC_ALL", "C").env_remove("SOURCE_DATE_EPOCH");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(
            ErrorKind::MissingTool,
            format!("{} is not installed; install erofs-utils", program.display()),
        ),
        _ => Error::io(program.display(), error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(TOLD).collect();
    let text = format!("{} failed ({}): {}", program.display(), output.status, shown(&said));
    Err(Error::new(ErrorKind::Tool, text))
}

/// A UUID of version 8, from what the layers are.
fn uuid(identity: Digest) -> String {
    let mut hex: Vec<char> = identity.to_string().chars().take(32).collect();
    if let Some(version) = hex.get_mut(12) {
        *version = '8';
    }
    if let Some(variant) = hex.get_mut(16) {
        *variant = 'a';
    }
    for at in [20, 16, 12, 8] {
        hex.insert(at, '-');
    }
    hex.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_one_of_the_layers_own() {
        let found = uuid(Digest::of(b""));
        assert_eq!(found, "e3b0c442-98fc-8c14-aafb-f4c8996fb924");
        assert_ne!(found, uuid(Digest::of(b"x")));
    }
}
