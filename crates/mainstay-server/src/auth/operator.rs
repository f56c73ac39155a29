//! Who asks. A handler about runs or images takes one of these as an argument, and is not called without:
//!
//! | argument | who | nobody signed in | what is checked besides |
//! |---|---|---|---|
//! | [`Visitor`] | a person who opens a page | sent to sign in | |
//! | [`Looking`] | a program, or a page's script | 401 | |
//! | [`Changing`] | a program that changes something | 401 | the form token in a header |
//! | [`Submitted`] | a form of a page | 401 | the form token in the form |
//!
//! Runs and images belong to no organization, so somebody who is confined to one is refused. What a caller may do with them is decided by
//! `mainstay-workflow` and `mainstay-images`, not here.

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use http::request::Parts;
use mainstay_core::{Caller, Role};
use mainstay_images::Commands;
use mainstay_sso::SessionToken;
use mainstay_workflow::Control;
use serde::de::DeserializeOwned;

use super::{csrf, session};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::workflow::named;

/// The header in which a program gives the session's form token.
pub(crate) const FORM_TOKEN_HEADER: &str = "x-mainstay-form-token";

/// Somebody who may look, at least.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) app: App,
    token: SessionToken,
    caller: Caller,
}

impl Operator {
    /// Whoever the request's session belongs to; none when nobody is signed in.
    ///
    /// # Errors
    /// [`ProblemKind::Forbidden`] when they administrate nothing, or one organization only.
    async fn of(app: &App, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(current) = session::current(app, headers).await? else { return Ok(None) };
        let Some(scope) = current.session.scope().filter(|scope| scope.organization.is_none()) else {
            let detail = format!(
                "Workflows and images are for administrators of all organizations with the role {role}. An operator grants it: \
                 mainstay sso administrator grant --global --role {role}.",
                role = Role::Read
            );
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        };
        let caller = Caller::new(scope.actor, scope.role);
        Ok(Some(Self { app: app.clone(), token: current.token, caller }))
    }

    /// The same where nobody is a problem.
    async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        Self::of(app, headers)
            .await?
            .ok_or_else(|| Problem::new(ProblemKind::NotSignedIn, "Sign in with a browser at /login."))
    }

    /// The token for this session's forms.
    pub(crate) fn form_token(&self) -> String {
        csrf::token(&self.token)
    }

    /// Whether a page shows what takes this role. It is decided again where it is done.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.caller.require(role).is_ok()
    }

    /// The runs of a namespace, as far as this caller may.
    pub(crate) async fn control(&self, namespace: Option<&str>) -> Result<Control, Problem> {
        Ok(Control::open(self.app.repo(), named(namespace)).await?.acting(self.caller.clone()))
    }

    /// The images, as far as this caller may.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`] when this server keeps none.
    pub(crate) fn images(&self) -> Result<Commands, Problem> {
        Ok(self.app.images().opened()?.acting(self.caller.clone()))
    }

    /// Refuses a change that does not carry the session's form token: a page of another site cannot know it.
    fn check_header(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(FORM_TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let Some(given) = given else {
            let detail = format!("A change needs the header {FORM_TOKEN_HEADER}; /api/v1/me says its value.");
            return Err(Problem::new(ProblemKind::StaleForm, detail));
        };
        csrf::check(&self.token, given)
    }
}

/// Why no page is shown.
#[derive(Debug)]
pub(crate) enum Turned {
    /// Somebody has to sign in first.
    ToSignIn,
    /// They may not, or it cannot be found out.
    Away(Problem),
}

impl From<Problem> for Turned {
    fn from(problem: Problem) -> Self {
        Self::Away(problem)
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Self::ToSignIn => Redirect::to("/login").into_response(),
            Self::Away(problem) => problem.into_response(),
        }
    }
}

/// A person who opens a page.
#[derive(Debug)]
pub(crate) struct Visitor(pub(crate) Operator);

impl FromRequestParts<App> for Visitor {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Turned> {
        Operator::of(app, &parts.headers).await?.map(Self).ok_or(Turned::ToSignIn)
    }
}

/// A program that looks.
#[derive(Debug)]
pub(crate) struct Looking(pub(crate) Operator);

impl FromRequestParts<App> for Looking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Operator::signed_in(app, &parts.headers).await.map(Self)
    }
}

/// A program that changes something.
#[derive(Debug)]
pub(crate) struct Changing(pub(crate) Operator);

impl FromRequestParts<App> for Changing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let operator = Operator::signed_in(app, &parts.headers).await?;
        operator.check_header(&parts.headers)?;
        Ok(Self(operator))
    }
}

/// The fields of a form that only a page of the session can have sent.
pub(crate) trait FormFields: DeserializeOwned + Send {
    /// The token that the page put in.
    fn form_token(&self) -> &str;
}

/// A form of a page, and who sent it.
#[derive(Debug)]
pub(crate) struct Submitted<F>(pub(crate) Operator, pub(crate) F);

impl<F: FormFields> FromRequest<App> for Submitted<F> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let operator = Operator::signed_in(app, request.headers()).await?;
        let Form(fields): Form<F> = Form::from_request(request, app)
            .await
            .map_err(|_| Problem::new(ProblemKind::StaleForm, "Open the page again and repeat."))?;
        csrf::check(&operator.token, fields.form_token())?;
        Ok(Self(operator, fields))
    }
}
