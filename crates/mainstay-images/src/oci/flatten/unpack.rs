//! From a tree to a directory: content from the layers, attributes last.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::disk::Ownership;
use super::tree::{Content, Kind, Node, NodeId, Tree, depth_first};
use crate::digest::Digest;
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::layer::{self, Item};
use crate::oci::limits::Limits;
use crate::oci::media::Compression;
use crate::oci::refusal::{Limit, Refusal};
use crate::oci::tar::Entry;

/// The longest list of attributes' names that Linux gives.
const XATTR_LIST_MAX: usize = 64 * 1024;

/// A layer that can be read more than once.
pub(super) struct Stored {
    pub(super) compression: Compression,
    pub(super) size: u64,
    pub(super) diff_id: Option<Digest>,
    pub(super) open: Box<dyn Fn() -> Result<Box<dyn BufRead>> + Send>,
}

/// Reads the headers of all layers, lowest first, and checks that the layers are what the configuration promises.
pub(super) fn read_tree(layers: &[Stored], limits: &Limits) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut held = 0_u64;
    for stored in layers {
        let mut archive = layer::open((stored.open)()?, stored.compression, stored.size, limits)?;
        let mut items = Vec::new();
        let mut at = 0;
        while let Some(entry) = archive.next()? {
            held = held.saturating_add(weight(&entry));
            if held > limits.tree {
                return Err(Refusal::Limit { what: Limit::Tree, limit: limits.tree }.into());
            }
            if let Some(item) = Item::of(entry)? {
                items.push((at, item));
            }
            at += 1;
        }
        archive.drain()?;
        let (found, _) = archive.into_inner().into_inner().finish();
        if let Some(expected) = stored.diff_id.filter(|expected| *expected != found) {
            return Err(Refusal::DiffId { expected, found }.into());
        }
        tree.apply(items)?;
    }
    if tree.octets() > limits.layer {
        return Err(Refusal::Limit { what: Limit::Layer, limit: limits.layer }.into());
    }
    Ok(tree)
}

/// About the octets of memory that an entry takes in a tree.
fn weight(entry: &Entry) -> u64 {
    let xattrs = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>();
    let names = entry.path.iter().filter(|octet| **octet == b'/').count() * 24;
    u64::try_from(entry.path.len() + entry.link.len() + xattrs + names + 256).unwrap_or(u64::MAX)
}

/// Whether a tree brings extended attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attributes {
    None,
    Some,
}

/// Makes the tree below a directory that is empty and nobody else's.
pub(super) fn unpack(
    tree: &Tree,
    layers: &[Stored],
    root: &Path,
    ownership: Ownership,
    limits: &Limits,
) -> Result<Attributes> {
    let mut files: HashMap<Content, PathBuf> = HashMap::new();
    let mut made: HashMap<NodeId, PathBuf> = HashMap::new();
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    depth_first(tree, &mut |names, id, node| {
        let path = path_of(root, names);
        if let Some(first) = made.get(&id) {
            links.push((first.clone(), path));
            return Ok(());
        }
        match &node.kind {
            Kind::Directory(_) if names.is_empty() => {}
            Kind::Directory(_) => fs::create_dir(&path).map_err(|error| failed(&path, error))?,
            Kind::File { content, .. } => {
                files.insert(*content, path.clone());
                made.insert(id, path);
            }
            Kind::Symlink(target) => {
                let made_it = std::os::unix::fs::symlink(OsStr::from_bytes(target), &path);
                made_it.map_err(|error| failed(&path, error))?;
                made.insert(id, path);
            }
            Kind::Fifo => {
                let made_it = rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0);
                made_it.map_err(|error| failed(&path, error.into()))?;
                made.insert(id, path);
            }
        }
        Ok(())
    })?;
    for (at, stored) in layers.iter().enumerate() {
        write_files(at, stored, &files, limits)?;
    }
    for (first, path) in links {
        fs::hard_link(&first, &path).map_err(|error| failed(&path, error))?;
    }
    finish(tree, root, ownership)
}

/// Writes the files whose content is in one layer.
fn write_files(at: usize, stored: &Stored, files: &HashMap<Content, PathBuf>, limits: &Limits) -> Result<()> {
    if !files.keys().any(|content| content.layer == at) {
        return Ok(());
    }
    let mut archive = layer::open((stored.open)()?, stored.compression, stored.size, limits)?;
    let mut entry = 0;
    while let Some(header) = archive.next()? {
        if let Some(path) = files.get(&Content { layer: at, entry }) {
            let mut write = || {
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                io::copy(&mut archive.by_ref().take(header.size), &mut file)
            };
            write().map_err(|error| failed(path, error))?;
        }
        entry += 1;
    }
    Ok(())
}

/// Gives everything its attributes; directories after what is in them, because they may forbid writing.
fn finish(tree: &Tree, root: &Path, ownership: Ownership) -> Result<Attributes> {
    let mut all = Vec::new();
    depth_first(tree, &mut |names, _, node| {
        all.push((path_of(root, names), node.clone_attributes()));
        Ok(())
    })?;
    let mut foreign = None;
    let mut names = vec![0; XATTR_LIST_MAX];
    let is_root = rustix::process::geteuid().is_root();
    for (path, node) in all.iter().rev() {
        if !is_root {
            check_readable(path, node)?;
        }
        attributes(path, node, ownership)?;
        if let Some(name) = take_foreign(path, node, &mut names)? {
            foreign = Some((path, name));
        }
        mode(path, node)?;
    }
    let brings = all.iter().any(|(_, node)| !node.attributes.xattrs.is_empty());
    decide(brings, foreign.map(|(path, name)| (path.as_path(), name)))
}

/// What the program that makes the disk is to do with attributes: none are the machine's, also where some stay that nobody may take away.
fn decide(brings: bool, stays: Option<(&Path, Vec<u8>)>) -> Result<Attributes> {
    match stays {
        Some((path, name)) if brings => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "this machine gives {} the attribute {}, which nobody may take away, and the image has attributes of its own: both would come \
                 into the disk; unpack on a file system that gives none (one mounted with -o context=…, as another scratch directory), \
                 or flatten on a machine without labels",
                path.display(),
                name.escape_ascii()
            ),
        )),
        // Without attributes of its own the disk has none.
        _ => Ok(if brings { Attributes::Some } else { Attributes::None }),
    }
}

/// Only root reads what its owner may not: `mkfs.erofs` would fail in the middle.
fn check_readable(path: &Path, node: &Last) -> Result<()> {
    let needed = match node.form {
        Form::Directory => 0o500,
        Form::File => 0o400,
        Form::Other { .. } => 0,
    };
    if node.attributes.mode & needed == needed {
        return Ok(());
    }
    let (path, mode) = (path.display(), node.attributes.mode);
    let text =
        format!("{path} has the mode {mode:04o}: only root reads it to make a disk of it; run as root");
    Err(Error::new(ErrorKind::NeedsPrivilege, text))
}

/// Takes away what this machine's file system adds to each file, such as inherited access lists. Returns one that stays.
fn take_foreign(path: &Path, node: &Last, names: &mut [u8]) -> Result<Option<Vec<u8>>> {
    let length = match rustix::fs::llistxattr(path, &mut *names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(failed(path, error.into())),
    };
    let mut stays = None;
    for name in names.get(..length).unwrap_or_default().split(|octet| *octet == 0) {
        let is_ours = node.attributes.xattrs.iter().any(|(own, _)| own == name);
        if !name.is_empty() && !is_ours && rustix::fs::lremovexattr(path, name).is_err() {
            stays = Some(name.to_owned());
        }
    }
    Ok(stays)
}

/// How a place is read.
enum Form {
    Directory,
    File,
    /// A link or a pipe, which is not opened.
    Other {
        is_link: bool,
    },
}

/// What is needed of a place at the end.
struct Last {
    form: Form,
    attributes: layer::Attributes,
}

impl Node {
    fn clone_attributes(&self) -> Last {
        let form = match self.kind {
            Kind::Directory(_) => Form::Directory,
            Kind::File { .. } => Form::File,
            Kind::Symlink(_) => Form::Other { is_link: true },
            Kind::Fifo => Form::Other { is_link: false },
        };
        Last { form, attributes: self.attributes.clone() }
    }
}

fn attributes(path: &Path, node: &Last, ownership: Ownership) -> Result<()> {
    if ownership == Ownership::Keep {
        let (uid, gid) = (node.attributes.uid, node.attributes.gid);
        std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Error::new(
                ErrorKind::NeedsPrivilege,
                "only root may keep the owners of files; let all belong to root (Ownership::Root), or run as root",
            ),
            _ => failed(path, error),
        })?;
    }
    for (name, value) in &node.attributes.xattrs {
        let set = rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty());
        set.map_err(|error| refuse_xattr(path, name, error.into()))?;
    }
    Ok(())
}

/// Sets the mode, last: a change of owner takes the set-user-id bit away, and an access list has a part of it.
fn mode(path: &Path, node: &Last) -> Result<()> {
    if matches!(node.form, Form::Other { is_link: true }) {
        return Ok(());
    }
    let mode = fs::Permissions::from_mode(node.attributes.mode);
    fs::set_permissions(path, mode).map_err(|error| failed(path, error))
}

fn refuse_xattr(path: &Path, name: &[u8], error: io::Error) -> Error {
    let name = name.escape_ascii();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Error::new(
            ErrorKind::NeedsPrivilege,
            format!(
                "the attribute {name} of {} cannot be set ({error}); run as root, on a file system that has attributes",
                path.display()
            ),
        ),
        _ => failed(path, error),
    }
}

fn path_of(root: &Path, names: &[Box<[u8]>]) -> PathBuf {
    let mut path = root.to_owned();
    path.extend(names.iter().map(|name| OsStr::from_bytes(name)));
    path
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::io(path.display(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_adds_and_keeps_is_left_out_or_refused() {
        let label = || Some((Path::new("/tree/bin/ping"), b"security.selinux".to_vec()));
        assert_eq!(decide(false, None).unwrap(), Attributes::None);
        assert_eq!(decide(false, label()).unwrap(), Attributes::None);
        assert_eq!(decide(true, None).unwrap(), Attributes::Some);
        let error = decide(true, label()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        assert!(error.to_string().contains("gives /tree/bin/ping the attribute security.selinux"), "{error}");
    }

    #[test]
    fn what_only_root_reads_is_told_by_its_path_before_it_fails() {
        let check = |form: Form, mode: u32| {
            let attributes = layer::Attributes { mode, ..layer::Attributes::default() };
            check_readable(Path::new("/tree/etc/shadow"), &Last { form, attributes })
        };
        for (form, mode) in
            [(Form::File, 0), (Form::File, 0o4111), (Form::Directory, 0o400), (Form::Directory, 0o111)]
        {
            let error = check(form, mode).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::NeedsPrivilege);
            assert!(error.to_string().contains("/tree/etc/shadow has the mode "), "{error}");
        }
        assert!(check(Form::File, 0o400).is_ok() && check(Form::Directory, 0o500).is_ok());
        assert!(check(Form::Other { is_link: true }, 0).is_ok());
    }
}
