//! Walks over images that are well made, and over those that are not.

use std::collections::HashMap as Map;

use async_trait::async_trait;

use super::*;
use crate::oci::content::{BlobReader, Whole};
use crate::oci::error::ErrorKind;
use crate::oci::limits::MAX_INDEX_ENTRIES;
use crate::oci::progress::Progress;

/// Content in memory, under digests that may lie.
#[derive(Default)]
pub(in crate::oci) struct Content(Map<OciDigest, Bytes>);

#[async_trait]
impl Source for Content {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let missing = || Error::new(ErrorKind::NotFound, "not there");
        self.0.get(&descriptor.digest).cloned().ok_or_else(missing)
    }

    async fn open<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        _progress: &'a dyn Progress,
    ) -> Result<Box<dyn BlobReader + 'a>> {
        Ok(Box::new(Whole(Some(self.manifest(descriptor).await?))))
    }

    fn parallel(&self) -> usize {
        1
    }
}

impl Content {
    pub(in crate::oci) fn add(&mut self, media_type: &str, octets: &str) -> Descriptor {
        let descriptor = Descriptor::of(media_type, octets.as_bytes());
        self.0.insert(descriptor.digest, Bytes::copy_from_slice(octets.as_bytes()));
        descriptor
    }

    pub(in crate::oci) fn index(&mut self, entries: &[Descriptor]) -> Descriptor {
        let entries = serde_json::to_string(entries).unwrap();
        self.add(media::INDEX, &format!(r#"{{"schemaVersion":2,"manifests":{entries}}}"#))
    }

    pub(in crate::oci) fn image(&mut self, layers: &[Descriptor]) -> Descriptor {
        let ids: Vec<String> = layers.iter().map(|layer| format!("{:?}", layer.digest.to_string())).collect();
        let config = format!(r#"{{"rootfs":{{"diff_ids":[{}]}}}}"#, ids.join(","));
        let config = self.add(media::CONFIG, &config);
        self.manifest_of(&config, layers)
    }

    pub(in crate::oci) fn manifest_of(&mut self, config: &Descriptor, layers: &[Descriptor]) -> Descriptor {
        let (config, layers) =
            (serde_json::to_string(config).unwrap(), serde_json::to_string(layers).unwrap());
        self.add(media::MANIFEST, &format!(r#"{{"config":{config},"layers":{layers}}}"#))
    }
}

pub(in crate::oci) fn layer(name: &str) -> Descriptor {
    Descriptor::of(media::LAYER, name.as_bytes())
}

async fn check_refused(content: &Content, root: &Descriptor, expected: Refusal) {
    let error = plan(content, std::slice::from_ref(root), &Limits::default()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&expected), "{error}");
}

#[tokio::test]
async fn everything_is_found_once_and_children_come_first() {
    let mut content = Content::default();
    let one = content.image(&[layer("base"), layer("one")]);
    let two = content.image(&[layer("base"), layer("base"), layer("two")]);
    let odd = content.add("application/x-odd", "odd");
    let big = Descriptor { size: MAX_DOCUMENT + 1, ..Descriptor::of("application/x-big", b"big") };
    let inner = content.index(&[one.clone(), odd.clone()]);
    let root = content.index(&[two.clone(), inner.clone(), one.clone(), big.clone()]);
    let plan = plan(&content, &[root.clone(), one.clone()], &Limits::default()).await.unwrap();

    let order: Vec<OciDigest> = plan.manifests.iter().map(|document| document.descriptor.digest).collect();
    assert_eq!(order, [&two, &one, &odd, &inner, &root].map(|descriptor| descriptor.digest));
    let blobs: Vec<OciDigest> = plan.blobs.iter().map(|blob| blob.descriptor.digest).collect();
    assert_eq!(blobs, [&layer("base"), &layer("two"), &layer("one"), &big].map(|blob| blob.digest));
    assert_eq!(plan.configs.len(), 2);
    assert_eq!(plan.blobs[0].layer.unwrap().diff_id, Some(layer("base").digest.0));

    let forms: Vec<&Form> = plan.images.iter().map(|image| &image.form).collect();
    let chain = Form::Image(vec![layer("base"), layer("base"), layer("two")]);
    let chain_one = Form::Image(vec![layer("base"), layer("one")]);
    assert_eq!(forms, [&chain, &chain_one, &Form::Artifact, &Form::Index, &Form::Index]);
    // root, two + config + 2 layers, inner, one + config + 1 more layer, odd, big.
    assert_eq!(plan.images[4].content.len(), 11);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let mut content = Content::default();
    let image = content.image(&[layer("base")]);
    let lie = Descriptor { size: image.size + 1, ..image.clone() };
    let (digest, expected, found) = (image.digest.0, lie.size, image.size);
    let index = content.index(std::slice::from_ref(&lie));
    check_refused(&content, &index, Refusal::SizeMismatch { digest, expected, found }).await;
    let index = content.index(&[image.clone(), lie]);
    check_refused(&content, &index, Refusal::ContradictingSizes { digest }).await;

    let wrong = content.image(&[layer("a"), Descriptor { size: 9, ..layer("a") }]);
    let refusal = Refusal::ContradictingSizes { digest: layer("a").digest.0 };
    check_refused(&content, &wrong, refusal).await;

    let config = content.add(media::CONFIG, r#"{"rootfs":{"diff_ids":[]}}"#);
    let wrong = content.manifest_of(&config, &[layer("a")]);
    check_refused(&content, &wrong, Refusal::LayerCount { manifest: 1, config: 0 }).await;

    let swapped = Bytes::from_static(b"{\"config\":1}");
    content.0.insert(image.digest, swapped.clone());
    let refusal = Refusal::SizeMismatch { digest, expected: image.size, found: swapped.len() as u64 };
    check_refused(&content, &image, refusal).await;

    let old = content.add("application/vnd.docker.distribution.manifest.v1+json", "{}");
    check_refused(&content, &old, Refusal::MediaType { found: old.media_type.clone() }).await;
}

#[tokio::test]
async fn walks_end_at_their_limits() {
    let mut content = Content::default();
    let mut nested = content.image(&[layer("base")]);
    for _ in 0..MAX_INDEX_DEPTH {
        nested = content.index(&[nested]);
    }
    assert!(plan(&content, std::slice::from_ref(&nested), &Limits::default()).await.is_ok());
    let deeper = content.index(&[nested]);
    let limit = MAX_INDEX_DEPTH as u64;
    check_refused(&content, &deeper, Refusal::Limit { what: Limit::IndexDepth, limit }).await;

    let large = Descriptor { size: MAX_DOCUMENT + 1, ..Descriptor::of(media::MANIFEST, b"") };
    check_refused(&content, &large, Refusal::Limit { what: Limit::Document, limit: MAX_DOCUMENT }).await;

    let image =
        content.image(&[Descriptor { size: 1000, ..layer("a") }, Descriptor { size: 1000, ..layer("b") }]);
    let of = |limits: Limits| {
        let (content, image) = (&content, &image);
        async move { plan(content, std::slice::from_ref(image), &limits).await.map(drop) }
    };
    assert!(of(Limits { blob: 1000, ..Limits::default() }).await.is_ok());
    let refused = of(Limits { blob: 999, ..Limits::default() }).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refusal::Limit { what: Limit::Blob, limit: 999 }));
    let total = 2000 + image.size + content_size(&content, &image);
    assert!(of(Limits { total, ..Limits::default() }).await.is_ok());
    let refused = of(Limits { total: total - 1, ..Limits::default() }).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refusal::Limit { what: Limit::Total, limit: total - 1 }));
}

fn content_size(content: &Content, image: &Descriptor) -> u64 {
    Manifest::parse(&content.0[&image.digest]).unwrap().config.size
}

#[tokio::test]
async fn many_documents_are_refused() {
    let mut content = Content::default();
    let mut roots = Vec::new();
    for group in 0..5 {
        let small = (0..MAX_INDEX_ENTRIES).map(|at| format!("{group}.{at}")).collect::<Vec<_>>();
        let small: Vec<Descriptor> =
            small.iter().map(|name| content.add("application/x-small", name)).collect();
        roots.push(content.index(&small));
    }
    assert!(plan(&content, &roots[..3], &Limits::default()).await.is_ok());
    let error = plan(&content, &roots, &Limits::default()).await.unwrap_err();
    let limit = MAX_DOCUMENTS as u64;
    assert_eq!(error.refusal(), Some(&Refusal::Limit { what: Limit::Documents, limit }));

    let padded = |at: u64| format!("{at}{}", " ".repeat(usize::try_from(MAX_DOCUMENT).unwrap() - 2));
    let large: Vec<Descriptor> =
        (10..10 + 17).map(|at| content.add("application/x-large", &padded(at))).collect();
    let error = plan(&content, &large, &Limits::default()).await.unwrap_err();
    let limit = MAX_DOCUMENTS_TOTAL;
    assert_eq!(error.refusal(), Some(&Refusal::Limit { what: Limit::DocumentsTotal, limit }));
}

#[tokio::test]
async fn many_references_are_refused() {
    let mut content = Content::default();
    let small: Vec<Descriptor> =
        (0..MAX_INDEX_ENTRIES).map(|at| content.add("application/x-small", &at.to_string())).collect();
    // Each index is another one, and lists the same.
    let mut indexes = Vec::new();
    for at in 0..MAX_REFERENCES / MAX_INDEX_ENTRIES {
        let mut entries = small.clone();
        entries[0] = entries[0].clone().named(&at.to_string());
        indexes.push(content.index(&entries));
    }
    let fits = indexes.len() - 2;
    assert!(plan(&content, &indexes[..fits], &Limits::default()).await.is_ok());
    let error = plan(&content, &indexes, &Limits::default()).await.unwrap_err();
    let limit = MAX_REFERENCES as u64;
    assert_eq!(error.refusal(), Some(&Refusal::Limit { what: Limit::References, limit }));
}

/// An index may list an image with megabytes of notes, and a thousand indexes may list that index.
#[tokio::test]
async fn what_is_held_does_not_grow_with_what_lists_it() {
    const fn is_small<T: Copy>() {
        assert!(size_of::<T>() <= 64, "each index keeps one for each that is below it");
    }
    const { is_small::<Part>() };
    let mut content = Content::default();
    let notes = |octets: usize| [("note".to_owned(), "x".repeat(octets))].into_iter().collect();
    let noted: Vec<Descriptor> = (0..4)
        .map(|at| {
            let artifact = content.add("application/x-odd", &format!("odd {at}"));
            let artifact = Descriptor { annotations: Some(notes(100_000)), ..artifact };
            content.index(&[artifact])
        })
        .collect();
    let lists: Vec<Descriptor> = (0..50)
        .map(|at| {
            let own = content.add("application/x-odd", &format!("own {at}"));
            content.index(&[&noted[..], &[own]].concat())
        })
        .collect();
    let root = content.index(&lists);
    let plan = plan(&content, &[root], &Limits::default()).await.unwrap();
    // The artefacts of both kinds, the indexes of both kinds, the root; each list names itself, its own and two for each noted one.
    assert_eq!(plan.images.len(), 4 * 2 + 50 * 2 + 1);
    let parts: usize = plan.images.iter().map(|image| image.content.len()).sum();
    assert_eq!(parts, 4 + 4 * 2 + 50 + 50 * 10 + (1 + 50 * 2 + 4 * 2));
}
