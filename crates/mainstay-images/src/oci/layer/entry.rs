//! What an entry of a layer changes: something is there, something is gone, or a directory starts anew.

use crate::oci::error::Result;
use crate::oci::limits::MAX_PATH;
use crate::oci::refusal::{ArchiveRefusal, EntryRefusal, Refusal};
use crate::oci::tar::{Entry, EntryKind, clean_path};

/// The beginning of a name that takes a name of a lower layer away.
const WHITEOUT: &[u8] = b".wh.";
/// The name that takes all of a directory's names of lower layers away.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The beginning of names that one old union file system kept for itself; they mean nothing elsewhere.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// The names on the way to something, from the root.
pub(crate) type Names = Vec<Box<[u8]>>;

/// An entry's effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Where; for an opaque directory, the directory.
    pub(crate) names: Names,
    pub(crate) what: What,
}

/// What is at the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Directory(Attributes),
    File {
        attributes: Attributes,
        size: u64,
    },
    Symlink {
        attributes: Attributes,
        target: Box<[u8]>,
    },
    HardLink {
        target: Names,
    },
    Fifo(Attributes),
    /// Nothing of the lower layers.
    Whiteout,
    /// A directory with nothing of the lower layers in it.
    Opaque,
}

/// Who may do what with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Item {
    /// The effect of an entry; none of one that means nothing.
    ///
    /// # Errors
    /// A refusal of its path, its type, or where it links to.
    pub(crate) fn of(entry: Entry) -> Result<Option<Self>> {
        let names = clean_path(&entry.path).map_err(|why| entry.refused(why))?;
        if names.iter().any(|name| name.starts_with(BOOKKEEPING) && *name != OPAQUE) {
            return Ok(None);
        }
        let Some((last, above)) = names.split_last() else {
            // The root itself, with its attributes.
            return match entry.kind {
                EntryKind::Directory => {
                    Ok(Some(Self { names: Names::new(), what: What::Directory(attributes(entry)?) }))
                }
                _ => Err(entry.refused(EntryRefusal::Empty)),
            };
        };
        if above.iter().any(|name| name.starts_with(WHITEOUT)) {
            return Err(entry.refused(EntryRefusal::Whiteout));
        }
        let above = owned(above);
        if let Some(gone) = last.strip_prefix(WHITEOUT) {
            return whiteout(&entry, above, last, gone).map(Some);
        }
        let names = above.into_iter().chain([Box::from(*last)]).collect();
        Ok(Some(Self { what: what(entry)?, names }))
    }
}

fn whiteout(entry: &Entry, mut above: Names, name: &[u8], gone: &[u8]) -> Result<Item> {
    if entry.kind != EntryKind::File || entry.size != 0 {
        return Err(entry.refused(EntryRefusal::Whiteout));
    }
    if name == OPAQUE {
        return Ok(Item { names: above, what: What::Opaque });
    }
    if matches!(gone, b"" | b"." | b"..") {
        return Err(entry.refused(EntryRefusal::Whiteout));
    }
    above.push(gone.into());
    Ok(Item { names: above, what: What::Whiteout })
}

fn what(entry: Entry) -> Result<What> {
    Ok(match entry.kind {
        EntryKind::Device => return Err(entry.refused(EntryRefusal::Device)),
        EntryKind::Directory => What::Directory(attributes(entry)?),
        EntryKind::Fifo => What::Fifo(attributes(entry)?),
        EntryKind::File => What::File { size: entry.size, attributes: attributes(entry)? },
        EntryKind::HardLink => match clean_path(&entry.link) {
            Ok(names) if !names.is_empty() => What::HardLink { target: owned(&names) },
            _ => return Err(entry.refused(EntryRefusal::LinkTarget)),
        },
        // Where a symbolic link leads is decided when it is followed, and then never out of the image.
        EntryKind::Symlink => {
            let target: Box<[u8]> = entry.link.as_slice().into();
            let refused = match &*target {
                [] => Some(EntryRefusal::Empty),
                target if target.contains(&0) => Some(EntryRefusal::Nul),
                target if target.len() > MAX_PATH => Some(EntryRefusal::PathTooLong),
                _ => None,
            };
            if let Some(why) = refused {
                return Err(entry.refused(why));
            }
            What::Symlink { target, attributes: attributes(entry)? }
        }
    })
}

fn attributes(entry: Entry) -> Result<Attributes> {
    // The last number means "unchanged" to the kernel.
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let (Some(uid), Some(gid)) = (id(entry.uid), id(entry.gid)) else {
        return Err(Refusal::Archive { why: ArchiveRefusal::Number }.into());
    };
    Ok(Attributes { mode: entry.mode & 0o7777, uid, gid, xattrs: entry.xattrs })
}

fn owned(names: &[&[u8]]) -> Names {
    names.iter().map(|name| Box::from(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: EntryKind, path: &str, link: &str) -> Entry {
        Entry {
            path: path.into(),
            kind,
            link: link.into(),
            size: 0,
            mode: 0o100_644,
            uid: 1,
            gid: 2,
            xattrs: Vec::new(),
            offset: 0,
        }
    }

    fn names(path: &str) -> Names {
        path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().into()).collect()
    }

    fn check(entry: Entry, path: &str, what: What) {
        let shown = format!("{entry:?}");
        assert_eq!(Item::of(entry).unwrap(), Some(Item { names: names(path), what }), "{shown}");
    }

    fn check_refused(entry: Entry, expected: EntryRefusal) {
        let shown = format!("{entry:?}");
        match Item::of(entry).unwrap_err().refusal() {
            Some(Refusal::Entry { why, .. }) => assert_eq!(*why, expected, "{shown}"),
            other => panic!("{shown}: {other:?}"),
        }
    }

    #[test]
    fn entries_change_what_they_name() {
        let attributes = Attributes { mode: 0o644, uid: 1, gid: 2, xattrs: Vec::new() };
        check(
            entry(EntryKind::File, "./a/b", ""),
            "a/b",
            What::File { attributes: attributes.clone(), size: 0 },
        );
        check(entry(EntryKind::Directory, "./", ""), "", What::Directory(attributes.clone()));
        check(entry(EntryKind::HardLink, "a", "./b/c"), "a", What::HardLink { target: names("b/c") });
        let target = Box::from(&b"../../etc"[..]);
        check(entry(EntryKind::Symlink, "a", "../../etc"), "a", What::Symlink { attributes, target });
        check(entry(EntryKind::File, "a/.wh.b", ""), "a/b", What::Whiteout);
        check(entry(EntryKind::File, "a/.wh..wh..opq", ""), "a", What::Opaque);
        check(entry(EntryKind::File, ".wh..wh..opq", ""), "", What::Opaque);
        for ignored in [".wh..wh.plnk/1.2", ".wh..wh.aufs"] {
            assert_eq!(Item::of(entry(EntryKind::File, ignored, "")).unwrap(), None);
        }
    }

    #[test]
    fn hostile_entries_are_refused() {
        check_refused(entry(EntryKind::File, "../a", ""), EntryRefusal::Traversal);
        check_refused(entry(EntryKind::File, "./", ""), EntryRefusal::Empty);
        check_refused(entry(EntryKind::Device, "dev/sda", ""), EntryRefusal::Device);
        for target in ["/etc/passwd", "../etc/passwd", "a/../../b", "", "./"] {
            check_refused(entry(EntryKind::HardLink, "a", target), EntryRefusal::LinkTarget);
        }
        check_refused(entry(EntryKind::Symlink, "a", ""), EntryRefusal::Empty);
        check_refused(entry(EntryKind::Symlink, "a", "b\0c"), EntryRefusal::Nul);
        assert!(Item::of(entry(EntryKind::Symlink, "a", &"t".repeat(MAX_PATH))).is_ok());
        check_refused(entry(EntryKind::Symlink, "a", &"t".repeat(MAX_PATH + 1)), EntryRefusal::PathTooLong);
        for path in [".wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            check_refused(entry(EntryKind::File, path, ""), EntryRefusal::Whiteout);
        }
        check_refused(entry(EntryKind::Directory, ".wh.a", ""), EntryRefusal::Whiteout);
        check_refused(Entry { size: 1, ..entry(EntryKind::File, ".wh.a", "") }, EntryRefusal::Whiteout);
        let huge = Entry { uid: u64::from(u32::MAX), ..entry(EntryKind::File, "a", "") };
        assert!(Item::of(huge).is_err());
    }
}
