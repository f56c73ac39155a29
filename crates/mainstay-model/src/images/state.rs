//! What everybody remembers: the database, the directory, the processes.

/// Blobs in the model.
pub const DIGESTS: usize = 2;
/// Images in the model.
pub const IMAGES: usize = 2;
/// Publishers at most.
pub const PUBLISHERS: usize = 3;
/// Collectors at most.
pub const COLLECTORS: usize = 3;
/// Lease holders at most.
pub const HOLDERS: usize = 2;
/// Incarnations of one blob that can be alive at the same time.
pub const INCARNATIONS: usize = 6;

/// A blob's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Row {
    /// There is none.
    #[default]
    Absent,
    /// The blob is in this incarnation of its file.
    Present(u8),
    /// A tombstone: this incarnation of the file is to be removed.
    Deleting(u8),
    /// This incarnation of the file was found missing.
    Damaged(u8),
}

impl Row {
    /// The incarnation that it names.
    #[must_use]
    pub const fn incarnation(self) -> Option<u8> {
        match self {
            Self::Absent => None,
            Self::Present(incarnation) | Self::Deleting(incarnation) | Self::Damaged(incarnation) => {
                Some(incarnation)
            }
        }
    }
}

/// One incarnation of a blob's file, as the directory and the disk have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct File {
    /// It is in the directory.
    pub is_there: bool,
    /// After a power loss its name may be there or not, whatever the directory says now.
    pub name_is_loose: bool,
    /// After a power loss its content may be damaged.
    pub content_is_loose: bool,
    /// Its content is not what its name says.
    pub is_damaged: bool,
}

impl File {
    /// Neither there nor able to come back.
    pub const NONE: Self =
        Self { is_there: false, name_is_loose: false, content_is_loose: false, is_damaged: false };

    /// Somebody who opens it reads the blob.
    #[must_use]
    pub const fn is_good(self) -> bool {
        self.is_there && !self.is_damaged
    }
}

/// How a publisher has one of its blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Hold {
    /// Not yet.
    #[default]
    None,
    /// By the row's incarnation.
    Adopts(u8),
    /// By an incarnation of its own.
    Owns(u8),
}

impl Hold {
    /// The incarnation.
    #[must_use]
    pub const fn incarnation(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Adopts(incarnation) | Self::Owns(incarnation) => Some(incarnation),
        }
    }
}

/// The step that a publisher takes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Stage {
    /// The first one for the blob it is at.
    #[default]
    Intent,
    /// See [`super::Step::PublishCheck`], and so on.
    Check,
    /// Write the temporary file.
    Write,
    /// Sync its content.
    SyncFile,
    /// Take the lock.
    Lock,
    /// Rename it.
    Rename,
    /// Sync the directory.
    SyncDir,
    /// Make the row.
    Land,
    /// Make the image.
    Commit,
    /// Remove what was not needed.
    Discard,
    /// None: the process is dead, its intents are still in the database.
    Dead,
}

/// A process that publishes one image after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Publisher {
    /// What it does next.
    pub stage: Stage,
    /// Which blob of its image it is at.
    pub at: u8,
    /// How it has each blob.
    pub holds: [Hold; DIGESTS],
    /// Whether the database still has its intent for each blob.
    pub intents: [bool; DIGESTS],
    /// An incarnation of its own that it does not need, of each blob.
    pub spare: [Option<u8>; DIGESTS],
    /// The incarnation that it found missing and replaces, of each blob.
    pub replaces: [Option<u8>; DIGESTS],
}

/// What a collector is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Collector {
    /// Nothing.
    #[default]
    Idle,
    /// Remove the file of a tombstone.
    Unlink(u8, u8),
    /// A3b: the same, with the lock.
    UnlinkLocked(u8, u8),
    /// Delete the tombstone.
    Forget(u8, u8),
    /// Ask whether a file that it saw is anybody's.
    Seen(u8, u8),
    /// Remove a file that is nobody's.
    Doomed(u8, u8),
    /// See which files of a blob none of the known incarnations (a set of bits) names; broken variant K.
    Known(u8, u8),
    /// Evict an image.
    Victim(u8),
    /// Mark a row whose file it found missing.
    Missing(u8, u8),
}

impl Collector {
    /// The blob and the incarnation that it is about.
    #[must_use]
    pub const fn file(self) -> Option<(u8, u8)> {
        match self {
            Self::Unlink(digest, incarnation)
            | Self::UnlinkLocked(digest, incarnation)
            | Self::Forget(digest, incarnation)
            | Self::Seen(digest, incarnation)
            | Self::Doomed(digest, incarnation)
            | Self::Missing(digest, incarnation) => Some((digest, incarnation)),
            Self::Idle | Self::Known(..) | Self::Victim(_) => None,
        }
    }
}

/// A process that claims an image to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Holder {
    /// The image that it uses.
    pub uses: Option<u8>,
    /// The image that its lease in the database names.
    pub lease: Option<u8>,
    /// The incarnations of the blobs that it has opened.
    pub paths: [Option<u8>; DIGESTS],
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct State {
    /// The rows of the blobs.
    pub rows: [Row; DIGESTS],
    /// Which images there are.
    pub images: [bool; IMAGES],
    /// The directory, by blob and incarnation.
    pub files: [[File; INCARNATIONS]; DIGESTS],
    /// A3b: who has the lock of each digest.
    pub locks: [Option<Party>; DIGESTS],
    /// The publishers.
    pub publishers: [Publisher; PUBLISHERS],
    /// The collectors.
    pub collectors: [Collector; COLLECTORS],
    /// The lease holders.
    pub holders: [Holder; HOLDERS],
    /// An incarnation of each blob that the medium has lost, while anything remembers it.
    pub lost: [Option<u8>; DIGESTS],
    /// A rename has met a file of the same name, though no incarnation is ever used twice.
    pub name_was_reused: bool,
}

/// Who takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// A publisher, by its place.
    Publisher(u8),
    /// A collector, by its place.
    Collector(u8),
    /// A lease holder, by its place.
    Holder(u8),
    /// The user.
    User,
    /// The machine.
    Machine,
}
