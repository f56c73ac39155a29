//! `mainstay sso connection show`: everything that decides whether a login will work.

use mainstay_sso::CertificateRecord;
use serde::Serialize;

use super::{ConnectionView, one};
use crate::cli::args::One;
use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::table;

#[derive(Serialize)]
struct ShowBody {
    connection: ConnectionView,
    certificates: Vec<CertificateView>,
    /// What keeps it from being enabled.
    missing: Vec<&'static str>,
}

#[derive(Serialize)]
struct CertificateView {
    fingerprint: String,
    state: &'static str,
    subject: String,
    not_before: String,
    not_after: String,
}

impl CertificateView {
    fn new(record: CertificateRecord) -> Self {
        Self {
            fingerprint: record.fingerprint,
            state: record.state.as_str(),
            subject: record.subject,
            not_before: record.not_before.to_string(),
            not_after: record.not_after.to_string(),
        }
    }
}

pub(super) async fn run(args: &One, context: &Context) -> Outcome {
    let (_, sso, connection) = one(args, context).await?;
    let scope = context.scope()?;
    let certificates = sso.certificate_list(&scope, connection.id).await?;
    let missing = sso.connection_readiness(&scope, connection.id).await?;
    let body = ShowBody {
        connection: ConnectionView::new(&connection),
        certificates: certificates.into_iter().map(CertificateView::new).collect(),
        missing: missing.into_iter().map(|missing| missing.describe()).collect(),
    };
    context.output.result("mainstay.sso.connection.show/1", &body, || text(&body));
    Ok(())
}

fn text(body: &ShowBody) -> String {
    let row = |view: &CertificateView| {
        vec![view.state.to_owned(), view.not_after.clone(), view.fingerprint.clone(), view.subject.clone()]
    };
    let rows: Vec<Vec<String>> = body.certificates.iter().map(row).collect();
    let mut text = body.connection.text();
    text.push('\n');
    text.push_str(&table(&["CERTIFICATE", "VALID UNTIL", "SHA-256", "SUBJECT"], &rows));
    text.extend(body.missing.iter().map(|missing| format!("missing: {missing}\n")));
    text
}
