//! The documents of an image that was made here: a manifest and a configuration from those of its parent and one layer more.
//! Pure: the same parent, layer and words give the same octets, whoever writes them and whenever.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::document::{Config, Descriptor, Manifest, OciDigest, Platform};
use super::error::{Error, ErrorKind, Result};
use super::limits::MAX_LAYERS;
use super::media::{self, Compression, Kind};
use super::refusal::Refusal;
use crate::NewImage;
use crate::digest::Digest;

/// The annotation that names the manifest of the image below.
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// The annotation that says where the image below can be had.
const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The configuration of what has none.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Its content.
const EMPTY: &[u8] = b"{}";

/// A layer that is laid on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) descriptor: Descriptor,
    /// The digest of the decompressed layer.
    pub(crate) diff_id: Digest,
}

/// What the history of an image says of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

/// The documents of the image below.
#[derive(Debug, Clone)]
pub(crate) struct Below {
    pub(crate) manifest: Descriptor,
    pub(crate) manifest_octets: Bytes,
    pub(crate) config_octets: Bytes,
    /// Where it can be had, as a reference with a registry.
    pub(crate) name: Option<String>,
}

/// A manifest and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Documents {
    pub(crate) manifest: Descriptor,
    pub(crate) manifest_octets: Bytes,
    pub(crate) config: Descriptor,
    pub(crate) config_octets: Bytes,
}

/// The members of a manifest in the order in which it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u8,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'static str>,
    config: &'a Descriptor,
    layers: Vec<Sorted<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// A JSON value whose members are written in the order of their names, whatever order the parser keeps them in.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let members: BTreeMap<&String, Sorted<'_>> =
                    members.iter().map(|(name, value)| (name, Sorted(value))).collect();
                serializer.collect_map(members)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            other => other.serialize(serializer),
        }
    }
}

/// The configuration of an image that begins here: a platform and no layer yet.
pub(crate) fn blank(platform: &Platform) -> Value {
    let mut config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    });
    if let (Some(variant), Some(config)) = (&platform.variant, config.as_object_mut()) {
        config.insert("variant".to_owned(), json!(variant));
    }
    config
}

/// The documents of an image of all layers of the one below, if there is one, and more on top, the lowest first.
pub(crate) fn over(below: Option<&Below>, first: &Platform, added: &[(Added, History)]) -> Result<Documents> {
    let mut annotations = BTreeMap::new();
    let (mut layers, mut config) = match below {
        None => (Vec::new(), blank(first)),
        Some(below) => {
            annotations.insert(BASE_DIGEST, below.manifest.digest.to_string());
            below.name.iter().for_each(|name| drop(annotations.insert(BASE_NAME, name.clone())));
            (layers_of(below)?, parse("image configuration", &below.config_octets)?)
        }
    };
    if layers.len() + added.len() > MAX_LAYERS {
        return Err(Refusal::TooManyLayers { found: layers.len() + added.len() }.into());
    }
    for (layer, history) in added {
        layers.push(serde_json::to_value(&layer.descriptor).map_err(|error| broken(&error))?);
        lay(&mut config, layer, history)?;
    }
    let config_octets = write(&Sorted(&config))?;
    let config = Descriptor::of(media::CONFIG, &config_octets);
    let written = Written {
        schema_version: 2,
        media_type: media::MANIFEST,
        artifact_type: None,
        config: &config,
        layers: layers.iter().map(Sorted).collect(),
        annotations,
    };
    let manifest_octets = write(&written)?;
    let manifest = Descriptor::of(media::MANIFEST, &manifest_octets);
    Ok(Documents { manifest, manifest_octets, config, config_octets })
}

/// The documents of a chain whose layers are no archives: an artefact that names them in their order.
pub(crate) fn chain(layers: &[Descriptor]) -> Result<Documents> {
    let config = Descriptor::of(EMPTY_TYPE, EMPTY);
    let layers = layers.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let layers = layers.map_err(|error| broken(&error))?;
    let written = Written {
        schema_version: 2,
        media_type: media::MANIFEST,
        artifact_type: Some(NewImage::CHAIN_TYPE),
        config: &config,
        layers: layers.iter().map(Sorted).collect(),
        annotations: BTreeMap::new(),
    };
    let manifest_octets = write(&written)?;
    let manifest = Descriptor::of(media::MANIFEST, &manifest_octets);
    Ok(Documents { manifest, manifest_octets, config, config_octets: Bytes::from_static(EMPTY) })
}

/// The media type of a layer in an OCI manifest.
pub(crate) const fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => media::LAYER,
        Compression::Gzip => media::LAYER_GZIP,
        Compression::Zstd => media::LAYER_ZSTD,
    }
}

/// The descriptors of the image below with all that they say, in OCI's words: a manifest has one vocabulary.
fn layers_of(below: &Below) -> Result<Vec<Value>> {
    let manifest = Manifest::parse(&below.manifest_octets)?;
    let config = Config::parse(&below.config_octets)?;
    let (of_manifest, of_config) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if of_manifest != of_config {
        return Err(Refusal::LayerCount { manifest: of_manifest, config: of_config }.into());
    }
    let whole: Value = parse("manifest", &below.manifest_octets)?;
    let mut layers = whole.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    for (layer, known) in layers.iter_mut().zip(&manifest.layers) {
        let media_type = match (known.media_type.as_str(), media::kind(&known.media_type)) {
            (media::DOCKER_LAYER | media::DOCKER_LAYER_GZIP, Kind::Layer(compression)) => {
                layer_type(compression)
            }
            (foreign, Kind::Layer(Compression::Gzip)) if foreign.starts_with("application/vnd.docker.") => {
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            }
            (own, _) => own,
        };
        if let Some(members) = layer.as_object_mut() {
            members.insert("mediaType".to_owned(), json!(media_type));
        }
    }
    Ok(layers)
}

/// Tells a configuration of one layer more. Everything else in it stays, also what this program does not know.
fn lay(config: &mut Value, layer: &Added, history: &History) -> Result<()> {
    let wrong = || {
        Error::from(Refusal::Document {
            what: "image configuration",
            why: "its rootfs or its history is not what the specification says".to_owned(),
        })
    };
    let members = config.as_object_mut().ok_or_else(wrong)?;
    let before = {
        let rootfs = members.get_mut("rootfs").and_then(Value::as_object_mut).ok_or_else(wrong)?;
        let ids = rootfs.entry("diff_ids").or_insert_with(|| json!([])).as_array_mut().ok_or_else(wrong)?;
        ids.push(json!(OciDigest(layer.diff_id).to_string()));
        ids.len() - 1
    };
    let entries = members.entry("history").or_insert_with(|| json!([]));
    if entries.is_null() {
        *entries = json!([]);
    }
    let entries = entries.as_array_mut().ok_or_else(wrong)?;
    let is_layer = |entry: &&Value| entry.get("empty_layer") != Some(&Value::Bool(true));
    // Programs pair the entries with the layers: what an old builder left out is filled up first.
    for _ in entries.iter().filter(is_layer).count()..before {
        entries.push(Value::Object(Map::new()));
    }
    entries.push(serde_json::to_value(history).map_err(|error| broken(&error))?);
    // The parent's time is not this image's.
    members.remove("created");
    if let Some(created) = &history.created {
        members.insert("created".to_owned(), json!(created));
    }
    if let Some(author) = &history.author {
        members.insert("author".to_owned(), json!(author));
    }
    Ok(())
}

fn parse(what: &'static str, octets: &[u8]) -> Result<Value> {
    serde_json::from_slice(octets)
        .map_err(|error| Refusal::Document { what, why: super::refusal::shown(&error.to_string()) }.into())
}

fn write(document: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(document).map(Bytes::from).map_err(|error| broken(&error))
}

fn broken(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, format!("a document cannot be written: {error}"))
}

#[cfg(test)]
mod tests;
