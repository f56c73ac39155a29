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
    match body.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Usage, "the configuration has a problem")),
        several => Err(Failure::new(Exit::Usage, format!("the configuration has {several} problems"))),
    }
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
