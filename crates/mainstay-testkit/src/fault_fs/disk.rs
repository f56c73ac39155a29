//! Names and octets: as processes see them, and as they would be after a power loss.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

use super::not_found;

/// What a name stands for: the place of a file or of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(usize),
    Directory(usize),
}

/// A file's octets.
#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    /// What a power loss leaves for certain, when `is_loose`.
    pub(super) durable: Vec<u8>,
    pub(super) is_loose: bool,
    /// A sync has failed: what was written until then stays loose for ever.
    pub(super) is_poisoned: bool,
}

/// A directory's names.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) names: BTreeMap<String, Entry>,
    /// What each name stood for at any moment since the last sync, for the names that changed since; the first one is durable.
    pub(super) loose: BTreeMap<String, Vec<Option<Entry>>>,
}

impl Directory {
    fn set(&mut self, name: &str, entry: Option<Entry>) {
        let before = self.names.get(name).copied();
        let history = self.loose.entry(name.to_owned()).or_insert_with(|| vec![before]);
        history.push(entry);
        match entry {
            Some(entry) => self.names.insert(name.to_owned(), entry),
            None => self.names.remove(name),
        };
    }
}

/// Everything; the first directory is the root.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) inodes: Vec<Inode>,
    pub(super) directories: Vec<Directory>,
    pub(super) capacity: Option<u64>,
    pub(super) boot: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self { inodes: Vec::new(), directories: vec![Directory::default()], capacity: None, boot: 0 }
    }
}

impl Disk {
    pub(super) fn create(&mut self, path: &str) -> Result<usize> {
        let (directory, name) = self.parent(path)?;
        if self.directory(directory)?.names.contains_key(name) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("{path} is there")));
        }
        self.inodes.push(Inode { is_loose: true, ..Inode::default() });
        let inode = self.inodes.len() - 1;
        self.directory_mut(directory)?.set(name, Some(Entry::File(inode)));
        Ok(inode)
    }

    pub(super) fn write(&mut self, inode: usize, octets: &[u8]) -> Result<usize> {
        let free = self.capacity.map(|capacity| capacity.saturating_sub(self.used()));
        let room =
            free.map_or(octets.len(), |free| octets.len().min(usize::try_from(free).unwrap_or(usize::MAX)));
        if room == 0 && !octets.is_empty() {
            return Err(Error::new(ErrorKind::StorageFull, "no room is left"));
        }
        let inode = self.inode_mut(inode)?;
        inode.content.extend(octets.iter().take(room));
        inode.is_loose = true;
        Ok(room)
    }

    pub(super) fn sync(&mut self, inode: usize) -> Result<()> {
        let inode = self.inode_mut(inode)?;
        if !inode.is_poisoned {
            inode.durable.clone_from(&inode.content);
            inode.is_loose = false;
        }
        Ok(())
    }

    pub(super) fn poison(&mut self, inode: usize) {
        if let Some(inode) = self.inodes.get_mut(inode) {
            inode.is_poisoned = true;
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let inode = self.file(from)?;
        let (source, from_name) = self.parent(from)?;
        let (target, to_name) = self.parent(to)?;
        self.directory_mut(target)?.set(to_name, Some(Entry::File(inode)));
        self.directory_mut(source)?.set(from_name, None);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str) -> Result<()> {
        self.file(path)?;
        let (directory, name) = self.parent(path)?;
        self.directory_mut(directory)?.set(name, None);
        Ok(())
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>> {
        Ok(self.directory(self.walk(path)?)?.names.keys().cloned().collect())
    }

    pub(super) fn create_dir(&mut self, path: &str) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        match self.directory(parent)?.names.get(name) {
            Some(Entry::Directory(_)) => return Ok(()),
            Some(Entry::File(_)) => return Err(Error::new(ErrorKind::AlreadyExists, "a file is there")),
            None => {}
        }
        self.directories.push(Directory::default());
        let entry = Entry::Directory(self.directories.len() - 1);
        self.directory_mut(parent)?.set(name, Some(entry));
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &str) -> Result<()> {
        let directory = self.walk(path)?;
        self.directory_mut(directory)?.loose.clear();
        Ok(())
    }

    /// The file at a path.
    pub(super) fn file(&self, path: &str) -> Result<usize> {
        let (directory, name) = self.parent(path)?;
        match self.directory(directory)?.names.get(name) {
            Some(Entry::File(inode)) => Ok(*inode),
            Some(Entry::Directory(_)) => Err(Error::new(ErrorKind::IsADirectory, path.to_owned())),
            None => Err(not_found(path)),
        }
    }

    pub(super) fn size(&self, inode: usize) -> Result<u64> {
        let inode = self.inodes.get(inode).ok_or_else(|| not_found("the file"))?;
        u64::try_from(inode.content.len()).map_err(Error::other)
    }

    /// Every path that leads to a file.
    pub(super) fn files(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut open = vec![(String::new(), 0)];
        while let Some((prefix, directory)) = open.pop() {
            let names = self.directories.get(directory).into_iter().flat_map(|directory| &directory.names);
            for (name, entry) in names {
                match entry {
                    Entry::File(_) => paths.push(format!("{prefix}{name}")),
                    Entry::Directory(directory) => open.push((format!("{prefix}{name}/"), *directory)),
                }
            }
        }
        paths.sort_unstable();
        paths
    }

    pub(super) fn used(&self) -> u64 {
        let sizes = self.files().into_iter().filter_map(|path| self.size(self.file(&path).ok()?).ok());
        sizes.sum()
    }

    /// The directory of a path, and the path's last name.
    fn parent<'a>(&self, path: &'a str) -> Result<(usize, &'a str)> {
        match path.rsplit_once('/') {
            Some((directory, name)) => Ok((self.walk(directory)?, name)),
            None => Ok((0, path)),
        }
    }

    fn walk(&self, path: &str) -> Result<usize> {
        let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
        names.into_iter().try_fold(0, |directory, name| match self.directory(directory)?.names.get(name) {
            Some(Entry::Directory(next)) => Ok(*next),
            Some(Entry::File(_)) => Err(Error::new(ErrorKind::NotADirectory, path.to_owned())),
            None => Err(not_found(path)),
        })
    }

    fn directory(&self, directory: usize) -> Result<&Directory> {
        self.directories.get(directory).ok_or_else(|| not_found("the directory"))
    }

    fn directory_mut(&mut self, directory: usize) -> Result<&mut Directory> {
        self.directories.get_mut(directory).ok_or_else(|| not_found("the directory"))
    }

    fn inode_mut(&mut self, inode: usize) -> Result<&mut Inode> {
        self.inodes.get_mut(inode).ok_or_else(|| not_found("the file"))
    }
}
