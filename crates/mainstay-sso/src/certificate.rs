//! Certificates of an identity provider: next, active, retired.

use mainstay_core::Timestamp;
use mainstay_saml::{Certificate, Policy};
use serde::Serialize;

use crate::connection::{Status, text_enum};
use crate::error::{Error, ErrorKind, Result};

text_enum! {
    /// Where a certificate stands in its life.
    CertificateState {
        /// Known, and not trusted yet.
        Next "next",
        /// Trusted: signatures that it verifies are accepted.
        Active "active",
        /// Not trusted any more.
        Retired "retired",
    }
}

/// A certificate of a connection, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CertificateRecord {
    /// SHA-256 of the DER, in hexadecimal digits.
    pub fingerprint: String,
    /// The certificate itself.
    pub pem: String,
    /// Where it stands in its life.
    pub state: CertificateState,
    /// Who it was issued to.
    pub subject: String,
    /// When its validity begins.
    pub not_before: Timestamp,
    /// When its validity ends.
    pub not_after: Timestamp,
    /// Where it came from: `manual`, or the revision of the metadata.
    pub source: String,
    /// When it was staged.
    pub staged_at: Timestamp,
    /// When it was last made active.
    pub activated_at: Option<Timestamp>,
    /// When it was last retired.
    pub retired_at: Option<Timestamp>,
}

/// Reads a certificate under a policy: short keys only while the policy's dated permission lasts.
pub(crate) fn read_pem(pem: &str, policy: &Policy, now: Timestamp) -> Result<Certificate> {
    let legacy = policy.legacy.as_ref().is_some_and(|legacy| legacy.short_rsa_keys && now < legacy.until);
    let certificate = if legacy { Certificate::from_legacy_pem(pem) } else { Certificate::from_pem(pem) };
    certificate.map_err(|problem| {
        Error::invalid("certificate", problem.to_string()).with_help(
            "paste the identity provider's signing certificate, beginning with -----BEGIN CERTIFICATE-----",
        )
    })
}

/// A record of a certificate that was just handed in.
pub(crate) fn record(
    certificate: &Certificate,
    state: CertificateState,
    source: String,
    now: Timestamp,
) -> CertificateRecord {
    CertificateRecord {
        fingerprint: certificate.fingerprint().to_string(),
        pem: certificate.to_pem(),
        state,
        subject: certificate.subject().to_owned(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        source,
        staged_at: now,
        activated_at: (state == CertificateState::Active).then_some(now),
        retired_at: None,
    }
}

/// Moves a certificate of `all` to a state, or says why not.
pub(crate) fn transition(
    all: &[CertificateRecord],
    fingerprint: &str,
    to: CertificateState,
    status: Status,
    now: Timestamp,
) -> Result<CertificateRecord> {
    let found = all.iter().find(|record| record.fingerprint == fingerprint);
    let mut record =
        found.cloned().ok_or_else(|| Error::not_found("the connection has no such certificate"))?;
    match (record.state, to) {
        (CertificateState::Next | CertificateState::Retired, CertificateState::Active) => {
            record.activated_at = Some(now);
        }
        (CertificateState::Active | CertificateState::Next, CertificateState::Retired) => {
            if record.state == CertificateState::Active {
                keeps_one_active(all, fingerprint, status)?;
            }
            record.retired_at = Some(now);
        }
        (from, to) => {
            return Err(Error::new(
                ErrorKind::Transition { from, to },
                format!("the certificate is {from} and cannot become {to}"),
            ));
        }
    }
    record.state = to;
    Ok(record)
}

/// Restores one certificate and retires another as one step; the last-active rule looks at the result.
pub(crate) fn rollback(
    all: &[CertificateRecord],
    restore: &str,
    retire: &str,
    status: Status,
    now: Timestamp,
) -> Result<(CertificateRecord, CertificateRecord)> {
    let restored = transition(all, restore, CertificateState::Active, status, now)?;
    let mut after = all.to_vec();
    for record in &mut after {
        if record.fingerprint == restored.fingerprint {
            record.clone_from(&restored);
        }
    }
    let retired = transition(&after, retire, CertificateState::Retired, status, now)?;
    if restored.fingerprint == retired.fingerprint {
        return Err(Error::invalid("retire", "a rollback restores one certificate and retires another"));
    }
    Ok((restored, retired))
}

fn keeps_one_active(all: &[CertificateRecord], leaving: &str, status: Status) -> Result<()> {
    let stays = |record: &&CertificateRecord| {
        record.state == CertificateState::Active && record.fingerprint != leaving
    };
    if status == Status::Draft || all.iter().any(|record| stays(&record)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LastActiveCertificate, "this is the connection's last active certificate")
        .with_help("activate its successor first, or use a rollback, which does both at once"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use CertificateState::{Active, Next, Retired};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn all(states: &[(&str, CertificateState)]) -> Vec<CertificateRecord> {
        let one = |(fingerprint, state): &(&str, CertificateState)| CertificateRecord {
            fingerprint: (*fingerprint).to_owned(),
            pem: String::new(),
            state: *state,
            subject: String::new(),
            not_before: NOW,
            not_after: NOW,
            source: "manual".into(),
            staged_at: NOW,
            activated_at: None,
            retired_at: None,
        };
        states.iter().map(one).collect()
    }

    #[track_caller]
    fn check(
        from: &[(&str, CertificateState)],
        to: CertificateState,
        status: Status,
        expected: Option<&ErrorKind>,
    ) {
        let result = transition(&all(from), "a", to, status, NOW);
        assert_eq!(result.as_ref().err().map(|error| error.kind()), expected);
        if let Ok(record) = result {
            assert_eq!(record.state, to);
        }
    }

    #[test]
    fn every_step_is_allowed_or_named() {
        let no = |from, to| ErrorKind::Transition { from, to };
        check(&[("a", Next)], Active, Status::Enabled, None);
        check(&[("a", Retired)], Active, Status::Enabled, None);
        check(&[("a", Active)], Active, Status::Enabled, Some(&no(Active, Active)));
        check(&[("a", Next)], Retired, Status::Enabled, None);
        check(&[("a", Retired)], Retired, Status::Enabled, Some(&no(Retired, Retired)));
        check(&[("a", Active)], Next, Status::Enabled, Some(&no(Active, Next)));
        check(&[("b", Active)], Active, Status::Enabled, Some(&ErrorKind::NotFound));
    }

    #[test]
    fn the_last_active_one_stays_unless_the_connection_is_a_draft() {
        check(
            &[("a", Active), ("b", Next)],
            Retired,
            Status::Enabled,
            Some(&ErrorKind::LastActiveCertificate),
        );
        check(
            &[("a", Active), ("b", Retired)],
            Retired,
            Status::Disabled,
            Some(&ErrorKind::LastActiveCertificate),
        );
        check(&[("a", Active), ("b", Active)], Retired, Status::Enabled, None);
        check(&[("a", Active)], Retired, Status::Draft, None);
    }

    #[test]
    fn a_rollback_is_one_step() {
        let set = all(&[("old", Retired), ("new", Active)]);
        let (restored, retired) = rollback(&set, "old", "new", Status::Enabled, NOW).unwrap();
        assert_eq!((restored.state, retired.state), (Active, Retired));
        assert!(rollback(&set, "new", "old", Status::Enabled, NOW).is_err());
        assert!(rollback(&set, "old", "old", Status::Enabled, NOW).is_err());
    }
}
