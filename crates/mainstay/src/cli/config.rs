//! `mainstay config check`.

use mainstay_server::Effective;
use serde::Serialize;

use super::args::Serve;
use super::context::Context;
use super::exit::{Exit, Failure, Outcome};
use super::output::table;

#[derive(Serialize)]
struct Check {
    settings: Vec<Effective>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Problem {
    setting: String,
    origin: String,
    message: String,
    mend: String,
}

pub(super) fn check(args: &Serve, context: &Context) -> Outcome {
    let loaded = context.load(&args.settings, Some(&args.server))?;
    let problems = loaded.problems.iter().map(|problem| Problem {
        setting: problem.setting.clone(),
        origin: problem.origin.to_string(),
        message: problem.message.clone(),
        mend: problem.mend.clone(),
    });
    let body = Check { settings: loaded.effective, problems: problems.collect(), warnings: loaded.warnings };
    context.output.result("mainstay.config.check/1", &body, || text(&body));
    // A program that reads the document has it all; it is the only one.
    let told = match body.problems.len() {
        0 => return Ok(()),
        _ if context.output.is_json() => String::new(),
        1 => "the configuration has a problem".to_owned(),
        several => format!("the configuration has {several} problems"),
    };
    Err(Failure::new(Exit::Usage, told))
}

fn text(body: &Check) -> String {
    let row = |line: &Effective| vec![line.setting.to_owned(), line.value.clone(), line.origin.clone()];
    let mut text = table(&["SETTING", "VALUE", "FROM"], &body.settings.iter().map(row).collect::<Vec<_>>());
    for problem in &body.problems {
        let Problem { setting, origin, message, mend } = problem;
        text.push_str(&format!("\nproblem: {setting} ({origin}): {message}\n   mend: {mend}\n"));
    }
    for warning in &body.warnings {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    text
}
