//! How a store is, without opening it: nothing is made, claimed or changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use mainstay_repo::Repo;

use crate::blob::Blob;
use crate::disk::{self, Disk};
use crate::error::{Error, Result};
use crate::files::{Files, Space, layout};
use crate::gc::{CollectRun, Collecting};
use crate::images::Images;
use crate::options::ImagesOptions;
use crate::publish::Beginnings;
use crate::scrub::ScrubReport;
use crate::store;

/// What the directory says whose it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Marker {
    /// This database's.
    Ours,
    /// Another store's.
    Foreign {
        /// Which.
        store: String,
    },
    /// Nobody's: there is no marker, or no directory.
    Absent,
    /// It cannot be told.
    Unreadable(Error),
}

/// How a store is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checkup {
    /// The store's id; none when the database never had a store opened on it.
    pub store: Option<String>,
    /// Whether the directory was made once: one without a marker is then not mounted.
    pub prepared: bool,
    /// Whose the directory is.
    pub marker: Marker,
    /// How much room its file system has; none when that cannot be told.
    pub space: Option<Space>,
    /// Octets of all blobs, as the database counts them.
    pub bytes: u64,
    /// Files of publications that nobody works on any more: their processes were killed.
    pub leftovers: u64,
    /// Beginnings of blobs that nobody is bringing any more: pulls go on with them, and they go where room is wanted.
    pub beginnings: Beginnings,
    /// Blobs that a collection marked and has not removed: it was killed, or runs.
    pub marked: u64,
    /// Blobs that are missing or wrong, at most [`MAX_PAGE`](crate::MAX_PAGE).
    pub damaged: Vec<Blob>,
    /// Holders whose time is over and that no collection has forgotten yet.
    pub ended_holders: u64,
    /// Whether somebody collects.
    pub collecting: Option<Collecting>,
    /// The last collection.
    pub last_collection: Option<CollectRun>,
    /// How far reading everything again has come; none when no store was opened yet.
    pub scrub: Option<ScrubReport>,
}

/// Looks at the store of a database, whose tables must be up to date, and at its directory.
///
/// # Errors
/// Of the database. What is wrong with the directory is a finding.
pub async fn checkup(repo: Repo, files: Arc<dyn Files>, options: ImagesOptions) -> Result<Checkup> {
    let repo = repo.for_component("images");
    let row = repo.read(store::meta::read()).await?;
    let space = {
        let files = Arc::clone(&files);
        let measured = tokio::task::spawn_blocking(move || files.space()).await;
        measured.ok().and_then(std::result::Result::ok)
    };
    let Some(row) = row.first() else {
        let disk = Disk::new(files, "");
        return Ok(Checkup { space, ..Checkup::empty(found(&disk, "").await) });
    };
    let store: String = row.get("uuid")?;
    let disk = Disk::new(files, &store);
    let marker = found(&disk, &store).await;
    let leftovers = match marker {
        Marker::Ours => leftovers(&repo, &disk).await?,
        _ => 0,
    };
    let marked = repo.read(store::blobs::marked()).await?;
    let images = Images::unproved(repo.clone(), disk, options, store.clone());
    let ended = repo.read(store::holders::ended()).await?;
    let beginnings = match marker {
        Marker::Ours => images.beginnings().await?,
        _ => Beginnings::default(),
    };
    Ok(Checkup {
        store: Some(store),
        prepared: row.get("prepared")?,
        space,
        bytes: store::meta::bytes(row)?,
        leftovers,
        beginnings,
        marked: marked.first().map_or(Ok(0), |row| row.get("marked"))?,
        damaged: images.damaged_blobs().await?,
        ended_holders: ended.first().map_or(Ok(0), |row| row.get("ended"))?,
        collecting: Some(images.collecting().await?),
        last_collection: images.collections(1).await?.into_iter().next(),
        scrub: Some(images.scrub_report().await?),
        ..Checkup::empty(marker)
    })
}

impl Checkup {
    /// Of a database on which no store was opened yet.
    const fn empty(marker: Marker) -> Self {
        Self {
            store: None,
            prepared: false,
            marker,
            space: None,
            bytes: 0,
            leftovers: 0,
            beginnings: Beginnings { count: 0, bytes: 0 },
            marked: 0,
            damaged: Vec::new(),
            ended_holders: 0,
            collecting: None,
            last_collection: None,
            scrub: None,
        }
    }
}

async fn found(disk: &Disk, store: &str) -> Marker {
    match disk.run(disk::marker).await {
        Ok(Some(found)) if found == store && !store.is_empty() => Marker::Ours,
        Ok(Some(store)) => Marker::Foreign { store },
        Ok(None) => Marker::Absent,
        Err(error) => Marker::Unreadable(error),
    }
}

/// Unfinished files whose intent is gone. They are listed first: a publication that begins in between has its intent before its file.
async fn leftovers(repo: &Repo, disk: &Disk) -> Result<u64> {
    let names = disk
        .run(|files| {
            files.list(layout::STAGING).map_err(|error| Error::medium("cannot list", layout::STAGING, error))
        })
        .await?;
    let intents = repo.read(store::intents::all()).await?;
    let alive = intents.iter().map(|row| row.get("inc")).collect::<mainstay_repo::Result<BTreeSet<i64>>>()?;
    let staged = names.iter().filter_map(|name| layout::parse_staged(name));
    Ok(staged.filter(|inc| !alive.contains(inc)).count() as u64)
}
