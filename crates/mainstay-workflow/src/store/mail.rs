//! Letters to runs. A letter is written without knowing the run's state, so it can be part of somebody else's transaction; it waits until a
//! commit of the run has read it.

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Row, Sql, Statement, Transaction};

use super::limits::{
    MAX_COMMANDS, MAX_MAILBOX, MAX_NAME_BYTES, MAX_REASON_BYTES, MAX_SIGNAL_BYTES, check_name, cut, encode,
};
use super::types::{Letter, Message, Sent};
use super::wake::ids;
use super::{MAX_GROUP, Store, write};
use crate::error::Result;
use crate::id::{DefinitionId, NodeId};

/// Of the letters that count there may be fewer than so many. What the sender's node takes up itself is held by it.
macro_rules! send {
    ($is_own:literal, $instant:literal, signal) => {
        send!($is_own, $instant, "(m.due IS NOT NULL OR m.letter IS NOT NULL)")
    };
    // A message begins with the word for what it is.
    ($is_own:literal, $instant:literal, command) => {
        send!(
            $is_own,
            $instant,
            "m.due IS NOT NULL AND (m.message LIKE '{\"is\":\"cancel\"%' OR m.message LIKE '{\"is\":\"pause\"%' \
             OR m.message LIKE '{\"is\":\"resume\"%')"
        )
    };
    ($is_own:literal, $instant:literal, $counts:literal) => {
        concat!(
            "INSERT INTO wf_mail (namespace_id, run_id, definition_id, sender, message, sent_at, due, held_by, held_from) \
             SELECT r.namespace_id, r.id, r.definition_id, $3, $4, $5, CASE WHEN r.is_own THEN $9",
            $instant,
            " ELSE $6 END, CASE WHEN r.is_own THEN CAST($10 AS bigint) END, CASE WHEN r.is_own THEN $6",
            $instant,
            " END FROM (SELECT namespace_id, id, definition_id, definition_id ",
            $is_own,
            " AS is_own FROM wf_runs WHERE namespace_id = $1 AND id = $2 AND ended_at IS NULL \
             AND definition_id IS NOT NULL) AS r \
             WHERE (SELECT count(*) FROM wf_mail m WHERE m.run_id = $2 AND ",
            $counts,
            ") < $7 ON CONFLICT DO NOTHING"
        )
    };
}

const SIGNAL: Sql = Sql::per_dialect(
    send!("IN (SELECT value FROM json_each($8))", "", signal),
    send!("= ANY ($8::bigint[])", "::timestamptz", signal),
);
const COMMAND: Sql = Sql::per_dialect(
    send!("IN (SELECT value FROM json_each($8))", "", command),
    send!("= ANY ($8::bigint[])", "::timestamptz", command),
);
const WHY_NOT: Sql = Sql::new(
    "SELECT ended_at IS NOT NULL AS ended, definition_id IS NULL AS is_foreign, EXISTS (SELECT 1 FROM wf_mail m WHERE m.run_id = $2 AND m.sender = $3) AS known \
     FROM wf_runs WHERE namespace_id = $1 AND id = $2",
);

/// The sender's node takes letters to runs of these definitions up itself; others leave them alone until then.
#[derive(Clone, Copy)]
pub(crate) struct OwnTurn<'a> {
    pub(crate) node: NodeId,
    pub(crate) definitions: &'a [DefinitionId],
    pub(crate) until: Timestamp,
}

impl Store {
    /// Puts letters into runs' mail. Each has its own answer.
    ///
    /// # Errors
    /// A payload or a sender's identifier is too large: none was sent. [`Database`](crate::ErrorKind::Database); after `Unknown` send them
    /// again if they carry an identifier.
    pub async fn send(&self, letters: Vec<Letter>) -> Result<Vec<Sent>> {
        let statements = letters.iter().map(|letter| self.statement(letter)).collect::<Result<Vec<_>>>()?;
        let mut sent = Vec::with_capacity(letters.len());
        let mut statements = statements.into_iter();
        for group in letters.chunks(MAX_GROUP) {
            let mut batch = Batch::new("workflow.send");
            for statement in statements.by_ref().take(group.len()) {
                batch.push(statement);
            }
            let outcome = self.repo.batch(batch).await?;
            for (letter, written) in group.iter().zip(outcome.written()) {
                if written.rows_affected() == 1 {
                    sent.push(Sent::Accepted);
                } else {
                    sent.push(self.why_not_sent(letter).await?);
                }
            }
        }
        Ok(sent)
    }

    /// Puts a letter into a run's mail, and leaves it to the sender's own node first, if there is one that can take it up.
    ///
    /// # Errors
    /// As [`Store::send`].
    pub(crate) async fn send_from(&self, letter: &Letter, own: Option<OwnTurn<'_>>) -> Result<Sent> {
        let statement = self.statement_from(letter, own)?;
        if self.repo.write(statement).await?.rows_affected() == 1 {
            return Ok(Sent::Accepted);
        }
        self.why_not_sent(letter).await
    }

    /// Why a letter was not taken.
    pub(super) async fn why_not_sent(&self, letter: &Letter) -> Result<Sent> {
        let row: Option<Row> = self.repo.read_optional(self.why_not(letter)).await?;
        reason(letter, row.as_ref())
    }

    /// Puts a letter into a run's mail inside a transaction of the host: it is sent if and only if the host's own writes are there.
    ///
    /// # Errors
    /// As [`Store::send`].
    pub async fn send_in(&self, transaction: &mut Transaction, letter: &Letter) -> Result<Sent> {
        if transaction.write(self.statement(letter)?).await?.rows_affected() == 1 {
            return Ok(Sent::Accepted);
        }
        let row: Option<Row> = transaction.read_optional(self.why_not(letter)).await?;
        reason(letter, row.as_ref())
    }

    pub(super) fn statement(&self, letter: &Letter) -> Result<Statement> {
        self.statement_from(letter, None)
    }

    fn statement_from(&self, letter: &Letter, own: Option<OwnTurn<'_>>) -> Result<Statement> {
        if let Some(sender) = &letter.sender {
            check_name("identifier of a signal", sender, MAX_NAME_BYTES)?;
        }
        if let Message::Signal { signal, payload } | Message::Scheduled { signal, payload, .. } =
            &letter.message
        {
            check_name("name of a signal", signal.as_str(), MAX_NAME_BYTES)?;
            encode("payload of a signal", payload, MAX_SIGNAL_BYTES)?;
        }
        let (sql, most) = match &letter.message {
            Message::Signal { .. } | Message::Scheduled { .. } => (SIGNAL, i64::from(MAX_MAILBOX)),
            Message::Cancel { .. } | Message::Pause | Message::Resume => (COMMAND, i64::from(MAX_COMMANDS)),
            Message::ChildEnded { .. } => (SIGNAL, i64::MAX),
        };
        let message = match &letter.message {
            // It goes into the history as it is.
            Message::Cancel { reason } => {
                write::json(&Message::Cancel { reason: cut(reason, MAX_REASON_BYTES).to_owned() })?
            }
            message => write::json(message)?,
        };
        let statement =
            Statement::new(sql).named("workflow.send").bind(self.namespace).bind(letter.run.get());
        let statement = statement.bind(letter.sender.clone()).bind(message);
        let statement = statement.bind(letter.now).bind(letter.due).bind(most);
        let definitions = own.map_or(Vec::new(), |own| ids(own.definitions));
        let statement = statement.bind(definitions).bind(own.map_or(letter.due, |own| own.until));
        Ok(statement.bind(own.map(|own| own.node.0)))
    }

    fn why_not(&self, letter: &Letter) -> Statement {
        let statement = Statement::new(WHY_NOT).named("workflow.why_not").bind(self.namespace);
        statement.bind(letter.run.get()).bind(letter.sender.clone())
    }
}

/// Why a letter was not taken. A repetition is a repetition even after the run's end.
fn reason(letter: &Letter, row: Option<&Row>) -> Result<Sent> {
    let Some(row) = row else { return Ok(Sent::NotFound) };
    Ok(match (row.get("known")?, row.get("ended")?) {
        (true, _) => Sent::Duplicate,
        (_, true) => Sent::Ended,
        _ if row.get("is_foreign")? => Sent::Foreign,
        _ if letter.message.is_command() => Sent::TooManyCommands,
        _ => Sent::Full,
    })
}
