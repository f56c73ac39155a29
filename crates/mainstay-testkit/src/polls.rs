//! Cancellation at a chosen await point.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What became of a future that was given a number of polls.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled<T> {
    /// It ended in time.
    Ready(T),
    /// It was dropped where it waited.
    Dropped,
}

/// Polls a future at most `polls` times, each time when it is woken, and drops it where it then waits.
///
/// With `polls` counted up from zero until the answer is [`Polled::Ready`], a future is cancelled at every point where it can be.
pub async fn at_most_polls<F: Future>(polls: usize, future: F) -> Polled<F::Output> {
    Counted { future: Some(Box::pin(future)), left: polls }.await
}

struct Counted<F> {
    future: Option<Pin<Box<F>>>,
    left: usize,
}

impl<F: Future> Future for Counted<F> {
    type Output = Polled<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left > 0 {
            self.left -= 1;
            if let Some(future) = self.future.as_mut()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                return Poll::Ready(Polled::Ready(value));
            }
        }
        if self.left > 0 {
            return Poll::Pending;
        }
        self.future = None;
        Poll::Ready(Polled::Dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn polls_are_counted() {
        let two_waits = || async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            7
        };
        for polls in 0..3 {
            assert_eq!(at_most_polls(polls, two_waits()).await, Polled::Dropped);
        }
        assert_eq!(at_most_polls(3, two_waits()).await, Polled::Ready(7));
    }
}
