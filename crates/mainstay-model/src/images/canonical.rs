//! Names that mean nothing: which of several like processes it is, which number an incarnation has.

use super::database::is_alive;
use super::rules::Names;
use super::state::{
    COLLECTORS, Collector, DIGESTS, File, HOLDERS, Hold, Holder, INCARNATIONS, PUBLISHERS, Publisher, Row,
    State,
};
use super::{Party, Setup};

/// Where everything stood before its place was changed, by the place that it has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renaming {
    pub(super) publishers: [u8; PUBLISHERS],
    pub(super) collectors: [u8; COLLECTORS],
    pub(super) holders: [u8; HOLDERS],
    pub(super) incarnations: [[u8; INCARNATIONS]; DIGESTS],
}

impl Renaming {
    const fn identity() -> Self {
        Self {
            publishers: [0, 1, 2],
            collectors: [0, 1, 2],
            holders: [0, 1],
            incarnations: [[0, 1, 2, 3, 4, 5]; DIGESTS],
        }
    }
}

/// What an incarnation is, without its number.
type Trait = Option<(bool, File)>;

fn trait_of(state: &State, digest: usize, incarnation: Option<u8>) -> Trait {
    let incarnation = incarnation?;
    let is_rows = state.rows[digest].incarnation() == Some(incarnation);
    Some((is_rows, state.files[digest][usize::from(incarnation)]))
}

impl Setup {
    pub(super) fn canonical_state(&self, state: &State) -> (State, Renaming) {
        let mut renaming = Renaming::identity();
        let mut after = *state;
        for (digest, lost) in (0_u8..).zip(&mut after.lost) {
            *lost = lost.filter(|incarnation| is_alive(state, digest, *incarnation));
        }
        self.sort_publishers(state, &mut renaming);
        renaming.collectors[..usize::from(self.collectors)]
            .sort_by_key(|place| collector_key(state, state.collectors[usize::from(*place)]));
        renaming.holders[..usize::from(self.holders)]
            .sort_by_key(|place| holder_key(state, &state.holders[usize::from(*place)]));
        after.publishers = renaming.publishers.map(|place| state.publishers[usize::from(place)]);
        after.collectors = renaming.collectors.map(|place| state.collectors[usize::from(place)]);
        after.holders = renaming.holders.map(|place| state.holders[usize::from(place)]);
        after.locks = state.locks.map(|lock| lock.map(|owner| renaming.moved(owner)));
        if self.rules.names == Names::Incarnation {
            let blobs = self.images.iter().flat_map(|blobs| *blobs);
            let used = blobs.max().map_or(0, |last| usize::from(*last) + 1);
            for digest in 0..used {
                renaming.incarnations[digest] = rename_incarnations(&mut after, digest);
            }
        }
        (after, renaming)
    }

    /// Sorts those that publish the same image.
    fn sort_publishers(&self, state: &State, renaming: &mut Renaming) {
        let mut from = 0;
        for alike in self.publishers.chunk_by(|left, right| left == right) {
            let to = from + alike.len();
            renaming.publishers[from..to].sort_by_key(|place| {
                let publisher = &state.publishers[usize::from(*place)];
                publisher_key(state, publisher)
            });
            from = to;
        }
    }
}

impl Renaming {
    fn moved(&self, owner: Party) -> Party {
        let find = |places: &[u8], place: u8| {
            let now = places.iter().position(|from| *from == place).unwrap_or(0);
            u8::try_from(now).unwrap_or(0)
        };
        match owner {
            Party::Publisher(place) => Party::Publisher(find(&self.publishers, place)),
            Party::Collector(place) => Party::Collector(find(&self.collectors, place)),
            other => other,
        }
    }
}

fn publisher_key(state: &State, publisher: &Publisher) -> impl Ord + use<> {
    let held = [0, 1].map(|digest| {
        let hold = publisher.holds[digest];
        (matches!(hold, Hold::Owns(_)), trait_of(state, digest, hold.incarnation()))
    });
    let others = [publisher.spare, publisher.replaces];
    let spare = others.map(|other| [0, 1].map(|digest| trait_of(state, digest, other[digest])));
    (publisher.stage, publisher.at, publisher.intents, held, spare)
}

fn holder_key(state: &State, holder: &Holder) -> impl Ord + use<> {
    let paths = [0, 1].map(|digest| trait_of(state, digest, holder.paths[digest]));
    (holder.uses, holder.lease, paths)
}

fn collector_key(state: &State, collector: Collector) -> impl Ord + use<> {
    let kind = match collector {
        Collector::Idle => 0,
        Collector::Unlink(..) => 1,
        Collector::UnlinkLocked(..) => 2,
        Collector::Forget(..) => 3,
        Collector::Seen(..) => 4,
        Collector::Doomed(..) => 5,
        Collector::Known(..) => 6,
        Collector::Missing(..) => 7,
        Collector::Victim(image) => 8 + image,
    };
    let file = collector.file();
    let about = file.and_then(|(digest, n)| trait_of(state, usize::from(digest), Some(n)));
    (kind, file.map(|(digest, _)| digest), about)
}

/// Numbers the incarnations of a blob in the order in which the row, the publishers, the collectors and the directory name them.
fn rename_incarnations(state: &mut State, digest: usize) -> [u8; INCARNATIONS] {
    let mut order = Order { now: [None; INCARNATIONS], before: [0; INCARNATIONS], count: 0 };
    order.meet(state.rows[digest].incarnation());
    for publisher in &state.publishers {
        order.meet(publisher.holds[digest].incarnation());
        order.meet(publisher.spare[digest]);
        order.meet(publisher.replaces[digest]);
    }
    for collector in state.collectors {
        order.meet(collector.file().filter(|(of, _)| usize::from(*of) == digest).map(|(_, n)| n));
    }
    for holder in &state.holders {
        order.meet(holder.paths[digest]);
    }
    let mut rest: [u8; INCARNATIONS] = [0, 1, 2, 3, 4, 5];
    rest.sort_by_key(|incarnation| std::cmp::Reverse(state.files[digest][usize::from(*incarnation)]));
    for incarnation in rest {
        order.meet(Some(incarnation));
    }
    apply(state, digest, &order);
    order.before
}

struct Order {
    now: [Option<u8>; INCARNATIONS],
    before: [u8; INCARNATIONS],
    count: u8,
}

impl Order {
    fn meet(&mut self, incarnation: Option<u8>) {
        let Some(incarnation) = incarnation else { return };
        let place = &mut self.now[usize::from(incarnation)];
        if place.is_none() {
            *place = Some(self.count);
            self.before[usize::from(self.count)] = incarnation;
            self.count += 1;
        }
    }

    fn number(&self, incarnation: u8) -> u8 {
        self.now[usize::from(incarnation)].unwrap_or(incarnation)
    }
}

fn apply(state: &mut State, digest: usize, order: &Order) {
    let row = &mut state.rows[digest];
    *row = match *row {
        Row::Absent => Row::Absent,
        Row::Present(incarnation) => Row::Present(order.number(incarnation)),
        Row::Deleting(incarnation) => Row::Deleting(order.number(incarnation)),
        Row::Damaged(incarnation) => Row::Damaged(order.number(incarnation)),
    };
    let files = state.files[digest];
    state.files[digest] = order.before.map(|before| files[usize::from(before)]);
    for publisher in &mut state.publishers {
        let hold = &mut publisher.holds[digest];
        *hold = match *hold {
            Hold::None => Hold::None,
            Hold::Adopts(incarnation) => Hold::Adopts(order.number(incarnation)),
            Hold::Owns(incarnation) => Hold::Owns(order.number(incarnation)),
        };
        for other in [&mut publisher.spare[digest], &mut publisher.replaces[digest]] {
            *other = other.map(|incarnation| order.number(incarnation));
        }
    }
    for holder in &mut state.holders {
        holder.paths[digest] = holder.paths[digest].map(|incarnation| order.number(incarnation));
    }
    state.lost[digest] = state.lost[digest].map(|incarnation| order.number(incarnation));
    for collector in &mut state.collectors {
        *collector = renamed(*collector, digest, order);
    }
}

fn renamed(collector: Collector, digest: usize, order: &Order) -> Collector {
    let is_about_it = |of: u8| usize::from(of) == digest;
    match collector {
        Collector::Unlink(of, n) if is_about_it(of) => Collector::Unlink(of, order.number(n)),
        Collector::UnlinkLocked(of, n) if is_about_it(of) => Collector::UnlinkLocked(of, order.number(n)),
        Collector::Forget(of, n) if is_about_it(of) => Collector::Forget(of, order.number(n)),
        Collector::Seen(of, n) if is_about_it(of) => Collector::Seen(of, order.number(n)),
        Collector::Doomed(of, n) if is_about_it(of) => Collector::Doomed(of, order.number(n)),
        Collector::Missing(of, n) if is_about_it(of) => Collector::Missing(of, order.number(n)),
        Collector::Known(of, set) if is_about_it(of) => {
            let members = (0_u8..).take(INCARNATIONS).filter(|n| set >> n & 1 == 1);
            Collector::Known(of, members.fold(0, |set, n| set | 1 << order.number(n)))
        }
        other => other,
    }
}
