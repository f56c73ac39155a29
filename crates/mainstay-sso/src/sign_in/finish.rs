//! The second half of a login: the answer is judged, and everything that follows from it is one batch.

use std::sync::Arc;

use mainstay_saml::{Login, Refused, ResponseInput, peek_response, validate_response};

use super::commit::{Commit, PendingLogin};
use super::plan::{Route, intent_refusal, route, trust_for};
use super::record::{Attempt, Failure};
use super::snapshot::Snapshot;
use super::{FinishInput, SignInError, SignedIn};
use crate::options::IntentStore;
use crate::refusal::SignInRefusal;
use crate::sso::Sso;
use crate::store::intents::{self, StoredIntent};
use crate::trace::Flow;

/// How often an answer is judged when the connection changes at the same moment.
const MAX_TRIES: usize = 3;

/// What an answer is judged against, apart from the connection.
#[derive(Debug)]
pub(super) struct Awaited {
    /// The handle and its intent; none when the identity provider began.
    pub(super) intent: Option<(String, StoredIntent)>,
    pub(super) browser_hash: Option<Vec<u8>>,
    pub(super) return_path: String,
}

impl Sso {
    /// Ends a login: judges the answer and, in one durable batch, uses up the intent and the assertion, writes the trace and
    /// begins the session.
    ///
    /// # Errors
    /// [`SignInError::Refused`] with the exact reason; [`SignInError::Store`] when the database cannot do it, and nothing was
    /// written; [`SignInError::Unknown`] when even a second try did not tell whether it is there.
    pub async fn sign_in_finish(&self, input: FinishInput<'_>) -> Result<SignedIn, SignInError> {
        let mut attempt = Attempt::new(self, input.correlation_id, Flow::Unknown);
        attempt.connection = input.connection;
        match self.finish(&input, &mut attempt).await {
            Ok(signed_in) => Ok(signed_in),
            Err(failure) => {
                if attempt.issuer_hint.is_none() && matches!(failure, Failure::Refused(_)) {
                    attempt.issuer_hint =
                        peek_response(input.saml_response).ok().and_then(|hints| hints.issuer);
                }
                Err(self.record(&attempt, failure).await)
            }
        }
    }

    /// Asks whether a login whose outcome was not known is there, and commits it if it is not.
    ///
    /// # Errors
    /// As [`Sso::sign_in_finish`].
    pub async fn sign_in_resolve(&self, pending: PendingLogin) -> Result<SignedIn, SignInError> {
        let attempt = pending.attempt.clone();
        let result = match self.commit(pending).await {
            Ok(Commit::Done(signed_in)) => return Ok(*signed_in),
            Ok(Commit::Changed(checks)) => Failure::refused(SignInRefusal::ConnectionChanged).after(checks),
            Err(failure) => failure,
        };
        Err(self.record(&attempt, result).await)
    }

    async fn finish(&self, input: &FinishInput<'_>, attempt: &mut Attempt) -> Result<SignedIn, Failure> {
        let awaited = self.awaited(input, attempt).await?;
        let connection =
            attempt.connection.ok_or_else(|| Failure::refused(SignInRefusal::ConnectionUnknown))?;
        let mut snapshot = self.cached_snapshot(connection);
        for _ in 0..MAX_TRIES {
            let (current, fresh) = match snapshot.take() {
                Some(cached) => (cached, false),
                None => (self.load_snapshot(connection).await?, true),
            };
            attempt.organization.clone_from(&current.organization);
            let login = match judge(input, &current, &awaited, attempt) {
                Ok(login) => login,
                Err(refused) if fresh => return Err(refused.into()),
                Err(refused) => {
                    // Another node may have changed the connection since it was remembered.
                    let newest = self.load_snapshot(connection).await?;
                    if newest.version == current.version {
                        return Err(refused.into());
                    }
                    snapshot = Some(newest);
                    continue;
                }
            };
            let pending = self.pending(attempt, &current, &awaited, login)?;
            match self.commit(pending).await? {
                Commit::Done(signed_in) => return Ok(*signed_in),
                Commit::Changed(_) => {}
            }
        }
        Err(Failure::refused(SignInRefusal::ConnectionChanged))
    }

    /// Finds out what the answer is judged against, and refuses what can be refused before looking at it.
    async fn awaited(&self, input: &FinishInput<'_>, attempt: &mut Attempt) -> Result<Awaited, Failure> {
        let mut issuer = None;
        let answers_request = || -> Result<bool, Refused> {
            let hints = peek_response(input.saml_response)?;
            issuer = hints.issuer;
            Ok(hints.in_response_to.is_some())
        };
        let route = route(input.relay_state, answers_request)?.map_err(Failure::refused)?;
        attempt.issuer_hint = issuer;
        let browser_hash = input.browser.map(|browser| browser.hash());
        let handle = match route {
            Route::Unsolicited(return_path) => {
                attempt.flow = Flow::IdpInitiated;
                return Ok(Awaited { intent: None, browser_hash, return_path });
            }
            Route::Answer(handle) => handle,
        };
        attempt.flow = Flow::SpInitiated;
        let intent = self.find_intent(handle.as_str()).await?;
        let refusal = intent_refusal(intent.as_ref(), input.connection, browser_hash.as_deref());
        match (intent, refusal) {
            // A used intent goes on: only the assertion tells a reloaded page from a second answer.
            (Some(intent), None | Some(SignInRefusal::IntentConsumed)) => {
                attempt.connection = Some(intent.connection);
                let return_path = intent.return_path.clone();
                Ok(Awaited { intent: Some((handle.as_str().to_owned(), intent)), browser_hash, return_path })
            }
            (intent, refusal) => {
                let failure = Failure::refused(refusal.unwrap_or(SignInRefusal::IntentNotFound));
                let began_at = intent.map(|intent| intent.connection.to_string());
                let found_at = input.connection.map(|connection| connection.to_string());
                Err(match refusal {
                    Some(SignInRefusal::IntentOtherConnection) => {
                        failure.expecting(began_at.as_deref()).found(found_at.as_deref())
                    }
                    _ => failure,
                })
            }
        }
    }

    pub(super) async fn find_intent(&self, handle: &str) -> Result<Option<StoredIntent>, Failure> {
        match &self.options().intents {
            IntentStore::Memory => Ok(self.shared.memory_intents.find(handle)),
            IntentStore::Table(table) => {
                let rows = self.repo().read(intents::find(table, handle)).await?;
                Ok(intents::found(&rows)?)
            }
        }
    }
}

/// Lets the protocol judge the answer.
fn judge(
    input: &FinishInput<'_>,
    snapshot: &Arc<Snapshot>,
    awaited: &Awaited,
    attempt: &Attempt,
) -> Result<Login, Refused> {
    let intent = awaited.intent.as_ref().map(|(_, intent)| intent);
    let trust = trust_for(&snapshot.trust, intent, attempt.now);
    validate_response(&ResponseInput {
        saml_response: input.saml_response,
        sp: &snapshot.sp,
        trust: &trust,
        expected_request_id: intent.map(|intent| intent.request_id.as_str()),
        now: attempt.now,
    })
}
