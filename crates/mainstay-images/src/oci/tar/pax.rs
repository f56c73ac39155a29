//! Extended headers in the POSIX format: records of `length key=value\n`.

use crate::oci::limits::{MAX_EXTENDED_HEADER, MAX_XATTRS};
use crate::oci::refusal::{ArchiveRefusal, Limit, Refusal};

const MALFORMED: Refusal = Refusal::Archive { why: ArchiveRefusal::Extended };

/// What the records of one extended header change at the entry that follows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) sparse: bool,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extended {
    /// Reads every record; a key that comes twice is refused, because programs disagree on which one counts.
    pub(crate) fn parse(records: &[u8]) -> Result<Self, Refusal> {
        let mut extended = Self::default();
        let mut rest = records;
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or(MALFORMED)?;
            extended.take(key, value)?;
            rest = after;
        }
        Ok(extended)
    }

    /// Whether entries would lie elsewhere with it than without.
    pub(crate) const fn moves_entries(&self) -> bool {
        self.path.is_some() || self.link.is_some() || self.size.is_some() || self.sparse
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match key {
            b"path" => set(&mut self.path, value.to_vec()),
            b"linkpath" => set(&mut self.link, value.to_vec()),
            b"size" => set(&mut self.size, number(value)?),
            b"uid" => set(&mut self.uid, number(value)?),
            b"gid" => set(&mut self.gid, number(value)?),
            key if key.starts_with(b"GNU.sparse.") => {
                self.sparse = true;
                Ok(())
            }
            key => match key.strip_prefix(b"SCHILY.xattr.") {
                Some(_) if self.xattrs.len() >= MAX_XATTRS => {
                    Err(Refusal::Limit { what: Limit::ExtendedHeader, limit: MAX_EXTENDED_HEADER })
                }
                Some(name) if name.is_empty() || name.contains(&0) || self.has_xattr(name) => Err(MALFORMED),
                Some(name) => {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                    Ok(())
                }
                // Times, comments and what other programs add for themselves.
                None => Ok(()),
            },
        }
    }

    fn has_xattr(&self, name: &[u8]) -> bool {
        self.xattrs.iter().any(|(known, _)| known == name)
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Refusal> {
    if field.replace(value).is_some() { Err(MALFORMED) } else { Ok(()) }
}

fn number(value: &[u8]) -> Result<u64, Refusal> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or(MALFORMED)
}

/// The first record and what comes after it.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|octet| *octet == b' ')?;
    let length = usize::try_from(number(records.get(..space)?).ok()?).ok()?;
    let (line, rest) = records.split_at_checked(length)?;
    let body = line.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|octet| *octet == b'=')?;
    let (key, value) = body.split_at_checked(equals)?;
    (!key.is_empty()).then(|| (key, value.get(1..).unwrap_or_default(), rest))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record with its length before it.
    pub(crate) fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
        let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let length = |digits: usize| body.len() + digits;
        let digits = (1..6).find(|digits| length(*digits).to_string().len() == *digits).unwrap();
        [length(digits).to_string().as_bytes(), &body].concat()
    }

    #[test]
    fn records_are_read() {
        let records = [
            record_of("path", b"a/b"),
            record_of("size", b"1234"),
            record_of("SCHILY.xattr.user.a", b"x=\n\x01"),
            record_of("comment", b"why"),
        ];
        let expected = Extended {
            path: Some(b"a/b".to_vec()),
            size: Some(1234),
            xattrs: vec![(b"user.a".to_vec(), b"x=\n\x01".to_vec())],
            ..Extended::default()
        };
        assert_eq!(Extended::parse(&records.concat()), Ok(expected));
    }

    #[test]
    fn attributes_end_at_their_limit() {
        let records = |count: usize| {
            let record = |number: usize| record_of(&format!("SCHILY.xattr.user.{number}"), b"x");
            (0..count).flat_map(record).collect::<Vec<u8>>()
        };
        assert_eq!(Extended::parse(&records(MAX_XATTRS)).unwrap().xattrs.len(), MAX_XATTRS);
        let limit = Refusal::Limit { what: Limit::ExtendedHeader, limit: MAX_EXTENDED_HEADER };
        assert_eq!(Extended::parse(&records(MAX_XATTRS + 1)), Err(limit));
    }

    #[test]
    fn malformed_records_are_refused() {
        let twice = record_of("path", b"a").repeat(2);
        let (negative, nameless) = (record_of("size", b"-12"), record_of("SCHILY.xattr.", b""));
        for records in [
            &b"12 path=a/b"[..],
            b"13 path=a/b\n",
            b"11 path=a/b\n",
            b"99999999999999999999 path=a\n",
            b"-1 path=a\n",
            b"5 a=\n\n",
            b"4 =\n\n",
            b"path=a\n",
            &twice,
            &negative,
            &nameless,
        ] {
            assert_eq!(Extended::parse(records), Err(MALFORMED), "{}", records.escape_ascii());
        }
    }
}
