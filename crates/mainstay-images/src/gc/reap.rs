//! Holders that ended: their leases and intents are forgotten, in one transaction each.

use mainstay_repo::Expect;

use super::CollectReport;
use super::collect::Elected;
use crate::error::{Error, ErrorKind, Result};
use crate::images::Images;
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

/// Holders that are forgotten before others are looked for.
const PAGE: u32 = 200;

impl Images {
    /// Forgets the claims of holders that ended, by the database's clock and with the margin.
    pub(super) async fn reap(&self, elected: &Elected<'_>, report: &mut CollectReport) -> Result<()> {
        let margin = self.options().margin;
        loop {
            let ended = self.shared.slow.read(store::holders::expired(margin, PAGE)).await?;
            for row in &ended {
                self.reap_one(row.get("id")?, report).await?;
            }
            elected.extend(self).await?;
            if ended.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    async fn reap_one(&self, id: i64, report: &mut CollectReport) -> Result<()> {
        self.before(Step::LeaseExpire).await?;
        self.before(Step::IntentExpire).await?;
        let mut batch = Guarded::new("images.reap");
        let lock = store::holders::reap_lock(id, self.options().margin);
        batch.require(Expect::ONE, lock, || {
            Error::new(ErrorKind::Conflict, "the holder was renewed or is gone")
        });
        batch.push(store::queue::put_holder(id, self.options().grace));
        let intents = batch.push(store::intents::of_holder(id));
        for used in store::leases::used_by(id) {
            batch.push(used);
        }
        let leases = batch.push(store::leases::of_holder(id));
        batch.push(store::holders::reap(id));
        let outcome = match batch.run(&self.shared.slow).await {
            Err(error) if matches!(error.kind(), ErrorKind::Conflict) => return Ok(()),
            other => other?,
        };
        let count = |place| outcome.get(place).map_or(0, mainstay_repo::Written::rows_affected);
        report.holders_reaped += 1;
        report.leases_reaped += count(leases);
        report.intents_reaped += count(intents);
        Ok(())
    }
}
