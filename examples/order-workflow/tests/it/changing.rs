//! A second version of a workflow, while a run of the first one goes on: the code that the book shows.

use mainstay_repo::{Repo, Target};
use mainstay_testkit::for_each_database;
use mainstay_workflow::plan::Outcome;
use mainstay_workflow::typed::TypedWorkflow as _;
use mainstay_workflow::{Engine, Events, StepContext, StepError, step, versions, workflow};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    number: u32,
}

#[derive(Debug, Events)]
enum Packing {
    Packed,
}

#[derive(Debug, Events)]
enum Check {
    Sound,
}

#[step]
async fn pack(_cx: &StepContext, _parcel: &Parcel) -> Result<Packing, StepError> {
    Ok(Packing::Packed)
}

#[step]
async fn weigh(_cx: &StepContext, _parcel: &Parcel) -> Result<Check, StepError> {
    Ok(Check::Sound)
}

workflow! {
    /// As it was: packed, then fetched.
    struct ParcelV1 = "parcel" version 1;
    input Parcel;
    unique number = |parcel| parcel.number;

    step pack(input) { Packed -> ramp; }
    wait ramp { signal fetched => Fetched -> end; }
    done end;
}

workflow! {
    /// As it is now: weighed before it is fetched.
    struct ParcelV2 = "parcel" version 2;
    input Parcel;
    unique number = |parcel| parcel.number;

    step pack(input) { Packed -> weigh; }
    step weigh(input) { Sound -> ramp; }
    wait ramp { signal fetched => Fetched -> end; }
    done end;
}

versions! {
    /// Parcels: begun as they are now, ended as they were begun.
    struct Parcels = "parcel" { 1 => ParcelV1, 2 => ParcelV2 } current 2
}

async fn steps(engine: &Engine, run: mainstay_workflow::RunId) -> Vec<String> {
    let history = engine.control().store().histories(&[run]).await.unwrap();
    let records = history.iter().flat_map(|(_, records)| records);
    let ended = records.filter_map(|record| match &record.fact {
        mainstay_workflow::Fact::Ended { step, .. } => Some(step.to_string()),
        _ => None,
    });
    ended.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_in_the_version_that_it_began_in() {
    for_each_database(async |db| {
        let repo = Repo::connect(db.url()).await.unwrap();
        repo.migrator().migrate(&mainstay_workflow::COMPONENT, Target::Latest).await.unwrap();
        // The deployment of last year.
        let engine = Engine::builder(repo.clone()).register::<ParcelV1>().start().await.unwrap();
        let old = ParcelV1::start(&engine, &Parcel { number: 1 }).await.unwrap();
        engine.stop().await;

        // Today's.
        let engine = Engine::builder(repo.clone()).register::<Parcels>().start().await.unwrap();
        let new = Parcels::start(&engine, &Parcel { number: 2 }).await.unwrap();
        for run in [old, new] {
            engine.signal(run, "fetched", serde_json::Value::Null).await.unwrap();
            assert_eq!(engine.wait(run).await.unwrap().outcome, Outcome::Completed);
        }
        assert_eq!(steps(&engine, old).await, ["pack", "ramp", "end"]);
        assert_eq!(steps(&engine, new).await, ["pack", "weigh", "ramp", "end"]);
        engine.stop().await;
        repo.close().await;
    })
    .await;
}
