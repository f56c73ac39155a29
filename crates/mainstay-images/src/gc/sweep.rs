//! Which files nothing names, and which rows have no file: a merge of two sorted lists.

use std::collections::BTreeSet;

use crate::blob::BlobState;
use crate::digest::Digest;

/// A file, by what its name says.
pub(crate) type File = (Digest, i64);

/// The part of a blob's row that the merge looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) digest: Digest,
    pub(crate) inc: i64,
    pub(crate) state: BlobState,
}

/// What a merge found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Merged {
    /// Files that no row and no intent names.
    pub(crate) orphans: Vec<File>,
    /// Rows that should have a file, and the list has none.
    pub(crate) missing: Vec<Row>,
}

/// Compares files, sorted, with rows, sorted by digest. The files were listed before the rows and the intents were read:
/// a file that came later is in no list, and a row that came later has a file that the caller must look for itself.
pub(crate) fn merge(files: &[File], rows: &[Row], intents: &BTreeSet<i64>) -> Merged {
    let mut merged = Merged::default();
    let mut files = files.iter().copied().peekable();
    let orphan = |merged: &mut Merged, file: File| {
        if !intents.contains(&file.1) {
            merged.orphans.push(file);
        }
    };
    for row in rows {
        while let Some(file) = files.next_if(|file| file.0 < row.digest) {
            orphan(&mut merged, file);
        }
        let mut found = false;
        while let Some(file) = files.next_if(|file| file.0 == row.digest) {
            if file.1 == row.inc {
                found = true;
            } else {
                orphan(&mut merged, file);
            }
        }
        if !found && row.state == BlobState::Present {
            merged.missing.push(*row);
        }
    }
    for file in files {
        orphan(&mut merged, file);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(n: u8) -> Digest {
        Digest::from_bytes([n; 32])
    }

    proptest! {
        #[test]
        fn every_file_is_named_or_an_orphan_and_every_present_row_has_a_file_or_is_missing(
            files in proptest::collection::btree_set((0_u8..6, 1_i64..8), 0..20),
            rows in proptest::collection::btree_map(0_u8..6, (1_i64..8, 0_i64..3), 0..6),
            intents in proptest::collection::btree_set(1_i64..8, 0..4),
        ) {
            let listed: Vec<File> = files.iter().map(|(n, inc)| (digest(*n), *inc)).collect();
            let stored: Vec<Row> = rows
                .iter()
                .map(|(n, (inc, state))| Row {
                    id: i64::from(*n),
                    digest: digest(*n),
                    inc: *inc,
                    state: BlobState::from_stored(*state).unwrap(),
                })
                .collect();
            let merged = merge(&listed, &stored, &intents);
            for file in &listed {
                let named = stored.iter().any(|row| (row.digest, row.inc) == *file) || intents.contains(&file.1);
                prop_assert_eq!(merged.orphans.contains(file), !named);
            }
            for row in &stored {
                let is_missing = row.state == BlobState::Present && !listed.contains(&(row.digest, row.inc));
                prop_assert_eq!(merged.missing.contains(row), is_missing);
            }
        }
    }
}
