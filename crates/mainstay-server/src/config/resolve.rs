//! From texts to types; every problem is collected, none ends the check.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_core::Secret;
use mainstay_repo::RepoOptions;

use super::images::{self, ImageSettings};
use super::layers::{Given, merge};
use super::{
    Config, Effective, Loaded, LogFormat, Origin, Problem, PublicUrl, SETTINGS, Setting, Sources, TlsFiles,
};
use crate::limits;

/// The longest session that can be asked for.
const LONGEST_SESSION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The longest request or drain that can be asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

struct Reader {
    given: BTreeMap<&'static str, Given>,
    effective: Vec<Effective>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

pub(super) fn resolve(sources: &Sources) -> Loaded {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let given = merge(sources, &mut problems, &mut warnings);
    let mut reader = Reader { given, effective: Vec::new(), problems, warnings };
    let config = reader.config();
    reader.effective.sort_by_key(|line| SETTINGS.iter().position(|setting| setting.key == line.setting));
    let config = config.filter(|_| reader.problems.is_empty());
    Loaded { config, effective: reader.effective, problems: reader.problems, warnings: reader.warnings }
}

impl Reader {
    fn config(&mut self) -> Option<Config> {
        let listen = self.read("listen", address);
        let public_url = self.optional("public_url", PublicUrl::parse);
        let data = self.read("data", directory);
        let (database, database_is_default) = self.database(data.as_deref());
        let images = self.images(data.as_deref());
        let dev = self.read("dev", truth);
        let allow_dev = self.read("allow_dev_on_network", truth);
        let session_lifetime = self.read("session_lifetime", |text| parse_time(text, LONGEST_SESSION));
        let session_idle = self.read("session_idle", |text| parse_time(text, LONGEST_SESSION));
        let request_timeout = self.read("request_timeout", |text| parse_time(text, LONGEST_WAIT));
        let drain_timeout = self.read("drain_timeout", |text| parse_time(text, LONGEST_WAIT));
        let trusted_proxies = self.read("trusted_proxies", addresses);
        let peers = self.read("peers", nodes);
        let standbys = self.read("standbys", nodes);
        let tls = self.tls();
        let log = self.read("log", |text| Ok(text.to_owned()));
        let log_format = self.read("log_format", format);
        let otlp_endpoint = self.read("otlp_endpoint", collector);
        self.check_dev(dev?, allow_dev?, listen?, public_url.as_ref());
        if public_url.as_ref().is_some_and(|url| !url.is_secure() && !url.is_loopback()) {
            let warning =
                "public_url is plain http on a network: cookies and logins can be read on the way; use https";
            self.warnings.push(warning.to_owned());
        }
        Some(Config {
            listen: listen?,
            public_url,
            data: data?,
            database: Secret::new(database?),
            database_is_default,
            images: images?,
            dev: dev?,
            session_lifetime: session_lifetime?,
            session_idle: session_idle?,
            request_timeout: request_timeout?,
            drain_timeout: drain_timeout?,
            tls,
            trusted_proxies: trusted_proxies?,
            peers: peers?,
            standbys: standbys?,
            log: log?,
            log_format: log_format?,
            otlp_endpoint: otlp_endpoint?,
        })
    }

    /// A public name means that a proxy brings other people here, whatever address we listen on.
    fn check_dev(&mut self, dev: bool, allowed: bool, listen: SocketAddr, url: Option<&PublicUrl>) {
        let is_local = listen.ip().is_loopback() && url.is_none_or(PublicUrl::is_loopback);
        if dev && !allowed && !is_local {
            let place = url.map_or_else(|| listen.to_string(), ToString::to_string);
            self.problem(
                "dev",
                format!("anybody who reaches {place} could sign in as a test user"),
                "listen on 127.0.0.1, or say --allow-dev-on-network if that network is yours alone",
            );
        }
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let certificate = self.read("tls_certificate", optional_path)?;
        let key = self.read("tls_key", optional_path)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                let message = "a certificate needs its private key".to_owned();
                self.problem("tls_certificate", message, "set tls_key to the file of the key as well");
                None
            }
            (None, Some(_)) => {
                let message = "a private key needs its certificate".to_owned();
                self.problem("tls_key", message, "set tls_certificate to the file of the chain as well");
                None
            }
        }
    }

    fn database(&mut self, data: Option<&Path>) -> (Option<String>, bool) {
        let given = self.given.get("database").cloned();
        let is_default = given.is_none();
        let text = match given {
            Some(given) => given.text,
            None => match data {
                Some(data) => format!("sqlite://{}/mainstay.db", in_url(data)),
                None => return (None, true),
            },
        };
        match RepoOptions::new(&text) {
            Ok(options) => {
                self.show("database", options.url().to_string());
                (Some(text), is_default)
            }
            Err(error) => {
                // The text itself is not repeated: it may hold a password.
                self.show("database", mainstay_core::REDACTED.to_owned());
                let mend =
                    error.help().unwrap_or("write sqlite:///path/file.db or postgres://user@host/database");
                self.problem("database", error.message().to_owned(), mend);
                (None, is_default)
            }
        }
    }

    fn images(&mut self, data: Option<&Path>) -> Option<ImageSettings> {
        let is_default = !self.given.contains_key("images");
        let directory = match data {
            Some(data) if is_default => {
                let directory = data.join("images");
                self.show("images", directory.display().to_string());
                Some(directory)
            }
            None if is_default => None,
            _ => self.read("images", directory),
        };
        let quota_bytes = self.read("images_quota", images::quota);
        let keep = self.read("images_keep", |text| duration_or(text, "forever", images::LONGEST));
        let collect_every =
            self.read("images_collect_every", |text| duration_or(text, "never", images::LONGEST));
        Some(ImageSettings {
            directory: directory?,
            is_default,
            quota_bytes: quota_bytes?,
            keep: keep?,
            collect_every: collect_every?,
        })
    }

    fn read<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let default = Setting::find(key).map_or("", |setting| setting.default);
        let example = match key {
            "public_url" => "https://id.example.com",
            "trusted_proxies" => "10.0.0.2",
            "peers" | "standbys" => "http://10.0.0.2:7800",
            "otlp_endpoint" => "http://localhost:4318",
            "images" => "/srv/images",
            "images_quota" => "200GiB",
            _ => default,
        };
        let text = self.given.get(key).map_or_else(|| default.to_owned(), |given| given.text.clone());
        let read = parse(&text);
        self.show(key, text);
        read.map_err(|message| self.problem(key, message, &format!("for example {key} = {example:?}"))).ok()
    }

    fn optional<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match self.given.get(key) {
            Some(_) => self.read(key, parse),
            None => {
                self.show(key, Setting::find(key).map_or("", |setting| setting.default).to_owned());
                None
            }
        }
    }

    fn origin(&self, key: &str) -> Origin {
        self.given.get(key).map_or(Origin::Default, |given| given.origin.clone())
    }

    fn show(&mut self, key: &'static str, value: String) {
        let origin = self.origin(key).to_string();
        self.effective.push(Effective { setting: key, value, origin });
    }

    fn problem(&mut self, key: &'static str, message: String, mend: &str) {
        let origin = self.origin(key);
        self.problems.push(Problem { setting: key.to_owned(), origin, message, mend: mend.to_owned() });
    }
}

/// A path as it stands in a URL: what means something there is escaped.
fn in_url(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address and a port"))
}

fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the path is empty".to_owned());
    }
    std::path::absolute(text).map_err(|error| format!("{text:?} is not a path: {error}"))
}

fn optional_path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(|_| format!("{item:?} is not an IP address"))).collect()
}

fn nodes(text: &str) -> Result<Vec<PublicUrl>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let nodes: Vec<PublicUrl> = items.map(PublicUrl::parse).collect::<Result<_, _>>()?;
    if nodes.len() > limits::PEERS {
        return Err(format!("{} nodes are more than {}", nodes.len(), limits::PEERS));
    }
    Ok(nodes)
}

/// A URL, perhaps with a path; nothing for none.
fn collector(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let uri: http::Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
        return Err(format!("{text:?} is no URL that begins with http:// or https:// and has no query"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("the URL of a collector holds no user name".to_owned());
    }
    Ok(Some(text.to_owned()))
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is neither text nor json")),
    }
}

/// A time, or the word for none.
fn duration_or(text: &str, none: &str, longest: Duration) -> Result<Option<Duration>, String> {
    if text == none {
        return Ok(None);
    }
    parse_time(text, longest).map(Some).map_err(|why| format!("{why}, nor {none}"))
}

/// A time as people write it: `90s`, `15m`, `8h`, `30d`; at most the longest.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse_time(text: &str, longest: Duration) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 30s, 15m, 8h or 2d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let time = Duration::from_secs(number.saturating_mul(unit));
    if time.is_zero() {
        return Err(format!("{text:?} is no time at all"));
    }
    if time > longest {
        return Err(format!("{text:?} is longer than {} hours", longest.as_secs() / 3600));
    }
    Ok(time)
}

#[cfg(test)]
mod tests;
