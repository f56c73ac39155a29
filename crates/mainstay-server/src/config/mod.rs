//! The server's configuration: a TOML file, then `MAINSTAY_*`, then flags. Every problem is told at once.

mod images;
mod layers;
mod public_url;
mod resolve;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::Secret;
use serde::Serialize;

pub use self::images::{ImageSettings, parse_size};
pub use self::layers::{ENVIRONMENT_PREFIX, Origin, Sources};
pub use self::public_url::PublicUrl;
pub use self::resolve::parse_time;

/// One setting: the same name in the file (`public_url`), the environment (`MAINSTAY_PUBLIC_URL`) and the flags
/// (`--public-url`).
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the file.
    pub key: &'static str,
    /// What is used when nobody says otherwise, for people.
    pub default: &'static str,
    /// What it decides.
    pub help: &'static str,
}

impl Setting {
    pub(crate) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    Setting { key: "listen", default: "127.0.0.1:7800", help: "address and port to listen on" },
    Setting {
        key: "public_url",
        default: "http://<listen>",
        help: "URL by which browsers and identity providers know this server",
    },
    Setting {
        key: "data",
        default: "./mainstay-data",
        help: "directory of the database file and the development keys",
    },
    Setting {
        key: "database",
        default: "sqlite://<data>/mainstay.db",
        help: "database URL: sqlite:///path or postgres://…",
    },
    Setting {
        key: "images",
        default: "<data>/images",
        help: "directory of the images' blobs; servers on one database share it",
    },
    Setting {
        key: "images_quota",
        default: "",
        help: "the most octets of all blobs, such as 200GiB; no limit",
    },
    Setting {
        key: "images_keep",
        default: "30d",
        help: "how long an image is kept that nothing claims; forever for no end",
    },
    Setting {
        key: "images_collect_every",
        default: "15m",
        help: "how often the server removes what no image uses; never for not at all",
    },
    Setting {
        key: "dev",
        default: "false",
        help: "built-in identity provider with two test users; for development only",
    },
    Setting {
        key: "allow_dev_on_network",
        default: "false",
        help: "lets --dev listen on an address that other machines reach",
    },
    Setting { key: "session_lifetime", default: "8h", help: "how long a session lasts" },
    Setting { key: "session_idle", default: "30m", help: "how long a session lasts that is not used" },
    Setting { key: "request_timeout", default: "30s", help: "how long a request may take" },
    Setting {
        key: "drain_timeout",
        default: "30s",
        help: "how long requests may take to end when the server goes down",
    },
    Setting {
        key: "trusted_proxies",
        default: "",
        help: "addresses of reverse proxies whose X-Forwarded-For is believed",
    },
    Setting {
        key: "peers",
        default: "",
        help: "URLs of the nodes that run beside this one on the same database; on SQLite there may be none",
    },
    Setting {
        key: "standbys",
        default: "",
        help: "URLs of the nodes that stand by for this one; on SQLite it does not run beside one that serves",
    },
    Setting {
        key: "tls_certificate",
        default: "",
        help: "PEM file of the certificate chain; with tls_key it replaces a reverse proxy",
    },
    Setting { key: "tls_key", default: "", help: "PEM file of the certificate's private key" },
    Setting { key: "log", default: "info", help: "log filter, as in RUST_LOG" },
    Setting { key: "log_format", default: "text", help: "text or json" },
    Setting {
        key: "otlp_endpoint",
        default: "",
        help: "collector of OpenTelemetry that spans are sent to, such as http://localhost:4318; none",
    },
];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The two files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain of certificates, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The URL that the outside uses; none means that of the listener.
    pub public_url: Option<PublicUrl>,
    /// The directory of our files.
    pub data: PathBuf,
    /// The database's URL.
    pub database: Secret<String>,
    /// Whether the database is the file in the data directory that nobody asked for by name.
    pub database_is_default: bool,
    /// Where images are kept.
    pub images: ImageSettings,
    /// Whether the built-in identity provider exists.
    pub dev: bool,
    /// How long a session lasts.
    pub session_lifetime: Duration,
    /// How long a session lasts that is not used.
    pub session_idle: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long requests may take to end when the server goes down.
    pub drain_timeout: Duration,
    /// Where the certificate and its key are, when this process speaks TLS itself.
    pub tls: Option<TlsFiles>,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// The nodes that run beside this one; one of them may be this node itself.
    pub peers: Vec<PublicUrl>,
    /// The nodes that stand by for this one; one of them may be this node itself.
    pub standbys: Vec<PublicUrl>,
    /// The log filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The collector that spans are sent to.
    pub otlp_endpoint: Option<String>,
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which setting.
    pub setting: String,
    /// Who gave it.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; {}", self.setting, self.origin, self.message, self.mend)
    }
}

/// A setting as it is in force; secrets are redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The setting's name.
    pub setting: &'static str,
    /// Its value.
    pub value: String,
    /// Who gave it.
    pub origin: String,
}

/// The configuration with all that was found on the way.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, or nothing when there are problems.
    pub config: Option<Config>,
    /// Every setting with its origin.
    pub effective: Vec<Effective>,
    /// What keeps the server from starting.
    pub problems: Vec<Problem>,
    /// What it starts with all the same.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Lays the sources over each other and checks the result.
    #[must_use]
    pub fn from_sources(sources: &Sources) -> Self {
        resolve::resolve(sources)
    }

    /// The configuration, or all problems.
    ///
    /// # Errors
    /// Every problem.
    pub fn into_config(self) -> Result<Config, Vec<Problem>> {
        match self.config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(self.problems),
        }
    }
}
