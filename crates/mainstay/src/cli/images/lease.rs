//! `mainstay images lease …`: who uses which image, and using one from a script.

use std::time::Duration;

use mainstay_images::{ErrorKind, HeldLease, HolderId, Node};
use mainstay_server::images::document::{
    HolderLine, HolderPage, LeaseLine, LeasePage, RevokedDocument, named,
};
use serde::Serialize;

use super::args::{Hold, Listed, Revoke, Run};
use super::family::Family;
use super::list::more;
use super::{LEASE, as_holder, one, open};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;
use crate::cli::serve::asked_to_end;

pub(super) async fn list(args: &Listed, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let page = LeasePage::read(commands.look()?, args.after, args.limit).await?;
    context.output.result("mainstay.images.lease.ls/1", &page, || {
        let row = |line: &LeaseLine| {
            let (token, until) = (line.token.to_string(), line.expires_at.clone());
            vec![token, until, line.key.clone(), line.holder.clone(), line.image.clone()]
        };
        let rows: Vec<Vec<String>> = page.leases.iter().map(row).collect();
        table(&["TOKEN", "UNTIL, UNLESS RENEWED", "KEY", "HOLDER", "IMAGE"], &rows) + &more(page.next)
    });
    Ok(())
}

pub(super) async fn holders(args: &Listed, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let page = HolderPage::read(commands.look()?, args.after, args.limit).await?;
    context.output.result("mainstay.images.lease.holders/1", &page, || {
        let row = |line: &HolderLine| {
            let state = match (line.live, line.fresh) {
                (true, true) => "live",
                (false, true) => "superseded",
                (_, false) => "ended",
            };
            let (leases, blobs) = (line.leases.to_string(), line.publishing.to_string());
            vec![line.epoch.to_string(), state.to_owned(), leases, blobs, line.name.clone()]
        };
        let rows: Vec<Vec<String>> = page.holders.iter().map(row).collect();
        table(&["EPOCH", "STATE", "LEASES", "PUBLISHING", "NAME"], &rows) + &more(page.next)
    });
    Ok(())
}

pub(super) async fn revoke(args: &Revoke, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let revoked = commands.revoke(HolderId::new(args.epoch)).await;
    let (until, leases) = revoked.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Failure::from(error).with_help("mainstay images lease holders lists those there are")
        }
        _ => error.into(),
    })?;
    let body = RevokedDocument { epoch: args.epoch, until: until.to_string(), leases };
    context.output.result("mainstay.images.lease.revoke/1", &body, || {
        format!(
            "holder {} may not renew any more; its {} lease(s) end at {}, and a collection then forgets them\n",
            body.epoch, body.leases, body.until
        )
    });
    Ok(())
}

#[derive(Serialize)]
struct Held {
    /// The lease, for `--lease` of what changes something.
    lease: String,
    token: i64,
    key: String,
    holder: String,
    image: String,
}

/// What is said when a command leaves others behind.
const LEFT: &str =
    "the command has ended, and what it started has not: the lease is kept until that has ended too";

/// How long a command may take to end when it is asked to and its lease is not lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Leases the image and does something until the lease is lost.
async fn leased<T>(
    args: &Hold,
    context: &Context,
    work: impl AsyncFnOnce(&Node, &HeldLease, Held) -> Outcome<T>,
) -> Outcome<T> {
    let (commands, image) = one(&args.one, context).await?;
    as_holder(&commands, context, async |node: Node| {
        let lease = node.acquire(&args.key, image.id).await?;
        let held = Held {
            lease: lease.guard().to_string(),
            token: lease.token().get(),
            key: args.key.clone(),
            holder: node.name().to_owned(),
            image: named(&image.digest),
        };
        work(&node, &lease, held).await
    })
    .await
}

fn lost(key: &str) -> Failure {
    let message = format!("the lease {key:?} was lost: it could not be renewed in time");
    Failure::new(Exit::Unavailable, message)
        .with_help("treat what was done with the image since as undone, and lease it anew")
}

pub(super) async fn hold(args: &Hold, context: &Context) -> Outcome {
    // Before anything is held, so that no signal is lost.
    let ended = asked_to_end()?;
    leased(args, context, async |node, _lease, held| {
        context.output.result("mainstay.images.lease.hold/1", &held, || {
            format!("lease {} of {} is held; Ctrl-C gives it back\n", held.token, held.image)
        });
        tokio::select! {
            () = ended => Ok(()),
            () = node.lost() => Err(lost(&args.key)),
        }
    })
    .await
}

pub(super) async fn run(args: &Run, context: &Context) -> Outcome {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(Exit::Usage, "there is no command after --"));
    };
    let ended = asked_to_end()?;
    let status = leased(&args.hold, context, async |node, _lease, held| {
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .env(LEASE, &held.lease)
            .env("MAINSTAY_LEASE_TOKEN", held.token.to_string())
            .env("MAINSTAY_LEASE_IMAGE", &held.image);
        let mut family = Family::spawn(command).map_err(|error| {
            Failure::new(Exit::Usage, format!("{} does not start: {error}", program.display()))
                .with_help("see that the command is there and may be run; nothing is leased any more")
        })?;
        tokio::select! {
            status = family.ended(|| context.output.warning(LEFT)) => {
                status.map_err(|error| Failure::new(Exit::Unavailable, format!("the command is not heard of: {error}")))
            }
            // The files may go soon: whoever uses them must not go on.
            () = node.lost() => {
                family.end(node.images().options().margin).await;
                Err(lost(&args.hold.key))
            }
            // The lease is renewed meanwhile.
            () = ended => {
                family.end(PATIENCE).await;
                Err(Failure::new(Exit::Refused, "the command was ended by a signal"))
            }
        }
    })
    .await?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, format!("the command did not succeed: {status}")))
}
