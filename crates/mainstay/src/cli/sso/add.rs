//! `mainstay sso connection add`: from an identity provider's metadata to a connection.

use std::io::Read as _;
use std::path::Path;

use mainstay_saml::Certificate;
use mainstay_server::{Config, FetchPolicy, PublicUrl, create_connection, fetch, limits};
use mainstay_sso::{
    Cause, Connection, MetadataInput, MetadataSource, NewConnection, OrganizationId, Preset, Sso,
};
use serde::Serialize;

use super::ConnectionView;
use crate::cli::args::Add;
use crate::cli::context::{Context, public_url};
use crate::cli::exit::{Exit, Failure, Outcome};

#[derive(Serialize)]
struct AddBody {
    connection: ConnectionView,
    /// SHA-256 of each certificate that the connection now trusts.
    certificates: Vec<String>,
}

pub(super) async fn run(args: &Add, context: &Context) -> Outcome {
    let config = context.config(&args.settings, None)?;
    let url = public_url(&config);
    let preset: Preset = args.preset.parse()?;
    let organization = args.organization.as_deref().map(OrganizationId::new).transpose()?;
    let cause = Cause::new(args.why.cause.as_str())?;
    let scope = context.scope()?;
    // Everything that can be wrong is read before anything is stored.
    let signers = args.signer.iter().map(|path| certificate(path)).collect::<Outcome<Vec<_>>>()?;
    let (xml, source) = document(args).await?;
    let input =
        MetadataInput { xml, source, entity_id: args.entity_id.clone(), signers, accept_drift: false };
    let sso = context.sso(&config).await?;

    let display_name = args.name.clone().unwrap_or_else(|| name_of(&args.metadata));
    let new = NewConnection { display_name, organization, preset, ..NewConnection::default() };
    let draft = create_connection(&sso, &scope, &cause, new, &url).await?;
    let (id, version) = (draft.id, draft.lock_version);
    let imported = match sso.metadata_import(&scope, &cause, id, version, input).await {
        Ok(imported) => imported.connection,
        // A draft with nothing in it is of no use to anybody; the audit and the rejected document stay.
        Err(error) => {
            discard(&sso, &scope, &draft).await;
            return Err(error.into());
        }
    };
    let connection = if args.enable {
        sso.connection_enable(&scope, &cause, id, imported.lock_version).await?
    } else {
        imported
    };
    let certificates = sso.certificate_list(&scope, id).await?;
    let body = AddBody {
        connection: ConnectionView::new(&connection),
        certificates: certificates.into_iter().map(|record| record.fingerprint).collect(),
    };
    context.output.result("mainstay.sso.connection.add/1", &body, || {
        text(&body, args.enable) + &assumed_url(&config, &url)
    });
    Ok(())
}

async fn discard(sso: &Sso, scope: &mainstay_sso::Scope, draft: &Connection) {
    let Ok(cause) = Cause::new("its metadata was not usable") else { return };
    let Ok(now) = sso.connection_show(scope, draft.id).await else { return };
    if let Err(error) = sso.connection_delete(scope, &cause, now.id, now.lock_version).await {
        tracing::warn!(connection = %draft.id, %error, "the draft was not removed");
    }
}

fn text(body: &AddBody, enabled: bool) -> String {
    let mut text = body.connection.text();
    for fingerprint in &body.certificates {
        text.push_str(&format!("{:<18} {fingerprint}\n", "trusts"));
    }
    text.push_str("\nGive the identity provider our metadata, or our entity id and ACS URL.\n");
    if !enabled {
        text.push_str(&format!("Then: mainstay sso connection enable {}\n", body.connection.id));
    }
    text
}

/// A connection keeps the URLs that it is made with; a wrong guess shows only when the first user comes back.
fn assumed_url(config: &Config, url: &PublicUrl) -> String {
    match config.public_url {
        Some(_) => String::new(),
        None => {
            format!("These URLs take the server to be {url}; if it is not, add it again with --public-url.\n")
        }
    }
}

/// The document and where it came from.
async fn document(args: &Add) -> Outcome<(Vec<u8>, MetadataSource)> {
    let place = args.metadata.as_str();
    if place.starts_with("https://") || place.starts_with("http://") {
        let policy = FetchPolicy {
            allow_http: args.allow_http,
            allow_private: args.allow_private,
            max_bytes: limits::METADATA_BYTES,
            timeout: limits::FETCH_TIMEOUT,
        };
        return Ok((fetch(place, &policy).await?, MetadataSource::Url(place.to_owned())));
    }
    let unreadable = |error: std::io::Error| {
        Failure::new(Exit::Usage, format!("the metadata in {place} cannot be read: {error}"))
            .with_help("give a file, - for standard input, or an https URL")
    };
    let mut xml = Vec::new();
    // One octet more than the limit, so that too large is told from just as large.
    let limit = u64::try_from(limits::METADATA_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    if place == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut xml).map_err(unreadable)?;
    } else {
        let file = std::fs::File::open(place).map_err(unreadable)?;
        file.take(limit).read_to_end(&mut xml).map_err(unreadable)?;
    }
    if xml.len() > limits::METADATA_BYTES {
        let message = format!("the metadata in {place} is larger than {} octets", limits::METADATA_BYTES);
        return Err(Failure::new(Exit::Refused, message));
    }
    let name = Path::new(place).file_name().map_or("-".into(), |name| name.to_string_lossy());
    Ok((xml, MetadataSource::File(name.into_owned())))
}

fn certificate(path: &Path) -> Outcome<Certificate> {
    let wrong = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("the signer's certificate {} cannot be used: {why}", path.display()),
        )
    };
    let pem = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))
}

/// A name for a connection that was given none.
fn name_of(place: &str) -> String {
    let name = match place.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next().map(str::to_owned),
        None if place == "-" => None,
        None => Path::new(place).file_stem().map(|stem| stem.to_string_lossy().into_owned()),
    };
    name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "Identity provider".to_owned())
}
