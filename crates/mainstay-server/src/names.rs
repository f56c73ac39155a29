//! The service provider's names, which the public URL decides: one entity id and one consumer URL for each connection.
//!
//! An entity id of its own keeps connections apart even where two of them share an identity provider: an assertion for one is
//! not meant for the other.

use mainstay_sso::{
    AcsUrl, CONNECTION_PLACEHOLDER, Cause, Connection, ConnectionUpdate, NewConnection, Scope, Sso,
};

use crate::config::PublicUrl;

/// Where identity providers post responses, with the placeholder for the connection's id.
#[must_use]
pub fn acs_template(url: &PublicUrl) -> String {
    url.join(&format!("/saml/{CONNECTION_PLACEHOLDER}/acs"))
}

/// Where a connection's service provider metadata is; its entity id as well.
#[must_use]
pub fn metadata_url(url: &PublicUrl, connection: mainstay_sso::ConnectionId) -> String {
    url.join(&format!("/saml/{connection}/metadata"))
}

/// Stores a draft with the names that follow from the public URL.
///
/// # Errors
/// As `Sso::connection_create`.
pub async fn create_connection(
    sso: &Sso,
    scope: &Scope,
    cause: &Cause,
    new: NewConnection,
    url: &PublicUrl,
) -> mainstay_sso::Result<Connection> {
    let new = NewConnection { acs_url: AcsUrl::Template(acs_template(url)), ..new };
    let draft = sso.connection_create(scope, cause, new).await?;
    // The entity id holds the connection's id, which only now exists.
    let sp_entity_id = Some(metadata_url(url, draft.id));
    let update = ConnectionUpdate { sp_entity_id, ..ConnectionUpdate::default() };
    sso.connection_update(scope, cause, draft.id, draft.lock_version, update).await
}
