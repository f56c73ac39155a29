//! Archives as programs write them, as enemies write them, and as dice write them.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::oci::tar::pax::tests::record_of;

type Blocks = Vec<u8>;

fn header(kind: u8, path: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_path(path).unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(0);
    header.set_cksum();
    header
}

fn entry(kind: u8, path: &str, content: &[u8]) -> Blocks {
    let mut blocks = header(kind, path, content.len() as u64).as_bytes().to_vec();
    blocks.extend(content);
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    blocks
}

fn walk(blocks: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut reader = TarReader::new(Streaming::new(Cursor::new(blocks)), 4);
    let mut found = Vec::new();
    while let Some(entry) = reader.next()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(reading)?;
        found.push((String::from_utf8_lossy(&entry.path).into_owned(), content));
    }
    reader.drain()?;
    Ok(found)
}

fn check_refused(blocks: &[u8], expected: &Refusal) {
    let error = walk(blocks).expect_err("it is refused");
    assert_eq!(error.refusal(), Some(expected), "{error}");
}

fn pax(key: &str, value: &str) -> Blocks {
    entry(b'x', "pax", &record_of(key, value.as_bytes()))
}

#[test]
fn a_number_that_was_left_out_is_none() {
    // What Rust's `tar` and others write when nobody sets owner, mode or size.
    let mut header = tar::Header::new_gnu();
    header.set_path("d").unwrap();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_cksum();
    let mut reader = TarReader::new(Streaming::new(Cursor::new(header.as_bytes())), 4);
    let found = reader.next().unwrap().unwrap();
    assert_eq!((found.size, found.mode, found.uid, found.gid), (0, 0, 0, 0));
    for spoilt in [b"       \0", b"x\0\0\0\0\0\0\0", b"      8\0"] {
        header.as_old_mut().uid = *spoilt;
        header.set_cksum();
        let walked = walk(header.as_bytes());
        let is_empty = spoilt[0] == b' ' && spoilt[6] == b' ';
        assert_eq!(walked.is_ok(), is_empty, "{spoilt:?}: {walked:?}");
    }
}

#[test]
fn entries_and_their_content_are_read() {
    let long = "d/".repeat(90) + "file";
    let mut builder = tar::Builder::new(Vec::new());
    let mut a = header(b'0', "a", 3);
    builder.append(&a, &b"one"[..]).unwrap();
    a.set_size(600);
    builder.append_data(&mut a, &long, &[7; 600][..]).unwrap();
    builder.append_pax_extensions([("path", &b"renamed"[..])]).unwrap();
    builder.append(&header(b'0', "b", 0), &b""[..]).unwrap();
    let found = walk(&builder.into_inner().unwrap()).unwrap();
    let expected = [("a", b"one".to_vec()), (&*long, vec![7; 600]), ("renamed", vec![])];
    assert_eq!(found, expected.map(|(path, content)| (path.to_owned(), content)));
}

#[test]
fn an_extended_size_is_the_size_of_the_content() {
    let mut blocks = pax("size", "5");
    blocks.extend(header(b'0', "a", 0).as_bytes());
    blocks.extend(b"hello");
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    blocks.extend(entry(b'0', "b", b"after"));
    let expected = [("a", "hello"), ("b", "after")];
    assert_eq!(walk(&blocks).unwrap(), expected.map(|(a, b)| (a.to_owned(), b.into())));
}

#[test]
fn archives_end_where_they_end() {
    let cut_off = Refusal::Archive { why: ArchiveRefusal::CutOff };
    let whole = entry(b'0', "a", b"content");
    assert_eq!(walk(&whole).unwrap().len(), 1);
    check_refused(&whole[..100], &cut_off);
    check_refused(&whole[..BLOCK + 3], &cut_off);
    check_refused(&whole[..BLOCK + 6], &cut_off);
    assert_eq!(walk(&whole[..BLOCK + 7]).unwrap().len(), 1);
    assert_eq!(walk(&whole[..BLOCK + 100]).unwrap().len(), 1);
    check_refused(header(b'0', "a", u64::MAX / 2).as_bytes(), &cut_off);
    let mut huge = pax("size", &u64::MAX.to_string());
    huge.extend(header(b'0', "a", 0).as_bytes());
    check_refused(&huge, &cut_off);
}

#[test]
fn a_seeking_reader_sees_the_same() {
    let file = || {
        let mut file = tempfile::tempfile().unwrap();
        let blocks = [entry(b'0', "a", &[1; 2000]), entry(b'0', "b", b"two")].concat();
        io::Write::write_all(&mut file, &blocks).unwrap();
        file
    };
    let mut reader = TarReader::new(Seeking::new(file()).unwrap(), 4);
    assert_eq!(reader.next().unwrap().unwrap().offset, 512);
    assert_eq!(reader.next().unwrap().unwrap().offset, 512 + 2048 + 512);
    assert!(reader.next().unwrap().is_none());

    let short = file();
    short.set_len(1500).unwrap();
    let mut reader = TarReader::new(Seeking::new(short).unwrap(), 4);
    assert!(reader.next().unwrap().is_some());
    let cut_off = Refusal::Archive { why: ArchiveRefusal::CutOff };
    assert_eq!(reader.next().unwrap_err().refusal(), Some(&cut_off));
}

#[test]
fn what_programs_disagree_on_is_refused() {
    let extended = Refusal::Archive { why: ArchiveRefusal::Extended };
    check_refused(&[pax("path", "a"), pax("path", "b")].concat(), &extended);
    check_refused(&pax("path", "a"), &extended);
    check_refused(&entry(b'g', "pax", &record_of("path", b"a")), &extended);
    check_refused(&[entry(b'L', "l", b"a"), entry(b'L', "l", b"b")].concat(), &extended);
    assert!(walk(&entry(b'g', "pax", &record_of("comment", b"a"))).unwrap().is_empty());

    let of = |path: &str, why| Refusal::Entry { path: path.to_owned(), why };
    check_refused(&entry(b'S', "s", b""), &of("s", EntryRefusal::Sparse));
    check_refused(&entry(b'V', "v", b""), &of("v", EntryRefusal::UnknownType));
    check_refused(&entry(b'2', "l", b"content"), &of("l", EntryRefusal::Size));
    let sparse = [pax("GNU.sparse.major", "1"), entry(b'0', "s", b"")].concat();
    check_refused(&sparse, &of("s", EntryRefusal::Sparse));

    let mut damaged = entry(b'0', "a", b"");
    damaged[0] = b'b';
    check_refused(&damaged, &Refusal::Archive { why: ArchiveRefusal::Checksum });
}

#[test]
fn entries_and_headers_end_at_their_limits() {
    let blocks = |count: usize| entry(b'0', "a", b"").repeat(count);
    assert_eq!(walk(&blocks(4)).unwrap().len(), 4);
    check_refused(&blocks(5), &Refusal::Limit { what: Limit::Entries, limit: 4 });

    let long = |size: u64| {
        let name = vec![b'n'; usize::try_from(size).unwrap()];
        [entry(b'L', "l", &name), entry(b'0', "a", b"")].concat()
    };
    assert_eq!(walk(&long(MAX_EXTENDED_HEADER)).unwrap().len(), 1);
    let limit = Refusal::Limit { what: Limit::ExtendedHeader, limit: MAX_EXTENDED_HEADER };
    check_refused(&long(MAX_EXTENDED_HEADER + 1), &limit);
}

/// Blocks that get past the checksum, with fields that nobody would write.
fn any_block() -> impl Strategy<Value = Blocks> {
    let kinds = prop::sample::select(b"0123456\0xgLKSV7".to_vec());
    let content = prop::collection::vec(any::<u8>(), 0..1200);
    let damage = prop::collection::vec((0..BLOCK, any::<u8>()), 0..4);
    (kinds, "[a-z./]{1,40}", content, damage, any::<bool>()).prop_map(
        |(kind, path, content, damage, sums)| {
            let mut blocks = header(kind, "x", content.len() as u64).as_bytes().to_vec();
            blocks[..path.len()].copy_from_slice(path.as_bytes());
            for (at, octet) in damage {
                blocks[at] = octet;
            }
            if sums {
                let mut fixed = tar::Header::from_byte_slice(&blocks).clone();
                fixed.set_cksum();
                blocks = fixed.as_bytes().to_vec();
            }
            blocks.extend(content);
            blocks
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..4096)) {
        drop(walk(&octets));
    }

    #[test]
    fn no_headers_make_it_panic(blocks in prop::collection::vec(any_block(), 1..5), aligned in any::<bool>()) {
        let mut archive = Vec::new();
        for block in blocks {
            archive.extend(block);
            if aligned {
                archive.resize(archive.len().next_multiple_of(BLOCK), 0);
            }
        }
        if let Err(error) = walk(&archive) {
            prop_assert!(error.refusal().is_some(), "{error:?}");
        }
    }

    #[test]
    fn no_records_make_it_panic(records in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Extended::parse(&records));
    }
}
