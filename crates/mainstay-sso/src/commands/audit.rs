//! Looking at the audit.

use mainstay_core::{Cursor, Page, PageSize};

use crate::audit::chain::Walk;
use crate::audit::{AuditAnchor, AuditEvent, AuditFilter, ChainVerdict, Head};
use crate::error::Result;
use crate::scope::{Role, Scope};
use crate::sso::Sso;
use crate::store::audit;

/// How many events are read at a time while verifying.
const CHUNK: i64 = 500;

impl Sso {
    /// One page of audit events, the newest first.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn audit_list(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        size: PageSize,
        after: Option<&Cursor>,
    ) -> Result<Page<AuditEvent>> {
        scope.require(Role::Read)?;
        let items =
            self.repo().read_all(audit::list(scope.organization.as_ref(), filter, size, after)).await?;
        Ok(Page::from_surplus(items, size, |last: &AuditEvent| Cursor::new(last.seq.to_string())))
    }

    /// Walks the whole chain. An anchor, written down earlier and elsewhere, also finds out a chain that was rewritten whole.
    /// Events that are added meanwhile are not a break.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden) unless the scope is an administrator's over all organizations.
    pub async fn verify_audit_chain(
        &self,
        scope: &Scope,
        anchor: Option<AuditAnchor>,
    ) -> Result<ChainVerdict> {
        scope.require_global(Role::Admin)?;
        let mut walk = Walk::new(anchor);
        loop {
            let statements = vec![audit::after(walk.seq(), CHUNK), audit::head()];
            let results = self.repo().read_many(statements).await?;
            let mut results = results.iter();
            let events = results.next().map_or(&[][..], Vec::as_slice);
            for row in events {
                // An event that cannot even be read is one that was tampered with.
                let Ok(event) = <AuditEvent as mainstay_repo::FromRow>::from_row(row) else {
                    return Ok(ChainVerdict::Broken {
                        seq: walk.seq().saturating_add(1),
                        why: crate::audit::Broken::Content,
                    });
                };
                if let Err(broken) = walk.step(&event) {
                    return Ok(broken);
                }
            }
            if events.is_empty() {
                let head = results.next().and_then(|rows| rows.first());
                let head = head.map(<Head as mainstay_repo::FromRow>::from_row).transpose()?;
                return Ok(walk.finish(&head.unwrap_or(Head { seq: 0, hash: Vec::new() })));
            }
        }
    }
}
