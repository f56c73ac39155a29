//! `mainstay sso connection policy`: what a connection accepts, field by field.

use mainstay_saml::Policy;
use mainstay_sso::{Cause, ConnectionUpdate};
use serde::Serialize;
use serde_json::{Map, Value};

use super::one;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};

#[derive(Serialize)]
struct PolicyBody {
    connection: String,
    /// The connection's version with this policy.
    version: i64,
    policy: Policy,
}

pub(super) async fn run(args: &args::Policy, context: &Context) -> Outcome {
    let (_, sso, connection) = one(&args.one, context).await?;
    let connection = if args.set.is_empty() {
        connection
    } else {
        let policy = changed(&connection.policy, &args.set)?;
        let cause = Cause::new(args.one.why.cause.as_str())?;
        let update = ConnectionUpdate { policy: Some(policy), ..ConnectionUpdate::default() };
        let (id, version) = (connection.id, connection.lock_version);
        sso.connection_update(&context.scope()?, &cause, id, version, update).await?
    };
    let body = PolicyBody {
        connection: connection.id.to_string(),
        version: connection.lock_version,
        policy: connection.policy,
    };
    let fields = fields(&body.policy)?;
    context.output.result("mainstay.sso.connection.policy/1", &body, || {
        fields.iter().map(|(name, value)| format!("{name:<22} {value}\n")).collect()
    });
    Ok(())
}

fn fields(policy: &Policy) -> Outcome<Map<String, Value>> {
    match serde_json::to_value(policy) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) | Err(_) => Err(Failure::new(Exit::Refused, "the stored policy cannot be written as JSON")),
    }
}

/// The policy with the fields that are named set anew.
fn changed(policy: &Policy, set: &[String]) -> Outcome<Policy> {
    let mut fields = fields(policy)?;
    let known: Vec<String> = fields.keys().cloned().collect();
    for item in set {
        let (name, text) = item.split_once('=').ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{item:?} is not a field and its value"))
                .with_help("for example --set allow_inclusive_c14n=true")
        })?;
        let field = fields.get_mut(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("a policy has no field {name:?}"))
                .with_help(format!("there are: {}", known.join(", ")))
        })?;
        // What is no JSON is a text: either, response, both.
        *field = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| {
        Failure::new(Exit::Usage, format!("the policy would not be one: {error}"))
            .with_help("without --set the command prints every field with its value")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[&str]) -> Outcome<Policy> {
        changed(&Policy::default(), &set.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn fields_are_set_and_what_is_none_is_told() {
        let policy = check(&["allow_inclusive_c14n=true", "clock_skew=60", "signatures=both"]).unwrap();
        let expected = Policy {
            allow_inclusive_c14n: true,
            clock_skew: std::time::Duration::from_secs(60),
            signatures: mainstay_saml::SignatureRequirement::Both,
            ..Policy::default()
        };
        assert_eq!(policy, expected);
        for (wrong, told) in [
            ("allow", "not a field and its value"),
            ("allowed=true", "no field"),
            ("clock_skew=soon", "would not be one"),
            ("signatures=none", "would not be one"),
        ] {
            let failure = check(&[wrong]).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.message.contains(told), "{wrong}: {failure:?}");
        }
    }
}
