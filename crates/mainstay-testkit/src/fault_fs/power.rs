//! What becomes of loose names and octets when the power goes.

use super::disk::{Directory, Disk, Inode};
use crate::Random;

/// What happens to what was not made durable.
#[derive(Debug, Clone)]
pub enum Fate {
    /// All of it is kept: the disk happened to have written it.
    Kept,
    /// All of it is lost.
    Lost,
    /// Names are kept and octets lost: files are empty, or end early.
    NamesKept,
    /// Each name and each file for itself, at random; lost octets may be cut short or be zeros.
    Random(Random),
}

impl Fate {
    /// Which of the states that a name had is the one on the disk; the first one is durable.
    fn name(&mut self, states: usize) -> usize {
        match self {
            Self::Kept | Self::NamesKept => states.saturating_sub(1),
            Self::Lost => 0,
            Self::Random(random) => random.below(states as u64).try_into().unwrap_or(0),
        }
    }

    fn octets(&mut self, inode: &Inode) -> Vec<u8> {
        match self {
            Self::Kept => inode.content.clone(),
            Self::Lost | Self::NamesKept => inode.durable.clone(),
            Self::Random(random) => match random.below(4) {
                0 => inode.durable.clone(),
                1 => inode.content.clone(),
                2 => vec![0; inode.content.len()],
                _ => {
                    let length = random.below(inode.content.len() as u64 + 1);
                    let length = usize::try_from(length).unwrap_or(0).max(inode.durable.len());
                    inode.content.iter().copied().take(length).collect()
                }
            },
        }
    }
}

impl Disk {
    pub(super) fn lose_power(&mut self, fate: &mut Fate) {
        for inode in self.inodes.iter_mut().filter(|inode| inode.is_loose) {
            let octets = fate.octets(inode);
            *inode = Inode { durable: octets.clone(), content: octets, ..Inode::default() };
        }
        for directory in &mut self.directories {
            settle(directory, fate);
        }
        self.boot += 1;
    }
}

fn settle(directory: &mut Directory, fate: &mut Fate) {
    for (name, states) in std::mem::take(&mut directory.loose) {
        match states.get(fate.name(states.len())).copied().flatten() {
            Some(entry) => directory.names.insert(name, entry),
            None => directory.names.remove(&name),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Read as _, Write as _};

    use super::super::{FaultFs, Operation};
    use super::*;

    /// A file in a directory, with each of the four things synced that must be for it to last.
    fn written(file: bool, name: bool, directory: bool) -> FaultFs {
        let fs = FaultFs::new();
        fs.create_dir("d").unwrap();
        if directory {
            fs.sync_dir("").unwrap();
        }
        let mut writer = fs.create("d/staged").unwrap();
        writer.write_all(b"octets").unwrap();
        if file {
            writer.sync().unwrap();
        }
        fs.rename("d/staged", "d/file").unwrap();
        if name {
            fs.sync_dir("d").unwrap();
        }
        fs
    }

    #[test]
    fn only_what_was_synced_is_there_after_the_worst() {
        let check = |file, name, directory, expected: Option<&[u8]>| {
            let fs = written(file, name, directory).power_loss(&mut Fate::Lost);
            assert_eq!(fs.content("d/file").as_deref(), expected, "{file} {name} {directory}");
        };
        check(true, true, true, Some(b"octets"));
        check(false, true, true, Some(b""));
        check(true, false, true, None);
        check(true, true, false, None);
    }

    #[test]
    fn loose_things_may_be_there_too() {
        let fs = written(false, false, false).power_loss(&mut Fate::Kept);
        assert_eq!(fs.content("d/file").unwrap(), b"octets");
        assert_eq!(fs.files(), ["d/file"]);
        let fs = written(false, false, false).power_loss(&mut Fate::NamesKept);
        assert_eq!(fs.content("d/file").unwrap(), b"");
    }

    #[test]
    fn a_removed_name_may_come_back_until_it_is_synced() {
        let fs = written(true, true, true);
        fs.unlink("d/file").unwrap();
        let fs = fs.power_loss(&mut Fate::Lost);
        assert_eq!(fs.files(), ["d/file"]);
        fs.unlink("d/file").unwrap();
        fs.sync_dir("d").unwrap();
        assert!(fs.power_loss(&mut Fate::Lost).files().is_empty());
    }

    #[test]
    fn at_random_every_end_is_met() {
        let mut ends: Vec<Option<Vec<u8>>> = Vec::new();
        for seed in 0..200 {
            let fs = written(false, false, true).power_loss(&mut Fate::Random(Random::seeded(seed)));
            ends.push(fs.content("d/file"));
        }
        for end in [None, Some(Vec::new()), Some(b"octets".to_vec()), Some(vec![0; 6]), Some(b"oct".to_vec())]
        {
            assert!(ends.contains(&end), "{end:?}");
        }
    }

    #[test]
    fn a_sync_that_failed_is_not_made_good_by_a_second_one() {
        let fs = FaultFs::new();
        let mut writer = fs.create("file").unwrap();
        writer.write_all(b"octets").unwrap();
        fs.fail_when(|operation, _| (operation == Operation::Sync).then(|| Error::other("EIO")));
        writer.sync().unwrap_err();
        fs.fail_never();
        writer.sync().unwrap();
        fs.sync_dir("").unwrap();
        assert_eq!(fs.power_loss(&mut Fate::Lost).content("file").unwrap(), b"");
    }

    #[test]
    fn a_handle_from_before_is_dead() {
        let fs = written(true, true, true);
        let mut open = fs.open("d/file").unwrap();
        let mut octets = Vec::new();
        open.read_to_end(&mut octets).unwrap();
        assert_eq!(octets, b"octets");
        let after = fs.power_loss(&mut Fate::Kept);
        fs.size("d/file").unwrap_err();
        assert_eq!(after.size("d/file").unwrap(), 6);
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let fs = FaultFs::new();
        fs.set_capacity(Some(4));
        let mut writer = fs.create("file").unwrap();
        assert_eq!(writer.write(b"octets").unwrap(), 4);
        assert_eq!(writer.write(b"ts").unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs.used_octets(), 4);
    }
}
