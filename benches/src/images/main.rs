//! Images: our design beside the plain one, on the same data layer in the same run, and beside the field's own programs.
//! `cargo xtask bench images`; `--only=PART,PART` runs some of the parts that [`PARTS`] names.
//!
//! The plain design is that of stores of the field: text keys and a join for a chain, one row a lease with an index on its
//! expiry, one `stat` for each blob of a sweep, one `fsync` at a time. The programs are `skopeo`, `umoci` and `docker-registry`.

mod files;
mod graph;
mod layouts;
mod plain;
mod registry;
mod store;
mod transfer;

use std::time::Duration;

use mainstay_testkit::TestDatabase;

/// What can be run alone.
const PARTS: [&str; 8] = ["hash", "chains", "leases", "publish", "collect", "layouts", "registry", "removal"];

/// What `--quick` makes smaller.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// How long a load lasts.
    pub time: Duration,
    /// How many rounds there are, where the median of rounds is taken.
    pub rounds: usize,
    /// How many images there are.
    pub images: usize,
    /// How many blobs a collection looks at.
    pub blobs: usize,
    /// How many small blobs are published.
    pub published: usize,
    /// How many octets the files of an image have that is brought in.
    pub content: u64,
    /// How many images a registry has of which half go.
    pub registered: usize,
}

impl Scale {
    const QUICK: Self = Self {
        time: Duration::from_millis(500),
        rounds: 1,
        images: 1_000,
        blobs: 20_000,
        published: 400,
        content: 48_000_000,
        registered: 60,
    };
    const WHOLE: Self = Self {
        time: Duration::from_secs(3),
        rounds: 3,
        images: 5_000,
        blobs: 1_000_000,
        published: 4_000,
        content: 500_000_000,
        registered: 1_000,
    };
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let (json, scale) = (has("--json"), if has("--quick") { Scale::QUICK } else { Scale::WHOLE });
    let only = arguments.iter().find_map(|argument| argument.strip_prefix("--only="));
    let wanted: Vec<&str> = only.map_or_else(|| PARTS.to_vec(), |parts| parts.split(',').collect());
    if let Some(part) = wanted.iter().find(|part| !PARTS.contains(*part)) {
        eprintln!("there is no part {part}; there are: {}", PARTS.join(", "));
        std::process::exit(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for part in wanted {
        runtime.block_on(run(part, scale, json));
    }
}

async fn run(part: &str, scale: Scale, json: bool) {
    let both = || [("sqlite", TestDatabase::sqlite()), ("postgres", TestDatabase::postgres())];
    match part {
        "hash" => files::hash(json),
        "chains" => {
            for (name, database) in both() {
                graph::resolve(name, &database, scale, json).await;
            }
        }
        "leases" => {
            for (name, database) in both() {
                graph::renew(name, &database, scale, json).await;
            }
        }
        "publish" => {
            for (name, database) in both() {
                files::publish(name, &database, scale, json).await;
            }
        }
        "collect" => files::collect(&TestDatabase::sqlite(), scale, json).await,
        "layouts" => {
            let layouts = layouts::Layouts::new(scale.content);
            transfer::layouts(&layouts, scale, json).await;
            transfer::scrub(&layouts, scale, json).await;
        }
        "registry" => transfer::registry(&layouts::Layouts::new(scale.content), scale, json).await,
        _ => registry::collect(scale, json).await,
    }
}
