//! Media types: what a descriptor's content is, in the vocabulary of OCI and in that of Docker's second schema.

/// An OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer, as it is.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer, compressed by gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer, compressed by zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A list of manifests, as Docker writes it.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A manifest, as Docker writes it.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A configuration, as Docker writes it.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A gzip layer, as Docker names it.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A plain layer, as Docker names it.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Manifests of the first schema, which name no content by digest of its own.
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";
/// Layers that only their vendor may give out.
const RESTRICTED: [&str; 2] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// What is asked of a registry for a reference, best first.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

/// What content is for this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Index,
    Manifest,
    Config,
    Layer(Compression),
    /// Manifests of the first schema.
    Obsolete,
    /// Kept as it is.
    Unknown,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What a media type stands for.
pub(crate) fn kind(media_type: &str) -> Kind {
    match media_type {
        INDEX | DOCKER_INDEX => Kind::Index,
        MANIFEST | DOCKER_MANIFEST => Kind::Manifest,
        CONFIG | DOCKER_CONFIG => Kind::Config,
        LAYER | DOCKER_LAYER => Kind::Layer(Compression::None),
        LAYER_GZIP | DOCKER_LAYER_GZIP => Kind::Layer(Compression::Gzip),
        LAYER_ZSTD => Kind::Layer(Compression::Zstd),
        other if other.starts_with(DOCKER_SCHEMA_1) => Kind::Obsolete,
        other => match RESTRICTED.iter().find_map(|prefix| other.strip_prefix(prefix)) {
            Some("" | "+gzip") if other.ends_with("gzip") => Kind::Layer(Compression::Gzip),
            Some("") => Kind::Layer(Compression::None),
            Some("+zstd") => Kind::Layer(Compression::Zstd),
            _ => Kind::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_in_both_vocabularies() {
        for (media_type, expected) in [
            (INDEX, Kind::Index),
            (DOCKER_INDEX, Kind::Index),
            (MANIFEST, Kind::Manifest),
            (DOCKER_MANIFEST, Kind::Manifest),
            (LAYER, Kind::Layer(Compression::None)),
            (DOCKER_LAYER_GZIP, Kind::Layer(Compression::Gzip)),
            (LAYER_ZSTD, Kind::Layer(Compression::Zstd)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", Kind::Layer(Compression::None)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Kind::Layer(Compression::Zstd)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Kind::Layer(Compression::Gzip)),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", Kind::Obsolete),
            ("application/vnd.oci.image.layer.v1.tar+xz", Kind::Unknown),
            ("application/wasm", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(kind(media_type), expected, "{media_type}");
        }
    }
}
