//! The chain: how an event is hashed, and how a stream is checked.

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

use super::{AuditEvent, Head};

/// A point of the stream that was written down elsewhere: whoever rewrites the whole chain cannot rewrite this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditAnchor {
    /// The event's place.
    pub seq: i64,
    /// The event's hash, in hexadecimal digits.
    pub hash: String,
}

/// Why a chain does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Broken {
    /// An event is missing before this place.
    Gap,
    /// The event does not follow from the one before it.
    Link,
    /// The event's content is not what was hashed.
    Content,
    /// The head does not name the last event: events at the end are missing.
    Head,
    /// The event is not the one that was written down elsewhere.
    Anchor,
}

/// What came of verifying the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainVerdict {
    /// Every event is there and unchanged.
    Intact {
        /// How many there are.
        events: i64,
        /// The last one; write it down elsewhere to compare with later.
        head: AuditAnchor,
    },
    /// The chain does not hold.
    Broken {
        /// From which event on.
        seq: i64,
        /// In which way.
        why: Broken,
    },
}

/// SHA-256 over the hash before and the content, each field with its length, so that no two contents share their octets.
pub(crate) fn hash(event: &AuditEvent) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    let mut field = |octets: Option<&[u8]>| {
        let length = octets.map_or(u64::MAX, |octets| u64::try_from(octets.len()).unwrap_or(u64::MAX - 1));
        context.update(&length.to_be_bytes());
        context.update(octets.unwrap_or_default());
    };
    let connection = event.connection.map(|id| id.to_string());
    field(Some(&event.previous_hash));
    field(Some(&event.seq.to_be_bytes()));
    field(Some(event.id.to_string().as_bytes()));
    field(Some(&event.at.as_unix_micros().to_be_bytes()));
    field(Some(event.action.as_bytes()));
    field(connection.as_ref().map(String::as_bytes));
    field(event.organization.as_ref().map(|organization| organization.as_str().as_bytes()));
    field(Some(event.actor.as_bytes()));
    field(Some(event.cause.as_bytes()));
    field(Some(event.details.as_bytes()));
    context.finish().as_ref().to_vec()
}

/// Checks a stream piece by piece, so that it need not be in memory.
#[derive(Debug)]
pub(crate) struct Walk {
    seq: i64,
    hash: Vec<u8>,
    anchor: Option<AuditAnchor>,
}

impl Walk {
    pub(crate) fn new(anchor: Option<AuditAnchor>) -> Self {
        Self { seq: 0, hash: vec![0; 32], anchor }
    }

    /// The place up to which the stream was checked.
    pub(crate) const fn seq(&self) -> i64 {
        self.seq
    }

    /// Checks the next event.
    pub(crate) fn step(&mut self, event: &AuditEvent) -> Result<(), ChainVerdict> {
        let broken = |why| Err(ChainVerdict::Broken { seq: event.seq, why });
        if event.seq != self.seq.saturating_add(1) {
            return broken(Broken::Gap);
        }
        if event.previous_hash != self.hash {
            return broken(Broken::Link);
        }
        if event.hash != hash(event) {
            return broken(Broken::Content);
        }
        let anchored = self.anchor.as_ref().filter(|anchor| anchor.seq == event.seq);
        if anchored.is_some_and(|anchor| anchor.hash != crate::token::hex(&event.hash)) {
            return broken(Broken::Anchor);
        }
        self.seq = event.seq;
        self.hash.clone_from(&event.hash);
        Ok(())
    }

    /// Compares the end with the head.
    pub(crate) fn finish(self, head: &Head) -> ChainVerdict {
        if self.anchor.is_some_and(|anchor| anchor.seq > self.seq) {
            return ChainVerdict::Broken { seq: self.seq, why: Broken::Anchor };
        }
        if head.seq != self.seq || head.hash != self.hash {
            return ChainVerdict::Broken { seq: self.seq, why: Broken::Head };
        }
        let head = AuditAnchor { seq: self.seq, hash: crate::token::hex(&self.hash) };
        ChainVerdict::Intact { events: self.seq, head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Entry;
    use crate::ids::AuditId;
    use mainstay_core::{FixedClock, Timestamp};

    fn stream(length: usize) -> (Vec<AuditEvent>, Head) {
        let clock = FixedClock::at(Timestamp::UNIX_EPOCH);
        let mut head = Head { seq: 0, hash: vec![0; 32] };
        let events = (0..length).map(|n| {
            let entry = Entry {
                id: AuditId::generate(&clock),
                at: Timestamp::UNIX_EPOCH,
                action: "connection.update",
                connection: None,
                organization: None,
                actor: "a".into(),
                cause: format!("cause {n}"),
                details: "{}".into(),
            };
            let event = entry.behind(&head);
            head = Head { seq: event.seq, hash: event.hash.clone() };
            event
        });
        (events.collect(), head)
    }

    fn verdict(events: &[AuditEvent], head: &Head, anchor: Option<AuditAnchor>) -> ChainVerdict {
        let mut walk = Walk::new(anchor);
        for event in events {
            if let Err(broken) = walk.step(event) {
                return broken;
            }
        }
        walk.finish(head)
    }

    #[track_caller]
    fn check(tamper: impl FnOnce(&mut Vec<AuditEvent>, &mut Head), seq: i64, why: Broken) {
        let (mut events, mut head) = stream(4);
        tamper(&mut events, &mut head);
        assert_eq!(verdict(&events, &head, None), ChainVerdict::Broken { seq, why });
    }

    #[test]
    fn an_untouched_stream_holds() {
        for length in [0, 1, 4] {
            let (events, head) = stream(length);
            assert!(
                matches!(verdict(&events, &head, None), ChainVerdict::Intact { events, .. } if events == head.seq)
            );
        }
    }

    #[test]
    fn every_way_of_tampering_is_named() {
        check(|events, _| events[1].cause = "other".into(), 2, Broken::Content);
        check(|events, _| drop(events.remove(1)), 3, Broken::Gap);
        check(|events, _| drop(events.pop()), 3, Broken::Head);
        check(
            |events, _| {
                events[1].actor = "b".into();
                events[1].hash = hash(&events[1]);
            },
            3,
            Broken::Link,
        );
    }

    #[test]
    fn a_rewritten_chain_does_not_pass_an_anchor() {
        let (events, head) = stream(4);
        let anchor = AuditAnchor { seq: 2, hash: crate::token::hex(&events[1].hash) };
        assert!(matches!(verdict(&events, &head, Some(anchor.clone())), ChainVerdict::Intact { .. }));
        let (other, other_head) = stream(4);
        assert_eq!(
            verdict(&other, &other_head, Some(anchor.clone())),
            ChainVerdict::Broken { seq: 2, why: Broken::Anchor }
        );
        let (short, short_head) = stream(1);
        assert_eq!(
            verdict(&short, &short_head, Some(anchor)),
            ChainVerdict::Broken { seq: 1, why: Broken::Anchor }
        );
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let (mut events, _) = stream(1);
        let mut other = events.remove(0);
        let before = {
            other.actor = "ab".into();
            other.cause = "c".into();
            hash(&other)
        };
        other.actor = "a".into();
        other.cause = "bc".into();
        assert_ne!(hash(&other), before);
    }
}
