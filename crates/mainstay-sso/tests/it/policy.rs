//! What is stored is enforced: each field of the policy and of the request settings, set in the database, changes what
//! happens to one and the same login.

use std::time::Duration;

use mainstay_core::Clock as _;
use mainstay_saml::idp::{Grant, Signed};
use mainstay_saml::{
    CertificateValidity, DigestAlgorithm, DuplicateAttributes, LegacyOverride, Policy, Refusal,
    SignatureAlgorithm, SignatureRequirement,
};
use mainstay_sso::*;
use mainstay_testkit::TestDatabase;

use crate::support::{World, refusal};

/// A login under the default policy, and the same under a changed one: the outcome must differ.
async fn check(
    world: &World,
    field: &str,
    grant: impl Fn(&mut Grant),
    policy: impl FnOnce(&mut Policy),
    default: Option<Refusal>,
    changed: Option<Refusal>,
) {
    assert_ne!(default, changed, "{field} must change something");
    let connection = world.enabled().await;
    assert_eq!(
        outcome(world, &connection, &grant).await,
        default.map(SignInRefusal::Saml),
        "{field}: default"
    );
    let mut stored = connection.policy.clone();
    policy(&mut stored);
    assert_ne!(stored, connection.policy, "{field}");
    let connection = world.set_policy(&connection, stored).await;
    assert_eq!(
        outcome(world, &connection, &grant).await,
        changed.map(SignInRefusal::Saml),
        "{field}: changed"
    );
}

async fn outcome(
    world: &World,
    connection: &Connection,
    grant: &impl Fn(&mut Grant),
) -> Option<SignInRefusal> {
    let started = world.start(connection).await;
    let mut given = world.grant(connection, Some(&started.redirect.request_id));
    grant(&mut given);
    match world.finish(&started, &world.sign(&given)).await {
        Ok(_) => None,
        other => Some(refusal(other)),
    }
}

#[tokio::test]
async fn every_field_of_the_policy_changes_the_outcome() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let as_is = |_: &mut Grant| {};
    check(
        &world,
        "signatures",
        as_is,
        |policy| policy.signatures = SignatureRequirement::Both,
        None,
        Some(Refusal::ResponseSignatureMissing),
    )
    .await;
    check(
        &world,
        "signatures",
        |grant| grant.signed = Signed::Response,
        |policy| policy.signatures = SignatureRequirement::Assertion,
        None,
        Some(Refusal::AssertionSignatureMissing),
    )
    .await;
    check(
        &world,
        "signature_algorithms",
        as_is,
        |policy| policy.signature_algorithms = vec![SignatureAlgorithm::RsaSha256],
        None,
        Some(Refusal::SignatureAlgorithmNotAllowed),
    )
    .await;
    check(
        &world,
        "digest_algorithms",
        as_is,
        |policy| policy.digest_algorithms = vec![DigestAlgorithm::Sha512],
        None,
        Some(Refusal::DigestAlgorithmNotAllowed),
    )
    .await;
    let until = world.clock.now().saturating_add(Duration::from_secs(3_600));
    check(
        &world,
        "legacy",
        |grant| grant.digest = DigestAlgorithm::Sha1,
        |policy| policy.legacy = Some(LegacyOverride { until, sha1: true, short_rsa_keys: false }),
        Some(Refusal::DigestAlgorithmNotAllowed),
        None,
    )
    .await;
    check(
        &world,
        "duplicate_attributes",
        |grant| grant.attributes = vec![("a".into(), vec!["1".into()]), ("a".into(), vec!["2".into()])],
        |policy| policy.duplicate_attributes = DuplicateAttributes::Refuse,
        None,
        Some(Refusal::AttributeDuplicate),
    )
    .await;
    check(
        &world,
        "name_id_formats",
        as_is,
        |policy| {
            policy.name_id_formats = vec!["urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".into()];
        },
        None,
        Some(Refusal::NameIdFormatNotAllowed),
    )
    .await;
    check(
        &world,
        "authn_contexts",
        as_is,
        |policy| policy.authn_contexts = vec!["urn:oasis:names:tc:SAML:2.0:ac:classes:X509".into()],
        None,
        Some(Refusal::AuthnContextNotAllowed),
    )
    .await;
}

#[tokio::test]
async fn time_and_shape_of_the_message_follow_the_stored_policy() {
    let world = World::new(&TestDatabase::sqlite()).await;
    // Clock skew: a response from a minute in the future.
    let connection = world.enabled().await;
    let ahead = async |connection: &Connection| {
        let started = world.start(connection).await;
        let grant = world.grant(connection, Some(&started.redirect.request_id));
        let at = world.clock.now().saturating_add(Duration::from_secs(60));
        let response = world.idp.respond(&grant, &crate::support::octets(), at).unwrap();
        world.finish(&started, &response).await.map(drop)
    };
    assert!(ahead(&connection).await.is_ok());
    let policy = Policy { clock_skew: Duration::ZERO, ..connection.policy.clone() };
    let connection = world.set_policy(&connection, policy).await;
    assert_eq!(refusal(ahead(&connection).await), SignInRefusal::Saml(Refusal::IssuedInFuture));

    // What the message lacks; such a response is cut out of a good one, and signed anew.
    let lacking = async |connection: &Connection, from: &str, to: &str| {
        let started = world.start(connection).await;
        let mut grant = world.grant(connection, Some(&started.redirect.request_id));
        grant.signed = Signed::Nothing;
        let xml = world.idp.response_xml(&grant, &crate::support::octets(), world.clock.now()).unwrap();
        let (before, rest) = xml.split_once(from).unwrap();
        let (_, after) = rest.split_once(to).unwrap();
        let id = before.split_once("ID=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        let options = mainstay_saml::idp::SignOptions::new(&world.idp.key, &world.idp.certificate);
        let signed = mainstay_saml::idp::sign_enveloped(&format!("{before}{after}"), &id, &options).unwrap();
        world.finish(&started, &base64(&signed)).await.map(drop)
    };
    let connection = world.enabled().await;
    let audience = ("<saml:AudienceRestriction>", "</saml:AudienceRestriction>");
    let destination = (" Destination=\"", "\"");
    let refused = refusal(lacking(&connection, audience.0, audience.1).await);
    assert_eq!(refused, SignInRefusal::Saml(Refusal::AudienceMissing));
    let refused = refusal(lacking(&connection, destination.0, destination.1).await);
    assert_eq!(refused, SignInRefusal::Saml(Refusal::DestinationMissing));
    let lenient = Policy { require_audience: false, require_destination: false, ..connection.policy.clone() };
    let connection = world.set_policy(&connection, lenient).await;
    assert!(lacking(&connection, audience.0, audience.1).await.is_ok());
    assert!(lacking(&connection, destination.0, destination.1).await.is_ok());
}

fn base64(xml: &str) -> String {
    // The test's own base64, so that the crate under test does not encode for itself.
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in xml.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place > chunk.len() { '=' } else { digit });
        }
    }
    text
}

#[tokio::test]
async fn age_and_validity_follow_the_stored_policy() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let connection = world.enabled().await;
    let late = async |connection: &Connection| {
        let started = world.start(connection).await;
        let response = world.answer(&started);
        world.clock.advance(Duration::from_secs(200));
        world.finish(&started, &response).await.map(drop)
    };
    assert!(late(&connection).await.is_ok());
    let policy = Policy { max_authn_age: Some(Duration::from_secs(10)), ..connection.policy.clone() };
    let connection = world.set_policy(&connection, policy).await;
    assert_eq!(refusal(late(&connection).await), SignInRefusal::Saml(Refusal::AuthnTooOld));

    // Twenty years later the certificate has expired; by default the login only warns.
    let connection = world.enabled().await;
    world.clock.advance(Duration::from_secs(20 * 366 * 86_400));
    let signed_in = world.sign_in(&connection).await;
    assert!(!signed_in.warnings.is_empty());
    let policy = Policy { certificate_validity: CertificateValidity::Refuse, ..connection.policy.clone() };
    let update = ConnectionUpdate { policy: Some(policy), ..ConnectionUpdate::default() };
    let refused = world
        .sso
        .connection_update(&world.scope, &world.cause, connection.id, connection.lock_version, update)
        .await;
    assert_eq!(crate::support::kind(refused), ErrorKind::NotReady(vec![Missing::ValidActiveCertificate]));
}

#[tokio::test]
async fn what_is_asked_for_is_checked_in_the_answer() {
    let world = World::new(&TestDatabase::sqlite()).await;
    let asking = |change: fn(&mut RequestSettings)| move |new: &mut NewConnection| change(&mut new.request);
    let connection = world
        .enabled_with(asking(|request| {
            request.authn_contexts = vec!["urn:oasis:names:tc:SAML:2.0:ac:classes:X509".into()];
        }))
        .await;
    let started = world.start(&connection).await;
    let request = world.idp.parse_request(query(&started.redirect.url)).unwrap();
    assert_eq!(request.relay_state.as_deref(), Some(started.redirect.relay_state.as_str()));
    let result = world.finish(&started, &world.answer(&started)).await;
    assert_eq!(refusal(result), SignInRefusal::Saml(Refusal::AuthnContextNotAllowed));

    let forcing = |new: &mut NewConnection| {
        new.request.force_authn = true;
        new.policy.clock_skew = Duration::ZERO;
    };
    let connection = world.enabled_with(forcing).await;
    let started = world.start(&connection).await;
    assert!(world.idp.parse_request(query(&started.redirect.url)).unwrap().force_authn);
    // An authentication from before the request, which an identity provider must not answer with.
    let grant = world.grant(&connection, Some(&started.redirect.request_id));
    let earlier = world.clock.now().saturating_sub(Duration::from_secs(60));
    let response = world.idp.respond(&grant, &crate::support::octets(), earlier).unwrap();
    let refused = refusal(world.finish(&started, &response).await);
    assert_eq!(refused, SignInRefusal::Saml(Refusal::AuthnTooOld));

    let format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
    let connection = world
        .enabled_with(asking(|request| {
            request.name_id_format = Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".into());
        }))
        .await;
    let started = world.start(&connection).await;
    let request = world.idp.parse_request(query(&started.redirect.url)).unwrap();
    assert_eq!(request.name_id_format.as_deref(), Some(format));
}

fn query(url: &str) -> &str {
    url.split_once('?').unwrap().1
}
