//! The forms, each with what it will do; nothing for those who may not.

use mainstay_images::Action;
use maud::{Markup, html};

use super::frame::Frame;
use crate::images::document::ImageDocument;

/// What has to be typed for a collection.
pub(super) const COLLECT: &str = "collect";
/// What has to be typed to end a holder.
pub(super) const REVOKE: &str = "revoke";
/// What has to be typed to remove an image.
pub(super) const REMOVE: &str = "remove";

fn path(image: &ImageDocument, action: &str) -> String {
    format!("/images/{}/{action}", image.line.digest)
}

/// A field in which a word is typed.
pub(super) fn confirm(id: &str, word: &str) -> Markup {
    html! {
        div {
            label for=(id) { "Type " code { (word) } " to confirm" }
            input id=(id) type="text" name="confirm" required pattern=(word) autocomplete="off";
        }
    }
}

/// What may be done with an image.
pub(super) fn of_image(frame: &Frame, image: &ImageDocument) -> Markup {
    if !frame.commands.may(Action::Tag) {
        return html! {};
    }
    html! {
        section class="panel section" {
            div class="head" { h2 { "Actions" } }
            div class="body stack" {
                @if image.line.pinned {
                    (plain(frame, image, "unpin", "Take the pin away", "The policy may let the image go again, when nothing else claims it."))
                } @else {
                    (plain(frame, image, "pin", "Pin", "Keeps the image whatever the policy says, until the pin is taken away."))
                }
                (named(frame, image, "tag", "Point a name at it…",
                    "A name that is there moves here from wherever it pointed.", "Point the name"))
                (named(frame, image, "fork", "Fork…",
                    "A new name begins here. Commits to it move it on and leave this image's other names alone.", "Begin the name"))
                @if !image.line.names.is_empty() { (untag(frame, image)) }
                @if frame.commands.may(Action::Remove) { (remove(frame, image)) }
            }
        }
    }
}

fn plain(frame: &Frame, image: &ImageDocument, action: &str, title: &str, says: &str) -> Markup {
    html! {
        form class="act" method="post" action=(path(image, action)) {
            (frame.token())
            p { (says) }
            button class="button quiet" { (title) }
        }
    }
}

fn named(frame: &Frame, image: &ImageDocument, action: &str, title: &str, says: &str, does: &str) -> Markup {
    html! {
        details {
            summary { (title) }
            form class="stack" method="post" action=(path(image, action)) {
                (frame.token())
                p { (says) }
                div {
                    label for=(action) { "Name" }
                    input id=(action) type="text" name="name" required maxlength="255" autocomplete="off" spellcheck="false"
                        placeholder="team/app:1";
                }
                button class="button" { (does) }
            }
        }
    }
}

fn untag(frame: &Frame, image: &ImageDocument) -> Markup {
    html! {
        details {
            summary { "Remove a name…" }
            form class="stack" method="post" action=(path(image, "untag")) {
                (frame.token())
                p { "The image stays until it is removed or the policy lets it go." }
                div {
                    label for="untag" { "Name" }
                    select id="untag" name="name" { @for name in &image.line.names { option value=(name) { (name) } } }
                }
                button class="button" { "Remove the name" }
            }
        }
    }
}

fn remove(frame: &Frame, image: &ImageDocument) -> Markup {
    html! {
        details {
            summary { "Remove the image…" }
            form class="stack" method="post" action=(path(image, "remove")) {
                (frame.token())
                p {
                    @match image.line.names.len() {
                        0 => "It has no name.",
                        1 => { "Its name " b { (image.line.names.join("")) } " goes with it." }
                        many => { "Its " (many) " names go with it: " b { (image.line.names.join(", ")) } "." }
                    }
                    " While it is pinned, leased, or another image was made from it, it stays and so do its names. A removed image does "
                    "not come back but by bringing it in again."
                }
                (confirm("remove", REMOVE))
                button class="button danger" { "Remove the image" }
            }
        }
    }
}
