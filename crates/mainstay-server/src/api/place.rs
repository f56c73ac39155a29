//! The runs of the namespace that a program's query names, in its hands.

use axum::extract::FromRequestParts;
use http::request::Parts;
use mainstay_workflow::Control;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::auth::operator::{Changing, Looking};
use crate::http::extract::Query;
use crate::problem::Problem;

/// A query that may name a namespace.
pub(super) trait Placed: DeserializeOwned + Send {
    fn namespace(&self) -> Option<&str>;
}

/// A query that names nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Place {
    namespace: Option<String>,
}

impl Placed for Place {
    fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

/// A program that looks, and what its query says.
#[derive(Debug)]
pub(crate) struct Reads<Q = Place> {
    pub(super) control: Control,
    pub(super) query: Q,
}

impl<Q: Placed> FromRequestParts<App> for Reads<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Looking(operator) = Looking::from_request_parts(parts, app).await?;
        let Query(query) = Query::<Q>::from_request_parts(parts, app).await?;
        Ok(Self { control: operator.control(query.namespace()).await?, query })
    }
}

/// A program that changes something.
#[derive(Debug)]
pub(crate) struct Changes(pub(super) Control);

impl FromRequestParts<App> for Changes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Changing(operator) = Changing::from_request_parts(parts, app).await?;
        let Query(place) = Query::<Place>::from_request_parts(parts, app).await?;
        operator.control(place.namespace()).await.map(Self)
    }
}
