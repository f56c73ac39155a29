//! The JSON documents of an image. Only what is needed is read; what is stored and passed on are the octets as they came.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{MAX_DOCUMENT, MAX_INDEX_ENTRIES, MAX_LAYERS};
use super::media;
use super::refusal::{Limit, Refusal, shown};
use crate::digest::Digest;

/// The annotation with which a layout names an image.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A digest as OCI writes it: `sha256:` before the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OciDigest(pub Digest);

impl fmt::Display for OciDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl std::str::FromStr for OciDigest {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let digits = text.strip_prefix("sha256:").and_then(|digits| digits.parse().ok());
        digits.map(Self).ok_or_else(|| Refusal::DigestSyntax { found: shown(text) })
    }
}

impl Serialize for OciDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OciDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What content is, how large it is, and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Descriptor {
    /// The content's media type; empty where an old document leaves it out.
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// The content's digest.
    pub digest: OciDigest,
    /// The content's size, in octets.
    pub size: u64,
    /// For what machine it is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free notes; a layout's index keeps names of images here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// Describes content that is at hand.
    #[must_use]
    pub fn of(media_type: &str, content: &[u8]) -> Self {
        Self::new(media_type, Digest::of(content), u64::try_from(content.len()).unwrap_or(u64::MAX))
    }

    /// Describes content that lies elsewhere.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: OciDigest(digest),
            size,
            platform: None,
            annotations: None,
        }
    }

    /// The name that a layout gives it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REF_NAME).map(String::as_str)
    }

    /// The same, named in a layout.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.annotations.get_or_insert_default().insert(REF_NAME.to_owned(), name.to_owned());
        self
    }
}

/// For what machine an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system: `linux`.
    pub os: String,
    /// Which kind of the processor: `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// A platform; `linux` and `amd64` on most servers.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self { architecture: architecture.to_owned(), os: os.to_owned(), variant: None }
    }

    /// Reads `linux/amd64` or `linux/arm64/v8`; none for what is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        match parts.as_slice() {
            [os, architecture] => Some(Self::new(os, architecture)),
            [os, architecture, variant] => {
                Some(Self { variant: Some((*variant).to_owned()), ..Self::new(os, architecture) })
            }
            _ => None,
        }
    }

    /// Whether an image for `offered` runs here: a variant matters only when it was asked for.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        let variant = self.variant.is_none() || self.plain_variant() == offered.plain_variant();
        variant && self.os == offered.os && self.architecture == offered.architecture
    }

    /// The variant, none for the one that is meant where none is said: builders write `arm64` and `arm64/v8` for the same.
    fn plain_variant(&self) -> Option<&str> {
        self.variant.as_deref().filter(|variant| (self.architecture.as_str(), *variant) != ("arm64", "v8"))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{}", shown(variant)))
    }
}

/// An index: manifests, and indexes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// A manifest: a configuration and layers.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    /// What kind of artefact it is, if it says so.
    #[serde(rename = "artifactType", default)]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
}

/// What is needed of an image's configuration.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    pub(crate) rootfs: RootFs,
}

/// The layers as they decompress.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub(crate) diff_ids: Vec<OciDigest>,
}

/// What a document with no media type beside it says of itself.
#[derive(Debug, Deserialize)]
struct SelfDescription {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(rename = "schemaVersion")]
    schema: Option<u64>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// Refuses a document that is larger than this module holds in memory.
pub(crate) const fn check_size(size: u64) -> Result<(), Refusal> {
    if size > MAX_DOCUMENT {
        return Err(Refusal::Limit { what: Limit::Document, limit: MAX_DOCUMENT });
    }
    Ok(())
}

impl Index {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Refusal> {
        let index: Self = parse("index", octets)?;
        if index.manifests.len() > MAX_INDEX_ENTRIES {
            return Err(Refusal::Limit { what: Limit::IndexEntries, limit: MAX_INDEX_ENTRIES as u64 });
        }
        Ok(index)
    }
}

impl Manifest {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Refusal> {
        let manifest: Self = parse("manifest", octets)?;
        if manifest.layers.len() > MAX_LAYERS {
            return Err(Refusal::TooManyLayers { found: manifest.layers.len() });
        }
        Ok(manifest)
    }

    /// Whether it is a chain that a store of this kind gave out without an image configuration.
    pub(crate) fn is_chain(&self) -> bool {
        self.artifact_type.as_deref() == Some(crate::NewImage::CHAIN_TYPE) && !self.layers.is_empty()
    }
}

impl Config {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, Refusal> {
        parse("image configuration", octets)
    }
}

/// The media type that a document gives itself, or shows by its shape; a registry may leave it out of its answer.
pub(crate) fn own_media_type(octets: &[u8]) -> Result<String, Refusal> {
    let own: SelfDescription = parse("manifest", octets)?;
    Ok(match own {
        SelfDescription { media_type: Some(media_type), .. } => media_type,
        SelfDescription { schema: Some(1), .. } => {
            return Err(Refusal::MediaType { found: "manifest of schema 1".to_owned() });
        }
        SelfDescription { manifests: Some(_), config: None, .. } => media::INDEX.to_owned(),
        SelfDescription { config: Some(_), manifests: None, .. } => media::MANIFEST.to_owned(),
        SelfDescription { .. } => {
            let why = "it is neither an index nor a manifest".to_owned();
            return Err(Refusal::Document { what: "manifest", why });
        }
    })
}

/// A document whose type says one thing and whose shape says another: programs that trust one see another image than those that
/// trust the other.
pub(crate) fn check_unambiguous(octets: &[u8], media_type: &str) -> Result<(), Refusal> {
    let own: SelfDescription = parse("manifest", octets)?;
    let contradicts = own.media_type.as_ref().is_some_and(|own| own != media_type);
    if contradicts || (own.manifests.is_some() && own.config.is_some()) {
        let why = format!("it is fetched as {:?} and is also something else", shown(media_type));
        return Err(Refusal::Document { what: "manifest", why });
    }
    Ok(())
}

/// Refuses what is listed as content of an unknown type and is an index or a manifest by its own words: it would be kept as something
/// that cannot be mounted, under the digest of an image that can, and whoever lists it rightly would be refused from then on.
pub(crate) fn check_is_no_image(octets: &[u8], media_type: &str) -> Result<(), Refusal> {
    let Ok(own) = serde_json::from_slice::<SelfDescription>(octets) else { return Ok(()) };
    let says_so = own.media_type.as_deref().map(media::kind);
    let has_its_shape = own.schema == Some(2) && (own.manifests.is_some() || own.config.is_some());
    if has_its_shape || matches!(says_so, Some(media::Kind::Index | media::Kind::Manifest)) {
        let why = format!("it is listed as {:?} and is an index or a manifest", shown(media_type));
        return Err(Refusal::Document { what: "manifest", why });
    }
    Ok(())
}

fn parse<'de, T: Deserialize<'de>>(what: &'static str, octets: &'de [u8]) -> Result<T, Refusal> {
    check_size(u64::try_from(octets.len()).unwrap_or(u64::MAX))?;
    serde_json::from_slice(octets).map_err(|error| Refusal::Document { what, why: shown(&error.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn index(entries: usize) -> Vec<u8> {
        let entry = format!(r#"{{"mediaType":"a","digest":"{DIGEST}","size":0,"more":[]}}"#);
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, vec![entry; entries].join(",")).into_bytes()
    }

    fn manifest(layers: usize) -> Vec<u8> {
        let entry = format!(r#"{{"digest":"{DIGEST}","size":0}}"#);
        format!(r#"{{"config":{entry},"layers":[{}]}}"#, vec![&*entry; layers].join(",")).into_bytes()
    }

    #[test]
    fn documents_end_at_their_limits() {
        assert_eq!(Index::parse(&index(MAX_INDEX_ENTRIES)).unwrap().manifests.len(), MAX_INDEX_ENTRIES);
        let limit = Refusal::Limit { what: Limit::IndexEntries, limit: MAX_INDEX_ENTRIES as u64 };
        assert_eq!(Index::parse(&index(MAX_INDEX_ENTRIES + 1)).unwrap_err(), limit);

        assert_eq!(Manifest::parse(&manifest(MAX_LAYERS)).unwrap().layers.len(), MAX_LAYERS);
        let limit = Refusal::TooManyLayers { found: MAX_LAYERS + 1 };
        assert_eq!(Manifest::parse(&manifest(MAX_LAYERS + 1)).unwrap_err(), limit);

        let mut padded = index(1);
        padded.resize(usize::try_from(MAX_DOCUMENT).unwrap(), b' ');
        assert!(Index::parse(&padded).is_ok());
        padded.push(b' ');
        let limit = Refusal::Limit { what: Limit::Document, limit: MAX_DOCUMENT };
        assert_eq!(Index::parse(&padded).unwrap_err(), limit);
    }

    #[test]
    fn malformed_documents_are_refused() {
        let deep = "[".repeat(100_000);
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"manifests":[],"manifests":[]}"#,
            r#"{"manifests":[{"digest":"sha256:00","size":0}]}"#,
            &format!(r#"{{"manifests":[{{"digest":"{DIGEST}","size":-1}}]}}"#),
            &format!(r#"{{"manifests":[{{"digest":"{DIGEST}","size":1.5}}]}}"#),
            &format!(r#"{{"manifests":[],"x":{deep}"#),
        ] {
            let refused = Index::parse(wrong.as_bytes()).unwrap_err();
            assert!(matches!(refused, Refusal::Document { what: "index", .. }), "{refused}");
        }
    }

    #[test]
    fn a_document_is_one_thing() {
        let both = br#"{"manifests":[],"config":{}}"#;
        assert!(check_unambiguous(both, media::INDEX).is_err() && own_media_type(both).is_err());
        let typed = format!(r#"{{"mediaType":"{}","manifests":[]}}"#, media::INDEX);
        assert_eq!(own_media_type(typed.as_bytes()).unwrap(), media::INDEX);
        assert!(check_unambiguous(typed.as_bytes(), media::INDEX).is_ok());
        assert!(check_unambiguous(typed.as_bytes(), media::MANIFEST).is_err());
        assert_eq!(own_media_type(br#"{"config":{}}"#).unwrap(), media::MANIFEST);
        let first = own_media_type(br#"{"schemaVersion":1,"fsLayers":[]}"#).unwrap_err();
        assert!(matches!(first, Refusal::MediaType { .. }));
    }

    #[test]
    fn an_image_is_listed_as_one() {
        let digest = format!(r#"{{"digest":"{DIGEST}","size":0}}"#);
        for image in [
            format!(r#"{{"schemaVersion":2,"config":{digest}}}"#),
            r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
            format!(r#"{{"mediaType":"{}","config":{digest}}}"#, media::MANIFEST),
            r#"{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#.to_owned(),
        ] {
            let refused = check_is_no_image(image.as_bytes(), "application/x").unwrap_err();
            assert!(matches!(refused, Refusal::Document { what: "manifest", .. }), "{image}: {refused}");
        }
        for other in [
            "no JSON",
            "{}",
            "[2]",
            r#"{"config":{}}"#,
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[]}"#,
        ] {
            assert_eq!(check_is_no_image(other.as_bytes(), "application/x"), Ok(()), "{other}");
        }
    }

    #[test]
    fn platforms_match_their_variant_only_when_asked() {
        let offered = Platform { variant: Some("v8".to_owned()), ..Platform::new("linux", "arm64") };
        assert!(Platform::new("linux", "arm64").accepts(&offered));
        assert!(!Platform::new("linux", "amd64").accepts(&offered));
        let exact = Platform { variant: Some("v7".to_owned()), ..offered.clone() };
        assert!(!exact.accepts(&offered));
        // The first of arm64 is written in two ways; of arm it is a choice.
        assert!(offered.accepts(&Platform::new("linux", "arm64")) && offered.accepts(&offered));
        let arm =
            |variant: &str| Platform { variant: Some(variant.to_owned()), ..Platform::new("linux", "arm") };
        assert!(!arm("v8").accepts(&Platform::new("linux", "arm")) && !arm("v8").accepts(&arm("v7")));
        assert_eq!(Platform { os: "a\nb".to_owned(), ..arm("v8") }.to_string(), "a\\nb/arm/v8");
    }
}
