//! The session of a request.

use http::HeaderMap;
use mainstay_sso::{BrowserBinding, Session, SessionToken};

use super::cookie::Cookie;
use crate::app::App;
use crate::problem::Problem;

/// A live session and the secret that opened it.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) token: SessionToken,
    pub(crate) session: Session,
}

/// The session that the request's cookie opens, if it is live.
pub(crate) async fn current(app: &App, headers: &HeaderMap) -> Result<Option<Current>, Problem> {
    let Some(token) = token(app, headers) else { return Ok(None) };
    let session = app.sso().session(&token).await?;
    Ok(session.map(|session| Current { token, session }))
}

/// The secret in the request's session cookie; a cookie of another form is none.
pub(crate) fn token(app: &App, headers: &HeaderMap) -> Option<SessionToken> {
    app.cookies().read(headers, Cookie::Session).and_then(|text| SessionToken::parse(text).ok())
}

/// The secret in the request's login cookie.
pub(crate) fn binding(app: &App, headers: &HeaderMap) -> Option<BrowserBinding> {
    app.cookies().read(headers, Cookie::Login).and_then(|text| BrowserBinding::parse(text).ok())
}
