//! The tour: two images that share a layer, a fork of one, a machine on the other, and what is left when that one is removed.

use std::fmt;

use mainstay_images::gc::Usage;
use mainstay_images::{
    BlobKind, Chain, CollectOptions, CommitSet, Derive, ErrorKind, Image, Images, NewImage, Node, RefExpect,
    RefUpdate,
};

use crate::{Result, bring, run};

/// Octets of the layers.
const SYSTEM: usize = 1_000_000;
const WEB: usize = 300_000;
const MAIL: usize = 200_000;
const PATCH: usize = 10_000;

/// What was done, and what the store uses since.
#[derive(Debug)]
pub struct Stage {
    what: String,
    usage: Usage,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { total_bytes, shared_bytes, unique_bytes, unused_bytes, .. } = &self.usage;
        write!(
            f,
            "{}\n    {total_bytes} octets: {shared_bytes} shared, {unique_bytes} of one image each, {unused_bytes} unused",
            self.what
        )
    }
}

/// Goes through the life of a store, which is to be empty, and tells each stage.
///
/// # Errors
/// A name is taken: the tour was taken before; those of the store.
pub async fn tour(images: &Images) -> Result<Vec<Stage>> {
    // Whatever this node claims lasts while it renews, and ends when it leaves or dies.
    let node = images.join("tour").await?;
    let mut stages = Vec::new();
    let stage = async |what: &str| -> Result<Stage> {
        Ok(Stage { what: what.to_owned(), usage: images.usage().await? })
    };

    let web = publish(&node, "web:1", content("web", WEB)).await?;
    stages.push(stage("published web:1, a system and a layer").await?);
    let mail = publish(&node, "mail:1", content("mail", MAIL)).await?;
    stages.push(stage("published mail:1; the system is there and is not written again").await?);

    let fork = images.fork(&web.id.into(), "web/test").await?;
    stages.push(stage("forked web:1 as web/test; a name costs nothing").await?);
    let patched = patch(&node, &web, "web/test", fork.version).await?;
    stages.push(stage("committed a patch to web/test; web:1 stays as it was").await?);
    images.tag(&patched.id.into(), "web:2").await?;
    stages.push(stage("tagged web/test as web:2").await?);

    let sizes = run(&node, "machine-7", mail.id).await?;
    stages.push(stage(&format!("ran a machine, which read layers of {sizes:?} octets")).await?);
    let refusal = remove_while_leased(&node, &mail).await?;
    stages.push(stage(&format!("tried to remove mail:1 under a machine: {refusal}")).await?);
    images.remove(&mail.id.into()).await?;
    stages.push(stage("removed mail:1; a collection will give its layer back").await?);

    // `full` looks at every blob. Without it, one that lost its last use is given ten minutes to find another.
    let full = CollectOptions { full: true, ..CollectOptions::default() };
    let report = images.collect("tour", &full).await?;
    let removed = format!("collected {} blob of {} octets", report.blobs_removed, report.bytes_removed);
    stages.push(stage(&removed).await?);
    node.leave().await?;
    Ok(stages)
}

/// Publishes an image of the system and one layer, and names it: all in one transaction, and only when the octets are durable.
async fn publish(node: &Node, name: &str, layer: Vec<u8>) -> Result<Image> {
    let ingest = node.ingest();
    let system = bring(&ingest, BlobKind::Base, content("system", SYSTEM)).await?;
    let layer = bring(&ingest, BlobKind::Delta, layer).await?;
    let image = NewImage::chain(vec![system.digest, layer.digest]);
    // A chain's digest follows from its layers, so a name may point at it before it is there.
    let digest = Chain::new(vec![system, layer])?.id().ok_or("an image has layers")?;
    let name = RefUpdate { name: name.to_owned(), image: digest, expect: RefExpect::Absent };
    let set = CommitSet { images: vec![image], refs: vec![name], ..CommitSet::default() };
    Ok(ingest.commit(set).await?.images.remove(0))
}

/// Puts a layer on top of an image and moves a name on to the result, unless somebody moved it since it was read.
async fn patch(node: &Node, parent: &Image, name: &str, version: u64) -> Result<Image> {
    let ingest = node.ingest();
    let delta = bring(&ingest, BlobKind::Delta, content("patch", PATCH)).await?.digest;
    let name = Some((name.to_owned(), RefExpect::Version(version)));
    let derived = ingest.derive(Derive { parent: parent.id, delta, label: None, name, guard: None }).await?;
    Ok(derived.images.into_iter().next().ok_or("nothing was derived")?)
}

/// Takes the image's name away while a machine runs from it. The lease alone keeps it then.
async fn remove_while_leased(node: &Node, image: &Image) -> Result<String> {
    let images = node.images();
    let tried = node
        .with_image("machine-8", image.id, async |_lease| {
            images.untag("mail:1").await?;
            images.remove(&image.id.into()).await
        })
        .await?;
    match tried {
        Err(error) if *error.kind() == ErrorKind::InUse => Ok(error.message().to_owned()),
        Err(error) => Err(error.into()),
        Ok(_) => Err("an image was removed under its lease".into()),
    }
}

/// What stands for the files of a layer.
fn content(name: &str, size: usize) -> Vec<u8> {
    name.bytes().cycle().take(size).collect()
}
