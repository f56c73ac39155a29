//! A new run that begins with what another one did.

use std::collections::BTreeSet;

use mainstay_core::Timestamp;
use serde_json::Value;

use super::{Fact, Machine, Part, Record, Refusal, State, Transition, after_ms};
use crate::definition::Workflow;
use crate::graph::StepKey;

/// Begins a run with the results that another run of the same graph had, except those of the steps in `from` and of all steps behind
/// them: these are done anew. With no step in `from`, only what had not ended, or was undone, is.
///
/// Signals that nobody took, or that a step took which is done anew, lie in the new run's mailbox. Its deadline begins anew.
///
/// # Errors
/// [`Refusal::NotReached`] when the other run did not come to one of the steps; [`Refusal::NotUndone`] when the effect of a step may
/// stand, because its compensation failed, and no step is named, or it would be done anew without being named;
/// [`Refusal::Corrupt`] when the history is that of another graph.
pub fn fork(
    flow: &Workflow,
    history: &[Record],
    from: &[StepKey],
    seed: u64,
    now: Timestamp,
) -> Result<Transition, Refusal> {
    let old = super::replay(flow, history)?;
    let again = again(flow, history, from, &old)?;
    let graph = flow.graph();
    let mut machine = Machine::new(flow, State::blank(flow), now);
    let input = history.iter().find_map(|record| match &record.fact {
        Fact::Started { input, .. } => Some(input.clone()),
        _ => None,
    });
    machine.record(Fact::Started {
        workflow: graph.name.clone(),
        version: graph.version,
        fingerprint: flow.fingerprint(),
        seed,
        deadline: graph.deadline_ms.map(|after| after_ms(now, after)),
        input: input.unwrap_or(Value::Null),
    })?;
    let (ended, taken) = kept(history, &again);
    for Record { fact, .. } in history {
        match fact {
            Fact::Skipped { step } if !again.contains(step) => machine.record(fact.clone())?,
            Fact::Listed { step, .. } | Fact::ItemSucceeded { step, .. } if ended.contains(step) => {
                machine.record(fact.clone())?;
            }
            Fact::Ended { step, event, targets, output, .. } if ended.contains(step) => {
                machine.record(Fact::Ended {
                    step: step.clone(),
                    event: event.clone(),
                    targets: targets.clone(),
                    output: output.clone(),
                    letter: None,
                })?;
            }
            // What it may have done all the same is undone by whoever undoes the step.
            Fact::AttemptFailed { attempt, fault, ran, .. }
                if ended.contains(&attempt.step)
                    && attempt.part != Part::Undo
                    && (*ran || fault.is_unsure()) =>
            {
                machine.record(fact.clone())?;
            }
            // What the run began with, and what the steps said whose results are kept.
            Fact::Noted { step, .. } if step.as_ref().is_none_or(|step| ended.contains(step)) => {
                machine.record(fact.clone())?;
            }
            Fact::Signalled { letter, signal, payload } if !taken.contains(letter) => {
                let letter = machine.state.letters;
                machine.record(Fact::Signalled {
                    letter,
                    signal: signal.clone(),
                    payload: payload.clone(),
                })?;
            }
            _ => {}
        }
    }
    machine.settle()?;
    Ok(machine.end())
}

/// The steps that are done anew: those that are named or were undone, and all behind them. What could not be undone may stand: it is done
/// anew only when it is named or stands behind one that is, and kept else, for somebody who says where to begin.
fn again(
    flow: &Workflow,
    history: &[Record],
    from: &[StepKey],
    old: &State,
) -> Result<BTreeSet<StepKey>, Refusal> {
    let mut named = Vec::new();
    for step in from {
        let at = flow
            .index()
            .node(step)
            .filter(|at| !matches!(old.at(*at), super::StepState::Idle | super::StepState::Skipped));
        named.push(at.ok_or_else(|| Refusal::NotReached { step: step.clone() })?);
    }
    let undone = history.iter().filter_map(|record| match &record.fact {
        Fact::Undone { step } => flow.index().node(step),
        _ => None,
    });
    let again = with_all_behind(flow, named.iter().copied().chain(undone));
    let (ended, _) = kept(history, &again);
    let named = with_all_behind(flow, named);
    for record in history {
        // One that never ended has no result that could be kept.
        if let Fact::NotUndone { step, .. } = &record.fact
            && (from.is_empty() || !named.contains(step) && !ended.contains(step))
        {
            return Err(Refusal::NotUndone { step: step.clone() });
        }
    }
    Ok(again)
}

fn with_all_behind(flow: &Workflow, steps: impl IntoIterator<Item = usize>) -> BTreeSet<StepKey> {
    let mut open: Vec<usize> = steps.into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            open.extend(
                flow.index()
                    .outgoing_ids(at)
                    .iter()
                    .filter_map(|edge| Some(flow.index().edges.get(*edge)?.to)),
            );
        }
    }
    seen.into_iter().filter_map(|at| Some(flow.node(at)?.key.clone())).collect()
}

/// The steps whose end is kept, and the letters that they took.
fn kept(history: &[Record], again: &BTreeSet<StepKey>) -> (BTreeSet<StepKey>, BTreeSet<u64>) {
    let (mut ended, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for Record { fact, .. } in history {
        match fact {
            Fact::Ended { step, letter, .. } if !again.contains(step) => {
                ended.insert(step.clone());
                taken.extend(letter);
            }
            _ => {}
        }
    }
    (ended, taken)
}
