//! Requests to one repository of a registry: TLS, who we are, redirects, time-outs, and the meaning of an answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay_core::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::auth::{self, Challenge, Credentials, Token};
use super::proxy::{Connector, Proxies, Rules};
use super::retry::{self, Retry};
use super::url::{self, Origin};
use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::limits::MAX_ANSWER;
use crate::oci::reference::Reference;
use crate::oci::refusal::shown;

/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 5;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The slowest line on which an upload is not given up, in octets a second.
const SLOWEST_UPLOAD: u64 = 16 * 1024;
/// A token is not used in its last seconds: it must still hold when the request arrives.
const TOKEN_MARGIN: Duration = Duration::from_secs(5);

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// TLS; plain http only to this machine, also where a registry on it sends us.
    #[default]
    Auto,
    /// TLS, also to this machine.
    Https,
    /// Plain http: everybody on the way can read the credentials and exchange what has no digest.
    Http,
}

/// How a registry is spoken to, and as whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// Who we are.
    pub credentials: Credentials,
    /// With or without TLS.
    pub transport: Transport,
    /// Certificates (PEM) that are trusted beside those of this system.
    pub trusted: Vec<u8>,
    /// When a transfer is tried again.
    pub retry: Retry,
    /// How long the registry may be silent within an answer before the connection counts as broken.
    pub silence: Duration,
    /// The pieces of a large upload, in octets. Registries may ask for larger ones.
    pub piece: usize,
    /// Through which proxies it is reached; none if not said.
    pub proxies: Proxies,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::Anonymous,
            transport: Transport::Auto,
            trusted: Vec::new(),
            retry: Retry::default(),
            silence: Duration::from_secs(60),
            piece: 8 * 1024 * 1024,
            proxies: Proxies::none(),
        }
    }
}

/// What is done in the repository; a token is asked for exactly that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    /// Also reading from another repository, to mount blobs from it.
    Push {
        mount_from: Option<String>,
    },
}

/// One repository of a registry.
pub(crate) struct Registry {
    http: Client<HttpsConnector<Connector>, Full<Bytes>>,
    proxies: Rules,
    origin: Origin,
    reference: Reference,
    access: Access,
    options: RegistryOptions,
    authorization: Mutex<Option<(Secret<String>, Option<Instant>)>>,
    /// The root that was resolved, so that it is not fetched again.
    pub(super) root: Mutex<Option<(crate::digest::Digest, Bytes)>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: Method,
    url: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: Method, url: Uri) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("{:?} is no value of a header", shown(value)))
        })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

/// Asks a token service, with a password if there is one.
fn asked(
    mut at: Uri,
    service: Option<&str>,
    scopes: &[String],
    credentials: &Credentials,
) -> Result<Request<Full<Bytes>>> {
    if let Some(service) = service {
        at = url::with_query(&at, "service", service)?;
    }
    for scope in scopes {
        at = url::with_query(&at, "scope", scope)?;
    }
    let mut request = Request::new(Full::default());
    *request.uri_mut() = at;
    if let Some(header) = credentials.basic() {
        let mut value = HeaderValue::from_str(header.expose())
            .map_err(|_| Error::new(ErrorKind::Invalid, "the credentials do not fit into a header"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// Asks a token service in the name of who logged in before. What the login left goes into the body, never into a URL, which others
/// write down.
fn identified(
    at: Uri,
    service: Option<&str>,
    scopes: &[String],
    identity: &Secret<String>,
) -> Request<Full<Bytes>> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "mainstay"),
        ("service", service.unwrap_or_default()),
        ("scope", &scopes.join(" ")),
        ("refresh_token", identity.expose()),
    ];
    let form = form.map(|(key, value)| format!("{key}={}", url::escaped(value))).join("&");
    let mut request = Request::new(Full::from(form));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = at;
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form_type);
    request
}

/// A registry's account of what is wrong.
#[derive(Deserialize)]
struct Problems {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Registry {
    pub(crate) fn new(reference: &Reference, access: Access, options: &RegistryOptions) -> Result<Self> {
        let authority: http::uri::Authority = reference
            .host()
            .parse()
            .map_err(|_| Error::new(ErrorKind::Invalid, format!("{reference} names no host")))?;
        let scheme = match options.transport {
            Transport::Auto if url::is_loopback(&authority) => http::uri::Scheme::HTTP,
            Transport::Http => http::uri::Scheme::HTTP,
            Transport::Auto | Transport::Https => http::uri::Scheme::HTTPS,
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.enforce_http(false);
        let proxies = options.proxies.rules()?;
        let connector = Connector { http: connector, rules: proxies.clone() };
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls(&options.trusted)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            proxies,
            origin: Origin { scheme, authority },
            reference: reference.clone(),
            access,
            options: options.clone(),
            authorization: Mutex::new(None),
            root: Mutex::new(None),
        })
    }

    pub(crate) const fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(crate) const fn options(&self) -> &RegistryOptions {
        &self.options
    }

    /// Where blobs may be mounted from.
    pub(crate) fn mount_from(&self) -> Option<&str> {
        match &self.access {
            Access::Push { mount_from } => mount_from.as_deref(),
            Access::Pull => None,
        }
    }

    /// A URL of the repository; `rest` is like `blobs/sha256:…`.
    pub(crate) fn url(&self, rest: &str) -> Result<Uri> {
        self.origin.url(&format!("/v2/{}/{rest}", self.reference.path()))
    }

    /// Sends until there is an answer that would not be another one later.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Response<Incoming>> {
        let mut failures = 0;
        loop {
            let outcome = self.ask_once(ask).await;
            let asked = match &outcome {
                Ok(response) if retry::is_transient(response.status()) => {
                    retry::retry_after(response.headers())
                }
                Err(error) if error.is_transient() => None,
                _ => return outcome,
            };
            failures += 1;
            let Some(wait) = self.options.retry.wait(failures, asked) else {
                return match outcome {
                    Ok(response) => Err(self.problem(response).await),
                    failed => failed,
                };
            };
            tracing::debug!(registry = %self.reference.registry, ?wait, "a request is sent again");
            tokio::time::sleep(jittered(wait)).await;
        }
    }

    /// Sends once, with who we are, and follows redirects of what reads.
    pub(crate) async fn ask_once(&self, ask: &Ask) -> Result<Response<Incoming>> {
        let mut ask = ask.clone();
        let mut redirects = 0;
        let mut challenged = false;
        loop {
            let home = Origin::of(&ask.url)? == self.origin;
            let response = self.send(&ask, home).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && home && !challenged {
                challenged = true;
                self.authorize(&Challenge::of(response.headers())?).await?;
            } else if status.is_redirection() && matches!(ask.method, Method::GET | Method::HEAD) {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    return Err(self.strange("it redirects in circles"));
                }
                ask.url = self.location(&response, &ask.url)?;
            } else {
                return Ok(response);
            }
        }
    }

    /// Where an answer sends us.
    pub(crate) fn location(&self, response: &Response<Incoming>, base: &Uri) -> Result<Uri> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location =
            location.ok_or_else(|| self.strange("it sends us somewhere and does not say where"))?;
        url::follow(base, location, self.options.transport)
    }

    async fn send(&self, ask: &Ask, home: bool) -> Result<Response<Incoming>> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.url.clone();
        *request.headers_mut() = ask.headers.clone();
        let agent = HeaderValue::from_static(concat!("mainstay/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        // Elsewhere nobody learns who we are: storage behind a registry is authorised by the URL itself.
        if let Some(header) = self.authorization().await.filter(|_| home) {
            let mut value = HeaderValue::from_str(header.expose())
                .map_err(|_| Error::new(ErrorKind::Invalid, "the credentials do not fit into a header"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        self.exchange(request).await
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let mut host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        if let Some(proxy) = self.proxies.through(request.uri()) {
            host = format!("{host} (through the proxy {proxy})");
        }
        if let Some(authorization) = self.proxies.authorization(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        // What is sent on a slow line takes its time before there can be an answer.
        let sending = request.body().size_hint().lower() / SLOWEST_UPLOAD;
        let patience = self.options.silence.saturating_add(Duration::from_secs(sending));
        match timeout(patience, self.http.request(request)).await {
            Ok(Ok(response)) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(proxy_refused(&host))
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(&host, error)),
            Err(_) => {
                let text = format!("{} does not answer; try again later", shown(&host));
                Err(Error::new(ErrorKind::Unavailable, text))
            }
        }
    }

    async fn authorization(&self) -> Option<Secret<String>> {
        if let Credentials::Token(token) = &self.options.credentials {
            return Some(Secret::new(format!("Bearer {}", token.expose())));
        }
        let mut held = self.authorization.lock().await;
        if held.as_ref().is_some_and(|(_, end)| end.is_some_and(|end| end <= Instant::now())) {
            *held = None;
        }
        held.as_ref().map(|(header, _)| header.clone())
    }

    /// Meets a challenge.
    async fn authorize(&self, challenge: &Challenge) -> Result<()> {
        let credentials = &self.options.credentials;
        let refused = || auth::refused(&self.reference.registry, &self.reference.repository, credentials);
        let held = match challenge {
            Challenge::Basic => (credentials.basic().ok_or_else(refused)?, None),
            // It was sent, and the registry does not want it.
            Challenge::Bearer { .. } if matches!(credentials, Credentials::Token(_)) => return Err(refused()),
            Challenge::Bearer { realm, service, .. } => {
                let token = self.token(realm, service.as_deref()).await?;
                let end = Instant::now().checked_add(token.lifetime.saturating_sub(TOKEN_MARGIN));
                (token.header, end)
            }
        };
        *self.authorization.lock().await = Some(held);
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<Token> {
        let at = url::follow(&self.origin.url("/")?, realm, self.options.transport)?;
        let path = self.reference.path();
        let scopes = match &self.access {
            Access::Pull => vec![format!("repository:{path}:pull")],
            Access::Push { mount_from } => {
                let other = mount_from.iter().map(|other| format!("repository:{other}:pull"));
                std::iter::once(format!("repository:{path}:pull,push")).chain(other).collect()
            }
        };
        let request = match &self.options.credentials {
            Credentials::Identity(identity) => identified(at, service, &scopes, identity),
            credentials => asked(at, service, &scopes, credentials)?,
        };
        let response = self.exchange(request).await?;
        match response.status() {
            StatusCode::OK => Token::parse(&self.body(response, MAX_ANSWER).await?),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let Reference { registry, repository, .. } = &self.reference;
                Err(auth::refused(registry, repository, &self.options.credentials))
            }
            _ => Err(self.problem(response).await),
        }
    }

    /// A whole body within a limit.
    pub(crate) async fn body(&self, response: Response<Incoming>, limit: usize) -> Result<Bytes> {
        let mut body = response.into_body();
        let mut whole = BytesMut::new();
        while let Some(octets) = self.frame(&mut body).await? {
            if whole.len().saturating_add(octets.len()) > limit {
                return Err(self.strange(&format!("its answer is larger than {limit} octets")));
            }
            whole.extend_from_slice(&octets);
        }
        Ok(whole.freeze())
    }

    /// The next octets of a body; the connection counts as broken after a silence.
    pub(crate) async fn frame(&self, body: &mut Incoming) -> Result<Option<Bytes>> {
        loop {
            let broken = |why: String| {
                let text = format!("the connection to {} broke: {why}", shown(&self.reference.registry));
                Error::new(ErrorKind::Unavailable, text)
            };
            match timeout(self.options.silence, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(octets) = frame.into_data() {
                        return Ok(Some(octets));
                    }
                }
                Ok(Some(Err(error))) => return Err(broken(error.to_string())),
                Err(_) => return Err(broken(format!("silent for {} s", self.options.silence.as_secs()))),
            }
        }
    }

    /// What an answer that is not the wanted one means.
    pub(crate) async fn problem(&self, response: Response<Incoming>) -> Error {
        let status = response.status();
        let Reference { registry, repository, .. } = &self.reference;
        let body = self.body(response, MAX_ANSWER).await.unwrap_or_default();
        let problems = serde_json::from_slice::<Problems>(&body).map(|problems| problems.errors);
        let said = match problems.ok().and_then(|errors| errors.into_iter().next()) {
            Some(Problem { code, message }) => format!("{status}, {}: {}", shown(&code), shown(&message)),
            None => status.to_string(),
        };
        let text = format!("{} answers {said} for {}", shown(registry), shown(repository));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                auth::refused(registry, repository, &self.options.credentials).about(said)
            }
            StatusCode::NOT_FOUND => Error::new(ErrorKind::NotFound, text),
            status if retry::is_transient(status) => Error::new(ErrorKind::Unavailable, text),
            _ => Error::new(ErrorKind::Registry, text),
        }
    }

    /// An answer that the protocol does not know.
    pub(crate) fn strange(&self, why: &str) -> Error {
        let text = format!("{} does not keep to the protocol: {why}", shown(&self.reference.registry));
        Error::new(ErrorKind::Registry, text)
    }
}

/// A quarter more or less, so that those who failed together do not come back together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let dice = u32::try_from(RandomState::new().build_hasher().finish() % 512).unwrap_or_default();
    (wait / 4).saturating_mul(3).saturating_add(wait.saturating_mul(dice) / 1024)
}

fn proxy_refused(host: &str) -> Error {
    let text =
        "the proxy does not let us through: it wants another user or password; write them into its URL";
    Error::new(ErrorKind::Proxy, format!("{} cannot be reached: {text}", shown(host)))
}

fn unreachable(host: &str, error: hyper_util::client::legacy::Error) -> Error {
    // The error itself says only that it failed; the reason is inside.
    let mut reasons = Vec::new();
    let mut inner = std::error::Error::source(&error);
    while let Some(error) = inner {
        reasons.push(error.to_string());
        inner = error.source();
    }
    let reason = if reasons.is_empty() { error.to_string() } else { reasons.join(": ") };
    if reason.contains("proxy authorization required") {
        return proxy_refused(host).with(error);
    }
    // A certificate does not become trusted by trying again.
    let kind = if reason.contains("certificate") { ErrorKind::Registry } else { ErrorKind::Unavailable };
    Error::new(kind, format!("{} cannot be reached: {reason}", shown(host))).with(error)
}

fn tls(trusted: &[u8]) -> Result<rustls::ClientConfig> {
    let failed = |why: String| Error::new(ErrorKind::Invalid, format!("TLS cannot be set up: {why}"));
    let mut roots = rustls::RootCertStore::empty();
    let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut given = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(trusted) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        given += 1;
    }
    if given == 0 && !trusted.is_empty() {
        return Err(failed(
            "what is to be trusted holds no certificate; give a PEM file with one".to_owned(),
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| failed(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
