//! `mainstay images ls | inspect | du | explain | graph`: looking, changing nothing.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::HumanBytes;
use mainstay_images::{ErrorKind, ImageId, Lineage, LineageNode};
use mainstay_server::images::document::{
    ActLine, ActPage, ClaimLine, ExplainDocument, ImageDocument, ImageLine, ImagePage, LineageDocument,
    UsageDocument, UsageLine, named,
};

use super::args::{Acts, Form, Graph, Listed, One, Place};
use super::{LIST, find, one, open, unfound};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::table;

/// Octets for people.
pub(super) fn size(octets: u64) -> String {
    HumanBytes(octets).to_string()
}

/// Where a list that is not all goes on.
pub(super) fn more(next: Option<i64>) -> String {
    next.map(|next| format!("more: --after {next}\n")).unwrap_or_default()
}

/// As much of a digest as tells images apart for people.
fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}

pub(super) async fn images(args: &Listed, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let page = ImagePage::read(commands.look()?, args.after, args.limit).await?;
    context.output.result("mainstay.images.ls/1", &page, || {
        let rows: Vec<Vec<String>> = page.images.iter().map(row).collect();
        table(&["DIGEST", "KIND", "LAYERS", "SIZE", "LEASES", "LAST USED", "NAMES"], &rows) + &more(page.next)
    });
    Ok(())
}

/// The names of an image; without one, its label.
fn called(names: &[String], label: Option<&str>) -> String {
    if names.is_empty() { label.unwrap_or("–").to_owned() } else { names.join(" ") }
}

fn row(line: &ImageLine) -> Vec<String> {
    let mut names = called(&line.names, line.label.as_deref());
    if line.pinned {
        names.push_str(" (pinned)");
    }
    if line.damaged > 0 {
        names.push_str(" (damaged)");
    }
    vec![
        short(&line.digest),
        line.kind.to_owned(),
        line.layers.to_string(),
        size(line.size_bytes),
        line.leases.to_string(),
        line.last_used_at.clone(),
        names,
    ]
}

pub(super) async fn inspect(args: &One, context: &Context) -> Outcome {
    let (commands, image) = one(args, context).await?;
    let body = ImageDocument::read(commands.look()?, &image).await?;
    context.output.result("mainstay.images.inspect/1", &body, || inspected(&body));
    Ok(())
}

fn inspected(body: &ImageDocument) -> String {
    let line = &body.line;
    let mut text = String::new();
    let mut say = |name: &str, value: &str| text.push_str(&format!("{name:<12} {value}\n"));
    say("digest", &line.digest);
    say("names", &called(&line.names, None));
    say("label", line.label.as_deref().unwrap_or("–"));
    say("kind", &format!("{}, {}", line.kind, line.media_type));
    say("size", &size(line.size_bytes));
    say("pinned", if line.pinned { "yes" } else { "no" });
    say("created", &line.created_at);
    say("last used", &line.last_used_at);
    if line.damaged > 0 {
        let told = "of its blobs are missing or wrong; import or pull it again, and until then it cannot be leased or exported";
        say("damaged", &format!("{} {told}", line.damaged));
    }
    say("parent", body.parent.as_deref().unwrap_or("–"));
    for child in &body.children {
        say("child", child);
    }
    for layer in &body.chain {
        say("layer", &format!("{}  {}{}", layer.digest, size(layer.size_bytes), mark(body, &layer.digest)));
    }
    for attachment in &body.attachments {
        let octets = size(attachment.size_bytes);
        let mark = mark(body, &attachment.digest);
        say("attached", &format!("{}  {octets}  {}{mark}", attachment.digest, attachment.role));
    }
    for lease in &body.held {
        say("lease", &format!("{} by {} until {}", lease.key, lease.holder, lease.expires_at));
    }
    text
}

/// What stands behind a blob that is missing or wrong.
fn mark(body: &ImageDocument, digest: &String) -> &'static str {
    if body.damaged_blobs.contains(digest) { "  damaged" } else { "" }
}

pub(super) async fn usage(place: &Place, context: &Context) -> Outcome {
    let commands = open(place, context).await?;
    let body = UsageDocument::read(commands.look()?).await?;
    context.output.result("mainstay.images.du/1", &body, || {
        let row = |line: &UsageLine| {
            let octets = [line.size_bytes, line.shared_bytes, line.unique_bytes, line.reclaimable_bytes].map(size);
            [vec![short(&line.digest)], octets.to_vec(), vec![called(&line.names, line.label.as_deref())]]
                .concat()
        };
        let rows: Vec<Vec<String>> = body.images.iter().map(row).collect();
        table(&["DIGEST", "SIZE", "SHARED", "OWN", "GIVES BACK", "NAMES"], &rows)
            + &format!(
                "\n{} in all: {} of one image each, {} shared, {} of none (gc removes it); {} come back if everything goes that \
                 nothing claims; {} free on disk\n",
                size(body.total_bytes),
                size(body.unique_bytes),
                size(body.shared_bytes),
                size(body.unused_bytes),
                size(body.reclaimable_bytes),
                size(body.free_bytes)
            )
    });
    Ok(())
}

pub(super) async fn explain(args: &One, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let images = commands.look()?;
    // A digest may be an image's or a blob's; of a base they are the same.
    let (digest, what, claims) = match images.find(&args.image).await {
        Ok(image) => (image.digest, "image", images.explain(&image.id.into()).await?),
        Err(error) if *error.kind() == ErrorKind::NotFound => {
            let Some(blob) = images.find_blob(&args.image).await? else {
                let message = format!("there is no image and no blob {}", args.image);
                return Err(Failure::new(Exit::Refused, message).with_help(LIST));
            };
            (blob, "blob", images.explain_blob(&blob).await?)
        }
        Err(error) => return Err(unfound(error)),
    };
    let claims = claims.iter().map(ClaimLine::from).collect();
    let body = ExplainDocument { digest: named(&digest), what, claims };
    context.output.result("mainstay.images.explain/1", &body, || {
        let mut text = format!("{} {}\n", body.what, body.digest);
        claimed(&body.claims, 1, &mut text);
        text
    });
    Ok(())
}

fn claimed(claims: &[ClaimLine], depth: usize, text: &mut String) {
    for claim in claims {
        text.push_str(&format!("{}{}\n", "  ".repeat(depth), claim.text));
        claimed(&claim.because, depth + 1, text);
    }
}

pub(super) async fn graph(args: &Graph, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let lineage = commands.look()?.lineage().await?;
    let body = LineageDocument::from(&lineage);
    context.output.result("mainstay.images.graph/1", &body, || match args.format {
        Form::Text => tree(&lineage),
        Form::Svg => lineage.svg(),
        Form::Dot => lineage.dot(),
    });
    Ok(())
}

pub(super) async fn acts(args: &Acts, context: &Context) -> Outcome {
    let commands = open(&args.place, context).await?;
    let page = match &args.image {
        None => ActPage::new(commands.acts(args.after, args.limit).await?, args.limit),
        Some(text) => {
            let digest = match text.strip_prefix("sha256:").unwrap_or(text).parse() {
                Ok(digest) => digest,
                Err(_) => find(&commands, text).await?.digest,
            };
            // The newest are all that is told of one image.
            ActPage { next: None, ..ActPage::new(commands.acts_on(&digest, args.limit).await?, args.limit) }
        }
    };
    context.output.result("mainstay.images.acts/1", &page, || {
        let row = |act: &ActLine| {
            let image = act.image.as_deref().map(short).unwrap_or_default();
            let subject = act.subject.clone().unwrap_or_default();
            vec![act.at.clone(), act.actor.clone(), act.action.clone(), image, subject]
        };
        let rows: Vec<Vec<String>> = page.acts.iter().map(row).collect();
        table(&["AT", "WHO", "WHAT", "IMAGE", "OF WHAT"], &rows) + &more(page.next)
    });
    Ok(())
}

/// Children under their parents.
fn tree(lineage: &Lineage) -> String {
    let known: BTreeSet<ImageId> = lineage.0.iter().map(|node| node.image).collect();
    let mut children: BTreeMap<Option<ImageId>, Vec<&LineageNode>> = BTreeMap::new();
    for node in &lineage.0 {
        children.entry(node.parent.filter(|parent| known.contains(parent))).or_default().push(node);
    }
    let mut text = String::new();
    // A stack and not recursion: a chain is as deep as somebody made it.
    let mut open: Vec<(usize, &LineageNode)> =
        children.get(&None).into_iter().flatten().rev().map(|node| (0, *node)).collect();
    while let Some((depth, node)) = open.pop() {
        let names =
            if node.names.is_empty() { node.label.clone().unwrap_or_default() } else { node.names.join(" ") };
        let indent = "  ".repeat(depth);
        let (digest, octets) = (short(&node.digest.to_string()), size(node.size_bytes));
        text.push_str(format!("{indent}{digest}  {octets}  {names}").trim_end());
        text.push('\n');
        let below = children.get(&Some(node.image)).into_iter().flatten().rev();
        open.extend(below.map(|child| (depth + 1, *child)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(image: i64, parent: Option<i64>, name: &str) -> LineageNode {
        LineageNode {
            image: ImageId::new(image),
            digest: mainstay_images::Digest::of(name.as_bytes()),
            parent: parent.map(ImageId::new),
            label: None,
            names: vec![name.to_owned()],
            size_bytes: 1536,
            pinned: false,
            leases: 0,
        }
    }

    #[test]
    fn children_stand_under_their_parents() {
        let lineage = Lineage(vec![
            node(1, None, "a"),
            node(2, Some(1), "b"),
            node(3, None, "c"),
            node(4, Some(2), "d"),
            node(5, Some(99), "e"),
        ]);
        let text = tree(&lineage);
        let shape: Vec<(usize, &str)> = text
            .lines()
            .map(|line| (line.len() - line.trim_start().len(), line.split_whitespace().last().unwrap()))
            .collect();
        assert_eq!(shape, [(0, "a"), (2, "b"), (4, "d"), (0, "c"), (0, "e")]);
    }
}
