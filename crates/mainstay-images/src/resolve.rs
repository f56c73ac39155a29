//! Chains that are not in memory: one statement each as long as few ask, one for many where many ask at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::Result;
use crate::ids::ImageId;
use crate::image::Chain;
use crate::images::{Images, no_image};
use crate::store;

/// So many statements may be under way before those who ask have to share.
const ALONE: usize = 4;
/// Images of one shared statement.
const TOGETHER: usize = 256;

/// Who reads, and who waits for the next statement.
#[derive(Debug, Default)]
pub(crate) struct Resolving(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    waiting: Vec<(ImageId, oneshot::Sender<Arc<Chain>>)>,
}

impl Resolving {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement under way. Its end, however it comes, begins the next.
struct Turn(Images);

impl Drop for Turn {
    fn drop(&mut self) {
        let some = {
            let mut state = self.0.shared.resolving.state();
            if state.waiting.is_empty() {
                state.under_way -= 1;
                return;
            }
            // Who waits longest is served first, or with more than these always waiting some would never be.
            let some = state.waiting.len().min(TOGETHER);
            state.waiting.drain(..some).collect::<Vec<_>>()
        };
        // Without a runtime, whoever waits hears that nobody answers, and asks alone.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            let mut state = self.0.shared.resolving.state();
            state.under_way -= 1;
            state.waiting.clear();
            return;
        };
        let turn = Self(self.0.clone());
        runtime.spawn(async move { turn.answer(some).await });
    }
}

impl Turn {
    /// Reads for all of them. Who gets no answer asks alone, and then hears why there is none.
    async fn answer(&self, some: Vec<(ImageId, oneshot::Sender<Arc<Chain>>)>) {
        let asked: Vec<ImageId> = some.iter().map(|(image, _)| *image).collect();
        let Ok(found) = self.0.resolve_chains(&asked).await else { return };
        for (image, answer) in some {
            if let Ok(place) = found.binary_search_by_key(&image, |(image, _)| *image)
                && let Some((_, chain)) = found.get(place)
            {
                // It may have left.
                drop(answer.send(Arc::clone(chain)));
            }
        }
    }
}

impl Images {
    /// A chain from its row.
    pub(crate) async fn read_chain(&self, image: ImageId) -> Result<Arc<Chain>> {
        let turn = {
            let mut state = self.shared.resolving.state();
            if state.under_way < ALONE {
                state.under_way += 1;
                Ok(Turn(self.clone()))
            } else {
                let (answer, answered) = oneshot::channel();
                state.waiting.push((image, answer));
                Err(answered)
            }
        };
        let turn = match turn {
            Ok(turn) => Some(turn),
            Err(answered) => match answered.await {
                Ok(chain) => return Ok(chain),
                Err(_) => None,
            },
        };
        let found = self.repo().read(store::images::chain(image.get())).await;
        drop(turn);
        let found = found?;
        let row = found.first().ok_or_else(|| no_image(&image.into()))?;
        let chain = Arc::new(store::images::read_chain(row)?);
        self.shared.chains.put(image, Arc::clone(&chain));
        Ok(chain)
    }
}
