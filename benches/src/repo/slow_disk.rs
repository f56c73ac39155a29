//! The same writes on a disk whose sync takes a millisecond longer, as cloud disks do: a shim before the C library's
//! `fdatasync` and `fsync`, compiled here and preloaded into a process of its own.

use std::process::Command;
use std::time::Duration;

use mainstay_benches::Row;
use mainstay_repo::Repo;

use crate::{directory, ours, peers, workload};

const SHIM: &str = r"
#define _GNU_SOURCE
#include <unistd.h>
#include <sys/syscall.h>
int fdatasync(int fd) { usleep(1000); return syscall(SYS_fdatasync, fd); }
int fsync(int fd) { usleep(1000); return syscall(SYS_fsync, fd); }
";

/// Compiles the shim and runs this program again under it.
pub fn run(time: Duration) -> Vec<Row> {
    let scratch = directory();
    let (source, library) = (scratch.path().join("shim.c"), scratch.path().join("shim.so"));
    std::fs::write(&source, SHIM).expect("the shim's source");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.is_ok_and(|status| status.success()), "the shim needs a C compiler");
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program);
    child.arg("--slow-disk-child").env("LD_PRELOAD", &library);
    if time < Duration::from_secs(1) {
        child.arg("--quick");
    }
    let output = child.output().expect("the child ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Row> {
    let mut parts = line.split(' ');
    let callers = parts.next()?;
    let ours = parts.next()?.parse().ok()?;
    let peer = parts.next()?.parse().ok()?;
    Some(Row::rate(format!("sqlite_write_{callers}_fsync_1ms"), ours, "sqlx pool 10", peer))
}

/// What runs under the shim: a line for each number of callers, with our rate and sqlx's.
pub async fn child(time: Duration) {
    let directory = directory();
    let ours_path = directory.path().join("ours.db");
    let repo = Repo::connect(&format!("sqlite://{}", ours_path.display())).await.expect("opened");
    workload::prepare(&repo).await;
    let peer_path = directory.path().join("sqlx.db");
    let copy = Repo::connect(&format!("sqlite://{}", peer_path.display())).await.expect("opened");
    workload::prepare(&copy).await;
    copy.close().await;
    let sqlx = peers::sqlx_sqlite(&peer_path, 10).await;
    for callers in [64, 256] {
        let ours = ours::writes(&repo, callers, time, false).await;
        let peer = peers::sqlx_sqlite_writes(&sqlx, callers, time).await;
        println!("{callers} {} {}", ours.rate, peer.rate);
    }
    repo.close().await;
}
