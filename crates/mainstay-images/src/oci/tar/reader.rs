//! Walks a tar archive, entry by entry.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};

use super::header::{self, Announced, BLOCK};
use super::pax::Extended;
use crate::oci::error::{Error, Result};
use crate::oci::limits::MAX_EXTENDED_HEADER;
use crate::oci::refusal::{ArchiveRefusal, EntryRefusal, Limit, Refusal, shown_path};

/// A reader that can pass over octets.
pub(crate) trait Skip: Read {
    /// Passes over so many octets; fewer only at the end.
    ///
    /// # Errors
    /// Those of the reader.
    fn skip(&mut self, octets: u64) -> io::Result<u64>;
}

/// Octets that a stream is asked for at once. Headers are small: a decoder that is asked for each takes half as long again.
const AHEAD: usize = 64 * 1024;

/// Passes over by reading.
#[derive(Debug)]
pub(crate) struct Streaming<R>(BufReader<R>);

impl<R: Read> Streaming<R> {
    /// From where the reader stands.
    pub(crate) fn new(inner: R) -> Self {
        Self(BufReader::with_capacity(AHEAD, inner))
    }

    /// The reader, which may have been read further than the archive was.
    pub(crate) fn into_inner(self) -> R {
        self.0.into_inner()
    }
}

impl<R: Read> Read for Streaming<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Streaming<R> {
    fn skip(&mut self, octets: u64) -> io::Result<u64> {
        let mut left = octets;
        while left > 0 {
            let here = match self.0.fill_buf() {
                Ok([]) => break,
                Ok(here) => here.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let passed = usize::try_from(left).unwrap_or(usize::MAX).min(here);
            self.0.consume(passed);
            left -= u64::try_from(passed).unwrap_or(0);
        }
        Ok(octets - left)
    }
}

/// Passes over by seeking, within a file of known size.
#[derive(Debug)]
pub(crate) struct Seeking {
    file: File,
    at: u64,
    size: u64,
}

impl Seeking {
    /// From the beginning of a file.
    pub(crate) fn new(mut file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        file.rewind()?;
        Ok(Self { file, at: 0, size })
    }
}

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

impl Skip for Seeking {
    fn skip(&mut self, octets: u64) -> io::Result<u64> {
        let skipped = octets.min(self.size.saturating_sub(self.at));
        self.at = self.file.seek(SeekFrom::Start(self.at.saturating_add(skipped)))?;
        Ok(skipped)
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    Device,
    Directory,
    Fifo,
}

/// One entry, as the archive has it: its paths are not checked yet.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Where a link leads.
    pub(crate) link: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where in the archive its content starts.
    pub(crate) offset: u64,
}

impl Entry {
    /// Why this entry is refused.
    pub(crate) fn refused(&self, why: EntryRefusal) -> Error {
        Refusal::Entry { path: shown_path(&self.path), why }.into()
    }
}

/// A walk through an archive. Between two entries, [`Read`] gives the content of the last one.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    inner: R,
    position: u64,
    content: u64,
    padding: u64,
    entries: u64,
    max_entries: u64,
    ended: bool,
}

impl<R: Skip> TarReader<R> {
    pub(crate) const fn new(inner: R, max_entries: u64) -> Self {
        Self { inner, position: 0, content: 0, padding: 0, entries: 0, max_entries, ended: false }
    }

    /// The next entry; none at the end of the archive.
    ///
    /// # Errors
    /// Refusals, and those of the reader.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        self.pass_content()?;
        let mut extended = Extended::default();
        let (mut seen_pax, mut long_path, mut long_link) = (false, None, None);
        loop {
            let Some(block) = self.header()? else {
                let pending = seen_pax || long_path.is_some() || long_link.is_some();
                return if pending { Err(broken(ArchiveRefusal::Extended)) } else { Ok(None) };
            };
            let header = header::decode(&block)?;
            let size = header::number(&header.as_old().size, header.entry_size())?;
            match header::announced(header)? {
                Announced::Pax if !seen_pax => {
                    extended = Extended::parse(&self.extension(size)?)?;
                    seen_pax = true;
                }
                Announced::PaxGlobal => {
                    if Extended::parse(&self.extension(size)?)?.moves_entries() {
                        return Err(broken(ArchiveRefusal::Extended));
                    }
                }
                Announced::LongPath if long_path.is_none() => long_path = Some(self.long_name(size)?),
                Announced::LongLink if long_link.is_none() => long_link = Some(self.long_name(size)?),
                Announced::Pax | Announced::LongPath | Announced::LongLink => {
                    return Err(broken(ArchiveRefusal::Extended));
                }
                announced => {
                    extended.path = extended.path.or(long_path);
                    extended.link = extended.link.or(long_link);
                    return self.entry(header, announced, size, extended).map(Some);
                }
            }
        }
    }

    /// What carries the archive.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Reads to the end of what carries the archive, also what comes after its last entry.
    ///
    /// # Errors
    /// Those of the reader.
    pub(crate) fn drain(&mut self) -> Result<()> {
        self.inner.skip(u64::MAX).map(drop).map_err(reading)
    }

    fn entry(
        &mut self,
        header: &tar::Header,
        announced: Announced,
        size: u64,
        extended: Extended,
    ) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.max_entries {
            return Err(Refusal::Limit { what: Limit::Entries, limit: self.max_entries }.into());
        }
        let kind = match announced {
            Announced::HardLink => EntryKind::HardLink,
            Announced::Symlink => EntryKind::Symlink,
            Announced::Device => EntryKind::Device,
            Announced::Directory => EntryKind::Directory,
            Announced::Fifo => EntryKind::Fifo,
            _ => EntryKind::File,
        };
        let number =
            |own: Option<u64>, octets: &[u8], field| own.map_or_else(|| header::number(octets, field), Ok);
        let fields = header.as_old();
        let entry = Entry {
            path: extended.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            kind,
            link: extended.link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            size: extended.size.unwrap_or(size),
            mode: header::number(&fields.mode, header.mode())?,
            uid: number(extended.uid, &fields.uid, header.uid())?,
            gid: number(extended.gid, &fields.gid, header.gid())?,
            xattrs: extended.xattrs,
            offset: self.position,
        };
        if extended.sparse {
            return Err(entry.refused(EntryRefusal::Sparse));
        }
        if kind != EntryKind::File && entry.size != 0 {
            return Err(entry.refused(EntryRefusal::Size));
        }
        self.expect(entry.size)?;
        Ok(entry)
    }

    /// Announces the content that follows a header.
    fn expect(&mut self, size: u64) -> Result<()> {
        let block = BLOCK as u64;
        let padding = (block - size % block) % block;
        // No archive has content beyond what 64 bits address.
        if self.position.checked_add(size).and_then(|end| end.checked_add(padding)).is_none() {
            return Err(broken(ArchiveRefusal::CutOff));
        }
        (self.content, self.padding) = (size, padding);
        Ok(())
    }

    fn pass_content(&mut self) -> Result<()> {
        let wanted = self.content + self.padding;
        let passed = if wanted == 0 { 0 } else { self.inner.skip(wanted).map_err(reading)? };
        if passed < self.content {
            return Err(broken(ArchiveRefusal::CutOff));
        }
        // Some programs leave the end of an archive out, from the padding of its last entry on.
        self.ended |= passed < wanted;
        self.position += wanted;
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// A header that is not the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        if self.ended || !self.block(&mut block)? || block.iter().all(|octet| *octet == 0) {
            self.ended = true;
            return Ok(None);
        }
        Ok(Some(block))
    }

    /// A whole block, or false at the end.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool> {
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(broken(ArchiveRefusal::CutOff)),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(reading(error)),
            }
        }
        self.position += BLOCK as u64;
        Ok(true)
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENDED_HEADER {
            return Err(Refusal::Limit { what: Limit::ExtendedHeader, limit: MAX_EXTENDED_HEADER }.into());
        }
        self.expect(size)?;
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(reading)?;
        self.pass_content()?;
        Ok(content)
    }

    /// A path that ends at its first zero octet.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.extension(size)?;
        if let Some(end) = name.iter().position(|octet| *octet == 0) {
            name.truncate(end);
        }
        Ok(name)
    }
}

impl<R: Skip> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let read = self.inner.read(buffer)?;
        if read == 0 {
            return Err(broken(ArchiveRefusal::CutOff).into());
        }
        let octets = u64::try_from(read).unwrap_or(0);
        self.content = self.content.saturating_sub(octets);
        self.position += octets;
        Ok(read)
    }
}

fn broken(why: ArchiveRefusal) -> Error {
    Refusal::Archive { why }.into()
}

fn reading(error: io::Error) -> Error {
    Error::io("reading the archive", error)
}

#[cfg(test)]
mod tests;
