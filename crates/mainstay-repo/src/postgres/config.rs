//! PostgreSQL URLs: libpq's options, and the driver's own.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::error::{Error, Result};

/// How the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Not at all: `disable`, `prefer` and `require` without a root certificate, as libpq does.
    Nothing,
    /// That a known authority signed it: `verify-ca`, or `require` with a root certificate.
    Authority,
    /// That, and that it names the host: `verify-full`.
    Host,
}

/// Where a PostgreSQL database is and how to use it.
///
/// | option | meaning |
/// |---|---|
/// | `schema` | all names are looked up in this schema, which is created if missing |
/// | `sslmode` | `disable`, `prefer` (default), `require`, `verify-ca`, `verify-full` |
/// | `sslrootcert` | a PEM file of certificate authorities, instead of the system's |
/// | `pool_size` | connections for reads and interactive transactions: 1 to 1000, 10 unless said |
/// | `committers` | connections for writes: 1 to 16, 2 unless said |
/// | `pooler` | `transaction`: the server is behind PgBouncer in transaction mode, so nothing may outlive a transaction |
/// | `synchronous_commit` | `on` (default), `local`, `remote_write` or `remote_apply`: what a write waits for, whatever role, database and server say |
/// | `listen` | `off`: no connection hears the bells of other processes ([`Bell`](crate::Bell)); `on` unless said |
/// | `connect_timeout`, `application_name`, `target_session_attrs`, … | as in libpq |
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) client: tokio_postgres::Config,
    pub(super) schema: Option<String>,
    pub(super) verify: Verify,
    pub(super) root_cert: Option<PathBuf>,
    pub(super) pool_size: usize,
    pub(super) committers: usize,
    pub(super) pooler: bool,
    pub(super) listens: bool,
    pub(super) synchronous_commit: &'static str,
}

/// The driver's own options.
const OWN: &[&str] =
    &["schema", "sslmode", "sslrootcert", "pool_size", "committers", "pooler", "listen", SYNCHRONOUS_COMMIT];
/// Options that are handed to tokio-postgres.
const LIBPQ: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// PostgreSQL's setting of what a commit waits for.
const SYNCHRONOUS_COMMIT: &str = "synchronous_commit";
/// Its values under which a commit that was acknowledged survives a crash of the server. `off` is not one.
const DURABLE_COMMITS: [&str; 4] = ["on", "local", "remote_write", "remote_apply"];

const MAX_POOL_SIZE: usize = 1_000;
const MAX_COMMITTERS: usize = 16;
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A host that vanished without a word is noticed after half a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What the driver takes out of the query string.
struct Own {
    schema: Option<String>,
    ssl_mode: SslMode,
    verify: Verify,
    root_cert: Option<PathBuf>,
    pool_size: usize,
    committers: usize,
    pooler: bool,
    listens: bool,
    synchronous_commit: &'static str,
}

impl PostgresConfig {
    /// Reads a `postgres://` URL.
    pub(crate) fn from_url(url: &str) -> Result<Self> {
        let (base, query) = split_query(url);
        let mut own = Own {
            schema: None,
            ssl_mode: SslMode::Prefer,
            verify: Verify::Nothing,
            root_cert: None,
            pool_size: 10,
            committers: 2,
            pooler: false,
            listens: true,
            synchronous_commit: "on",
        };
        let mut passed_on: Vec<&str> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if OWN.contains(&key) {
                own.set(key, &percent_decode(key, value)?)?;
            } else if LIBPQ.contains(&key) {
                passed_on.push(pair);
            } else {
                return Err(unknown_option(key));
            }
        }
        if own.ssl_mode == SslMode::Require && own.verify == Verify::Nothing && own.root_cert.is_some() {
            own.verify = Verify::Authority;
        }
        let given = |key: &str| passed_on.iter().any(|pair| pair.split('=').next() == Some(key));
        let text =
            if passed_on.is_empty() { base.to_owned() } else { format!("{base}?{}", passed_on.join("&")) };
        let mut client: tokio_postgres::Config = text.parse().map_err(|source| malformed(&source))?;
        if client.get_options().is_some_and(|options| options.contains(SYNCHRONOUS_COMMIT)) {
            return Err(Error::configuration(format!(
                "the PostgreSQL URL's options set {SYNCHRONOUS_COMMIT}"
            ))
            .with_help(format!("write it as an option of the URL: ?{SYNCHRONOUS_COMMIT}=remote_apply")));
        }
        set_defaults(&mut client, given);
        client.ssl_mode(own.ssl_mode);
        if client.get_hosts().is_empty() && client.get_hostaddrs().is_empty() {
            return Err(Error::configuration("the PostgreSQL URL names no host").with_help(
                "write postgres://user@host/database, or ?host=/var/run/postgresql for a Unix socket",
            ));
        }
        Ok(Self {
            client,
            schema: own.schema,
            verify: own.verify,
            root_cert: own.root_cert,
            pool_size: own.pool_size,
            committers: own.committers,
            pooler: own.pooler,
            listens: own.listens && !own.pooler,
            synchronous_commit: own.synchronous_commit,
        })
    }

    /// The servers, for error texts: `host:port`, several with commas.
    pub(super) fn place(&self) -> String {
        let ports = self.client.get_ports();
        let port = |at: usize| ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
        let names: Vec<String> = if self.client.get_hosts().is_empty() {
            self.client.get_hostaddrs().iter().map(ToString::to_string).collect()
        } else {
            self.client.get_hosts().iter().map(host_name).collect()
        };
        let places: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                if name.contains(':') {
                    format!("[{name}]:{}", port(at))
                } else {
                    format!("{name}:{}", port(at))
                }
            })
            .collect();
        places.join(",")
    }

    /// How many servers are named; with several, one that became read-only is left.
    pub(super) fn servers(&self) -> usize {
        self.client.get_hosts().len().max(self.client.get_hostaddrs().len())
    }

    /// How long a connection attempt may take in all, over all hosts and with signing in.
    pub(super) fn connect_limit(&self) -> Duration {
        let once = self.client.get_connect_timeout().copied().unwrap_or(DEFAULT_CONNECT_TIMEOUT);
        let times = u32::try_from(self.servers()).unwrap_or(u32::MAX).saturating_add(1);
        once.saturating_mul(times)
    }
}

impl Own {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "schema" => self.schema = Some(check_schema(value)?),
            "sslmode" => (self.ssl_mode, self.verify) = parse_ssl_mode(value)?,
            "sslrootcert" => self.root_cert = Some(PathBuf::from(value)),
            "pool_size" => self.pool_size = parse_count(key, value, MAX_POOL_SIZE)?,
            "committers" => self.committers = parse_count(key, value, MAX_COMMITTERS)?,
            SYNCHRONOUS_COMMIT => self.synchronous_commit = parse_synchronous_commit(value)?,
            "listen" => {
                self.listens = match value {
                    "on" => true,
                    "off" => false,
                    _ => {
                        return Err(Error::configuration(format!(
                            "the option listen={value:?} is not known"
                        ))
                        .with_help("write listen=on or listen=off"));
                    }
                }
            }
            _ => {
                if value != "transaction" {
                    return Err(Error::configuration(format!("the option pooler={value:?} is not known"))
                        .with_help("write pooler=transaction, or leave it out"));
                }
                self.pooler = true;
            }
        }
        Ok(())
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Defaults that differ from the client's: it would wait for ever on a silent host, and hours on a dead one.
fn set_defaults(client: &mut tokio_postgres::Config, given: impl Fn(&str) -> bool) {
    if !given("connect_timeout") {
        client.connect_timeout(DEFAULT_CONNECT_TIMEOUT);
    }
    if !given("keepalives_idle") {
        client.keepalives_idle(KEEPALIVE_IDLE);
    }
    if !given("keepalives_interval") {
        client.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if !given("keepalives_retries") {
        client.keepalives_retries(3);
    }
    if !given("tcp_user_timeout") {
        client.tcp_user_timeout(UNACKNOWLEDGED);
    }
    if !given("application_name") {
        client.application_name("mainstay");
    }
    if !given("target_session_attrs") && client.get_hosts().len() > 1 {
        client.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

/// Splits off the query string. Like the client's own parser: what is before the first `@` is user and password.
fn split_query(url: &str) -> (&str, &str) {
    let start = url.find('@').unwrap_or(0);
    let (head, tail) = url.split_at(start);
    match tail.find('?') {
        Some(at) => {
            let (rest, query) = tail.split_at(at);
            (url.get(..head.len() + rest.len()).unwrap_or(url), query.get(1..).unwrap_or_default())
        }
        None => (url, ""),
    }
}

fn percent_decode(key: &str, text: &str) -> Result<String> {
    let broken = || Error::configuration(format!("the option {key} is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2).ok_or_else(broken)?;
        let digits = std::str::from_utf8(digits).map_err(|_| broken())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

fn unknown_option(key: &str) -> Error {
    let mut known: Vec<&str> = OWN.iter().chain(LIBPQ).copied().collect();
    known.sort_unstable();
    Error::configuration(format!("the PostgreSQL URL's option {key:?} is not known"))
        .with_help(format!("the known ones are {}", known.join(", ")))
}

/// The client's parser names the option and never its value, so nothing secret is passed on.
fn malformed(source: &tokio_postgres::Error) -> Error {
    use std::error::Error as _;
    let why = source.source().map_or_else(|| source.to_string(), ToString::to_string);
    Error::configuration(format!("the PostgreSQL URL is malformed: {why}"))
        .with_help("write postgres://user:password@host:5432/database?option=value, percent-encoded")
}

fn parse_count(key: &str, value: &str, most: usize) -> Result<usize> {
    match value.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => {
            Err(Error::configuration(format!("the option {key}={value:?} is not a number from 1 to {most}")))
        }
    }
}

fn parse_synchronous_commit(value: &str) -> Result<&'static str> {
    DURABLE_COMMITS.into_iter().find(|known| *known == value).ok_or_else(|| {
        let why = if value == "off" {
            "a write that was acknowledged would be lost when the server crashes"
        } else {
            "no such value is known"
        };
        Error::configuration(format!("the option {SYNCHRONOUS_COMMIT}={value:?} is refused: {why}"))
            .with_help("write on, local, remote_write or remote_apply, or leave it out, which means on")
    })
}

fn parse_ssl_mode(value: &str) -> Result<(SslMode, Verify)> {
    Ok(match value {
        "disable" => (SslMode::Disable, Verify::Nothing),
        "prefer" => (SslMode::Prefer, Verify::Nothing),
        "require" => (SslMode::Require, Verify::Nothing),
        "verify-ca" => (SslMode::Require, Verify::Authority),
        "verify-full" => (SslMode::Require, Verify::Host),
        _ => {
            return Err(Error::configuration(format!("the option sslmode={value:?} is not known"))
                .with_help("the known ones are disable, prefer, require, verify-ca and verify-full"));
        }
    })
}

/// A schema's name needs no quotes anywhere, so that it means the same in every statement and tool.
fn check_schema(name: &str) -> Result<String> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if !starts || !name.chars().all(plain) || name.len() > 63 {
        return Err(Error::configuration(format!("the schema name {name:?} is not a plain identifier"))
            .with_help(
                "use lower-case letters, digits and underscores, at most 63, not starting with a digit",
            ));
    }
    if name.starts_with("pg_") || name == "information_schema" {
        return Err(Error::configuration(format!("the schema name {name:?} is PostgreSQL's own"))
            .with_help("choose another"));
    }
    Ok(name.to_owned())
}

impl fmt::Display for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.client.get_dbname().or_else(|| self.client.get_user()).unwrap_or_default();
        write!(f, "PostgreSQL at {}/{database}", self.place())?;
        match &self.schema {
            Some(schema) => write!(f, " (schema {schema})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresConfig({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(url: &str) -> PostgresConfig {
        PostgresConfig::from_url(url).unwrap()
    }

    fn refused(url: &str) -> String {
        let error = PostgresConfig::from_url(url).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Configuration);
        error.to_string()
    }

    #[test]
    fn a_full_url_is_read_and_shown_without_its_password() {
        let config = parse(
            "postgres://app:s%3Fcret@db.example:6432/main?schema=jobs&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem\
             &pool_size=4&committers=1&pooler=transaction&connect_timeout=3&application_name=x",
        );
        assert_eq!(config.to_string(), "PostgreSQL at db.example:6432/main (schema jobs)");
        assert!(!format!("{config:?} {:?}", config.client).contains("cret"));
        assert_eq!(config.client.get_password(), Some(&b"s?cret"[..]));
        assert_eq!((config.pool_size, config.committers, config.pooler), (4, 1, true));
        assert_eq!(config.verify, Verify::Host);
        assert_eq!(config.client.get_ssl_mode(), SslMode::Require);
        assert_eq!(config.root_cert, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(config.client.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(config.client.get_application_name(), Some("x"));
    }

    #[test]
    fn defaults() {
        let config = parse("postgresql://localhost/app");
        assert_eq!((config.pool_size, config.committers, config.pooler), (10, 2, false));
        assert_eq!((config.client.get_ssl_mode(), config.verify), (SslMode::Prefer, Verify::Nothing));
        assert_eq!(config.client.get_connect_timeout(), Some(&DEFAULT_CONNECT_TIMEOUT));
        assert_eq!(config.client.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn who_listens() {
        for (options, listens) in
            [("", true), ("?listen=on", true), ("?listen=off", false), ("?pooler=transaction", false)]
        {
            assert_eq!(parse(&format!("postgres://h/d{options}")).listens, listens, "{options}");
        }
        assert!(!parse("postgres://h/d?pooler=transaction&listen=on").listens, "a pooler passes nothing on");
    }

    #[test]
    fn several_hosts_mean_the_one_that_writes() {
        let config = parse("postgres://u@a:1,b:2/app");
        assert_eq!(config.to_string(), "PostgreSQL at a:1,b:2/app");
        assert_eq!(config.client.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        let config = parse("postgres://u@a,b/app?target_session_attrs=any");
        assert_eq!(config.client.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn a_unix_socket_and_an_ipv6_address_are_named() {
        assert_eq!(parse("postgres:///app?host=/run/pg&user=u").place(), "/run/pg:5432");
        assert_eq!(parse("postgres://u@[::1]:7/app").place(), "[::1]:7");
    }

    #[test]
    fn require_with_a_root_certificate_checks_it() {
        assert_eq!(parse("postgres://h/d?sslmode=require").verify, Verify::Nothing);
        assert_eq!(parse("postgres://h/d?sslmode=require&sslrootcert=x").verify, Verify::Authority);
        assert_eq!(parse("postgres://h/d?sslmode=verify-ca").verify, Verify::Authority);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let text = refused("postgres://h/d?poolsize=3");
        assert!(
            text.contains("poolsize") && text.contains("pool_size") && text.contains("sslmode"),
            "{text}"
        );
        for url in [
            "postgres://h/d?pool_size=0",
            "postgres://h/d?pool_size=1001",
            "postgres://h/d?committers=17",
            "postgres://h/d?pooler=session",
            "postgres://h/d?listen=yes",
            "postgres://h/d?synchronous_commit=of",
            "postgres://h/d?sslmode=allow",
            "postgres://h/d?schema=Jobs",
            "postgres://h/d?schema=1a",
            "postgres://h/d?schema=",
            "postgres://h/d?schema=pg_x",
            "postgres://h/d?schema=a%22b",
            "postgres://h/d?schema=%f",
            "postgres://h:port/d",
            "postgres:///d",
        ] {
            refused(url);
        }
        let longest = "a".repeat(63);
        assert_eq!(parse(&format!("postgres://h/d?schema={longest}")).schema, Some(longest.clone()));
        refused(&format!("postgres://h/d?schema={longest}a"));
    }

    #[test]
    fn what_is_acknowledged_is_durable() {
        assert_eq!(parse("postgres://h/d").synchronous_commit, "on");
        for value in DURABLE_COMMITS {
            assert_eq!(
                parse(&format!("postgres://h/d?synchronous_commit={value}")).synchronous_commit,
                value
            );
        }
        assert!(refused("postgres://h/d?synchronous_commit=off").contains("would be lost"));
        let text = refused("postgres://h/d?options=-c%20synchronous_commit%3Doff");
        assert!(text.contains("as an option of the URL"), "{text}");
    }

    #[test]
    fn a_password_with_a_question_mark_is_not_taken_for_options() {
        let config = parse("postgres://u:a?b=c@h/d");
        assert_eq!(config.client.get_password(), Some(&b"a?b=c"[..]));
        assert!(!refused("postgres://u:hush@h:port/d").contains("hush"));
    }
}
