//! Takes the tour: `image-store DATABASE_URL DIRECTORY`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what the program is for")]

use std::path::Path;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        // The store's errors say what, why and how to mend it, as a sentence.
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> image_store::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, directory] = arguments.as_slice() else {
        return Err("usage: image-store DATABASE_URL DIRECTORY".into());
    };
    let images = image_store::open(url, Path::new(directory)).await?;
    for stage in image_store::tour(&images).await? {
        println!("{stage}");
    }
    Ok(())
}
