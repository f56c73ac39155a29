//! The statements of commits. The first one is the fence: a run's history has one place for what follows its latest record, and whoever
//! comes second finds it taken.
//!
//! PostgreSQL keeps the plan that it made when a table was small, and no way to write a statement prevents that: a batch over a long list
//! has its statements planned for the list ([`Batch::plan_anew`]). `LATERAL (… OFFSET 0)` looks up each row by the key, and
//! `ctid = ANY (ARRAY (…))` goes to the rows that were found; they are held first ([`super::locks`]).

use mainstay_repo::{Batch, Dialect, Sql, Statement, Value};

use super::baton::Handover;
use super::codec::{instant, part_number, status_text};
use super::commit::{Commit, NewTask, Timer};
use super::limits::{MAX_REASON_BYTES, cut};
use super::locks;
use super::rows::{Bulk, Rows};
use super::start::TERM;
use super::terms::{UNINDEXED, terms};
use super::types::{Message, TaskKey};
use crate::error::{Error, Result};
use crate::plan::{Attempt, Part};

const HISTORY: Bulk = Bulk {
    name: "workflow.history",
    // One row of values, and no place where there is no active run: of a SELECT SQLite would keep a journal to undo it alone, which costs
    // more than the row.
    sqlite: "INSERT OR IGNORE INTO wf_history (run_id, seq, records) VALUES ($1, \
        (SELECT $2 FROM wf_runs WHERE namespace_id = $4 AND id = $1 AND ended_at IS NULL), $3)",
    postgres: "INSERT INTO wf_history (run_id, seq, records) SELECT u.run_id, u.seq, u.records \
        FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS u (run_id, seq, records) CROSS JOIN LATERAL \
        (SELECT 1 FROM wf_runs r WHERE r.namespace_id = $4 AND r.id = u.run_id AND r.ended_at IS NULL OFFSET 0) AS l \
        ON CONFLICT DO NOTHING",
};

const SNAPSHOT: Bulk = Bulk {
    name: "workflow.snapshot",
    sqlite: "INSERT INTO wf_snapshots (run_id, seq, state) VALUES ($1, $2, $3) \
        ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, state = excluded.state",
    postgres: "INSERT INTO wf_snapshots (run_id, seq, state) \
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[]) \
        ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, state = excluded.state",
};

const OUTPUT: Bulk = Bulk {
    name: "workflow.output",
    sqlite: "INSERT INTO wf_outputs (run_id, step, kind, item, value) VALUES ($1, $2, $3, $4, $5)",
    postgres: "INSERT INTO wf_outputs (run_id, step, kind, item, value) \
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::bigint[], $5::text[])",
};

pub(super) const TASK_DONE: Bulk = Bulk {
    name: "workflow.task_done",
    sqlite: "DELETE FROM wf_tasks WHERE run_id = $1 AND step = $2 AND part = $3 AND number <= $4",
    postgres: "DELETE FROM wf_tasks WHERE ctid = ANY (ARRAY (SELECT l.ctid \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run_id, step, part, number) CROSS JOIN LATERAL \
        (SELECT t.ctid FROM wf_tasks t WHERE t.run_id = u.run_id AND t.step = u.step AND t.part = u.part \
        AND t.number <= u.number OFFSET 0) AS l))",
};

/// The attempt that the baton stood for has a task of its own now, in the same hands.
const BATON_LEFT: Bulk = Bulk {
    name: "workflow.baton_left",
    sqlite: "UPDATE wf_tasks SET step = $2, part = $3, number = $4 WHERE run_id = $1 AND step = '' AND part = -1",
    postgres: "UPDATE wf_tasks t SET step = l.step, part = l.part, number = l.number FROM (SELECT k.ctid AS at, u.* \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run_id, step, part, number) CROSS JOIN LATERAL \
        (SELECT b.ctid FROM wf_tasks b WHERE b.run_id = u.run_id AND b.step = '' AND b.part = -1 OFFSET 0) AS k) AS l \
        WHERE t.ctid = l.at",
};

/// What nobody holds goes to the front of its queue, where a claim finds it whatever the queue's limits are.
const TASK_REVOKE: Bulk = Bulk {
    name: "workflow.task_revoke",
    sqlite: "UPDATE wf_tasks SET revoked = true, state = CASE WHEN state = 2 THEN 2 ELSE 1 END, \
        priority = CASE WHEN state = 2 THEN priority ELSE -32768 END, rank = CASE WHEN state = 2 THEN rank ELSE -1 END \
        WHERE run_id = $1 AND step = $2 AND part = $3 AND number <= $4",
    postgres: "UPDATE wf_tasks SET revoked = true, state = CASE WHEN state = 2 THEN 2 ELSE 1 END, \
        priority = CASE WHEN state = 2 THEN priority ELSE -32768 END, rank = CASE WHEN state = 2 THEN rank ELSE -1 END \
        WHERE ctid = ANY (ARRAY (SELECT l.ctid \
        FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS u (run_id, step, part, number) CROSS JOIN LATERAL \
        (SELECT t.ctid FROM wf_tasks t WHERE t.run_id = u.run_id AND t.step = u.step AND t.part = u.part \
        AND t.number <= u.number OFFSET 0) AS l))",
};

const TASK_NEW: Bulk = Bulk {
    name: "workflow.task_new",
    sqlite: "INSERT INTO wf_tasks (run_id, step, part, number, definition_id, state, ready_at, queue, priority, rank, \
        node_id, revoked, namespace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
        ON CONFLICT (run_id, step, part) DO UPDATE SET number = excluded.number, state = excluded.state, \
        ready_at = excluded.ready_at, queue = excluded.queue, priority = excluded.priority, rank = excluded.rank, \
        node_id = excluded.node_id, revoked = excluded.revoked, begun = excluded.begun",
    postgres: "INSERT INTO wf_tasks (run_id, step, part, number, definition_id, state, ready_at, queue, priority, rank, \
        node_id, revoked, namespace_id) SELECT u.*, $13 FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], \
        $5::bigint[], $6::smallint[], $7::timestamptz[], $8::text[], $9::smallint[], $10::bigint[], $11::bigint[], \
        $12::boolean[]) AS u \
        ON CONFLICT (run_id, step, part) DO UPDATE SET number = excluded.number, state = excluded.state, \
        ready_at = excluded.ready_at, queue = excluded.queue, priority = excluded.priority, rank = excluded.rank, \
        node_id = excluded.node_id, revoked = excluded.revoked, begun = excluded.begun",
};

/// Each key's tasks stand one step apart, and none stands before those that are served now: keys take turns.
const FAIR_TURN: Sql = Sql::new(
    "INSERT INTO wf_fairness (namespace_id, queue, fairness, last) VALUES ($1, $2, $3, \
        1 + COALESCE((SELECT last FROM wf_fairness WHERE namespace_id = $1 AND queue = $2 AND fairness = ''), 0)) \
     ON CONFLICT (namespace_id, queue, fairness) DO UPDATE SET last = 1 + CASE WHEN wf_fairness.last > excluded.last - 1 \
        THEN wf_fairness.last ELSE excluded.last - 1 END",
);
/// The turn that is served now.
const FAIR_NOW: Sql = Sql::new(
    "INSERT INTO wf_fairness (namespace_id, queue, fairness, last) VALUES ($1, $2, '', 0) ON CONFLICT DO NOTHING",
);
const TASK_FAIR: Sql = Sql::new(
    "INSERT INTO wf_tasks (run_id, step, part, number, definition_id, state, ready_at, queue, priority, revoked, \
        namespace_id, fairness, rank) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
        (SELECT last FROM wf_fairness WHERE namespace_id = $11 AND queue = $8 AND fairness = $12)) \
     ON CONFLICT (run_id, step, part) DO UPDATE SET number = excluded.number, state = excluded.state, \
        ready_at = excluded.ready_at, queue = excluded.queue, priority = excluded.priority, rank = excluded.rank, \
        node_id = NULL, revoked = excluded.revoked, begun = excluded.begun",
);

/// That the run may be a candidate in every search stays: its input may be the reason.
const TERM_REPLACED: Bulk = Bulk {
    name: "workflow.term_replaced",
    sqlite: "DELETE FROM wf_terms WHERE run_id = $1 AND term = $2 AND namespace_id = $3",
    // PostgreSQL's own index does this.
    postgres: "DELETE FROM wf_terms WHERE run_id = $1 AND term = $2 AND namespace_id = $3",
};

/// The attributes stand in the document that runs are searched by.
const ATTRIBUTES: Bulk = Bulk {
    name: "workflow.attributes",
    sqlite: "INSERT INTO wf_contexts (run_id, context) VALUES ($1, json_object('attributes', json($2))) \
        ON CONFLICT (run_id) DO UPDATE SET context = json_set(context, '$.attributes', json($2))",
    postgres: "INSERT INTO wf_contexts (run_id, context) SELECT u.run_id, jsonb_build_object('attributes', u.attributes) \
        FROM unnest($1::bigint[], $2::jsonb[]) AS u (run_id, attributes) \
        ON CONFLICT (run_id) DO UPDATE SET context = jsonb_set(wf_contexts.context, '{attributes}', excluded.context -> 'attributes')",
};

const TIMER_SET: Bulk = Bulk {
    name: "workflow.timer_set",
    sqlite: "INSERT INTO wf_timers (run_id, definition_id, at, namespace_id) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (run_id) DO UPDATE SET at = excluded.at, held_by = NULL, held_from = NULL",
    postgres: "INSERT INTO wf_timers (run_id, definition_id, at, namespace_id) \
        SELECT u.*, $4 FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS u \
        ON CONFLICT (run_id) DO UPDATE SET at = excluded.at, held_by = NULL, held_from = NULL",
};

const TIMER_CLEAR: Bulk = Bulk {
    name: "workflow.timer_clear",
    sqlite: "DELETE FROM wf_timers WHERE run_id = $1",
    postgres: "DELETE FROM wf_timers WHERE run_id = ANY($1::bigint[])",
};

const STATUS: Bulk = Bulk {
    name: "workflow.status",
    sqlite: "UPDATE wf_runs SET status = $2, reason = $3, updated_at = $4, ended_at = $5 \
        WHERE namespace_id = $6 AND id = $1",
    postgres: "UPDATE wf_runs r SET status = u.status, reason = u.reason, updated_at = u.updated_at, \
        ended_at = u.ended_at FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) \
        AS u (id, status, reason, updated_at, ended_at) WHERE r.namespace_id = $6 AND r.id = u.id",
};

pub(super) const MAIL_FORGET: Bulk = Bulk {
    name: "workflow.mail_forget",
    sqlite: "DELETE FROM wf_mail WHERE id = $1 AND sender IS NULL AND namespace_id = $2",
    postgres: "DELETE FROM wf_mail WHERE id = ANY($1::bigint[]) AND sender IS NULL AND namespace_id = $2",
};

pub(super) const MAIL_KEEP: Bulk = Bulk {
    name: "workflow.mail_keep",
    sqlite: "UPDATE wf_mail SET due = NULL, letter = $2, message = '' WHERE id = $1 AND namespace_id = $3",
    postgres: "UPDATE wf_mail m SET due = NULL, letter = u.letter, message = '' \
        FROM unnest($1::bigint[], $2::bigint[]) AS u (id, letter) WHERE m.id = u.id AND m.namespace_id = $3",
};

const MAIL_TAKEN_UNNAMED: Bulk = Bulk {
    name: "workflow.mail_taken",
    sqlite: "DELETE FROM wf_mail WHERE run_id = $1 AND letter = $2 AND sender IS NULL",
    postgres: "DELETE FROM wf_mail m USING unnest($1::bigint[], $2::bigint[]) AS u (run_id, letter) \
        WHERE m.run_id = u.run_id AND m.letter = u.letter AND m.sender IS NULL",
};
const MAIL_TAKEN_NAMED: Bulk = Bulk {
    name: "workflow.mail_taken",
    sqlite: "UPDATE wf_mail SET letter = NULL WHERE run_id = $1 AND letter = $2",
    postgres: "UPDATE wf_mail m SET letter = NULL FROM unnest($1::bigint[], $2::bigint[]) AS u (run_id, letter) \
        WHERE m.run_id = u.run_id AND m.letter = u.letter",
};

const CHILD_ENDED: Bulk = Bulk {
    name: "workflow.child_ended",
    sqlite: "INSERT INTO wf_mail (run_id, definition_id, message, sent_at, due, namespace_id) \
        SELECT id, definition_id, $2, $3, $3, namespace_id FROM wf_runs WHERE namespace_id = $4 AND id = $1 AND ended_at IS NULL",
    postgres: "INSERT INTO wf_mail (run_id, definition_id, message, sent_at, due, namespace_id) \
        SELECT u.run_id, l.definition_id, u.message, u.at, u.at, $4 \
        FROM unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS u (run_id, message, at) CROSS JOIN LATERAL \
        (SELECT r.definition_id FROM wf_runs r WHERE r.namespace_id = $4 AND r.id = u.run_id AND r.ended_at IS NULL OFFSET 0) AS l",
};

const CHILD_CANCEL: Bulk = Bulk {
    name: "workflow.child_cancel",
    sqlite: "INSERT INTO wf_mail (run_id, definition_id, message, sent_at, due, namespace_id) \
        SELECT c.id, c.definition_id, $3, $4, $4, $5 FROM wf_runs c \
        WHERE c.namespace_id = $5 AND c.parent_id = $1 AND c.parent_attempt = $2 AND c.ended_at IS NULL",
    postgres: "INSERT INTO wf_mail (run_id, definition_id, message, sent_at, due, namespace_id) \
        SELECT c.id, c.definition_id, u.message, u.at, u.at, $5 \
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[]) AS u (run_id, attempt, message, at) \
        JOIN wf_runs c ON c.namespace_id = $5 AND c.parent_id = u.run_id AND c.parent_attempt = u.attempt \
        WHERE c.ended_at IS NULL",
};

/// A waiting task's state.
pub(super) const DELAYED: i64 = 0;
/// A task that may be claimed.
pub(super) const READY: i64 = 1;
/// A task in somebody's hands.
pub(super) const LEASED: i64 = 2;

/// The priority and the rank of a task that was taken back while nobody held it. A rank of any other is a time or a turn, so none is below 0.
pub(super) const FRONT: (i16, i64) = (i16::MIN, -1);

/// A value as the JSON text of a column.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal("a value of this crate has no JSON form").with_source(error))
}

/// Adds the statements of commits of different runs to a batch.
pub(super) fn write(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) -> Result<()> {
    let (mut history, mut left, mut done) = (Rows::new(), Rows::new(), Rows::new());
    let (mut revoked, mut outputs, mut snapshots) = (Rows::new(), Rows::new(), Rows::new());
    for commit in commits {
        let run = commit.meta.run.get();
        let base = i64::try_from(commit.base).unwrap_or(i64::MAX);
        history.push([run.into(), base.into(), json(&commit.records)?.into()]);
        let handover = commit.handover();
        left.extend(handover.left().map(|attempt| key(run, attempt)));
        let own = commit.done.iter().filter(|attempt| handover.answered() != Some(attempt));
        done.extend(own.map(|attempt| key(run, attempt)));
        if matches!(handover, Handover::Drop { .. }) {
            done.push(key(run, &TaskKey::baton(commit.meta.run).attempt));
        }
        revoked.extend(commit.revoked.iter().map(|attempt| key(run, attempt)));
        commit.outputs.iter().for_each(|row| outputs.push(row.clone().columns(run)));
        if let Some(state) = commit.state.as_ref().filter(|_| commit.snapshots()) {
            let seq = i64::try_from(state.seq).unwrap_or(i64::MAX);
            snapshots.push([run.into(), seq.into(), json(state)?.into()]);
        }
    }
    history.write(batch, dialect, &HISTORY, &[namespace.into()], true);
    locks::tasks(batch, dialect, touched(commits));
    left.write(batch, dialect, &BATON_LEFT, &[], false);
    done.write(batch, dialect, &TASK_DONE, &[], false);
    revoked.write(batch, dialect, &TASK_REVOKE, &[], false);
    tasks(batch, dialect, namespace, commits);
    outputs.write(batch, dialect, &OUTPUT, &[], false);
    snapshots.write(batch, dialect, &SNAPSHOT, &[], false);
    attributes(batch, dialect, namespace, commits)?;
    timers(batch, dialect, namespace, commits);
    statuses(batch, dialect, namespace, commits);
    mail(batch, dialect, namespace, commits);
    children(batch, dialect, namespace, commits)
}

/// The tasks that commits change and do not make.
fn touched<'a>(commits: &'a [&Commit]) -> impl Iterator<Item = locks::Place<'a>> + 'a {
    commits.iter().flat_map(|commit| {
        let run = commit.meta.run;
        let handover = commit.handover();
        let moves = handover.left().is_some() || matches!(handover, Handover::Drop { .. });
        let baton = moves.then(|| (run.get(), "", part_number(Part::Body)));
        let own = commit.done.iter().filter(move |attempt| handover.answered() != Some(attempt));
        own.chain(&commit.revoked).map(move |attempt| locks::place(run, attempt)).chain(baton)
    })
}

/// The columns that tell a task.
fn key(run: i64, attempt: &Attempt) -> [Value; 4] {
    [run.into(), attempt.step.as_str().into(), part_number(attempt.part).into(), attempt.number.into()]
}

fn tasks(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) {
    let mut rows = Rows::new();
    let mut fair: Vec<(&Commit, &NewTask)> = Vec::new();
    for &commit in commits {
        let lane = &commit.meta.lane;
        let handover = commit.handover();
        for task in commit.tasks.iter().filter(|task| handover.kept() != Some(&task.attempt)) {
            if lane.fairness.is_some() && !task.revoked {
                fair.push((commit, task));
                continue;
            }
            let lease = commit.lease.filter(|_| commit.leases(task));
            let state = if lease.is_some() { LEASED } else { waiting(commit, task) };
            let is_front = task.revoked && lease.is_none();
            let (priority, rank) =
                if is_front { FRONT } else { (lane.priority, task.ready_at.as_unix_micros()) };
            let is_baton = handover.taken() == Some(&task.attempt);
            let baton = is_baton.then(|| TaskKey::baton(commit.meta.run).attempt);
            let [run, step, part, number] =
                key(commit.meta.run.get(), baton.as_ref().unwrap_or(&task.attempt));
            rows.push([
                run,
                step,
                part,
                number,
                commit.meta.definition.0.into(),
                state.into(),
                instant(task.ready_at),
                task.queue.as_ref().into(),
                priority.into(),
                rank.into(),
                lease.map(|node| node.0).into(),
                task.revoked.into(),
            ]);
        }
    }
    rows.write(batch, dialect, &TASK_NEW, &[namespace.into()], false);
    // Two batches never wait for each other's turns.
    fair.sort_by_key(|(commit, task)| (task.queue.clone(), commit.meta.lane.fairness.clone()));
    for (commit, task) in fair {
        let key = commit.meta.lane.fairness.as_deref().unwrap_or_default();
        let queue = task.queue.as_ref();
        batch.push(Statement::new(FAIR_NOW).named("workflow.fair_now").bind(namespace).bind(queue));
        batch.push(
            Statement::new(FAIR_TURN).named("workflow.fair_turn").bind(namespace).bind(queue).bind(key),
        );
        let statement = Statement::new(TASK_FAIR).named("workflow.task_fair").bind(commit.meta.run.get());
        let statement = statement.bind(task.attempt.step.as_str()).bind(part_number(task.attempt.part));
        let statement = statement.bind(task.attempt.number).bind(commit.meta.definition.0);
        let statement = statement.bind(waiting(commit, task)).bind(task.ready_at).bind(queue);
        let statement =
            statement.bind(commit.meta.lane.priority).bind(task.revoked).bind(namespace).bind(key);
        batch.push(statement);
    }
}

/// The state of a task that nobody holds.
fn waiting(commit: &Commit, task: &NewTask) -> i64 {
    if task.ready_at > commit.now && !task.revoked { DELAYED } else { READY }
}

/// What steps added to attributes. What a run began with is written with its context.
fn attributes(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) -> Result<()> {
    let (mut rows, mut index, mut replaced) = (Rows::new(), Rows::new(), Rows::new());
    for commit in commits.iter().filter(|commit| commit.base > 0) {
        let Some(attributes) = &commit.attributes else { continue };
        let run = commit.meta.run.get();
        let document = serde_json::Value::Object(serde_json::Map::clone(attributes));
        if dialect == Dialect::Sqlite {
            let found = attribute_terms(attributes);
            let before = commit.attributes_before.as_deref().map(attribute_terms).unwrap_or_default();
            let gone = before.into_iter().filter(|term| *term != UNINDEXED && !found.contains(term));
            replaced.extend(gone.map(|term| [run.into(), term.into()]));
            found.into_iter().for_each(|term| index.push([run.into(), term.into()]));
        }
        rows.push([run.into(), mainstay_repo::Json::encode(&document)?.into()]);
    }
    rows.write(batch, dialect, &ATTRIBUTES, &[], false);
    replaced.write(batch, dialect, &TERM_REPLACED, &[namespace.into()], false);
    index.write(batch, dialect, &TERM, &[namespace.into()], false);
    Ok(())
}

fn attribute_terms(attributes: &serde_json::Map<String, serde_json::Value>) -> Vec<i64> {
    terms(&serde_json::json!({ "attributes": attributes }))
}

fn timers(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) {
    let (mut set, mut clear) = (Rows::new(), Rows::new());
    for commit in commits {
        let run = commit.meta.run.get();
        match commit.timer {
            Timer::Keep => {}
            Timer::Set(at) => set.push([run.into(), commit.meta.definition.0.into(), instant(at)]),
            Timer::Clear if commit.base == 0 => {}
            Timer::Clear => clear.push([run.into()]),
        }
    }
    set.write(batch, dialect, &TIMER_SET, &[namespace.into()], false);
    clear.write(batch, dialect, &TIMER_CLEAR, &[], false);
}

fn statuses(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) {
    let mut rows = Rows::new();
    for commit in commits {
        let Some(status) = commit.state.as_ref().map(crate::plan::State::status) else { continue };
        // A run that begins is inserted with its status; one that ends at once needs its end.
        if commit.before == Some(status) || (commit.before.is_none() && commit.finish.is_none()) {
            continue;
        }
        let finish = commit.finish.as_ref();
        let reason =
            finish.map(|finish| cut(&finish.reason, MAX_REASON_BYTES)).filter(|text| !text.is_empty());
        rows.push([
            commit.meta.run.get().into(),
            status_text(status).into(),
            reason.into(),
            instant(commit.now),
            finish.map(|_| commit.now).into(),
        ]);
    }
    rows.write(batch, dialect, &STATUS, &[namespace.into()], false);
}

fn mail(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) {
    let (mut keep, mut forget) = (Rows::new(), Rows::new());
    let (mut taken, mut remembered) = (Rows::new(), Rows::new());
    for commit in commits {
        let run = commit.meta.run.get();
        for read in &commit.read {
            // What the run's end leaves untaken is kept by nobody.
            let letter = read.letter.filter(|_| commit.finish.is_none());
            let letter = letter.map(|letter| i64::try_from(letter).unwrap_or(i64::MAX));
            match (letter, read.named) {
                (None, false) => forget.push([read.id.0.into()]),
                (letter, _) => keep.push([read.id.0.into(), letter.into()]),
            }
        }
        for letter in &commit.taken {
            let letter = i64::try_from(*letter).unwrap_or(i64::MAX);
            taken.push([run.into(), letter.into()]);
            remembered.push([run.into(), letter.into()]);
        }
    }
    keep.write(batch, dialect, &MAIL_KEEP, &[namespace.into()], false);
    forget.write(batch, dialect, &MAIL_FORGET, &[namespace.into()], false);
    taken.write(batch, dialect, &MAIL_TAKEN_UNNAMED, &[], false);
    remembered.write(batch, dialect, &MAIL_TAKEN_NAMED, &[], false);
}

fn children(batch: &mut Batch, dialect: Dialect, namespace: i64, commits: &[&Commit]) -> Result<()> {
    let (mut ended, mut cancelled) = (Rows::new(), Rows::new());
    for commit in commits {
        if let (Some(finish), Some(parent)) = (&commit.finish, &commit.meta.parent) {
            let message = Message::ChildEnded {
                attempt: parent.attempt.clone(),
                outcome: finish.outcome,
                output: finish.result.clone(),
            };
            ended.push([parent.run.get().into(), json(&message)?.into(), instant(commit.now)]);
        }
        for attempt in &commit.cancelled {
            let message =
                Message::Cancel { reason: "the run that started it does not want it any more".to_owned() };
            cancelled.push([
                commit.meta.run.get().into(),
                json(attempt)?.into(),
                json(&message)?.into(),
                instant(commit.now),
            ]);
        }
    }
    ended.write(batch, dialect, &CHILD_ENDED, &[namespace.into()], false);
    cancelled.write(batch, dialect, &CHILD_CANCEL, &[namespace.into()], false);
    Ok(())
}

/// Which of these have lost: their place in the history is taken, or their run is over.
pub(super) fn lost(dialect: Dialect, namespace: i64, commits: &[&Commit]) -> Statement {
    const LOST: Sql = Sql::per_dialect(
        "SELECT u.value ->> 0 AS run_id FROM json_each($1) AS u WHERE EXISTS (SELECT 1 FROM wf_history h \
            WHERE h.run_id = u.value ->> 0 AND h.seq = u.value ->> 1) OR NOT EXISTS (SELECT 1 FROM wf_runs r \
            WHERE r.namespace_id = $2 AND r.id = u.value ->> 0 AND r.ended_at IS NULL)",
        "SELECT u.run_id FROM unnest($1::bigint[], $3::bigint[]) AS u (run_id, seq) WHERE EXISTS (SELECT 1 FROM wf_history h \
            WHERE h.run_id = u.run_id AND h.seq = u.seq) OR NOT EXISTS (SELECT 1 FROM wf_runs r \
            WHERE r.namespace_id = $2 AND r.id = u.run_id AND r.ended_at IS NULL)",
    );
    let base = |commit: &&Commit| i64::try_from(commit.base).unwrap_or(i64::MAX);
    let statement = Statement::new(LOST).named("workflow.lost");
    if dialect == Dialect::Sqlite {
        let rows: Vec<[i64; 2]> =
            commits.iter().map(|commit| [commit.meta.run.get(), base(commit)]).collect();
        return statement.bind(serde_json::json!(rows).to_string()).bind(namespace);
    }
    let runs: Vec<i64> = commits.iter().map(|commit| commit.meta.run.get()).collect();
    statement.bind(runs).bind(namespace).bind(commits.iter().map(base).collect::<Vec<i64>>())
}
