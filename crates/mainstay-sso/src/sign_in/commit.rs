//! The one batch of a login: the assertion and the intent are used up, the connection is still what the answer was judged
//! with, the trace is written and the session begins. All of it or nothing.

use std::sync::Arc;

use mainstay_core::Timestamp;
use mainstay_repo::{Batch, Expect, Statement};
use mainstay_saml::{Login, Trace};

use super::SignedIn;
use super::finish::Awaited;
use super::plan::intent_refusal;
use super::record::{Attempt, Failure};
use super::snapshot::Snapshot;
use crate::ids::SessionId;
use crate::options::{IntentStore, ReplayStore};
use crate::principal::Principal;
use crate::refusal::SignInRefusal;
use crate::session::SessionKind;
use crate::sso::Sso;
use crate::store::intents::StoredIntent;
use crate::store::sessions::NewSession;
use crate::store::{connections, intents, replay, sessions, traces};
use crate::token::SessionToken;
use crate::trace::{LoginOutcome, LoginTrace, shown};

/// How often the batch is sent before its outcome is reported as unknown.
const MAX_TRIES: usize = 2;

/// A login that is ready to be committed. After [`SignInError::Unknown`](crate::SignInError::Unknown) it is how to ask again:
/// it can be committed once, however often it is sent.
#[derive(Debug)]
pub struct PendingLogin {
    pub(super) attempt: Attempt,
    signed_in: Box<SignedIn>,
    batch: Batch,
    places: Places,
    replay_key: String,
    replay_until: Timestamp,
    intent: Option<(String, StoredIntent)>,
    browser_hash: Option<Vec<u8>>,
    checks: Trace,
    /// Whether an earlier sending may have been committed.
    in_doubt: bool,
}

/// Where the conditions stand in the batch.
#[derive(Debug, Default)]
struct Places {
    replay: Option<usize>,
    intent: Option<usize>,
    connection: Option<usize>,
}

/// What came of a batch.
#[derive(Debug)]
pub(super) enum Commit {
    /// It is durable.
    Done(Box<SignedIn>),
    /// The connection is not what the answer was judged with.
    Changed(Trace),
}

impl Sso {
    /// Puts the batch of a login together.
    pub(super) fn pending(
        &self,
        attempt: &Attempt,
        snapshot: &Arc<Snapshot>,
        awaited: &Awaited,
        login: Login,
    ) -> Result<PendingLogin, Failure> {
        let token = SessionToken::generate(&*self.options().random)?;
        let session = self.new_session(&token, snapshot, &login);
        let mut batch = Batch::new("sso.sign_in");
        let mut places = Places::default();
        if let ReplayStore::Table(table) = &self.options().replay_keys {
            let statement = replay::insert(table, &login.replay_key, attempt.trace_id, login.replay_until);
            places.replay = Some(batch.expect(Expect::ONE, statement).index());
        }
        if let (IntentStore::Table(table), Some((handle, intent))) =
            (&self.options().intents, &awaited.intent)
        {
            let browser_hash = awaited.browser_hash.as_deref().unwrap_or_default();
            let statement = intents::consume(table, handle, intent, browser_hash);
            places.intent = Some(batch.expect(Expect::ONE, statement).index());
        }
        let unchanged = connections::unchanged(snapshot.id, snapshot.version);
        places.connection = Some(batch.expect(Expect::ONE, unchanged).index());
        batch.push(success_trace(attempt, snapshot, &login)?);
        batch.push(sessions::insert(&session)?);
        let signed_in = SignedIn {
            principal: session.principal,
            token,
            session_id: session.id,
            return_path: awaited.return_path.clone(),
            connection: snapshot.id,
            trace_id: attempt.trace_id,
            flow: attempt.flow,
            warnings: login.warnings,
        };
        Ok(PendingLogin {
            attempt: attempt.clone(),
            signed_in: Box::new(signed_in),
            batch,
            places,
            replay_key: login.replay_key,
            replay_until: login.replay_until,
            intent: awaited.intent.clone(),
            browser_hash: awaited.browser_hash.clone(),
            checks: login.trace,
            in_doubt: false,
        })
    }

    fn new_session(&self, token: &SessionToken, snapshot: &Snapshot, login: &Login) -> NewSession {
        let lifetimes = &self.options().lifetimes;
        NewSession {
            token_hash: token.hash(),
            id: SessionId::generate(&*self.options().clock),
            kind: SessionKind::Saml,
            principal: Principal::from_login(login),
            role: None,
            connection: Some(snapshot.id),
            organization: snapshot.organization.clone(),
            session_index: login.session_index.clone(),
            idle: lifetimes.session_idle,
            absolute: lifetimes.session_absolute,
            not_after: login.session_not_on_or_after.unwrap_or(Timestamp::MAX),
        }
    }

    /// Commits a login. It happens once: whoever sends it again finds the replay key under its own trace id.
    pub(super) async fn commit(&self, mut pending: PendingLogin) -> Result<Commit, Failure> {
        self.use_up_in_memory(&pending)?;
        for _ in 0..MAX_TRIES {
            let error = match self.repo().batch(pending.batch.clone()).await {
                Ok(_) => return Ok(Commit::Done(pending.signed_in)),
                Err(error) if error.is_unknown() => {
                    pending.in_doubt = true;
                    continue;
                }
                Err(error) => error,
            };
            // Only the trace and the session can conflict, and their keys are ours alone.
            if error.is_conflict() && pending.in_doubt {
                return Ok(Commit::Done(pending.signed_in));
            }
            let place = error.condition_failed();
            if place.is_none() {
                return Err(error.into());
            }
            if place == pending.places.replay {
                return self.replayed(pending).await;
            }
            if place == pending.places.intent {
                return Err(self.intent_misfit(&pending).await?);
            }
            return Ok(Commit::Changed(pending.checks));
        }
        Err(Failure::Unknown(Box::new(pending)))
    }

    /// Uses up what is kept in memory. There it cannot be part of the batch: a failure later costs the user a new login.
    fn use_up_in_memory(&self, pending: &PendingLogin) -> Result<(), Failure> {
        if self.options().replay_keys == ReplayStore::Memory {
            let keys = &self.shared.memory_replay_keys;
            let ttl = pending.replay_until.saturating_since(pending.attempt.now);
            let ttl = ttl.saturating_add(self.options().lifetimes.replay_margin);
            if !keys.insert(&pending.replay_key, pending.attempt.trace_id, ttl) {
                let holder = keys.holder(&pending.replay_key).map(|trace| trace.to_string());
                return Err(Failure::refused(SignInRefusal::ReplayedAssertion)
                    .found(holder.as_deref())
                    .after(pending.checks.clone()));
            }
        }
        let Some((handle, intent)) = pending.intent.as_ref() else { return Ok(()) };
        if self.options().intents == IntentStore::Memory {
            let intents = &self.shared.memory_intents;
            let browser_hash = pending.browser_hash.as_deref();
            if !intents.consume(handle, intent, browser_hash.unwrap_or_default(), pending.attempt.trace_id) {
                let now = intents.find(handle);
                let refusal = intent_refusal(now.as_ref(), Some(intent.connection), browser_hash);
                return Err(Failure::refused(refusal.unwrap_or(SignInRefusal::IntentConsumed))
                    .after(pending.checks.clone()));
            }
        }
        Ok(())
    }

    /// The assertion was used before: by this login, whose outcome was in doubt, or by another one.
    async fn replayed(&self, pending: PendingLogin) -> Result<Commit, Failure> {
        let ReplayStore::Table(table) = &self.options().replay_keys else {
            return Err(Failure::refused(SignInRefusal::ReplayedAssertion));
        };
        let rows = self.repo().read(replay::holder(table, &pending.replay_key)).await?;
        let holder = replay::held_by(&rows)?;
        if holder == Some(pending.attempt.trace_id) {
            return Ok(Commit::Done(pending.signed_in));
        }
        Err(Failure::refused(SignInRefusal::ReplayedAssertion)
            .found(holder.map(|trace| trace.to_string()).as_deref())
            .after(pending.checks))
    }

    /// The intent did not fit at the moment of the batch; looks at it again to say in which way.
    async fn intent_misfit(&self, pending: &PendingLogin) -> Result<Failure, Failure> {
        let (handle, was) =
            pending.intent.as_ref().map_or(("", None), |(handle, was)| (handle.as_str(), Some(was)));
        let now = self.find_intent(handle).await?;
        let connection = was.map(|intent| intent.connection);
        let refusal = intent_refusal(now.as_ref(), connection, pending.browser_hash.as_deref());
        Ok(Failure::refused(refusal.unwrap_or(SignInRefusal::IntentExpired)).after(pending.checks.clone()))
    }
}

fn success_trace(attempt: &Attempt, snapshot: &Snapshot, login: &Login) -> Result<Statement, Failure> {
    Ok(traces::insert(&LoginTrace {
        id: attempt.trace_id,
        at: attempt.now,
        connection: Some(snapshot.id),
        organization: snapshot.organization.clone(),
        flow: attempt.flow,
        outcome: LoginOutcome::Succeeded,
        refusal: None,
        expected: None,
        actual: None,
        correlation_id: attempt.correlation_id.clone(),
        name_id: Some(shown(&login.name_id.value)),
        issuer: Some(shown(&login.issuer)),
        checks: login.trace.clone(),
    })?)
}
