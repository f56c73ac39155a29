//! What programs see of what moves runs: queues, schedules, nodes, what is held back, and who did what.

use axum::Json;
use mainstay_core::{Cursor, PageSize};
use serde::{Deserialize, Serialize};

use super::place::{Placed, Reads};
use super::runs::run_id;
use crate::problem::Problem;
use crate::workflow::settings::{
    ActPage, NodeDocument, PauseDocument, QueueDocument, ScheduleDocument, nodes as node_documents,
};

#[derive(Debug, Serialize)]
pub(crate) struct Queues {
    queues: Vec<QueueDocument>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Schedules {
    schedules: Vec<ScheduleDocument>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Nodes {
    nodes: Vec<NodeDocument>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Pauses {
    pauses: Vec<PauseDocument>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Acted {
    namespace: Option<String>,
    run: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

impl Placed for Acted {
    fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

pub(crate) async fn queues(Reads { control, .. }: Reads) -> Result<Json<Queues>, Problem> {
    Ok(Json(Queues { queues: control.queues().await?.iter().map(QueueDocument::new).collect() }))
}

pub(crate) async fn schedules(Reads { control, .. }: Reads) -> Result<Json<Schedules>, Problem> {
    let schedules = control.schedules().await?.iter().map(ScheduleDocument::new).collect();
    Ok(Json(Schedules { schedules }))
}

pub(crate) async fn nodes(Reads { control, .. }: Reads) -> Result<Json<Nodes>, Problem> {
    Ok(Json(Nodes { nodes: node_documents(&control).await? }))
}

pub(crate) async fn pauses(Reads { control, .. }: Reads) -> Result<Json<Pauses>, Problem> {
    Ok(Json(Pauses { pauses: control.pauses().await?.iter().map(PauseDocument::new).collect() }))
}

pub(crate) async fn acts(Reads { control, query }: Reads<Acted>) -> Result<Json<ActPage>, Problem> {
    let run = query.run.as_deref().map(run_id).transpose()?;
    let size = query.limit.map_or_else(PageSize::default, PageSize::clamped);
    let after = query.after.map(Cursor::new);
    Ok(Json(ActPage::new(&control.acts(run, size, after.as_ref()).await?)))
}
