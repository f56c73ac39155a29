//! An HTTP service of accounts and transfers with its own tables on `mainstay-repo`.
//!
//! One handle serves every request: it is cheap to clone, writes of concurrent requests are committed together, and
//! whether a SQLite file or a PostgreSQL server is behind it was decided by a URL.

mod store;

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use mainstay_repo::middleware::{Deadline, Observe, Retry};
use mainstay_repo::{Error, ErrorKind, Repo, RepoOptions};

/// Opens the database that the URL names and brings its tables up to date.
///
/// # Errors
/// What is wrong with the URL, the database or its tables, and how to mend it.
pub async fn open(url: &str) -> Result<Repo, Error> {
    let options = RepoOptions::new(url)?
        .with(Observe)
        .with(Deadline::after(Duration::from_secs(5)))
        .with(Retry::default());
    let repo = options.connect().await?.for_component("accounts");
    store::migrate(&repo).await?;
    Ok(repo)
}

/// The service's routes.
pub fn router(repo: Repo) -> Router {
    Router::new()
        .route("/accounts", post(account_create))
        .route("/accounts/{name}", get(account_find))
        .route("/transfers", post(transfer))
        .with_state(repo)
}

async fn account_create(
    State(repo): State<Repo>,
    Json(account): Json<store::Account>,
) -> Result<StatusCode, (StatusCode, String)> {
    store::account_create(&repo, account).await.map(|()| StatusCode::CREATED).map_err(|error| refuse(&error))
}

async fn account_find(
    State(repo): State<Repo>,
    Path(name): Path<String>,
) -> Result<Json<store::Account>, (StatusCode, String)> {
    store::account_find(&repo, &name).await.map(Json).map_err(|error| refuse(&error))
}

async fn transfer(
    State(repo): State<Repo>,
    Json(order): Json<store::Transfer>,
) -> Result<StatusCode, (StatusCode, String)> {
    store::transfer(&repo, order).await.map(|()| StatusCode::NO_CONTENT).map_err(|error| refuse(&error))
}

/// What an error of the database means to a client; the kinds are the same for both databases.
fn refuse(error: &Error) -> (StatusCode, String) {
    match error.kind() {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "there is no such account".to_owned()),
        ErrorKind::Conflict { .. } => (StatusCode::CONFLICT, "the account is there already".to_owned()),
        ErrorKind::ConditionFailed { index: 0 } => {
            (StatusCode::CONFLICT, "the account that pays is not there or has too little".to_owned())
        }
        ErrorKind::ConditionFailed { .. } => {
            (StatusCode::NOT_FOUND, "the account that receives is not there".to_owned())
        }
        ErrorKind::Constraint { .. } | ErrorKind::InvalidInput => {
            (StatusCode::BAD_REQUEST, error.to_string())
        }
        // Neither done nor undone for sure: the client must look before it repeats.
        ErrorKind::Unknown { .. } => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        _ => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
