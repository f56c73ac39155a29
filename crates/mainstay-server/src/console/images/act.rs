//! What the forms are sent to.

use axum::response::{IntoResponse as _, Redirect, Response};
use mainstay_images::{HolderId, Names};
use serde::Deserialize;

use crate::auth::operator::{FormFields, Submitted};
use crate::http::extract::Path;
use crate::problem::{Problem, ProblemKind};

/// The fields of all forms; each form has its own ones of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    form_token: String,
    name: String,
    confirm: String,
    full: Option<String>,
    restart: Option<String>,
}

impl FormFields for Fields {
    fn form_token(&self) -> &str {
        &self.form_token
    }
}

/// Refuses what cannot be undone unless its word was typed.
fn confirmed(form: &Fields, word: &str) -> Result<(), Problem> {
    if form.confirm.trim() == word {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::Malformed, format!("Nothing was done: type {word} to confirm it.")))
}

fn done(path: &str, what: &str) -> Response {
    Redirect::to(&format!("{path}?done={what}")).into_response()
}

/// `POST /images/{image}/{action}`.
pub(super) async fn change(
    Path((text, action)): Path<(String, String)>,
    Submitted(operator, form): Submitted<Fields>,
) -> Result<Response, Problem> {
    let commands = operator.images()?;
    let image = commands.look()?.find(&text).await?;
    let (id, name) = (image.id.into(), form.name.trim());
    match action.as_str() {
        "tag" => drop(commands.tag(&id, name).await?),
        "fork" => drop(commands.fork(&id, name).await?),
        "untag" => drop(commands.untag_from(&id, name).await?),
        "pin" => drop(commands.pin(&id, true).await?),
        "unpin" => drop(commands.pin(&id, false).await?),
        "remove" => {
            confirmed(&form, super::actions::REMOVE)?;
            commands.remove(&id, Names::All).await?;
            return Ok(done("/images", "remove"));
        }
        _ => return Err(Problem::new(ProblemKind::NotFound, "An image has no such action.")),
    }
    Ok(done(&format!("/images/sha256:{}", image.digest), &action))
}

/// `POST /images/leases/{holder}/revoke`.
pub(super) async fn revoke(
    Path(holder): Path<i64>,
    Submitted(operator, form): Submitted<Fields>,
) -> Result<Response, Problem> {
    let commands = operator.images()?;
    confirmed(&form, super::actions::REVOKE)?;
    commands.revoke(HolderId::new(holder)).await?;
    Ok(done("/images/leases", "revoke"))
}

/// `POST /images/collect`.
pub(super) async fn collect(Submitted(operator, form): Submitted<Fields>) -> Result<Response, Problem> {
    let commands = operator.images()?;
    confirmed(&form, super::actions::COLLECT)?;
    operator.app.image_work().collect(commands, form.full.is_some()).await?;
    Ok(done("/images/care", "collect"))
}

/// `POST /images/scrub`.
pub(super) async fn scrub(Submitted(operator, form): Submitted<Fields>) -> Result<Response, Problem> {
    let commands = operator.images()?;
    operator.app.image_work().scrub(commands, form.restart.is_some()).await?;
    Ok(done("/images/scrub", "scrub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_undone_wants_its_word() {
        let typed = |confirm: &str| Fields { confirm: confirm.to_owned(), ..Fields::default() };
        assert!(confirmed(&typed(" collect "), super::super::actions::COLLECT).is_ok());
        for wrong in ["", "yes", "Collect"] {
            let refused = confirmed(&typed(wrong), super::super::actions::COLLECT).unwrap_err();
            assert_eq!(refused.kind(), ProblemKind::Malformed);
        }
    }
}
