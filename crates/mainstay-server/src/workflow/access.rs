//! Who asks: a session's role over all organizations, as the caller that workflows and images check and write down.
//!
//! Runs and images belong to no organization, so somebody who is confined to one is no caller. What a caller may do is decided by
//! `mainstay-workflow` and `mainstay-images`, not here.

use http::HeaderMap;
use mainstay_core::{Caller, Role};
use mainstay_sso::SessionToken;
use mainstay_workflow::Control;

use crate::app::App;
use crate::auth::{csrf, session};
use crate::problem::{Problem, ProblemKind};

/// The namespace of hosts that name none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// The header in which a program gives the session's form token.
pub(crate) const FORM_TOKEN_HEADER: &str = "x-mainstay-form-token";

/// Somebody who may do what they ask for.
#[derive(Debug)]
pub(crate) struct Operator {
    token: SessionToken,
    /// Their name and what they may do, for the crates that own what they ask for.
    pub(crate) caller: Caller,
}

impl Operator {
    /// Whoever the request's session belongs to; none when nobody is signed in.
    ///
    /// # Errors
    /// [`ProblemKind::Forbidden`] when they do not have the role over all organizations.
    pub(crate) async fn of(app: &App, headers: &HeaderMap, role: Role) -> Result<Option<Self>, Problem> {
        let Some(current) = session::current(app, headers).await? else { return Ok(None) };
        let scope = current.session.scope();
        let Some(scope) = scope.filter(|scope| scope.organization.is_none() && scope.role >= role) else {
            let detail = format!(
                "Workflows and images are for administrators of all organizations with the role {role}. An operator grants it: \
                 mainstay sso administrator grant --global --role {role}."
            );
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        };
        Ok(Some(Self { token: current.token, caller: Caller::new(scope.actor, scope.role) }))
    }

    /// The same for a program: nobody is a problem.
    pub(crate) async fn of_program(app: &App, headers: &HeaderMap, role: Role) -> Result<Self, Problem> {
        Self::of(app, headers, role)
            .await?
            .ok_or_else(|| Problem::new(ProblemKind::NotSignedIn, "Sign in with a browser at /login."))
    }

    /// The token for this session's forms.
    pub(crate) fn form_token(&self) -> String {
        csrf::token(&self.token)
    }

    /// Refuses a form that was not made for this session.
    pub(crate) fn check_form(&self, given: &str) -> Result<(), Problem> {
        csrf::check(&self.token, given)
    }

    /// Refuses a program's change that does not carry the session's form token: a page of another site cannot know it.
    pub(crate) fn check_header(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(FORM_TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let Some(given) = given else {
            let detail = format!("A change needs the header {FORM_TOKEN_HEADER}; /api/v1/me says its value.");
            return Err(Problem::new(ProblemKind::StaleForm, detail));
        };
        self.check_form(given)
    }

    /// Whether a page shows what takes this role. It is decided again where it is done.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.caller.require(role).is_ok()
    }

    /// The runs of a namespace, as far as this caller may.
    pub(crate) async fn control(&self, app: &App, namespace: Option<&str>) -> Result<Control, Problem> {
        Ok(Control::open(app.repo(), named(namespace)).await?.acting(self.caller.clone()))
    }
}

/// A namespace as it was asked for; that of hosts that name none when nothing was said.
pub(crate) fn named(namespace: Option<&str>) -> &str {
    namespace.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}
