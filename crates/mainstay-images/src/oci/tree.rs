//! A directory as a layer: the same tree gives the same archive, wherever and whenever it is read.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::error::{Error, ErrorKind, Result};

/// The bits of a mode that an archive carries.
const MODE: u32 = 0o7777;

/// Writes all below a directory as a tar archive, sorted by name: all belongs to root and is of one time, in whole seconds
/// since 1970. A file that has several names in the directory is one file in the layer too. A name that begins with `.wh.`
/// means in a layer what it means in every layer: that something below is gone.
pub(crate) fn write(directory: &Path, time: u64, out: &mut dyn Write) -> Result<()> {
    let metadata = fs::symlink_metadata(directory).map_err(|error| failed(directory, error))?;
    if !metadata.is_dir() {
        let text = format!("{} is no directory; name one, or an archive", directory.display());
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let mut builder = Builder::new(out);
    let mut walk = Walk { top: directory, time, links: HashMap::new() };
    let mut open = walk.children(Path::new(""))?;
    while let Some(path) = open.pop() {
        if walk.entry(&path, &mut builder)? {
            open.extend(walk.children(&path)?);
        }
    }
    builder.finish().map_err(|error| Error::io("writing a layer", error))
}

struct Walk<'a> {
    top: &'a Path,
    time: u64,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Walk<'_> {
    /// What is in a directory, the first name last.
    fn children(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        let at = self.top.join(directory);
        let mut names = fs::read_dir(&at)
            .and_then(|entries| {
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
            })
            .map_err(|error| failed(&at, error))?;
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names.into_iter().map(|name| directory.join(name)).collect())
    }

    /// Writes one entry; says whether it is a directory.
    fn entry(&mut self, path: &Path, builder: &mut Builder<&mut dyn Write>) -> Result<bool> {
        let at = self.top.join(path);
        let metadata = fs::symlink_metadata(&at).map_err(|error| failed(&at, error))?;
        let kind = metadata.file_type();
        let mut header = self.header(&metadata);
        let written = if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            let mut name = path.as_os_str().to_owned();
            name.push("/");
            builder.append_data(&mut header, PathBuf::from(name), io::empty())
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = fs::read_link(&at).map_err(|error| failed(&at, error))?;
            builder.append_link(&mut header, path, target)
        } else if kind.is_file() {
            if let Some(first) = self.first(path, &metadata) {
                header.set_entry_type(EntryType::Link);
                builder.append_link(&mut header, path, first)
            } else {
                let file = File::open(&at).map_err(|error| failed(&at, error))?;
                header.set_size(metadata.len());
                builder.append_data(&mut header, path, Exact { file, left: metadata.len() })
            }
        } else {
            let text = format!(
                "{} is a device, a pipe or a socket, which no layer may have; remove it",
                at.display()
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        written.map_err(|error| failed(&at, error))?;
        Ok(kind.is_dir())
    }

    fn header(&self, metadata: &Metadata) -> Header {
        let mut header = Header::new_gnu();
        header.set_mode(metadata.mode() & MODE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(0);
        header
    }

    /// The first name of a file that was met under another.
    fn first(&mut self, path: &Path, metadata: &Metadata) -> Option<PathBuf> {
        if metadata.nlink() < 2 {
            return None;
        }
        let number = (metadata.dev(), metadata.ino());
        let first = self.links.get(&number).cloned();
        if first.is_none() {
            self.links.insert(number, path.to_owned());
        }
        first
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::io(path.display(), error)
}

/// A file that is as long as it was when it was looked at: its length stands in the archive before it.
struct Exact {
    file: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if read == 0 && most > 0 {
            return Err(io::Error::other(
                "the file became shorter while it was read; commit a tree that is at rest",
            ));
        }
        self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn sample(at: &Path) {
        for directory in ["etc/b", "etc/a"] {
            fs::create_dir_all(at.join(directory)).unwrap();
        }
        fs::write(at.join("etc/one"), "content").unwrap();
        fs::hard_link(at.join("etc/one"), at.join("etc/two")).unwrap();
        symlink("one", at.join("etc/three")).unwrap();
        fs::write(at.join("run"), "#!").unwrap();
        fs::set_permissions(at.join("run"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::write(at.join("x".repeat(200)), "").unwrap();
    }

    fn written(at: &Path) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        write(at, 7, &mut out).map(|()| out)
    }

    #[test]
    fn the_same_tree_gives_the_same_archive() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sample(one.path());
        sample(other.path());
        let octets = written(one.path()).unwrap();
        assert_eq!(octets, written(other.path()).unwrap());
        let mut archive = tar::Archive::new(&octets[..]);
        let told: Vec<(String, u32, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                let link = entry.link_name().unwrap().map(|to| format!(" > {}", to.display()));
                let text = format!("{}{}", entry.path().unwrap().display(), link.unwrap_or_default());
                (text, header.mode().unwrap(), header.mtime().unwrap())
            })
            .collect();
        let names: Vec<&str> = told.iter().map(|(name, ..)| name.as_str()).collect();
        let long = "x".repeat(200);
        let expected = [
            "etc/",
            "etc/a/",
            "etc/b/",
            "etc/one",
            "etc/three > one",
            "etc/two > etc/one",
            "run",
            long.as_str(),
        ];
        assert_eq!(names, expected);
        assert!(told.iter().all(|(.., time)| *time == 7));
        assert_eq!(told[6].1, 0o4755);
    }

    #[test]
    fn what_no_layer_may_have_is_named() {
        let at = tempfile::tempdir().unwrap();
        let _listening = std::os::unix::net::UnixListener::bind(at.path().join("socket")).unwrap();
        let error = written(at.path()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        assert!(error.to_string().contains("socket"), "{error}");
        let absent = written(&at.path().join("absent")).unwrap_err();
        assert_eq!(absent.kind(), &ErrorKind::Io(io::ErrorKind::NotFound));
        fs::write(at.path().join("file"), "").unwrap();
        assert_eq!(written(&at.path().join("file")).unwrap_err().kind(), &ErrorKind::Invalid);
    }

    #[test]
    fn a_file_that_shrinks_ends_the_archive() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("file");
        fs::write(&path, "short").unwrap();
        let mut longer = Exact { file: File::open(&path).unwrap(), left: 6 };
        assert!(io::copy(&mut longer, &mut io::sink()).is_err());
        let mut as_was = Exact { file: File::open(&path).unwrap(), left: 3 };
        assert_eq!(io::copy(&mut as_was, &mut io::sink()).unwrap(), 3);
    }
}
