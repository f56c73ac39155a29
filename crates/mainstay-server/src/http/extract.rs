//! axum's extractors whose refusals are problems of ours: a page for people, a document for programs.

use axum::extract::{self, FromRequestParts};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, ProblemKind};

/// A part of the path, or several.
#[derive(Debug)]
pub(crate) struct Path<T = String>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extract::Path(part) =
            extract::Path::from_request_parts(parts, state).await.map_err(|refused| {
                let detail =
                    format!("There is nothing at this path. {}.", refused.body_text().trim_end_matches('.'));
                Problem::new(ProblemKind::NotFound, detail)
            })?;
        Ok(Self(part))
    }
}

/// The query.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extract::Query(query) =
            extract::Query::from_request_parts(parts, state).await.map_err(|refused| {
                // It names parameters and what they should be, and a value that is none of those that there are.
                let why = refused.body_text();
                let why = why
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&why)
                    .trim_end_matches('.');
                Problem::new(ProblemKind::Malformed, format!("The query is not as it should be: {why}."))
            })?;
        Ok(Self(query))
    }
}

/// A name and a value of a query, for queries whose names are not known beforehand.
pub(crate) type Pair = (String, String);
