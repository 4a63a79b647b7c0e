//! `completions` and `man`: generated from the definition of the command line.

use std::{io, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    if shell == Shell::Bash {
        text = mended(&text);
    }
    // A closed stdout (`| head`) is no reason to complain.
    drop(io::Write::write_all(&mut io::stdout(), &text));
    ExitCode::SUCCESS
}

/// clap_complete 4.6.11 mistakes the dash in our name for a subcommand in one place but not in the other, so that bash
/// would complete nothing.
fn mended(bash: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(bash)
        .replace("srt__subcmd__gateway", "srt__gateway")
        .into_bytes()
}

pub(super) fn man(directory: Option<&Path>) -> anyhow::Result<ExitCode> {
    match directory {
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            drop(io::Write::write_all(&mut io::stdout(), &page));
        }
        Some(directory) => std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
            .with_context(|| format!("cannot write manual pages to {}", directory.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
