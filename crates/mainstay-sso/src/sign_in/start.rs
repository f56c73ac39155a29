//! The first half of a login: a request, and the intent that awaits its answer.

use std::sync::Arc;

use mainstay_saml::{AuthnRequestOptions, OutgoingRequest, RelayState, authn_request, check_return_path};

use super::record::{Attempt, Failure};
use super::snapshot::Snapshot;
use super::{Redirect, SignInError, StartInput};
use crate::options::IntentStore;
use crate::random::octets;
use crate::refusal::SignInRefusal;
use crate::sso::Sso;
use crate::store::intents::{self, NewIntent};
use crate::trace::Flow;

/// How often a request is built anew when the connection changes at the same moment.
const MAX_TRIES: usize = 3;

impl Sso {
    /// Begins a login: stores the intent durably and says where to send the browser.
    ///
    /// # Errors
    /// [`SignInError::Refused`] when the connection is not in use or the return path leads elsewhere;
    /// [`SignInError::Store`] when the database cannot do it.
    pub async fn sign_in_start(&self, input: StartInput<'_>) -> Result<Redirect, SignInError> {
        let mut attempt = Attempt::new(self, input.correlation_id, Flow::SpInitiated);
        attempt.connection = Some(input.connection);
        match self.start(&input, &mut attempt).await {
            Ok(redirect) => Ok(redirect),
            Err(failure) => Err(self.record(&attempt, failure).await),
        }
    }

    async fn start(&self, input: &StartInput<'_>, attempt: &mut Attempt) -> Result<Redirect, Failure> {
        let return_path = check_return_path(input.return_path)
            .map_err(|_| Failure::refused(SignInRefusal::ReturnPathInvalid).found(Some(input.return_path)))?;
        let mut cached = match self.options().intents {
            IntentStore::Table(_) => self.cached_snapshot(input.connection),
            // Without a database's condition, only a fresh look says whether the connection is still in use.
            IntentStore::Memory => None,
        };
        for _ in 0..MAX_TRIES {
            let snapshot = match cached.take() {
                Some(snapshot) => snapshot,
                None => self.load_snapshot(input.connection).await?,
            };
            attempt.organization.clone_from(&snapshot.organization);
            let relay_state = RelayState::from_random(&octets(&*self.options().random)?);
            let request = self.build_request(&snapshot, &relay_state, attempt)?;
            let intent = NewIntent {
                relay_state: relay_state.as_str().to_owned(),
                request_id: request.request_id.clone(),
                connection: input.connection,
                browser_hash: input.browser.hash(),
                return_path: return_path.to_owned(),
                force_authn: snapshot.request.force_authn,
            };
            if self.store_intent(&intent, &snapshot, attempt).await? {
                return Ok(Redirect {
                    url: request.redirect_url,
                    relay_state: intent.relay_state,
                    request_id: request.request_id,
                });
            }
        }
        Err(Failure::refused(SignInRefusal::ConnectionChanged))
    }

    fn build_request(
        &self,
        snapshot: &Arc<Snapshot>,
        relay_state: &RelayState,
        attempt: &Attempt,
    ) -> Result<OutgoingRequest, Failure> {
        let settings = &snapshot.request;
        let contexts: Vec<&str> = settings.authn_contexts.iter().map(String::as_str).collect();
        let options = AuthnRequestOptions {
            relay_state: Some(relay_state.as_str()),
            name_id_format: settings.name_id_format.as_deref(),
            force_authn: settings.force_authn,
            is_passive: settings.is_passive,
            authn_contexts: &contexts,
            ..AuthnRequestOptions::default()
        };
        let random = octets(&*self.options().random)?;
        authn_request(&snapshot.sp, &snapshot.trust, &options, &random, attempt.now).map_err(|problem| {
            Failure::refused(SignInRefusal::RequestInvalid).found(Some(&problem.to_string()))
        })
    }

    /// Stores an intent; false when the connection is not what the request was built from.
    async fn store_intent(
        &self,
        intent: &NewIntent,
        snapshot: &Snapshot,
        attempt: &Attempt,
    ) -> Result<bool, Failure> {
        let ttl = self.options().lifetimes.intent;
        match &self.options().intents {
            IntentStore::Memory => Ok(self.shared.memory_intents.insert(intent, ttl, attempt.now)),
            IntentStore::Table(table) => {
                let written =
                    self.repo().write(intents::insert(table, intent, ttl, snapshot.version)).await?;
                Ok(written.rows_affected() == 1)
            }
        }
    }
}
