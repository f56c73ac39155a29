//! Commits that carry statements of steps: many share one batch, and when one of them is refused each goes alone.

use futures_util::future::join_all;
use mainstay_repo::{Batch, ErrorKind};

use super::cell::What;
use super::flight::{BatchResult, Decided};
use crate::handler::StepError;
use crate::store::{Commit, Store};

/// How many steps' statements share a batch.
pub(super) const MEMBERS: usize = 128;
/// A step with more statements than this goes alone.
const SMALL: usize = 64;

/// A step's statements and its run's move.
pub(super) struct Member {
    batch: Batch,
    commit: Commit,
}

impl Member {
    pub(super) fn of(decided: &mut Decided) -> Option<Self> {
        let host = decided.taken.iter().find_map(|item| match &item.what {
            What::Batch(_, batch) => Some(batch.clone()),
            What::Input(_) | What::Transaction => None,
        });
        Some(Self { batch: host?, commit: decided.commit.take()? })
    }

    async fn commit(self, store: &Store) -> BatchResult {
        let Self { mut batch, commit } = self;
        let own = batch.steps().len();
        if let Err(error) = store.commit_into(&mut batch, &commit) {
            return BatchResult::Again(Some(error));
        }
        match store.repo().batch(batch).await {
            Ok(_) => done(commit),
            Err(error) => judged(error, own),
        }
    }
}

/// Commits all of them, and says of each what became of it.
pub(super) async fn commit(store: &Store, members: Vec<Member>) -> Vec<BatchResult> {
    let is_small = |member: &Member| member.batch.steps().len() <= SMALL;
    if members.len() > 1 && members.iter().all(is_small) {
        match together(store, &members).await {
            Together::Done => return members.into_iter().map(|member| done(member.commit)).collect(),
            Together::Unsure(error) => {
                let mut error = Some(error);
                return members.iter().map(|_| BatchResult::Again(error.take())).collect();
            }
            Together::Refused => {}
        }
    }
    join_all(members.into_iter().map(|member| member.commit(store))).await
}

enum Together {
    Done,
    Refused,
    Unsure(crate::error::Error),
}

async fn together(store: &Store, members: &[Member]) -> Together {
    let mut all = Batch::new("workflow.tx_steps");
    members.iter().for_each(|member| all.append(member.batch.clone()));
    let commits: Vec<&Commit> = members.iter().map(|member| &member.commit).collect();
    if let Err(error) = store.commit_all_into(&mut all, &commits) {
        return Together::Unsure(error);
    }
    match store.repo().batch(all).await {
        Ok(_) => Together::Done,
        // Two groups may hold each other up where two steps alone would not.
        Err(error) if *error.kind() == ErrorKind::Busy => Together::Refused,
        Err(error) if super::flight::is_unsure(&error) => Together::Unsure(error.into()),
        Err(_) => Together::Refused,
    }
}

fn done(commit: Commit) -> BatchResult {
    commit.into_head().map_or(BatchResult::Again(None), |head| BatchResult::Done(Box::new(head)))
}

/// What an error of a batch means: the first `own` statements are the step's.
fn judged(error: mainstay_repo::Error, own: usize) -> BatchResult {
    match error.kind() {
        ErrorKind::ConditionFailed { index } if *index >= own => BatchResult::Again(None),
        // Another transaction was in the way and is done by now.
        ErrorKind::Busy => BatchResult::Again(None),
        _ if super::flight::is_unsure(&error) => BatchResult::Again(Some(error.into())),
        _ => BatchResult::Refused(StepError::from(error)),
    }
}
