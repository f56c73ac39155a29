//! Proof of a lease, also as a text: what must not happen without the lease asks for it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::ids::{HolderId, LifeId, Token};
use crate::store;
use crate::store::guarded::Guarded;

/// Proof of a lease, for what must not happen without it. As a text, such as `7-3-00c0ffee00c0ffee`, it is handed to programs: the lease's
/// token, its holder's number, and what tells both from those that a restored database gave anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGuard {
    pub(crate) token: Token,
    pub(crate) life: LifeId,
}

impl LeaseGuard {
    /// The fencing token.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// Lets a batch happen only while the lease is held; without it everything in the batch is left undone.
    pub(crate) fn require(self, batch: &mut Guarded) {
        let held = store::leases::guard(self.token.get(), self.life);
        batch.require(mainstay_repo::Expect::ONE, held, move || {
            Error::new(ErrorKind::Stale, format!("lease {} is not held any more", self.token))
                .with_help("nothing was made; acquire the image anew and do the work again")
        });
    }
}

impl fmt::Display for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:016x}", self.token, self.life.number, self.life.nonce)
    }
}

impl FromStr for LeaseGuard {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) wrote, and nothing else.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (token, rest) = text.split_once('-')?;
            let (number, nonce) = rest.split_once('-')?;
            let nonce = u64::from_str_radix(nonce, 16).ok()?.cast_signed();
            let life = LifeId { number: HolderId::new(number.parse().ok()?), nonce };
            Some(Self { token: Token::new(token.parse().ok()?), life })
        };
        read().filter(|guard| guard.to_string() == text).ok_or_else(|| {
            Error::invalid("lease", format!("{text:?} is no lease"))
                .with_help("give it as it was told when the image was leased: the token, the holder and what tells them apart")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        for (token, number, nonce) in [(1, 2, 0), (i64::MAX, i64::MAX, i64::MIN), (7, 3, -1)] {
            let life = LifeId { number: HolderId::new(number), nonce };
            let guard = LeaseGuard { token: Token::new(token), life };
            assert_eq!(guard.to_string().parse::<LeaseGuard>().unwrap(), guard, "{guard}");
        }
        for wrong in [
            "",
            "7",
            "7-3",
            "7-3-",
            "7-3-1",
            "x-3-0000000000000001",
            "+7-3-0000000000000001",
            "7-3-00000000000000001",
        ] {
            let error = wrong.parse::<LeaseGuard>().unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Invalid { field: "lease" }, "{wrong}");
        }
    }
}
