//! Images: our design beside the plain one, on the same data layer in the same run. `cargo xtask bench images`.
//!
//! The plain design is that of stores of the field: text keys and a join for a chain, one row a lease with an index on its
//! expiry, one `stat` for each blob of a sweep, one `fsync` at a time.

mod files;
mod graph;
mod plain;

use std::time::Duration;

use mainstay_testkit::TestDatabase;

/// What `--quick` makes smaller.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// How long a load lasts.
    pub time: Duration,
    /// How many images there are.
    pub images: usize,
    /// How many blobs a collection looks at.
    pub blobs: usize,
    /// How many small blobs are published.
    pub published: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let (json, quick) = (has("--json"), has("--quick"));
    let scale = if quick {
        Scale { time: Duration::from_millis(500), images: 1_000, blobs: 20_000, published: 200 }
    } else {
        Scale { time: Duration::from_secs(3), images: 5_000, blobs: 1_000_000, published: 4_000 }
    };
    files::hash(json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (name, database) in [("sqlite", TestDatabase::sqlite()), ("postgres", TestDatabase::postgres())] {
        runtime.block_on(graph::resolve(name, &database, scale, json));
    }
    for (name, database) in [("sqlite", TestDatabase::sqlite()), ("postgres", TestDatabase::postgres())] {
        runtime.block_on(graph::renew(name, &database, scale, json));
    }
    for (name, database) in [("sqlite", TestDatabase::sqlite()), ("postgres", TestDatabase::postgres())] {
        runtime.block_on(files::publish(name, &database, scale, json));
    }
    runtime.block_on(files::collect(&TestDatabase::sqlite(), scale, json));
}
