//! The numbers of this crate's rows. They are given by the database and never twice.

macro_rules! number {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub(crate) i64);

        impl $name {
            /// The number.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }

            /// A number that was given before, as an interface hands it back.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Names an image within its store. Outside, use its digest.
    ImageId
}
number! {
    /// Names a blob's row within its store.
    BlobId
}
number! {
    /// Names one life of a holder: its epoch.
    HolderId
}
number! {
    /// Names one publication, and the file that it wrote. Never given twice, so a late removal never hits another's file.
    Incarnation
}
number! {
    /// The fencing token of a lease: greater than that of every lease before it.
    Token
}

/// A life of a holder. After a restore of the database its number may be given again; the random value that was written with it is
/// not, so that who held the number before is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LifeId {
    pub(crate) number: HolderId,
    pub(crate) nonce: i64,
}

impl LifeId {
    /// A random value for a life that is about to begin.
    pub(crate) fn nonce() -> crate::error::Result<i64> {
        let mut octets = [0; 8];
        aws_lc_rs::rand::fill(&mut octets)
            .map_err(|_| crate::error::Error::internal("the system gives no random numbers"))?;
        Ok(i64::from_ne_bytes(octets))
    }
}
