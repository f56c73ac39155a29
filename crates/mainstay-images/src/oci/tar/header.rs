//! One header block: its checksum, its type, its numbers. The `tar` crate decodes the fields.

use tar::{EntryType, Header};

use crate::oci::refusal::{ArchiveRefusal, EntryRefusal, Refusal, shown_path};

/// A block of a tar archive, in octets.
pub(crate) const BLOCK: usize = 512;

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    File,
    HardLink,
    Symlink,
    Device,
    Directory,
    Fifo,
    /// A POSIX extended header of the next entry.
    Pax,
    /// A POSIX extended header of all entries.
    PaxGlobal,
    /// The long path of the next entry, as GNU writes it.
    LongPath,
    /// The long link target of the next entry.
    LongLink,
}

/// Refuses a block that is no header.
pub(crate) fn decode(block: &[u8; BLOCK]) -> Result<&Header, Refusal> {
    let header = Header::from_byte_slice(block);
    // The checksum counts its own field as spaces.
    let (before, rest) = block.split_at(148);
    let (_, after) = rest.split_at(8);
    let sum: u32 =
        before.iter().chain(after).map(|octet| u32::from(*octet)).sum::<u32>() + 8 * u32::from(b' ');
    match header.cksum() {
        Ok(promised) if promised == sum => Ok(header),
        _ => Err(Refusal::Archive { why: ArchiveRefusal::Checksum }),
    }
}

/// The type of the entry.
pub(crate) fn announced(header: &Header) -> Result<Announced, Refusal> {
    let refused = |why| Err(Refusal::Entry { path: shown_path(&header.path_bytes()), why });
    let typeflag = header.entry_type();
    // The oldest archives know no directories but by their slash.
    if typeflag.as_byte() == 0 && header.path_bytes().ends_with(b"/") {
        return Ok(Announced::Directory);
    }
    Ok(match typeflag {
        EntryType::Regular | EntryType::Continuous => Announced::File,
        EntryType::Link => Announced::HardLink,
        EntryType::Symlink => Announced::Symlink,
        EntryType::Char | EntryType::Block => Announced::Device,
        EntryType::Directory => Announced::Directory,
        EntryType::Fifo => Announced::Fifo,
        EntryType::XHeader => Announced::Pax,
        EntryType::XGlobalHeader => Announced::PaxGlobal,
        EntryType::GNULongName => Announced::LongPath,
        EntryType::GNULongLink => Announced::LongLink,
        EntryType::GNUSparse => return refused(EntryRefusal::Sparse),
        _ => return refused(EntryRefusal::UnknownType),
    })
}

/// A number of a header; `octets` are its field. One that was left out is 0, as every reader of the field takes it.
pub(crate) fn number<T: Default>(octets: &[u8], field: std::io::Result<T>) -> Result<T, Refusal> {
    if octets.iter().all(|octet| matches!(octet, 0 | b' ')) {
        return Ok(T::default());
    }
    field.map_err(|_| Refusal::Archive { why: ArchiveRefusal::Number })
}
