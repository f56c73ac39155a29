//! The built-in identity provider of `--dev`: two test users, real signatures, a key that survives restarts.
//!
//! It exists only with that flag. A server that is started without it disables the connection that a start with it made, since
//! whoever has the key file could otherwise still sign in.

mod key;
pub(crate) mod pages;

use std::path::Path;
use std::time::Duration;

use mainstay_core::PageSize;
use mainstay_saml::ServiceProvider;
use mainstay_saml::idp::IdentityProvider;
use mainstay_sso::{
    AcsUrl, Cause, Connection, ConnectionFilter, ErrorKind, MetadataInput, MetadataSource, NewConnection,
    OrganizationId, Scope, SessionsOnDisable, Sso, Status,
};

pub use self::key::KeyFileError;

use crate::config::PublicUrl;
use crate::start::StartError;

/// The tenant of the development connection; nobody else may use the name.
pub const ORGANIZATION: &str = "mainstay-development";

/// How often what an earlier start left behind is looked at, when other nodes change it at the same moment.
const ATTEMPTS: u32 = 4;

/// Somebody who can be chosen on the provider's page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) groups: &'static [&'static str],
}

/// The test users.
pub(crate) const USERS: [User; 2] = [
    User { id: "alice", name: "Alice Example", email: "alice@example.test", groups: &["staff", "operators"] },
    User { id: "bob", name: "Bob Sample", email: "bob@example.test", groups: &["staff"] },
];

/// When the session at the provider ends, and that of the service with it (`SessionNotOnOrAfter`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionLength {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// None leaves it to the service.
    pub(crate) lasts: Option<Duration>,
}

/// What can be chosen on the provider's page, the usual one first.
pub(crate) const SESSION_LENGTHS: [SessionLength; 3] = [
    SessionLength { id: "", name: "when this service says", lasts: None },
    SessionLength { id: "minute", name: "in one minute", lasts: Some(Duration::from_secs(60)) },
    SessionLength { id: "hour", name: "in one hour", lasts: Some(Duration::from_secs(60 * 60)) },
];

/// The provider and the one service that it knows.
#[derive(Debug)]
pub(crate) struct Dev {
    pub(crate) idp: IdentityProvider,
    pub(crate) sp: ServiceProvider,
}

impl Dev {
    /// Stores and enables the connection, and disables those of earlier starts whose server is none of `nodes`, the public URLs
    /// and keys of the servers with a provider of their own that share the database.
    pub(crate) async fn start(
        sso: &Sso,
        scope: &Scope,
        url: &PublicUrl,
        idp: IdentityProvider,
        nodes: &[(String, String)],
    ) -> Result<Self, StartError> {
        let cause = Cause::new("the server was started with --dev")?;
        let own = (url.to_string(), idp.certificate.fingerprint().to_string());
        let kept: Vec<&(String, String)> = nodes.iter().chain([&own]).collect();
        disable_but(sso, scope, &cause, &kept).await?;
        let connection = match usable(sso, scope, &own).await? {
            Some(connection) => connection,
            None => create(sso, scope, &cause, &idp, url).await?,
        };
        let connection = match connection.status {
            Status::Enabled => connection,
            _ => sso.connection_enable(scope, &cause, connection.id, connection.lock_version).await?,
        };
        let sp = ServiceProvider::new(connection.sp_entity_id, connection.acs_url);
        Ok(Self { idp, sp })
    }
}

/// Disables what an earlier start with `--dev` left behind.
pub(crate) async fn stop(sso: &Sso, scope: &Scope) -> Result<(), StartError> {
    disable_but(sso, scope, &Cause::new("the server was started without --dev")?, &[]).await
}

/// The provider at a URL, with the key of the data directory; makes the key when there is none.
pub(crate) fn provider(url: &PublicUrl, data: &Path) -> Result<IdentityProvider, KeyFileError> {
    key::provider(data, &url.join("/dev/idp/metadata"), &url.join("/dev/idp/sso"))
}

/// Whether a connection is that of a development provider on another server, to which nobody gets from here.
pub(crate) fn is_elsewhere(connection: &Connection, url: &PublicUrl) -> bool {
    let is_ours = connection.organization.as_ref().is_some_and(|it| it.as_str() == ORGANIZATION);
    is_ours && !connection.acs_url.starts_with(&url.join("/"))
}

async fn ours(sso: &Sso, scope: &Scope) -> Result<Vec<Connection>, StartError> {
    let organization = Some(OrganizationId::new(ORGANIZATION)?);
    let filter = ConnectionFilter { organization, ..ConnectionFilter::default() };
    Ok(sso.connection_list(scope, &filter, PageSize::clamped(PageSize::MAX), None).await?.items)
}

/// The connection of an earlier start, if it is for this URL and trusts exactly this key.
async fn usable(sso: &Sso, scope: &Scope, own: &(String, String)) -> Result<Option<Connection>, StartError> {
    for connection in ours(sso, scope).await? {
        if is_for(sso, scope, &connection, &[own]).await? {
            return Ok(Some(connection));
        }
    }
    Ok(None)
}

/// Whether a connection is for one of these URLs and trusts exactly its key.
async fn is_for(
    sso: &Sso,
    scope: &Scope,
    connection: &Connection,
    nodes: &[&(String, String)],
) -> Result<bool, StartError> {
    let is_at = |url: &str| {
        connection.acs_url == format!("{url}/saml/{}/acs", connection.id)
            && connection.idp_entity_id.as_deref() == Some(&*format!("{url}/dev/idp/metadata"))
    };
    let Some((_, key)) = nodes.iter().find(|(url, _)| is_at(url)) else { return Ok(false) };
    let certificates = sso.certificate_list(scope, connection.id).await?;
    Ok(certificates.len() == 1 && certificates.iter().all(|record| record.fingerprint == *key))
}

/// Nodes that start together all find the same connection enabled: one disables it, the others look again.
async fn disable_but(
    sso: &Sso,
    scope: &Scope,
    cause: &Cause,
    kept: &[&(String, String)],
) -> Result<(), StartError> {
    for _ in 1..ATTEMPTS {
        match try_to_disable_but(sso, scope, cause, kept).await {
            Err(StartError::Sso(error)) if matches!(error.kind(), ErrorKind::Stale { .. }) => {}
            done => return done,
        }
    }
    try_to_disable_but(sso, scope, cause, kept).await
}

async fn try_to_disable_but(
    sso: &Sso,
    scope: &Scope,
    cause: &Cause,
    kept: &[&(String, String)],
) -> Result<(), StartError> {
    for connection in
        ours(sso, scope).await?.into_iter().filter(|connection| connection.status == Status::Enabled)
    {
        if is_for(sso, scope, &connection, kept).await? {
            continue;
        }
        let (id, version) = (connection.id, connection.lock_version);
        sso.connection_disable(scope, cause, id, version, SessionsOnDisable::Revoke).await?;
        tracing::warn!(connection = %id, "a development connection was disabled");
    }
    Ok(())
}

async fn create(
    sso: &Sso,
    scope: &Scope,
    cause: &Cause,
    idp: &IdentityProvider,
    url: &PublicUrl,
) -> Result<Connection, StartError> {
    let new = NewConnection {
        display_name: "Development users".to_owned(),
        organization: Some(OrganizationId::new(ORGANIZATION)?),
        acs_url: AcsUrl::Template(crate::names::acs_template(url)),
        ..NewConnection::default()
    };
    let connection = crate::names::create_connection(sso, scope, cause, new, url).await?;
    let input = MetadataInput {
        xml: idp.metadata().into_bytes(),
        source: MetadataSource::Url(idp.entity_id.clone()),
        entity_id: None,
        signers: Vec::new(),
        accept_drift: false,
    };
    let imported = sso.metadata_import(scope, cause, connection.id, connection.lock_version, input).await?;
    Ok(imported.connection)
}
