//! `mainstay workflow queue …`: how many steps run at a time, and how fast they begin.

use std::time::Duration;

use mainstay_server::settings::QueueDocument;
use mainstay_workflow::Control;
use mainstay_workflow::store::{MAX_COUNTED, QueueLimits, Rate};
use serde::Serialize;

use super::args::{QueueOne, QueueSet, Where};
use super::open;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;

#[derive(Serialize)]
struct QueuesBody {
    queues: Vec<QueueDocument>,
}

fn row(queue: &QueueDocument) -> Vec<String> {
    let any = || "any".to_owned();
    vec![
        queue.queue.clone(),
        if queue.paused { "paused" } else { "open" }.to_owned(),
        queue.concurrency.map_or_else(any, |number| number.to_string()),
        queue.rate_text().unwrap_or_else(any),
        if queue.ready > u64::from(MAX_COUNTED) {
            format!("over {MAX_COUNTED}")
        } else {
            queue.ready.to_string()
        },
        queue.leased.to_string(),
    ]
}

pub(super) async fn list(place: &Where, context: &Context) -> Outcome {
    print(&open(place, context).await?, context, "mainstay.workflow.queue.list/1").await
}

pub(super) async fn set(args: &QueueSet, context: &Context) -> Outcome {
    let rate = args.rate.as_deref().map(rate).transpose()?;
    let limits = QueueLimits { concurrency: args.concurrency, rate, paused: args.paused };
    let control = open(&args.one.place, context).await?;
    control.queue_set(&args.one.queue, limits).await?;
    print(&control, context, "mainstay.workflow.queue.set/1").await
}

/// Holds a queue back, or lets it go on. What else holds for it stays.
pub(super) async fn hold(args: &QueueOne, paused: bool, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    control.queue_pause(&args.queue, paused).await?;
    let verb = if paused { "pause" } else { "resume" };
    print(&control, context, &format!("mainstay.workflow.queue.{verb}/1")).await
}

pub(super) async fn remove(args: &QueueOne, context: &Context) -> Outcome {
    let control = open(&args.place, context).await?;
    if !control.queue_remove(&args.queue).await? {
        return Err(Failure::new(Exit::Refused, format!("the queue {:?} has no limits", args.queue))
            .with_help("mainstay workflow queue list shows those that have"));
    }
    print(&control, context, "mainstay.workflow.queue.remove/1").await
}

async fn print(control: &Control, context: &Context, schema: &str) -> Outcome {
    let body = QueuesBody { queues: control.queues().await?.iter().map(QueueDocument::new).collect() };
    context.output.result(schema, &body, || {
        if body.queues.is_empty() {
            return "no queue has limits or tasks".to_owned();
        }
        let rows: Vec<Vec<String>> = body.queues.iter().map(row).collect();
        table(&["QUEUE", "STATE", "AT A TIME", "RATE", "READY", "RUNNING"], &rows)
    });
    Ok(())
}

/// A number in a time: `100/60`.
fn rate(text: &str) -> Outcome<Rate> {
    let parsed = text.split_once('/').and_then(|(count, seconds)| {
        let per = Duration::try_from_secs_f64(seconds.trim().parse().ok()?).ok()?;
        Some(Rate { count: count.trim().parse().ok()?, per })
    });
    parsed.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{text:?} is no rate"))
            .with_help("say how many in how many seconds: 100/60")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        assert_eq!(rate("100/60").unwrap(), Rate { count: 100, per: Duration::from_secs(60) });
        assert_eq!(rate("5/0.5").unwrap(), Rate { count: 5, per: Duration::from_millis(500) });
        for wrong in ["100", "a/60", "100/", "100/-1", "1.5/2"] {
            assert_eq!(rate(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
