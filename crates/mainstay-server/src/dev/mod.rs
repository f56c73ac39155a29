//! The built-in identity provider of `--dev`: two test users, real signatures, a key that survives restarts.
//!
//! It exists only with that flag. A server that is started without it disables the connection that a start with it made, since
//! whoever has the key file could otherwise still sign in.

mod key;
pub(crate) mod pages;

use std::path::Path;

use mainstay_core::PageSize;
use mainstay_saml::ServiceProvider;
use mainstay_saml::idp::IdentityProvider;
use mainstay_sso::{
    AcsUrl, Cause, Connection, ConnectionFilter, ConnectionId, ErrorKind, MetadataInput, MetadataSource,
    NewConnection, OrganizationId, Scope, SessionsOnDisable, Sso, Status,
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

/// The provider and the one service that it knows.
#[derive(Debug)]
pub(crate) struct Dev {
    pub(crate) idp: IdentityProvider,
    pub(crate) sp: ServiceProvider,
}

impl Dev {
    /// Reads or makes the key, and stores and enables the connection.
    pub(crate) async fn start(
        sso: &Sso,
        scope: &Scope,
        url: &PublicUrl,
        data: &Path,
    ) -> Result<Self, StartError> {
        let idp = key::provider(data, &url.join("/dev/idp/metadata"), &url.join("/dev/idp/sso"))?;
        let cause = Cause::new("the server was started with --dev")?;
        let connection = match usable(sso, scope, &idp, url).await? {
            Some(connection) => connection,
            None => {
                disable_all(sso, scope, &cause).await?;
                create(sso, scope, &cause, &idp, url).await?
            }
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
    disable_all(sso, scope, &Cause::new("the server was started without --dev")?).await
}

async fn ours(sso: &Sso, scope: &Scope) -> Result<Vec<Connection>, StartError> {
    let organization = Some(OrganizationId::new(ORGANIZATION)?);
    let filter = ConnectionFilter { organization, ..ConnectionFilter::default() };
    Ok(sso.connection_list(scope, &filter, PageSize::clamped(PageSize::MAX), None).await?.items)
}

/// The connection of an earlier start, if it is for this URL and trusts exactly this key.
async fn usable(
    sso: &Sso,
    scope: &Scope,
    idp: &IdentityProvider,
    url: &PublicUrl,
) -> Result<Option<Connection>, StartError> {
    for connection in ours(sso, scope).await? {
        if connection.idp_entity_id.as_deref() != Some(&idp.entity_id)
            || connection.acs_url != acs_url(url, connection.id)
        {
            continue;
        }
        let certificates = sso.certificate_list(scope, connection.id).await?;
        let fingerprint = idp.certificate.fingerprint().to_string();
        if certificates.len() == 1 && certificates.iter().all(|record| record.fingerprint == fingerprint) {
            return Ok(Some(connection));
        }
    }
    Ok(None)
}

/// Nodes that start together all find the same connection enabled: one disables it, the others look again.
async fn disable_all(sso: &Sso, scope: &Scope, cause: &Cause) -> Result<(), StartError> {
    for _ in 1..ATTEMPTS {
        match try_to_disable_all(sso, scope, cause).await {
            Err(StartError::Sso(error)) if matches!(error.kind(), ErrorKind::Stale { .. }) => {}
            done => return done,
        }
    }
    try_to_disable_all(sso, scope, cause).await
}

async fn try_to_disable_all(sso: &Sso, scope: &Scope, cause: &Cause) -> Result<(), StartError> {
    for connection in
        ours(sso, scope).await?.into_iter().filter(|connection| connection.status == Status::Enabled)
    {
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

fn acs_url(url: &PublicUrl, id: ConnectionId) -> String {
    crate::names::acs_template(url).replace(mainstay_sso::CONNECTION_PLACEHOLDER, &id.to_string())
}
