//! Images: chains of blobs, with what belongs to them.

use std::fmt;
use std::str::FromStr;

use mainstay_core::Timestamp;
use serde::Serialize;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ids::ImageId;

/// The most layers of a chain; as many as the storage drivers of the field mount.
pub const MAX_DEPTH: usize = 128;
/// The most blobs that are attached to one image.
pub const MAX_ATTACHMENTS: usize = 4_096;
/// The most octets of a reference's name.
pub const MAX_NAME_BYTES: usize = 255;
/// The most octets of a label, a role or a lease's key.
pub const MAX_TEXT_BYTES: usize = 255;
/// The most octets of a media type's name before the slash, and of that behind it (RFC 6838, section 4.2).
pub const MAX_MEDIA_NAME_BYTES: usize = 127;

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageKind {
    /// A chain that can be mounted.
    Chain,
    /// A list of images, for several platforms say; its members are attached.
    Index,
    /// Something else that is kept in the same way.
    Artifact,
}

impl ImageKind {
    pub(crate) const fn to_stored(self) -> i64 {
        match self {
            Self::Chain => 0,
            Self::Index => 1,
            Self::Artifact => 2,
        }
    }

    pub(crate) fn from_stored(stored: i64) -> Result<Self> {
        match stored {
            0 => Ok(Self::Chain),
            1 => Ok(Self::Index),
            2 => Ok(Self::Artifact),
            other => Err(Error::internal(format!("a stored image is of the unknown kind {other}"))),
        }
    }
}

/// One layer of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Layer {
    /// The blob.
    pub digest: Digest,
    /// Its length in octets.
    pub size_bytes: u64,
}

/// Octets of a packed layer: the digest and the size.
const PACKED: usize = 40;

/// The layers of an image, the base first. A chain never changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Chain(Vec<Layer>);

impl Chain {
    /// A chain of layers, the base first.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when there are more than [`MAX_DEPTH`].
    pub fn new(layers: Vec<Layer>) -> Result<Self> {
        if layers.len() > MAX_DEPTH {
            return Err(Error::invalid(
                "layers",
                format!("a chain of {} layers is deeper than {MAX_DEPTH}", layers.len()),
            )
            .with_help("flatten it: publish the content as a new base"));
        }
        Ok(Self(layers))
    }

    /// The layers, the base first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.0
    }

    /// How many layers there are.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// The sum of the layers' sizes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.iter().fold(0, |sum, layer| sum.saturating_add(layer.size_bytes))
    }

    /// The chain id: of a single layer its digest, of more the digest of the chain id below and the layer, both written with
    /// their algorithm and a space between. None of no layers.
    #[must_use]
    pub fn id(&self) -> Option<Digest> {
        self.ids().last().copied()
    }

    /// The chain ids of every prefix, the shortest first.
    #[must_use]
    pub fn ids(&self) -> Vec<Digest> {
        let mut ids: Vec<Digest> = Vec::with_capacity(self.0.len());
        for layer in &self.0 {
            ids.push(match ids.last() {
                None => layer.digest,
                Some(below) => Digest::of(format!("sha256:{below} sha256:{}", layer.digest).as_bytes()),
            });
        }
        ids
    }

    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.0.len() * PACKED);
        for layer in &self.0 {
            packed.extend_from_slice(layer.digest.as_bytes());
            packed.extend_from_slice(&layer.size_bytes.to_be_bytes());
        }
        packed
    }

    pub(crate) fn unpack(packed: &[u8]) -> Result<Self> {
        let broken = || Error::internal("a stored chain is not one that this program packed");
        let entries = packed.chunks_exact(PACKED);
        if !entries.remainder().is_empty() {
            return Err(broken());
        }
        let mut layers = Vec::with_capacity(packed.len() / PACKED);
        for entry in entries {
            let (digest, size) = entry.split_at_checked(32).ok_or_else(broken)?;
            let size: [u8; 8] = size.try_into().map_err(|_| broken())?;
            layers.push(Layer {
                digest: Digest::from_slice(digest).map_err(|_| broken())?,
                size_bytes: u64::from_be_bytes(size),
            });
        }
        Ok(Self(layers))
    }
}

/// An image's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Image {
    /// Its number in this store.
    pub id: ImageId,
    /// Its name: the manifest's digest where there is one, else the chain id.
    pub digest: Digest,
    /// The chain id; none without layers.
    pub chain_id: Option<Digest>,
    /// The image that it was derived from, or whose chain is the longest beginning of its own.
    pub parent: Option<ImageId>,
    /// What it is.
    pub kind: ImageKind,
    /// What its publisher said it is.
    pub media_type: String,
    /// Its layers.
    pub chain: Chain,
    /// The sum of its layers and of what is attached, each blob counted once.
    pub size_bytes: u64,
    /// What a person called it.
    pub label: Option<String>,
    /// Whether eviction leaves it alone.
    pub pinned: bool,
    /// When it was first published.
    pub created_at: Timestamp,
    /// When it was last leased, to the minute.
    pub last_used_at: Timestamp,
}

/// A name that points at an image and can be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reference {
    /// The name.
    pub name: String,
    /// The image.
    pub image: ImageId,
    /// The image that the name was forked from, if it was.
    pub forked_from: Option<Digest>,
    /// Grows with every move.
    pub version: u64,
    /// When it was last moved.
    pub updated_at: Timestamp,
}

/// A blob that belongs to an image without being a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attachment {
    /// What it is to the image, unique within it.
    pub role: String,
    /// The blob.
    pub digest: Digest,
    /// Its length in octets.
    pub size_bytes: u64,
    /// What its publisher said it is.
    pub media_type: String,
}

/// How a caller names an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageRef {
    /// By number.
    Id(ImageId),
    /// By digest.
    Digest(Digest),
    /// By a name that points at it.
    Name(String),
}

impl FromStr for ImageRef {
    type Err = Error;

    /// `sha256:` and a digest, a digest alone, or a name.
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if let Ok(digest) = digits.parse() {
            return Ok(Self::Digest(digest));
        }
        check_name(text).map(|()| Self::Name(text.to_owned()))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "number {id}"),
            Self::Digest(digest) => write!(f, "sha256:{digest}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl From<ImageId> for ImageRef {
    fn from(id: ImageId) -> Self {
        Self::Id(id)
    }
}

impl From<Digest> for ImageRef {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// A reference's name: printable ASCII without space, quotes or backslash, and nothing that reads as a digest.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let refused = |why: &str| {
        Error::invalid(
            "name",
            format!("{:?} is no name for an image: {why}", name.chars().take(80).collect::<String>()),
        )
        .with_help("use up to 255 letters, digits and . _ - / : @ +, a letter or digit first")
    };
    if name.len() > MAX_NAME_BYTES {
        return Err(refused("it is too long"));
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(refused("it does not begin with a letter or a digit"));
    }
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/:@+".contains(letter)) {
        return Err(refused("it holds other characters"));
    }
    if name.strip_prefix("sha256:").unwrap_or(name).parse::<Digest>().is_ok() {
        return Err(refused("it reads as a digest"));
    }
    Ok(())
}

/// A text of a caller: no control characters, not too long.
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<()> {
    if text.len() <= MAX_TEXT_BYTES && !text.is_empty() && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("the {field} is empty, too long or holds control characters"))
        .with_help(format!("use 1 to {MAX_TEXT_BYTES} octets of printable text")))
}

/// A media type of a caller: it stands in manifests that other programs read.
pub(crate) fn check_media_type(text: &str) -> Result<()> {
    if is_media_type(text) {
        return Ok(());
    }
    let shown: String = text.chars().take(MAX_TEXT_BYTES).collect();
    Err(Error::invalid("media_type", format!("{shown:?} is no media type")).with_help(format!(
        "write type/subtype without parameters, as application/octet-stream: each begins with a letter or a digit, goes on with \
         these or !#$&-^_.+ and has at most {MAX_MEDIA_NAME_BYTES} octets"
    )))
}

/// Whether a text has the form that RFC 6838 gives media types, and manifests of images want.
pub(crate) fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=MAX_MEDIA_NAME_BYTES).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&octet))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Layer {
        Layer { digest: Digest::of(text.as_bytes()), size_bytes: text.len() as u64 }
    }

    #[test]
    fn a_chain_packs_and_unpacks_at_its_limits() {
        for depth in [0, 1, MAX_DEPTH] {
            let chain = Chain::new((0..depth).map(|n| layer(&n.to_string())).collect()).unwrap();
            assert_eq!(Chain::unpack(&chain.pack()).unwrap(), chain);
            assert_eq!(chain.pack().len(), depth * PACKED);
        }
        assert!(Chain::new(vec![layer("x"); MAX_DEPTH + 1]).is_err());
        assert!(Chain::unpack(&[0; PACKED + 1]).is_err());
    }

    #[test]
    fn the_chain_id_is_the_formula_of_the_image_specification() {
        let (a, b) = (layer("a"), layer("b"));
        assert_eq!(Chain::default().id(), None);
        assert_eq!(Chain::new(vec![a]).unwrap().id(), Some(a.digest));
        let both = format!("sha256:{} sha256:{}", a.digest, b.digest);
        assert_eq!(Chain::new(vec![a, b]).unwrap().id(), Some(Digest::of(both.as_bytes())));
    }

    #[test]
    fn names_are_told_from_digests() {
        let digest = Digest::of(b"x");
        assert_eq!(format!("sha256:{digest}").parse::<ImageRef>().unwrap(), ImageRef::Digest(digest));
        assert_eq!(digest.to_string().parse::<ImageRef>().unwrap(), ImageRef::Digest(digest));
        assert_eq!("a/b:1".parse::<ImageRef>().unwrap(), ImageRef::Name("a/b:1".into()));
        let longest = "a".repeat(MAX_NAME_BYTES);
        assert!(check_name(&longest).is_ok() && check_name(&format!("{longest}a")).is_err());
        for wrong in ["", "-a", "a b", "ä", "a\n", &format!("sha256:{digest}")] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
        let text = "x".repeat(MAX_TEXT_BYTES);
        assert!(check_text("label", &text).is_ok() && check_text("label", &format!("{text}x")).is_err());
        assert!(check_text("label", "a\u{7}").is_err());
    }

    #[test]
    fn media_types_are_those_of_the_registry_of_names() {
        let longest = "x".repeat(MAX_MEDIA_NAME_BYTES);
        for right in [
            "t/t",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "a/b!#$&-^_.+",
            "0/9",
            &format!("{longest}/{longest}"),
        ] {
            assert!(check_media_type(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "/",
            "t",
            "t/",
            "/t",
            "t/t/t",
            "t/t;charset=utf-8",
            "t/ t",
            "text/ä",
            ".t/t",
            "t/+t",
            "t/t\n",
            "\"/\"",
            &format!("{longest}x/t"),
            &format!("t/{longest}x"),
        ] {
            assert!(check_media_type(wrong).is_err(), "{wrong}");
        }
    }
}
