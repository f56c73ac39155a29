//! A state in 32 bytes: millions of them are kept.

use super::state::{Collector, File, Hold, Holder, Party, Publisher, Row, Stage, State};

/// A packed state.
pub(super) type Packed = [u64; 4];

/// Bits needed to name an incarnation.
const INCARNATION_BITS: u32 = 3;

const STAGES: [Stage; 11] = [
    Stage::Intent,
    Stage::Check,
    Stage::Write,
    Stage::SyncFile,
    Stage::Lock,
    Stage::Rename,
    Stage::SyncDir,
    Stage::Land,
    Stage::Commit,
    Stage::Discard,
    Stage::Dead,
];

#[derive(Default)]
struct Writer {
    words: Packed,
    at: u32,
}

impl Writer {
    fn put(&mut self, value: u8, bits: u32) {
        let (word, shift) = ((self.at / 64) as usize, self.at % 64);
        let value = u64::from(value);
        self.words[word] |= value << shift;
        if shift + bits > 64 {
            self.words[word + 1] |= value >> (64 - shift);
        }
        self.at += bits;
    }

    fn flag(&mut self, value: bool) {
        self.put(u8::from(value), 1);
    }

    /// A kind and the incarnation that belongs to it.
    fn named(&mut self, kind: u8, bits: u32, incarnation: Option<u8>) {
        self.put(kind, bits);
        self.put(incarnation.unwrap_or(0), INCARNATION_BITS);
    }

    fn option(&mut self, value: Option<u8>, bits: u32) {
        self.put(value.map_or(0, |value| value + 1), bits);
    }
}

struct Reader {
    words: Packed,
    at: u32,
}

impl Reader {
    fn take(&mut self, bits: u32) -> u8 {
        let (word, shift) = ((self.at / 64) as usize, self.at % 64);
        let mut value = self.words[word] >> shift;
        if shift + bits > 64 {
            value |= self.words[word + 1] << (64 - shift);
        }
        self.at += bits;
        u8::try_from(value & ((1 << bits) - 1)).unwrap_or(0)
    }

    fn flag(&mut self) -> bool {
        self.take(1) == 1
    }

    fn named(&mut self, bits: u32) -> (u8, u8) {
        (self.take(bits), self.take(INCARNATION_BITS))
    }

    fn option(&mut self, bits: u32) -> Option<u8> {
        self.take(bits).checked_sub(1)
    }
}

/// Packs a state; [`unpack`] gives it back.
#[must_use]
pub(super) fn pack(state: &State) -> Packed {
    let mut writer = Writer::default();
    for row in state.rows {
        let kind = match row {
            Row::Absent => 0,
            Row::Present(_) => 1,
            Row::Deleting(_) => 2,
            Row::Damaged(_) => 3,
        };
        writer.named(kind, 2, row.incarnation());
    }
    for there in state.images {
        writer.flag(there);
    }
    for file in state.files.iter().flatten() {
        for bit in [file.is_there, file.name_is_loose, file.content_is_loose, file.is_damaged] {
            writer.flag(bit);
        }
    }
    for lock in state.locks {
        let owner = lock.map(|party| match party {
            Party::Publisher(place) => place,
            Party::Collector(place) => 3 + place,
            Party::Holder(_) | Party::User | Party::Machine => 6,
        });
        writer.option(owner, 3);
    }
    for publisher in &state.publishers {
        put_publisher(&mut writer, publisher);
    }
    for collector in state.collectors {
        put_collector(&mut writer, collector);
    }
    for holder in state.holders {
        writer.option(holder.uses, 2);
        writer.option(holder.lease, 2);
        for path in holder.paths {
            writer.option(path, INCARNATION_BITS);
        }
    }
    for lost in state.lost {
        writer.option(lost, INCARNATION_BITS);
    }
    writer.flag(state.name_was_reused);
    writer.words
}

fn put_publisher(writer: &mut Writer, publisher: &Publisher) {
    let stage = STAGES.iter().position(|stage| *stage == publisher.stage).unwrap_or(0);
    writer.put(u8::try_from(stage).unwrap_or(0), 4);
    writer.put(publisher.at, 1);
    for hold in publisher.holds {
        let kind = match hold {
            Hold::None => 0,
            Hold::Adopts(_) => 1,
            Hold::Owns(_) => 2,
        };
        writer.named(kind, 2, hold.incarnation());
    }
    for intent in publisher.intents {
        writer.flag(intent);
    }
    for incarnation in publisher.spare.into_iter().chain(publisher.replaces) {
        writer.option(incarnation, INCARNATION_BITS);
    }
}

fn put_collector(writer: &mut Writer, collector: Collector) {
    let (kind, digest, argument) = match collector {
        Collector::Idle => (0, 0, 0),
        Collector::Unlink(digest, incarnation) => (1, digest, incarnation),
        Collector::UnlinkLocked(digest, incarnation) => (2, digest, incarnation),
        Collector::Forget(digest, incarnation) => (3, digest, incarnation),
        Collector::Seen(digest, incarnation) => (4, digest, incarnation),
        Collector::Doomed(digest, incarnation) => (5, digest, incarnation),
        Collector::Known(digest, set) => (6, digest, set),
        Collector::Victim(image) => (7, 0, image),
        Collector::Missing(digest, incarnation) => (8, digest, incarnation),
    };
    writer.put(kind, 4);
    writer.put(digest, 1);
    writer.put(argument, 6);
}

/// What was packed.
#[must_use]
pub(super) fn unpack(packed: Packed) -> State {
    let mut reader = Reader { words: packed, at: 0 };
    let mut state = State::default();
    for row in &mut state.rows {
        *row = match reader.named(2) {
            (1, incarnation) => Row::Present(incarnation),
            (2, incarnation) => Row::Deleting(incarnation),
            (3, incarnation) => Row::Damaged(incarnation),
            _ => Row::Absent,
        };
    }
    for there in &mut state.images {
        *there = reader.flag();
    }
    for file in state.files.iter_mut().flatten() {
        *file = File {
            is_there: reader.flag(),
            name_is_loose: reader.flag(),
            content_is_loose: reader.flag(),
            is_damaged: reader.flag(),
        };
    }
    for lock in &mut state.locks {
        *lock = reader.option(3).map(|owner| match owner {
            0..3 => Party::Publisher(owner),
            3..6 => Party::Collector(owner - 3),
            _ => Party::Machine,
        });
    }
    for publisher in &mut state.publishers {
        *publisher = take_publisher(&mut reader);
    }
    for collector in &mut state.collectors {
        *collector = take_collector(&mut reader);
    }
    for holder in &mut state.holders {
        *holder = Holder { uses: reader.option(2), lease: reader.option(2), ..Holder::default() };
        for path in &mut holder.paths {
            *path = reader.option(INCARNATION_BITS);
        }
    }
    for lost in &mut state.lost {
        *lost = reader.option(INCARNATION_BITS);
    }
    state.name_was_reused = reader.flag();
    state
}

fn take_publisher(reader: &mut Reader) -> Publisher {
    let stage = STAGES[usize::from(reader.take(4))];
    let at = reader.take(1);
    let mut publisher = Publisher { stage, at, ..Publisher::default() };
    for hold in &mut publisher.holds {
        *hold = match reader.named(2) {
            (1, incarnation) => Hold::Adopts(incarnation),
            (2, incarnation) => Hold::Owns(incarnation),
            _ => Hold::None,
        };
    }
    for intent in &mut publisher.intents {
        *intent = reader.flag();
    }
    for incarnation in publisher.spare.iter_mut().chain(&mut publisher.replaces) {
        *incarnation = reader.option(INCARNATION_BITS);
    }
    publisher
}

fn take_collector(reader: &mut Reader) -> Collector {
    let (kind, digest, argument) = (reader.take(4), reader.take(1), reader.take(6));
    match kind {
        1 => Collector::Unlink(digest, argument),
        2 => Collector::UnlinkLocked(digest, argument),
        3 => Collector::Forget(digest, argument),
        4 => Collector::Seen(digest, argument),
        5 => Collector::Doomed(digest, argument),
        6 => Collector::Known(digest, argument),
        7 => Collector::Victim(argument),
        8 => Collector::Missing(digest, argument),
        _ => Collector::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives() {
        let mut state = State {
            rows: [Row::Deleting(5), Row::Damaged(3)],
            images: [false, true],
            locks: [Some(Party::Publisher(2)), Some(Party::Collector(2))],
            collectors: [Collector::Known(1, 0b11_1111), Collector::Victim(1), Collector::Doomed(1, 5)],
            holders: [
                Holder { uses: Some(1), lease: None, paths: [Some(5), None] },
                Holder { uses: None, lease: Some(0), paths: [None, None] },
            ],
            lost: [None, Some(5)],
            name_was_reused: true,
            ..State::default()
        };
        for (number, file) in state.files.iter_mut().flatten().enumerate() {
            file.is_there = number % 2 == 0;
            file.name_is_loose = number % 3 == 0;
            file.content_is_loose = number % 5 == 0;
            file.is_damaged = number % 7 == 0;
        }
        for (number, stage) in [Stage::Dead, Stage::Rename, Stage::Discard].into_iter().enumerate() {
            state.publishers[number] = Publisher {
                stage,
                at: 1,
                holds: [Hold::Owns(5), Hold::Adopts(4)],
                intents: [number == 0, number == 1],
                spare: [Some(5), None],
                replaces: [None, Some(3)],
            };
        }
        assert_eq!(unpack(pack(&state)), state);
        assert_eq!(unpack(pack(&State::default())), State::default());
    }
}
