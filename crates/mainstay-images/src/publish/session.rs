//! An ingest: the intents of one holder for one purpose, and what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use mainstay_repo::Expect;

use crate::blob::{Blob, BlobKind, BlobState};
use crate::digest::Digest;
use crate::disk::{self, Disk};
use crate::error::{Error, ErrorKind, Result};
use crate::files::layout;
use crate::images::Images;
use crate::lease::Node;
use crate::publish::names;
use crate::publish::room::Promise;
use crate::step::Step;
use crate::store;
use crate::store::guarded::Guarded;

/// Directories of one session that are made durable at the same time.
const SYNCS_AT_ONCE: usize = 4;
/// Intents that one transaction writes.
const INTENTS_AT_ONCE: usize = 250;

/// A blob that an ingest has at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Staged {
    /// Its name.
    pub digest: Digest,
    /// Its length in octets.
    pub size_bytes: u64,
    /// Whether the store had it before.
    pub adopted: bool,
}

/// What a session knows of a blob that it may commit.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) inc: i64,
    pub(super) size: u64,
    pub(super) kind: BlobKind,
    pub(super) media_type: String,
    /// A file of its own lies under its number.
    pub(super) own: bool,
    /// Its file's name outlives a loss of power. No row is made before.
    pub(super) is_named_durably: bool,
    /// How many calls to make the names in its directory durable had failed when it got its name.
    pub(super) failures: u64,
    /// Its row is known to be there.
    pub(super) landed: bool,
    /// A transaction that makes its row was sent, and how it ended is not known.
    pub(super) is_in_doubt: bool,
    /// The file that this one is to replace.
    pub(super) replaces: Option<i64>,
}

/// An intent without content yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) inc: i64,
    pub(super) replaces: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) claims: BTreeMap<Digest, Claim>,
    pub(super) pending: BTreeMap<Digest, Pending>,
    /// Intents that nothing of the session names, and whose file lies in the staging directory or nowhere.
    pub(super) spare: Vec<i64>,
    /// Spare ones that somebody is about to put to use: a writer, or who asks for a blob.
    in_use: BTreeSet<i64>,
    /// Room for what is not written yet, by its number.
    pub(super) promises: BTreeMap<i64, Promise>,
    /// Those whose unfinished files may serve another that brings the blob.
    pub(super) partials: BTreeMap<i64, Digest>,
    /// Those whose file got its name and that no claim tells of yet: a thread goes on to that when who waits for it has left.
    pub(super) named: BTreeMap<i64, Digest>,
}

impl State {
    /// Takes an intent from the spare ones: something else of the session names it now.
    pub(super) fn use_intent(&mut self, inc: i64) {
        self.spare.retain(|spare| *spare != inc);
        self.partials.remove(&inc);
        self.promises.remove(&inc);
        self.named.remove(&inc);
    }

    /// Octets of a publication are written.
    pub(super) fn spend(&mut self, inc: i64, octets: u64) {
        if let Some(promise) = self.promises.get_mut(&inc) {
            promise.spend(octets);
        }
    }

    /// Where the file of a publication lies that is not finished.
    pub(super) fn staged(&self, inc: i64) -> String {
        self.partials.get(&inc).map_or_else(|| layout::staged(inc), |digest| layout::partial(digest, inc))
    }

    /// Where the file of a publication may lie that nobody goes on with.
    pub(super) fn unfinished(&self, inc: i64) -> impl Iterator<Item = String> + use<> {
        let named = self.named.get(&inc).map(|digest| layout::blob(digest, inc));
        [self.staged(inc)].into_iter().chain(named)
    }

    /// All intents of the session.
    fn numbers(&self) -> Vec<i64> {
        let claims = self.claims.values().map(|claim| claim.inc);
        let pending = self.pending.values().map(|pending| pending.inc);
        claims.chain(pending).chain(self.spare.iter().copied()).collect()
    }

    /// Spare intents that nobody is about to put to use.
    pub(super) fn unused(&self) -> Vec<i64> {
        self.spare.iter().copied().filter(|inc| !self.in_use.contains(inc)).collect()
    }
}

/// A number that somebody is about to put to use: a commit beside it leaves it alone until this is dropped.
#[derive(Debug)]
pub(super) struct InUse {
    session: Arc<Session>,
    pub(super) inc: i64,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.session.state();
        state.in_use.remove(&self.inc);
        // Nothing came of it: what it was promised is free for who begins it again.
        if state.spare.contains(&self.inc) {
            state.promises.remove(&self.inc);
        }
    }
}

/// Blobs on their way into the store. Several writers may work at once. What is not committed goes away with
/// [`Ingest::abort`] or when this is dropped.
#[derive(Debug)]
pub struct Ingest {
    pub(super) shared: Arc<Session>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) node: Node,
    state: Mutex<State>,
    /// A step was refused: behave as if the process had ended there.
    crashed: AtomicBool,
    /// Who makes names durable. A failure is told once, so nobody may ask beside who is told.
    naming: tokio::sync::Mutex<()>,
    /// Who makes rows. Two at once would make the same ones, and count them twice.
    pub(super) landing: tokio::sync::Mutex<()>,
    /// Transactions whose outcome is not known: cancelled, or cut off.
    pub(super) doubts: AtomicUsize,
    /// What arrived of blobs that did not arrive whole is of no use to others.
    refused: AtomicBool,
}

impl Session {
    pub(super) fn images(&self) -> &Images {
        self.node.images()
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.images().shared.disk
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn holder(&self) -> i64 {
        self.node.id().get()
    }

    pub(super) async fn before(&self, step: Step) -> Result<()> {
        let passed = self.images().before(step).await;
        if passed.is_err() {
            self.crashed.store(true, Ordering::SeqCst);
        }
        passed
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// Writes an intent and looks at the blob's row in the same transaction. Its number is spare until the caller
    /// [puts it to use](State::use_intent).
    pub(super) async fn intend(
        self: &Arc<Self>,
        digest: Option<&Digest>,
        size: u64,
    ) -> Result<(InUse, Option<Blob>)> {
        let promise = match self.images().promise(size).await {
            // What is there needs no room.
            Err(error) if matches!(error.kind(), ErrorKind::NoSpace) => match digest {
                Some(digest) if self.is_present(digest).await? => None,
                _ => return Err(error),
            },
            promised => Some(promised?),
        };
        self.before(Step::PublishIntent).await?;
        let (session, digest) = (Arc::clone(self), digest.copied());
        // A task of its own: a caller that leaves meanwhile must not take the number with it, or the intent would stay, and
        // keep its digest from collection, for as long as the holder lives.
        let written = tokio::spawn(async move { session.write_intent(digest.as_ref(), size).await });
        let written = written.await;
        let (intent, found) =
            written.map_err(|_| Error::internal("the task that writes an intent was ended"))??;
        self.state().promises.extend(promise.map(|promise| (intent.inc, promise)));
        if found.as_ref().is_none_or(|blob| blob.state != BlobState::Present)
            && let Err(error) = self.images().confirm(size, intent.inc).await
        {
            self.drop_intents(vec![intent.inc], Vec::new()).await?;
            self.state().use_intent(intent.inc);
            return Err(error);
        }
        Ok((intent, found))
    }

    /// Whether the store has a blob, without a word on its file.
    async fn is_present(&self, digest: &Digest) -> Result<bool> {
        let found = self.images().repo().read(store::blobs::find(digest)).await?;
        let found = found.first().map(store::blobs::read).transpose()?;
        Ok(found.is_some_and(|blob| blob.state == BlobState::Present))
    }

    /// Intents for blobs whose digests are known, in one transaction; the numbers in the order of the blobs.
    async fn intend_all(self: &Arc<Self>, blobs: Vec<(Digest, u64)>) -> Result<Vec<(InUse, Option<Blob>)>> {
        for _ in &blobs {
            self.before(Step::PublishIntent).await?;
        }
        let session = Arc::clone(self);
        let written = tokio::spawn(async move {
            let blobs: Vec<_> = blobs.iter().map(|(digest, size)| (Some(digest), *size)).collect();
            session.write_intents(&blobs).await
        });
        written.await.map_err(|_| Error::internal("the task that writes intents was ended"))?
    }

    async fn write_intent(
        self: &Arc<Self>,
        digest: Option<&Digest>,
        size: u64,
    ) -> Result<(InUse, Option<Blob>)> {
        let written = self.write_intents(&[(digest, size)]).await?.pop();
        written.ok_or_else(|| Error::internal("an intent's row was not returned"))
    }

    async fn write_intents(
        self: &Arc<Self>,
        blobs: &[(Option<&Digest>, u64)],
    ) -> Result<Vec<(InUse, Option<Blob>)>> {
        let mut batch = Guarded::new("images.publish_intent");
        let mark = self.node.mark();
        self.guard_holder(&mut batch);
        // The blobs before the store, as all who lock both.
        let looks: Vec<_> = blobs
            .iter()
            .map(|(digest, _)| digest.map(|digest| batch.push(store::blobs::look(digest))))
            .collect();
        self.lock_quota(&mut batch);
        let unused = self.state().unused();
        if !unused.is_empty() {
            // Of what is begun again the first number is left: both would not fit into a quota that has room for the blob.
            batch.push(store::intents::unused(self.holder(), &unused));
        }
        let mut places = Vec::with_capacity(blobs.len());
        for ((digest, size), look) in blobs.iter().zip(looks) {
            self.guard_quota(&mut batch, *digest, *size, None);
            places.push((look, batch.push(store::intents::insert(self.holder(), *digest, *size, mark))));
        }
        let outcome = self.node.heard(mark, batch.run(self.images().repo()).await).await?;
        let mut intents = Vec::with_capacity(blobs.len());
        for (look, made) in places {
            let row = outcome.get(made).and_then(|written| written.rows().first());
            let row = row.ok_or_else(|| Error::internal("an intent's row was not returned"))?;
            let intent = self.put_to_use(row.get("inc")?);
            let found = look.and_then(|look| outcome.get(look)).and_then(|written| written.rows().first());
            intents.push((intent, found.map(store::blobs::read).transpose()?));
        }
        Ok(intents)
    }

    /// Takes what was announced of a blob to put it to use.
    pub(super) fn take_pending(self: &Arc<Self>, digest: &Digest) -> Option<(InUse, Option<i64>)> {
        let mut state = self.state();
        let Pending { inc, replaces } = state.pending.remove(digest)?;
        state.spare.push(inc);
        // At once: a commit beside this would take it for one that nobody uses.
        state.in_use.insert(inc);
        drop(state);
        Some((InUse { session: Arc::clone(self), inc }, replaces))
    }

    /// A number that was just given: spare, and kept from a commit that somebody makes meanwhile.
    fn put_to_use(self: &Arc<Self>, inc: i64) -> InUse {
        let mut state = self.state();
        state.spare.push(inc);
        state.in_use.insert(inc);
        drop(state);
        InUse { session: Arc::clone(self), inc }
    }

    /// Tells an intent its digest and looks at the blob's row in the same transaction.
    pub(super) async fn name(&self, inc: i64, digest: &Digest, size: u64) -> Result<Option<Blob>> {
        self.before(Step::PublishName).await?;
        let mut batch = Guarded::new("images.publish_name");
        self.guard_holder(&mut batch);
        let look = batch.push(store::blobs::look(digest));
        self.lock_quota(&mut batch);
        self.guard_quota(&mut batch, Some(digest), size, Some(inc));
        let stale = self.node.stale();
        batch.require(Expect::ONE, store::intents::name(inc, self.holder(), digest, size), move || stale);
        let outcome = batch.run(self.images().repo()).await?;
        let found = outcome.get(look).and_then(|written| written.rows().first());
        found.map(store::blobs::read).transpose()
    }

    /// Makes the names of own files durable. One call for a directory serves all that lie in it, those of other sessions too.
    ///
    /// # Errors
    /// Of the medium, also when another session of this process was told of it since a file got its name. The session has none of the
    /// files any more then: a system tells of a failure once, and that a second call succeeds says nothing of what the first one lost.
    pub(super) async fn sync_names(self: &Arc<Self>) -> Result<()> {
        let loose: Vec<(Digest, i64)> = {
            let state = self.state();
            let loose = state.claims.iter().filter(|(_, claim)| !claim.is_named_durably);
            loose.map(|(digest, claim)| (*digest, claim.inc)).collect()
        };
        if loose.is_empty() {
            return Ok(());
        }
        for _ in &loose {
            self.before(Step::PublishSyncDir).await?;
        }
        let session = Arc::clone(self);
        // A task of its own: a caller that leaves meanwhile must not leave with the only word of a failure.
        let synced = tokio::spawn(async move { session.sync_all(loose).await });
        synced.await.map_err(|_| Error::internal("the task that makes names durable was ended"))?
    }

    async fn sync_all(&self, mut loose: Vec<(Digest, i64)>) -> Result<()> {
        let _turn = self.naming.lock().await;
        {
            let state = self.state();
            // Another may have made some durable meanwhile, or failed to, or brought the digest again.
            let is_loose = |claim: &Claim, inc| claim.inc == inc && !claim.is_named_durably;
            loose.retain(|(digest, inc)| state.claims.get(digest).is_some_and(|claim| is_loose(claim, *inc)));
        }
        let shards: BTreeSet<u8> = loose.iter().map(|(digest, _)| digest.shard()).collect();
        let shards: Vec<u8> = shards.into_iter().collect();
        let names = &self.images().shared.names;
        let synced = shards.chunks(shards.len().div_ceil(SYNCS_AT_ONCE).max(1)).map(|some| async move {
            let mut told = Vec::with_capacity(some.len());
            for shard in some {
                told.push(names.sync(self.disk(), *shard).await.map(|failures| (*shard, failures)));
            }
            told
        });
        // All of them, also after a failure: none may be told of one when nobody listens any more.
        let told: Result<BTreeMap<u8, u64>> = join_all(synced).await.into_iter().flatten().collect();
        let mut state = self.state();
        let outcome = told.and_then(|told| {
            let is_lost = |digest: &Digest, claim: &Claim| told.get(&digest.shard()) != Some(&claim.failures);
            let mut claims = loose.iter().filter_map(|(digest, _)| Some((digest, state.claims.get(digest)?)));
            let lost = claims.find(|(digest, claim)| is_lost(digest, claim));
            lost.map_or(Ok(()), |(digest, _)| Err(names::lost(digest.shard())))
        });
        for (digest, inc) in loose {
            let Some(claim) = state.claims.get_mut(&digest).filter(|claim| claim.inc == inc) else {
                continue;
            };
            if outcome.is_ok() {
                claim.is_named_durably = true;
            } else {
                // Once its intent is gone its file is an orphan, which a collection removes.
                state.claims.remove(&digest);
                state.spare.push(inc);
            }
        }
        drop(state);
        outcome.map_err(|error| error.with_help("mend the medium and write the blobs of this ingest again"))
    }

    pub(super) fn guard_holder(&self, batch: &mut Guarded) {
        let stale = self.node.stale();
        batch.require(Expect::ONE, store::holders::guard(self.node.life()), move || stale);
    }

    /// Two that ask at once must not both get the last room of a quota.
    fn lock_quota(&self, batch: &mut Guarded) {
        if self.images().options().policy.max_bytes.is_some() {
            batch.push(store::meta::lock());
        }
    }

    /// Whether so much fits into the quota, if there is one; behind [its lock](Session::lock_quota).
    fn guard_quota(&self, batch: &mut Guarded, digest: Option<&Digest>, size: u64, own: Option<i64>) {
        let Some(quota) = self.images().options().policy.max_bytes else { return };
        let octets = digest.map(|digest| digest.as_bytes().as_slice());
        batch.require(Expect::ONE, store::meta::fits(octets, size, quota, own), move || {
            Error::new(ErrorKind::NoSpace, format!("{size} octets more do not fit into the quota of {quota}"))
                .with_help(
                    "run a collection, which lets go of images that nothing claims, or raise the quota",
                )
        });
    }

    /// Whether a present blob's file is there and as long as it should be. What cannot be told is an error.
    pub(super) async fn check_file(&self, blob: &Blob) -> Result<bool> {
        self.before(Step::PublishCheck).await?;
        let path = layout::blob(&blob.digest, blob.incarnation.get());
        let wanted = blob.size_bytes;
        if self.disk().size(path.clone()).await? == Some(wanted) {
            return Ok(true);
        }
        self.disk().prove().await?;
        // Again: a medium may have come back between the look and the proof.
        let found = self.disk().size(path.clone()).await?;
        if found == Some(wanted) {
            return Ok(true);
        }
        tracing::warn!(%path, wanted, ?found, "a blob's file is missing or of another size; it is published anew");
        Ok(false)
    }

    /// Whether an intent may use the row that it found; else, which file the new one is to replace.
    pub(super) async fn judge(&self, found: Option<&Blob>, size: Option<u64>) -> Result<Judged> {
        let Some(blob) = found else { return Ok(Judged::Write { replaces: None }) };
        if let Some(size) = size.filter(|size| *size != blob.size_bytes) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("sha256:{} has {} octets, not {size}", blob.digest, blob.size_bytes),
            ));
        }
        if blob.state != BlobState::Present {
            return Ok(Judged::Write { replaces: None });
        }
        if self.check_file(blob).await? {
            return Ok(Judged::Adopt);
        }
        Ok(Judged::Write { replaces: Some(blob.incarnation.get()) })
    }

    /// Notes what an intent is for: a blob that the store has, which is kept now, or one that is to be written. Says which.
    async fn note(&self, digest: &Digest, size: u64, inc: i64, found: Option<Blob>) -> Result<bool> {
        let judged = self.judge(found.as_ref(), Some(size)).await?;
        let mut state = self.state();
        match (judged, found) {
            (Judged::Adopt, Some(blob)) => {
                state.use_intent(inc);
                // Two that asked for the same at once: one number is enough.
                let earlier = state.claims.insert(*digest, adopted(inc, &blob));
                state.spare.extend(earlier.map(|claim| claim.inc));
                Ok(true)
            }
            (Judged::Write { replaces }, _) => {
                let promise = state.promises.remove(&inc);
                state.use_intent(inc);
                state.promises.extend(promise.map(|promise| (inc, promise)));
                let earlier = state.pending.insert(*digest, Pending { inc, replaces });
                state.spare.extend(earlier.map(|pending| pending.inc));
                Ok(false)
            }
            (Judged::Adopt, None) => Err(Error::internal("a blob without a row was adopted")),
        }
    }

    /// Whether a blob that was announced, and was not there then, has been published by another since. The number announces its
    /// adoption from now on, as one that were written now would.
    async fn look_again(self: &Arc<Self>, digest: &Digest, size: u64, inc: i64) -> Result<bool> {
        // Without a lock: for most there is nothing new to see, and this is asked once for each blob.
        if !self.is_present(digest).await? {
            return Ok(false);
        }
        self.before(Step::PublishIntent).await?;
        let mut batch = Guarded::new("images.publish_look_again");
        self.guard_holder(&mut batch);
        let look = batch.push(store::blobs::look(digest));
        let stale = self.node.stale();
        batch.require(Expect::ONE, store::intents::adopt(inc, self.node.life(), digest), move || stale);
        let outcome = batch.run(self.images().repo()).await?;
        let found = outcome.get(look).and_then(|written| written.rows().first());
        let found = found.map(store::blobs::read).transpose()?;
        let Some(blob) = found.filter(|blob| blob.state == BlobState::Present) else { return Ok(false) };
        let judged = self.judge(Some(&blob), Some(size)).await?;
        let mut state = self.state();
        // A writer of the same session may have put the number to use meanwhile.
        let Some(pending) = state.pending.get_mut(digest).filter(|pending| pending.inc == inc) else {
            return Ok(state.claims.contains_key(digest));
        };
        if let Judged::Write { replaces } = judged {
            pending.replaces = replaces;
            return Ok(false);
        }
        state.pending.remove(digest);
        state.promises.remove(&inc);
        state.claims.insert(*digest, adopted(inc, &blob));
        Ok(true)
    }

    /// Forgets intents and removes what they wrote; files first become orphans, then go.
    pub(super) async fn drop_intents(&self, incs: Vec<i64>, files: Vec<String>) -> Result<()> {
        if !incs.is_empty() {
            let statement = store::intents::finish(self.node.life(), &incs);
            self.images().repo().write(statement).await?;
        }
        self.discard(files).await
    }

    /// Removes own files that nothing names any more.
    pub(super) async fn discard(&self, paths: Vec<String>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        self.before(Step::PublishDiscard).await?;
        self.disk()
            .run(move |files| paths.iter().try_for_each(|path| disk::unlink(files, path).map(|_| ())))
            .await
    }

    async fn clear(&self) -> Result<()> {
        let refused = self.refused.load(Ordering::SeqCst);
        let (incs, files, landed) = {
            let state = std::mem::take(&mut *self.state());
            let landed = state.claims.iter().filter(|(_, claim)| refused && claim.own && claim.landed);
            let landed: Vec<(Digest, i64)> = landed.map(|(digest, claim)| (*digest, claim.inc)).collect();
            let own = state.claims.iter().filter(|(_, claim)| claim.own && !claim.landed);
            let mut files: Vec<String> = own.map(|(digest, claim)| layout::blob(digest, claim.inc)).collect();
            for inc in &state.spare {
                let is_kept = !refused && state.partials.contains_key(inc);
                files.extend(state.unfinished(*inc).skip(usize::from(is_kept)));
            }
            files.extend(state.named.iter().map(|(inc, digest)| layout::blob(digest, *inc)));
            (state.numbers(), files, landed)
        };
        // A commit that may have happened uses these files. Once the intents are gone it cannot happen any more, and a
        // collection sees whether it did.
        let files = if self.doubts.load(Ordering::SeqCst) == 0 { files } else { Vec::new() };
        if let Err(error) = self.drop_intents(incs.clone(), Vec::new()).await {
            // The session ends here, and nobody else knows them.
            self.node.owe_intents(incs);
            return Err(error);
        }
        self.discard(files).await?;
        let mut batch = Guarded::new("images.publish_refused");
        for (digest, inc) in &landed {
            batch.push(store::queue::hurry(digest, *inc));
        }
        if landed.is_empty() { Ok(()) } else { batch.run(self.images().repo()).await.map(|_| ()) }
    }
}

/// What to do with a digest.
pub(super) enum Judged {
    Adopt,
    Write { replaces: Option<i64> },
}

impl Ingest {
    pub(crate) fn new(node: Node) -> Self {
        let session = Session {
            node,
            state: Mutex::default(),
            crashed: AtomicBool::new(false),
            naming: tokio::sync::Mutex::default(),
            landing: tokio::sync::Mutex::default(),
            doubts: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
        };
        Self { shared: Arc::new(session) }
    }

    /// The store.
    #[must_use]
    pub fn images(&self) -> &Images {
        self.shared.images()
    }

    /// Whether the store has a blob. If so, this session keeps it until its commit, and need not bring it. Of what was announced by
    /// [`Ingest::expect`] and was not there then, it is asked again: another may have published it since.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the store has it in another size; [`ErrorKind::Stale`]; [`ErrorKind::NoSpace`] when it
    /// has not, and it does not fit; of the database and the medium.
    pub async fn has(&self, digest: &Digest, size_bytes: u64) -> Result<bool> {
        let session = &self.shared;
        let announced = {
            let state = session.state();
            if let Some(claim) = state.claims.get(digest) {
                return Ok(claim.size == size_bytes);
            }
            state.pending.get(digest).copied()
        };
        if let Some(pending) = announced {
            return session.look_again(digest, size_bytes, pending.inc).await;
        }
        let (intent, found) = session.intend(Some(digest), size_bytes).await?;
        session.note(digest, size_bytes, intent.inc, found).await
    }

    /// Says beforehand which blobs will be asked for or written, so that their intents are written in one transaction instead of one
    /// each. [`Ingest::has`] and [`Ingest::writer`] find them then. What the session has or was told before is left out.
    ///
    /// # Errors
    /// As [`Ingest::has`], also when not all of them fit.
    pub async fn expect(&self, blobs: &[(Digest, u64)]) -> Result<()> {
        let session = &self.shared;
        let mut wanted = BTreeMap::new();
        {
            let state = session.state();
            let known =
                |digest: &Digest| state.claims.contains_key(digest) || state.pending.contains_key(digest);
            wanted.extend(blobs.iter().copied().filter(|(digest, _)| !known(digest)));
        }
        // All who lock rows lock them in the order of their digests.
        let wanted: Vec<(Digest, u64)> = wanted.into_iter().collect();
        for some in wanted.chunks(INTENTS_AT_ONCE) {
            let intents = session.intend_all(some.to_vec()).await?;
            let mut missing = Vec::new();
            for ((digest, size), (intent, found)) in some.iter().zip(intents) {
                if !session.note(digest, *size, intent.inc, found).await? {
                    missing.push((intent.inc, *size));
                }
            }
            // Nothing is written yet, and what the store has needs no room.
            let all = missing.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
            let first = missing.iter().map(|(inc, _)| *inc).min();
            let mut promise = session.images().promise(all).await?;
            if let Some(first) = first {
                session.images().confirm(all, first).await?;
            }
            let mut state = session.state();
            for (inc, size) in missing {
                state.promises.insert(inc, promise.split(size));
            }
        }
        Ok(())
    }

    /// Lets go, at the session's end, also of what others might want to go on with: it is wrong, or belongs to what is.
    pub(crate) fn is_refused(&self) {
        self.shared.refused.store(true, Ordering::SeqCst);
    }

    /// Ends the session: what was not committed is gone, but for blobs that landed, which wait for a collection, and for what arrived
    /// of blobs that a pull can go on with.
    ///
    /// # Errors
    /// Of the database and the medium; a collection then does what is left.
    pub async fn abort(self) -> Result<()> {
        // A task of its own: a caller that leaves meanwhile must not leave intents behind that nobody knows.
        let session = Arc::clone(&self.shared);
        let cleared = tokio::spawn(async move { session.clear().await });
        cleared.await.map_err(|_| Error::internal("the task that gives an ingest up was ended"))?
    }
}

pub(super) fn adopted(inc: i64, blob: &Blob) -> Claim {
    Claim {
        inc,
        size: blob.size_bytes,
        kind: blob.kind,
        media_type: blob.media_type.clone(),
        own: false,
        is_named_durably: true,
        landed: true,
        is_in_doubt: false,
        failures: 0,
        replaces: None,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_crashed() {
            return;
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing more is written: the room is free at once.
        state.promises.clear();
        let nothing = state.numbers().is_empty() && state.named.is_empty();
        if nothing {
            return;
        }
        // Without a runtime, the holder's next renewal and a collection do the same later.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.node.owe_intents(std::mem::take(state).numbers());
        };
        let rest = Self {
            node: self.node.clone(),
            state: Mutex::new(std::mem::take(state)),
            // A runtime that shuts down drops the task unrun: that must end here.
            crashed: AtomicBool::new(true),
            naming: tokio::sync::Mutex::default(),
            landing: tokio::sync::Mutex::default(),
            doubts: AtomicUsize::new(self.doubts.load(Ordering::SeqCst)),
            refused: AtomicBool::new(self.refused.load(Ordering::SeqCst)),
        };
        runtime.spawn(async move {
            if let Err(error) = rest.clear().await {
                tracing::warn!(%error, "an ingest that was dropped is left to a collection");
            }
        });
    }
}
