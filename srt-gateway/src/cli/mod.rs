//! The commands and flags of the binary, and its output. One file per command; this one has the shared parts.
//!
//! Everything runs on the main thread. Commands call the same modules as the gateway for every decision.
//!
//! Exit codes: 0 normal end; 1 failed to start, failed while running, or did not end in time; 2 invalid command line or
//! configuration.

mod bench;
mod check;
mod ctl;
mod doctor;
mod explain;
mod log_format;
mod probe;
mod relay;
mod relay_words;
mod reload;
mod serve;
mod service;
mod shell;
mod signals;
mod status;

use std::{
    ffi::OsString,
    io::{IsTerminal, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::LazyLock,
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, DEFAULT_TOML, LoadError},
    control, log_writer,
    names::{Notation, escaped},
};

/// How long writing the last log lines may take.
const LAST_LINES: Duration = Duration::from_millis(200);

/// How long writing a message may take if nobody reads it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// An invalid command line or configuration.
const USAGE: u8 = 2;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (libsrt {}; edits: {}; crypto: {})",
        env!("CARGO_PKG_VERSION"),
        srt_safe::library_version(),
        match srt_safe::library_edits() {
            "" => "none",
            edits => edits,
        },
        srt_safe::library_crypto()
    )
});

/// SRT gateway: relays MPEG-TS byte for byte between SRT callers and listeners.
#[derive(Debug, Parser)]
#[command(name = "srt-gateway", version = VERSION.as_str(), args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT. This is the default command.
    Run(ConfigFile),
    /// Check a configuration file and report every error.
    Check {
        /// The TOML file.
        file: PathBuf,
    },
    /// Explain how the gateway parses a streamid and what each port would answer to a caller that sends it.
    ExplainStreamid(explain::Explain),
    /// Call an SRT listener and report the handshake, the link and the stream.
    Probe(probe::Probe),
    /// Relay one input to any number of outputs without a gateway, as srt-live-transmit does.
    Relay(relay::RelayArgs),
    /// Show the ports, streams and sessions of the running gateway.
    Status(status::StatusArgs),
    /// Show the callers that the running gateway refused most recently, and why.
    Rejections(status::RejectionsArgs),
    /// Query and control the running gateway over its HTTP API.
    Ctl(ctl::Ctl),
    /// Load an SRT server with publishers and viewers, and measure loss, delay and the cost to the server.
    Bench(bench::BenchArgs),
    /// Check whether this machine is ready for the gateway and suggest changes. Exits with 1 if a check fails.
    Doctor(doctor::DoctorArgs),
    /// Write shell completions to standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the configuration reference to standard output as Markdown.
    Reference,
    /// Write the manual page to standard output, or the pages of all commands to a directory.
    Man {
        /// Existing directory for srt-gateway.1, srt-gateway-check.1 and so on.
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// TOML file. Without one, the gateway accepts publishers and viewers on 127.0.0.1:9998.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command given by the process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match relay_words::translated(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(why) => {
            say_error(format_args!("srt-gateway: {why}"));
            return ExitCode::from(USAGE);
        }
    };
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(hint) = file_for_command(&error, arguments.get(1)) {
                say_error(format_args!("srt-gateway: {hint}"));
                return ExitCode::from(USAGE);
            }
            error.exit();
        }
    };
    let outcome = match cli.command {
        None => serve::serve(cli.run.config.as_deref()),
        Some(Command::Run(run)) => serve::serve(run.config.as_deref()),
        Some(Command::Check { file }) => Ok(check::check(&file)),
        Some(Command::ExplainStreamid(explain)) => Ok(explain::explain(&explain)),
        Some(Command::Probe(args)) => Ok(probe::probe(&args)),
        Some(Command::Relay(args)) => relay::relay(&args),
        Some(Command::Status(args)) => Ok(status::status(&args)),
        Some(Command::Rejections(args)) => Ok(status::rejections(&args)),
        Some(Command::Ctl(args)) => ctl::ctl(&args),
        Some(Command::Bench(args)) => bench::bench(args),
        Some(Command::Doctor(of)) => Ok(doctor::doctor(&of)),
        Some(Command::Completions { shell }) => Ok(shell::completions(shell)),
        Some(Command::Reference) => {
            say(format_args!("{}", crate::config::document().trim_end()));
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { directory }) => shell::man(directory.as_deref()),
    };
    let code = outcome.unwrap_or_else(|error| {
        say_error(format_args!("srt-gateway: {error:#}"));
        ExitCode::FAILURE
    });
    log_writer::flush(LAST_LINES);
    code
}

/// The message for `srt-gateway FILE.toml`.
fn file_for_command(error: &clap::Error, first: Option<&OsString>) -> Option<String> {
    let is_unknown = matches!(
        error.kind(),
        clap::error::ErrorKind::InvalidSubcommand | clap::error::ErrorKind::UnknownArgument
    );
    let path = Path::new(first?);
    let is_file = path.extension().is_some_and(|extension| extension == "toml") || path.is_file();
    let name = path.display();
    (is_unknown && is_file).then(|| {
        format!("{name} is not a command; to run the gateway with this file: srt-gateway run --config {name}")
    })
}

/// `1 port`, `2 ports`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Earlier log lines are written first.
fn say_error(text: std::fmt::Arguments<'_>) {
    let text = text.to_string();
    log_writer::flush(WRITE_TIMEOUT);
    let text = format!("{}\n", escaped(&text, Notation::Lines));
    log_writer::write_within(WRITE_TIMEOUT, std::io::stderr(), text);
}

/// Prints lines, escaped because they contain text from peers.
fn say(text: std::fmt::Arguments<'_>) {
    // A closed stdout (a pager that was left) is no reason to stop.
    let text = text.to_string();
    drop(writeln!(std::io::stdout(), "{}", escaped(&text, Notation::Lines)));
}

/// Like [`say`], for JSON, which stays valid.
fn say_json_text(text: &str) {
    drop(writeln!(std::io::stdout(), "{}", escaped(text, Notation::Json)));
}

/// Reads a configuration and checks its libsrt options; `None` is the default configuration.
fn read(file: Option<&Path>) -> Result<Config, LoadError> {
    let Some(path) = file else {
        return Ok(Config::parse(DEFAULT_TOML).expect("a test parses the embedded configuration"));
    };
    Config::load_checked(path, control::check_option)
}

/// Like [`read`]; prints errors to stderr and returns the exit code.
fn load(file: Option<&Path>) -> Result<Config, ExitCode> {
    read(file).map_err(|error| {
        let told = if std::io::stderr().is_terminal() {
            error.render_styled()
        } else {
            error.render()
        };
        // It quotes the operator's own file, and has colours.
        log_writer::write_within(WRITE_TIMEOUT, std::io::stderr(), format!("{}\n", told.trim_end()));
        ExitCode::from(USAGE)
    })
}
