//! Setup tokens: how the first administrator comes to a session before any connection works.

use mainstay_core::Timestamp;
use mainstay_repo::{Expect, FromRow as _, Row};
use serde_json::json;

use super::change::Change;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::SessionId;
use crate::principal::Principal;
use crate::scope::{Actor, Cause, MAX_NAME_CHARS, Role, Scope, checked_text};
use crate::session::{Session, SessionKind};
use crate::sso::Sso;
use crate::store::sessions::{self, NewSession};
use crate::store::setup_tokens;
use crate::token::{SessionToken, SetupToken};

/// Said of a token that was never issued, or long ago.
const NO_TOKEN: &str = "there is no such setup token";

impl Sso {
    /// Makes a token that opens one administrator's session, once.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] unless the scope is an administrator's over all organizations.
    pub async fn setup_token_issue(&self, scope: &Scope, cause: &Cause) -> Result<SetupToken> {
        scope.require_global(Role::Admin)?;
        let token = SetupToken::generate(&*self.options().random)?;
        let change = Change::new(self, "setup_token.issue", scope, cause)
            .step(setup_tokens::insert(&token.hash(), self.options().lifetimes.setup_token));
        self.apply(change).await?;
        Ok(token)
    }

    /// Whether a token could be used now; looking does not use it up. What is compared is the token's hash, so that the time that
    /// it takes tells nothing of a token that is near.
    ///
    /// # Errors
    /// [`ErrorKind::SetupTokenInvalid`], [`ErrorKind::SetupTokenExpired`], [`ErrorKind::SetupTokenConsumed`].
    pub async fn setup_token_check(&self, token: &SetupToken) -> Result<()> {
        self.why_not(token).await?.map_or(Ok(()), Err)
    }

    /// Uses a token up and begins an administrator's session under a name, in one batch.
    ///
    /// # Errors
    /// [`ErrorKind::SetupTokenInvalid`], [`ErrorKind::SetupTokenExpired`], [`ErrorKind::SetupTokenConsumed`];
    /// [`ErrorKind::Invalid`] when the name is blank.
    pub async fn setup_token_consume(
        &self,
        token: &SetupToken,
        name: &str,
    ) -> Result<(SessionToken, Session)> {
        let name = checked_text("name", name.to_owned(), MAX_NAME_CHARS - 10)?;
        let session_token = SessionToken::generate(&*self.options().random)?;
        let lifetimes = &self.options().lifetimes;
        let session = NewSession {
            token_hash: session_token.hash(),
            id: SessionId::generate(&*self.options().clock),
            kind: SessionKind::Setup,
            principal: Principal::for_setup(&name, self.now()),
            role: Some(Role::Admin),
            connection: None,
            organization: None,
            session_index: None,
            idle: lifetimes.session_idle,
            absolute: lifetimes.session_absolute,
            not_after: Timestamp::MAX,
        };
        let scope = Scope::system(Actor::new(format!("setup:{name}"))?);
        let change = Change::new(self, "setup_token.consume", &scope, &Cause::new("a setup token was used")?)
            .details(&json!({ "session": session.id }))
            .guarded(
                Expect::ONE,
                setup_tokens::consume(&token.hash()),
                ErrorKind::SetupTokenInvalid,
                NO_TOKEN,
            )
            .step(sessions::insert(&session)?);
        match self.apply(change).await {
            Ok(_) => {}
            Err(error) if error.kind() == &ErrorKind::SetupTokenInvalid => {
                return Err(self.why_not(token).await?.unwrap_or(error));
            }
            Err(error) => return Err(error),
        }
        let find = sessions::find(&session.token_hash, lifetimes.session_idle, lifetimes.session_touch);
        let row: Row = self.repo().read_one(find).await?;
        Ok((session_token, Session::from_row(&row)?))
    }

    /// In which way a token cannot be used, if it cannot.
    async fn why_not(&self, token: &SetupToken) -> Result<Option<Error>> {
        let row: Option<Row> = self.repo().read_optional(setup_tokens::state(&token.hash())).await?;
        let Some(row) = row else {
            return Ok(Some(
                Error::new(ErrorKind::SetupTokenInvalid, NO_TOKEN)
                    .with_help("copy the whole link of the last start; an earlier one may have been removed"),
            ));
        };
        if row.get("consumed")? {
            return Ok(Some(
                Error::new(ErrorKind::SetupTokenConsumed, "the setup token was used").with_help(
                    "if it was not you, look at the audit and revoke the session; issue another token",
                ),
            ));
        }
        let expired: bool = row.get("expired")?;
        Ok(expired.then(|| {
            Error::new(ErrorKind::SetupTokenExpired, "the setup token is too old")
                .with_help("issue another one")
        }))
    }
}
