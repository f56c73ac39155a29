//! The protocols, and each of them with one part missing.

/// How a file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Digest and incarnation; an incarnation is never used twice.
    Incarnation,
    /// Digest and generation; the count begins again when the row is gone.
    Generation,
    /// The digest alone.
    Digest,
}

/// What a publisher does that finds a tombstone in the place of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTombstone {
    /// Writes a file of its own.
    Writes,
    /// Waits until the tombstone is gone.
    Waits,
    /// Makes it a row again.
    TakesOver,
}

/// How files that belong to nothing are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Not at all.
    Off,
    /// The directory is listed, then rows and intents are read.
    FilesThenRows,
    /// Rows and intents are read, then the directory is listed.
    RowsThenFiles,
    /// The directory is listed, then rows are read; intents are not looked at.
    WithoutIntents,
}

/// A protocol: what its parties do. [`Rules::A2`] and [`Rules::A3B`] are sound; the others show what their parts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The protocol's or variant's short name.
    pub name: &'static str,
    /// How a file is named.
    pub names: Names,
    /// Whether a publisher announces what it is about to use.
    pub intents: bool,
    /// Whether a commit fails when the announcement is gone.
    pub fence: bool,
    /// Whether each blob gets its row before the image is committed.
    pub lands: bool,
    /// What a publisher does about a tombstone.
    pub on_tombstone: OnTombstone,
    /// Whether rename and unlink happen under a lock for each digest.
    pub lock: bool,
    /// Whether a publisher whose commit fails removes the file under its name.
    pub rolls_back: bool,
    /// Whether a collector marks a row before it removes the file.
    pub tombstones: bool,
    /// How files that belong to nothing are found.
    pub sweep: Sweep,
    /// Whether content is made durable before it gets its name.
    pub syncs_file: bool,
    /// Whether the name is made durable before the row is made.
    pub syncs_dir: bool,
    /// Whether an image that is claimed cannot be removed.
    pub restricts: bool,
    /// Whether a holder that goes over to another image claims that one.
    pub claims_what_it_uses: bool,
    /// Whether a lease is kept until its holder has surely stopped.
    pub margin: bool,
    /// Whether an eviction looks again before it removes.
    pub evicts_guarded: bool,
    /// Whether a row keeps its file when another one is there too, unless the publisher found that very file missing.
    pub keeps_first: bool,
    /// Whether a publisher that does not know how its commit ended leaves its file to the sweep.
    pub leaves_in_doubt: bool,
}

impl Rules {
    /// Incarnation names, intents, a fence at the commit, a tombstone before the unlink; a row for each blob as soon as it is there.
    pub const A2: Self = Self {
        name: "A2",
        names: Names::Incarnation,
        intents: true,
        fence: true,
        lands: true,
        on_tombstone: OnTombstone::Writes,
        lock: false,
        rolls_back: false,
        tombstones: true,
        sweep: Sweep::FilesThenRows,
        syncs_file: true,
        syncs_dir: true,
        restricts: true,
        claims_what_it_uses: true,
        margin: true,
        evicts_guarded: true,
        leaves_in_doubt: true,
        keeps_first: true,
    };

    /// A2 in which rows are made by the image's commit only.
    pub const A2_AT_ONCE: Self = Self { name: "A2 at once", lands: false, ..Self::A2 };

    /// Digest names; rename and unlink under a lock for each digest, rename refused while the row is a tombstone.
    pub const A3B: Self = Self { name: "A3b", names: Names::Digest, lands: false, lock: true, ..Self::A2 };

    /// Generations that begin again, in the place of incarnations.
    pub const A: Self =
        Self { name: "A", names: Names::Generation, lands: false, sweep: Sweep::Off, ..Self::A2 };

    /// Digest names, no lock; a publisher waits while there is a tombstone.
    pub const B: Self = Self {
        name: "B",
        names: Names::Digest,
        lands: false,
        on_tombstone: OnTombstone::Waits,
        sweep: Sweep::Off,
        ..Self::A2
    };

    /// No intent: look at the file, adopt it, commit.
    pub const C: Self =
        Self { name: "C", names: Names::Digest, intents: false, fence: false, lands: false, ..Self::A2 };

    /// Intents, but the commit does not ask whether they are still there.
    pub const D: Self = Self { name: "D", fence: false, lands: false, ..Self::A2 };

    /// A publisher makes a tombstone a row again.
    pub const E: Self = Self { name: "E", on_tombstone: OnTombstone::TakesOver, lands: false, ..Self::A2 };

    /// No intent, and a commit that fails takes the file back.
    pub const F: Self = Self { name: "F", rolls_back: true, sweep: Sweep::Off, ..Self::C };

    /// Files are removed on the word of an earlier look at the references.
    pub const G: Self = Self { name: "G", tombstones: false, lands: false, ..Self::A2 };

    /// A file without a row is removed, whoever is about to commit it.
    pub const H: Self = Self { name: "H", sweep: Sweep::WithoutIntents, lands: false, ..Self::A2 };

    /// A3b whose commit does not ask whether the intent is still there.
    pub const A3B_WITHOUT_FENCE: Self = Self { name: "A3b without fence", fence: false, ..Self::A3B };

    /// Rows and intents are read before the directory is listed.
    pub const K: Self = Self { name: "K", sweep: Sweep::RowsThenFiles, lands: false, ..Self::A2 };

    /// A publisher that does not know how its commit ended removes its file.
    pub const DISCARD_IN_DOUBT: Self =
        Self { name: "discard in doubt", leaves_in_doubt: false, lands: false, ..Self::A2 };

    /// The last publisher's file takes the place of the one before.
    pub const LAST_WINS: Self = Self { name: "last wins", keeps_first: false, ..Self::A2 };

    /// Content is not made durable.
    pub const WITHOUT_SYNC_FILE: Self =
        Self { name: "without sync_file", syncs_file: false, lands: false, ..Self::A2 };

    /// Names are not made durable.
    pub const WITHOUT_SYNC_DIR: Self =
        Self { name: "without sync_dir", syncs_dir: false, lands: false, ..Self::A2 };

    /// Removing an image removes the claims on it.
    pub const CASCADE: Self = Self { name: "cascade", restricts: false, ..Self::A2 };

    /// A holder that goes over to another image keeps the claim on the first one.
    pub const SWAP: Self = Self { name: "swap", claims_what_it_uses: false, ..Self::A2 };

    /// A lease may be reaped (its time by another clock is over, its name is taken over) while its holder goes on.
    pub const WITHOUT_MARGIN: Self = Self { name: "without margin", margin: false, ..Self::A2 };

    /// An eviction trusts its plan.
    pub const EVICT_FROM_PLAN: Self = Self { name: "evict from plan", evicts_guarded: false, ..Self::A2 };
}
