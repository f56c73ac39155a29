//! Who may look at runs and who may move them.
//!
//! Runs belong to no organization: whoever administrates all of them may look, and with the role `write` move runs. Somebody who
//! is confined to one organization sees none.

use http::HeaderMap;
use mainstay_sso::{Role, SessionToken};
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
    /// Their name, for the history and the log.
    pub(crate) name: String,
    /// Whether they may also move runs.
    pub(crate) writes: bool,
}

impl Operator {
    /// Whoever the request's session belongs to; none when nobody is signed in.
    ///
    /// # Errors
    /// [`ProblemKind::Forbidden`] when they do not have the role over all organizations.
    pub(crate) async fn of(app: &App, headers: &HeaderMap, role: Role) -> Result<Option<Self>, Problem> {
        let Some(current) = session::current(app, headers).await? else { return Ok(None) };
        let scope = current.session.scope();
        let granted = scope.as_ref().filter(|scope| scope.organization.is_none()).map(|scope| scope.role);
        let Some((scope, granted)) = scope.as_ref().zip(granted).filter(|(_, granted)| *granted >= role)
        else {
            let detail = format!(
                "Workflows and images are for administrators of all organizations with the role {role}. An operator grants it: \
                 mainstay sso administrator grant --global --role {role}."
            );
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        };
        let name = scope.actor.to_string();
        Ok(Some(Self { token: current.token, name, writes: granted >= Role::Write }))
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

    /// A reason with its author, for the history.
    pub(crate) fn signed(&self, reason: &str) -> String {
        let reason = reason.trim();
        if reason.is_empty() { format!("by {}", self.name) } else { format!("{reason} (by {})", self.name) }
    }
}

/// The runs of a namespace.
pub(crate) async fn control(app: &App, namespace: Option<&str>) -> Result<Control, Problem> {
    let name = namespace.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
    Ok(Control::open(app.repo(), name).await?)
}
