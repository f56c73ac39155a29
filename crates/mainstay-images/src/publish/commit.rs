//! The end of an ingest: one transaction that deletes the intents and makes what they were for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use mainstay_repo::{Expect, StatementRef};

use super::session::{Claim, Ingest, Session};
use crate::blob::BlobKind;
use crate::command::Action;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::files::layout;
use crate::ids::ImageId;
use crate::image::{
    Chain, Image, ImageKind, Layer, MAX_ATTACHMENTS, Reference, check_media_type, check_name, check_text,
};
use crate::images::{no_blob, no_image};
use crate::lease::LeaseGuard;
use crate::step::Step;
use crate::store;
use crate::store::blobs::Landing;
use crate::store::guarded::Guarded;

/// Blobs whose rows one transaction makes; more are made in several, before the commit.
const AT_ONCE: usize = 500;

/// An image that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// Its name: the manifest's digest. None means the chain id.
    pub digest: Option<Digest>,
    /// What it is.
    pub kind: ImageKind,
    /// What it is, as a media type.
    pub media_type: String,
    /// Its layers, the base first. A blob may lie at several places.
    pub layers: Vec<Digest>,
    /// Other blobs that belong to it, each in a role.
    pub attachments: Vec<(String, Digest)>,
    /// What it is derived from; its layers must begin with that image's. None means the image whose chain is the longest
    /// beginning of its own, if there is one.
    pub parent: Option<ImageId>,
    /// What a person calls it.
    pub label: Option<String>,
}

impl NewImage {
    /// The media type of an image that is a chain and nothing more.
    pub const CHAIN_TYPE: &'static str = "application/vnd.mainstay.image.chain";

    /// An image that is a chain of layers and nothing more.
    #[must_use]
    pub fn chain(layers: Vec<Digest>) -> Self {
        Self {
            digest: None,
            kind: ImageKind::Chain,
            media_type: Self::CHAIN_TYPE.to_owned(),
            layers,
            attachments: Vec::new(),
            parent: None,
            label: None,
        }
    }
}

/// What a name must be before it is pointed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RefExpect {
    /// Anything, or nothing yet.
    #[default]
    Any,
    /// Nothing yet.
    Absent,
    /// As it was when it was read.
    Version(u64),
}

/// A name that is to be pointed at an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The name.
    pub name: String,
    /// The image's digest; it may be one that the same commit makes.
    pub image: Digest,
    /// What the name must be before.
    pub expect: RefExpect,
}

/// What a commit makes: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct CommitSet {
    /// Images.
    pub images: Vec<NewImage>,
    /// Names.
    pub refs: Vec<RefUpdate>,
    /// A lease that must be held.
    pub guard: Option<LeaseGuard>,
}

/// What a commit made or found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The stored images, in the order of the set.
    pub images: Vec<Image>,
    /// The stored names, in the order of the set.
    pub refs: Vec<Reference>,
}

/// What is known of a blob that a commit uses.
#[derive(Debug, Clone, Copy)]
struct Known {
    size: u64,
    kind: BlobKind,
}

/// An image with all that its statements need.
struct Ready<'a> {
    /// Its place in the caller's set.
    place: usize,
    new: &'a NewImage,
    digest: Digest,
    chain: Chain,
    size: u64,
    parent: Option<Digest>,
    must_have_parent: bool,
}

/// What a commit takes of its session.
struct Fence {
    /// Own files whose rows it makes.
    waiting: BTreeMap<Digest, Claim>,
    /// The intents that it deletes.
    incs: Vec<i64>,
}

/// The places of a batch whose rows are wanted.
#[derive(Default)]
struct Places {
    landed: Vec<(Digest, StatementRef)>,
    images: Vec<(usize, StatementRef)>,
    refs: Vec<StatementRef>,
    grown: Vec<Grown>,
}

/// A blob that is to be counted, if its row is made.
struct Grown {
    size: u64,
    digest: Digest,
    inc: i64,
    /// How many rows it had made before, of one in doubt.
    known: Option<StatementRef>,
}

impl Ingest {
    /// Makes rows for what is there so far. The session still keeps it; if the session ends without a commit, the blobs stay
    /// for a while and the next ingest finds them.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the holder lost its claims; [`ErrorKind::Medium`] when names cannot be made durable, and then the
    /// session has nothing of what it wrote since it last landed: write it again; of the database.
    pub async fn land(&self) -> Result<()> {
        self.shared.sync_names().await?;
        let _turn = self.shared.landing.lock().await;
        self.land_all().await
    }

    /// As [`Ingest::land`], by whose turn it is.
    async fn land_all(&self) -> Result<()> {
        loop {
            let mut waiting = self.shared.unlanded();
            let rest = waiting.keys().nth(AT_ONCE).copied();
            if let Some(rest) = rest {
                waiting.split_off(&rest);
            }
            if waiting.is_empty() {
                return Ok(());
            }
            self.land_some(&waiting).await?;
        }
    }

    async fn land_some(&self, waiting: &BTreeMap<Digest, Claim>) -> Result<()> {
        let session = &self.shared;
        session.before(Step::PublishLand).await?;
        let mut batch = Guarded::new("images.publish_land");
        let mut places = Places::default();
        for (digest, claim) in waiting {
            let stale = session.node.stale();
            batch.require(Expect::ONE, store::intents::land(claim.inc, session.node.life()), move || stale);
            session.push_landing(&mut batch, &mut places, digest, claim);
        }
        session.push_growth(&mut batch, &places);
        let outcome = session.decide(batch, waiting).await?;
        let unused = session.settle(&outcome, &places, waiting)?;
        session.discard(unused).await
    }

    /// Makes images and names of what this session has at hand and of what the store had before. It is durable when this
    /// returns, and the session is empty again.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a chain that cannot be; [`ErrorKind::NotFound`] for a blob or parent that is not there;
    /// [`ErrorKind::Conflict`] when a name is not as expected, or the digest is an image with other layers, or with another blob in a
    /// role;
    /// [`ErrorKind::Stale`] when the holder lost its claims: begin again, what is on disk is found then;
    /// [`ErrorKind::Unknown`] when it is not known whether it is there: look for the image; [`ErrorKind::Medium`] when names cannot
    /// be made durable, as [`Ingest::land`].
    pub async fn commit(&self, set: CommitSet) -> Result<Committed> {
        let session = &self.shared;
        let known = session.known(&set).await?;
        let ready = session.ready(&set, &known).await?;
        session.sync_names().await?;
        let turn = session.landing.lock().await;
        if session.unlanded().len() > AT_ONCE {
            self.land_all().await?;
        }
        session.before(Step::PublishCommit).await?;
        let Fence { waiting, incs } = session.fence();
        let mut batch = Guarded::new("images.publish_commit");
        let mut places = Places::default();
        session.push_fence(&mut batch, &set, &incs);
        for (digest, claim) in &waiting {
            session.push_landing(&mut batch, &mut places, digest, claim);
        }
        push_present(&mut batch, &set, &waiting, &known);
        for image in &ready {
            push_image(&mut batch, &mut places, image);
        }
        for update in &set.refs {
            push_ref(&mut batch, &mut places, update);
        }
        if let Some(caller) = session.node.caller() {
            let names: Vec<&str> = set.refs.iter().map(|update| update.name.as_str()).collect();
            // Of several images, the last one is what the others are for.
            Action::Publish.record(
                &mut batch,
                caller,
                ready.last().map(|image| &image.digest),
                &names.join(" "),
            );
        }
        session.push_growth(&mut batch, &places);
        let outcome = session.decide(batch, &waiting).await.map_err(refused_chain)?;
        places.images.sort_unstable_by_key(|(place, _)| *place);
        let unused = session.settle(&outcome, &places, &waiting)?;
        // Before another commit of this session asks what there is to commit.
        let (spare, staged) = session.forget(&incs);
        drop(turn);
        session.tidy_up(spare, staged, unused).await;
        let first = |place: &StatementRef| outcome.get(*place).and_then(|written| written.rows().first());
        let no_row = || Error::internal("a stored row was not returned");
        Ok(Committed {
            images: places
                .images
                .iter()
                .map(|(_, place)| store::images::read(first(place).ok_or_else(no_row)?))
                .collect::<Result<_>>()?,
            refs: places
                .refs
                .iter()
                .map(|place| store::refs::read(first(place).ok_or_else(no_row)?))
                .collect::<Result<_>>()?,
        })
    }
}

impl Session {
    /// Sends a batch that makes rows of own files. Until its outcome is known, and [read](Session::settle) if it succeeded, none of
    /// them is removed.
    async fn decide(
        &self,
        batch: Guarded,
        waiting: &BTreeMap<Digest, Claim>,
    ) -> Result<mainstay_repo::BatchOutcome> {
        self.doubts.fetch_add(1, Ordering::SeqCst);
        self.doubt(waiting, |_| true);
        let outcome = batch.run(self.images().repo()).await;
        if outcome.as_ref().is_err_and(|error| !error.is_unknown()) {
            self.doubts.fetch_sub(1, Ordering::SeqCst);
            self.doubt(waiting, |before| before.is_in_doubt);
        }
        outcome
    }

    /// Notes of own files whether their rows may have been made.
    fn doubt(&self, waiting: &BTreeMap<Digest, Claim>, is_in_doubt: impl Fn(&Claim) -> bool) {
        let mut state = self.state();
        for (digest, before) in waiting {
            if let Some(claim) = state.claims.get_mut(digest).filter(|claim| claim.inc == before.inc) {
                claim.is_in_doubt = is_in_doubt(before);
            }
        }
    }

    /// Own files with durable names whose row is not made yet, in the order of their digests: all who lock rows lock them in this
    /// order. What another writer of the session names meanwhile waits for its turn.
    fn unlanded(&self) -> BTreeMap<Digest, Claim> {
        let state = self.state();
        let waiting = state.claims.iter().filter(|(_, claim)| !claim.landed && claim.is_named_durably);
        waiting.map(|(digest, claim)| (*digest, claim.clone())).collect()
    }

    fn push_landing(&self, batch: &mut Guarded, places: &mut Places, digest: &Digest, claim: &Claim) {
        let landing = Landing {
            digest,
            kind: claim.kind,
            media_type: &claim.media_type,
            size: claim.size,
            inc: claim.inc,
            replaces: claim.replaces,
        };
        // One whose row may have been made before is counted only if it was not: the intent, which both change, was waited for.
        let known = claim.is_in_doubt.then(|| batch.push(store::blobs::count_own(digest, claim.inc)));
        let landed = batch.push(store::blobs::land(landing));
        places.landed.push((*digest, landed));
        places.grown.push(Grown { size: claim.size, digest: *digest, inc: claim.inc, known });
    }

    /// Has the blobs whose rows a batch makes looked at later, and counts them: at its end, since whoever counts keeps all others from
    /// counting until the commit. Rows are found by their digests, not by what was returned for them: what refers back to an answer has
    /// to wait for it, and with it all that comes after, in a transaction that others wait for.
    fn push_growth(&self, batch: &mut Guarded, places: &Places) {
        let grace = self.images().options().grace;
        let mut sure = Vec::with_capacity(places.grown.len());
        for Grown { size, digest, inc, known } in &places.grown {
            batch.push(store::queue::put(digest, grace));
            match known {
                None => sure.push((*size, *digest, *inc)),
                Some(known) => {
                    batch.push(store::meta::grow_anew(*size, digest, *inc, known.column("known")));
                }
            }
        }
        for some in sure.chunks(store::meta::TOGETHER) {
            batch.push(match some {
                [(size, digest, inc)] => store::meta::grow(*size, digest, *inc),
                some => store::meta::grow_together(some),
            });
        }
    }

    /// What a commit takes: all that is ready, and what was announced. A blob that another writer of the session finished since
    /// the names were made durable is left for the next.
    fn fence(&self) -> Fence {
        let state = self.state();
        let durable = state.claims.iter().filter(|(_, claim)| claim.is_named_durably);
        let claims = durable.clone().map(|(_, claim)| claim.inc);
        let incs = claims.chain(state.pending.values().map(|pending| pending.inc)).collect();
        let waiting = durable.filter(|(_, claim)| !claim.landed);
        Fence { waiting: waiting.map(|(digest, claim)| (*digest, claim.clone())).collect(), incs }
    }

    /// Deletes the intents that a commit takes, all of which must be there.
    fn push_fence(&self, batch: &mut Guarded, set: &CommitSet, incs: &[i64]) {
        if incs.is_empty() {
            self.guard_holder(batch);
        } else {
            let stale = self.node.stale();
            let all = Expect::Rows(incs.len() as u64);
            batch.require(all, store::intents::finish(self.node.life(), incs), move || stale);
        }
        for guard in [set.guard, self.node.required()].into_iter().flatten() {
            guard.require(batch);
        }
    }

    /// Notes what was made, and returns the own files that are not used: another published the same in the meantime.
    fn settle(
        &self,
        outcome: &mainstay_repo::BatchOutcome,
        places: &Places,
        waiting: &BTreeMap<Digest, Claim>,
    ) -> Result<Vec<String>> {
        let mut unused = Vec::new();
        for (digest, place) in &places.landed {
            let row = outcome.get(*place).and_then(|written| written.rows().first());
            let row = row.ok_or_else(|| Error::internal("a blob's row was not returned"))?;
            let blob = store::blobs::read(row)?;
            let mut state = self.state();
            let landed = waiting.get(digest).map(|claim| claim.inc);
            if let Some(claim) = state.claims.get_mut(digest).filter(|claim| Some(claim.inc) == landed) {
                claim.landed = true;
                claim.is_in_doubt = false;
                claim.kind = blob.kind;
            }
            drop(state);
            if let Some(claim) = waiting.get(digest).filter(|claim| claim.inc != blob.incarnation.get()) {
                unused.push(layout::blob(digest, claim.inc));
            }
        }
        self.doubts.fetch_sub(1, Ordering::SeqCst);
        Ok(unused)
    }

    /// Forgets what a commit used up; the numbers that nothing of the session uses, and where their files would lie.
    fn forget(&self, used: &[i64]) -> (Vec<i64>, Vec<String>) {
        let used: BTreeSet<i64> = used.iter().copied().collect();
        let mut state = self.state();
        state.claims.retain(|_, claim| !used.contains(&claim.inc));
        state.pending.retain(|_, pending| !used.contains(&pending.inc));
        state.promises.retain(|inc, _| !used.contains(inc));
        let spare = state.unused();
        let staged = spare.iter().flat_map(|inc| state.unfinished(*inc)).collect();
        (spare, staged)
    }

    /// Gives back what was of no use. The commit is durable, so it succeeded whatever becomes
    /// of this: numbers that could not be given back are spare until the session ends, and files are left to a collection.
    async fn tidy_up(&self, spare: Vec<i64>, staged: Vec<String>, unused: Vec<String>) {
        if let Err(error) = self.discard(unused).await {
            tracing::warn!(%error, "a file that a commit did not need is left to a collection");
        }
        match self.drop_intents(spare.clone(), staged).await {
            // They are known until now: a caller may have left meanwhile.
            Ok(()) => spare.iter().for_each(|inc| self.state().use_intent(*inc)),
            Err(error) => {
                tracing::warn!(%error, "intents that a commit did not need stay until its session ends")
            }
        }
    }

    /// Sizes and kinds of all blobs that the set names.
    async fn known(&self, set: &CommitSet) -> Result<BTreeMap<Digest, Known>> {
        let mut known = BTreeMap::new();
        let mut asked = BTreeSet::new();
        {
            let state = self.state();
            for digest in named(set) {
                match state.claims.get(&digest) {
                    Some(claim) => {
                        known.insert(digest, Known { size: claim.size, kind: claim.kind });
                    }
                    None => {
                        asked.insert(digest);
                    }
                }
            }
        }
        if asked.is_empty() {
            return Ok(known);
        }
        let statements = asked.iter().map(store::blobs::find).collect();
        let found = self.images().repo().read_many(statements).await?;
        for (digest, rows) in asked.into_iter().zip(found) {
            let blob = rows.first().map(store::blobs::read).transpose()?.ok_or_else(|| no_blob(&digest))?;
            known.insert(digest, Known { size: blob.size_bytes, kind: blob.kind });
        }
        Ok(known)
    }

    async fn ready<'a>(&self, set: &'a CommitSet, known: &BTreeMap<Digest, Known>) -> Result<Vec<Ready<'a>>> {
        let mut ready: Vec<Ready<'a>> = Vec::with_capacity(set.images.len());
        for (place, new) in set.images.iter().enumerate() {
            let (digest, chain, size) = shape(new, known)?;
            ready.push(Ready { place, new, digest, chain, size, parent: None, must_have_parent: false });
        }
        for name in &set.refs {
            check_name(&name.name)?;
        }
        let ids: Vec<Vec<Digest>> = ready.iter().map(|image| image.chain.ids()).collect();
        let made: BTreeMap<Digest, Digest> = ready
            .iter()
            .zip(&ids)
            .filter_map(|(image, ids)| ids.last().map(|id| (*id, image.digest)))
            .collect();
        for (image, ids) in ready.iter_mut().zip(&ids) {
            match image.new.parent {
                Some(parent) => {
                    let parent = self.images().image(&parent.into()).await?;
                    check_parent(&parent, &image.chain)?;
                    image.parent = Some(parent.digest);
                    image.must_have_parent = true;
                }
                None => image.parent = self.nearest(ids, &made).await?,
            }
        }
        // A parent that the same commit makes must come before its child.
        ready.sort_by_key(|image| (image.chain.depth(), image.digest));
        Ok(ready)
    }

    /// The image whose chain is the longest proper beginning of a chain.
    async fn nearest(&self, ids: &[Digest], made: &BTreeMap<Digest, Digest>) -> Result<Option<Digest>> {
        let Some((_, beginnings)) = ids.split_last().filter(|(_, beginnings)| !beginnings.is_empty()) else {
            return Ok(None);
        };
        let statements = beginnings.iter().map(store::images::by_chain_id).collect();
        let found = self.images().repo().read_many(statements).await?;
        for (id, rows) in beginnings.iter().zip(found).rev() {
            if let Some(digest) = made.get(id) {
                return Ok(Some(*digest));
            }
            if let Some(row) = rows.first() {
                return store::images::read_digest(row).map(Some);
            }
        }
        Ok(None)
    }
}

/// Every blob that a set names.
fn named(set: &CommitSet) -> impl Iterator<Item = Digest> + '_ {
    set.images.iter().flat_map(|image| {
        image.layers.iter().copied().chain(image.attachments.iter().map(|(_, digest)| *digest))
    })
}

/// Checks what a caller wants to make, and works out the rest of it.
fn shape(new: &NewImage, known: &BTreeMap<Digest, Known>) -> Result<(Digest, Chain, u64)> {
    check_media_type(&new.media_type)?;
    new.label.as_deref().map_or(Ok(()), |label| check_text("label", label))?;
    if new.attachments.len() > MAX_ATTACHMENTS {
        return Err(Error::invalid(
            "attachments",
            format!("an image has at most {MAX_ATTACHMENTS} attachments"),
        ));
    }
    let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut layers = Vec::with_capacity(new.layers.len());
    for (position, digest) in new.layers.iter().enumerate() {
        let blob = known.get(digest).ok_or_else(|| no_blob(digest))?;
        // What was only attached so far may become a layer that stands for itself.
        let kind = if blob.kind == BlobKind::Document { BlobKind::Layer } else { blob.kind };
        if !kind.fits(position) {
            return Err(Error::invalid(
                "layers",
                format!("sha256:{digest} is a {kind:?} and cannot lie at place {position} of a chain"),
            )
            .with_help("a base lies at the bottom and nowhere else, a delta never there"));
        }
        layers.push(Layer { digest: *digest, size_bytes: blob.size });
        sizes.insert(*digest, blob.size);
    }
    let mut roles = BTreeSet::new();
    for (role, digest) in &new.attachments {
        check_text("role", role)?;
        if !roles.insert(role) {
            return Err(Error::invalid("attachments", format!("the role {role:?} is given twice")));
        }
        sizes.insert(*digest, known.get(digest).ok_or_else(|| no_blob(digest))?.size);
    }
    let chain = Chain::new(layers)?;
    if new.kind == ImageKind::Chain && chain.depth() == 0 {
        return Err(Error::invalid("layers", "a chain needs a layer").with_help("begin with a base"));
    }
    let named = new.digest.or_else(|| chain.id());
    let digest = named.ok_or_else(|| Error::invalid("digest", "an image without layers needs a digest"))?;
    let size = sizes.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
    Ok((digest, chain, size))
}

fn check_parent(parent: &Image, chain: &Chain) -> Result<()> {
    if chain.depth() > parent.chain.depth() && chain.layers().starts_with(parent.chain.layers()) {
        return Ok(());
    }
    Err(Error::invalid("parent", format!("the chain does not begin with that of image {}", parent.id))
        .with_help("give all layers, the parent's first"))
}

/// Every blob that is used must be present, and stays so until the commit.
fn push_present(
    batch: &mut Guarded,
    set: &CommitSet,
    waiting: &BTreeMap<Digest, Claim>,
    known: &BTreeMap<Digest, Known>,
) {
    let used: BTreeSet<Digest> = named(set).collect();
    let layers: BTreeSet<Digest> = set.images.iter().flat_map(|image| image.layers.iter().copied()).collect();
    for digest in used.iter().filter(|digest| !waiting.contains_key(digest)) {
        let (missing, digest) = (*digest, *digest);
        batch.require(Expect::ONE, store::blobs::present(&digest), move || {
            Error::new(ErrorKind::Incomplete, format!("sha256:{missing} is damaged or being deleted"))
                .with_help("publish its content again, in this ingest")
        });
    }
    for digest in layers {
        if known.get(&digest).is_some_and(|known| known.kind == BlobKind::Document) {
            batch.push(store::blobs::promote(&digest));
        }
    }
}

fn push_image(batch: &mut Guarded, places: &mut Places, image: &Ready<'_>) {
    if let Some(parent) = image.parent.filter(|_| image.must_have_parent) {
        batch.require(Expect::ONE, store::images::share(&parent), move || no_image(&parent.into()));
    }
    let insert = store::images::Insert {
        digest: &image.digest,
        parent: image.parent.as_ref(),
        kind: image.new.kind,
        media_type: &image.new.media_type,
        chain: &image.chain,
        size: image.size,
        label: image.new.label.as_deref(),
    };
    let digest = image.digest;
    let place = batch.require(Expect::ONE, store::images::insert(insert), move || {
        let message =
            format!("image sha256:{digest} is there with other layers, or as something of another kind");
        Error::new(ErrorKind::Conflict, message)
            .with_help("look at it, and remove it and what lists it if it is wrong")
    });
    for (position, layer) in image.chain.layers().iter().enumerate() {
        let blob = layer.digest;
        let add = store::images::add_layer(&digest, position, &blob);
        batch.require(Expect::ONE, add, move || no_blob(&blob));
    }
    for (role, blob) in &image.new.attachments {
        let (other, attach) = (role.clone(), store::images::attach(&digest, role, blob));
        // That the blob is there was asked before.
        batch.require(Expect::ONE, attach, move || {
            Error::new(
                ErrorKind::Conflict,
                format!("image sha256:{digest} has another blob in the role {other:?}"),
            )
            .with_help(
                "what belongs to an image never changes: give it a digest of its own, or leave the role out",
            )
        });
    }
    places.images.push((image.place, place));
}

fn push_ref(batch: &mut Guarded, places: &mut Places, update: &RefUpdate) {
    let (name, image) = (update.name.clone(), update.image);
    let place = match update.expect {
        RefExpect::Any => {
            batch.require(Expect::ONE, store::refs::point(&name, &image), move || no_image(&image.into()))
        }
        RefExpect::Absent => batch.require(Expect::ONE, store::refs::fork(&update.name, &image), move || {
            Error::new(
                ErrorKind::Conflict,
                format!("the name {name:?} is taken, or there is no image {image}"),
            )
        }),
        RefExpect::Version(version) => {
            batch.require(Expect::ONE, store::refs::advance(&update.name, &image, version), move || {
                Error::new(
                    ErrorKind::Conflict,
                    format!("the name {name:?} was moved or removed since it was read"),
                )
                .with_help("read it again")
            })
        }
    };
    places.refs.push(place);
}

/// A rule of the tables refused the chain.
fn refused_chain(error: Error) -> Error {
    let constraint = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<mainstay_repo::Error>())
        .is_some_and(|source| matches!(source.kind(), mainstay_repo::ErrorKind::Constraint { .. }));
    if !constraint {
        return error;
    }
    Error::invalid("layers", "the layers cannot lie in this order, or one of their blobs was removed")
        .with_source(error)
}
