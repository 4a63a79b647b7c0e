//! `status` and `rejections`: query the running gateway over its local control socket and print the answer.

use std::{fmt, path::PathBuf, process::ExitCode, thread, time::Duration};

use super::{counted, load, say, say_error, say_json_text};
use crate::local::{
    self, Answer, Client, ClientError, Endpoint, Port, Refusal, Request, Session, Status, Stream,
};

/// How often `--follow` polls.
const EVERY: Duration = Duration::from_millis(500);

/// Where the running gateway is.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// Control socket of the gateway. Default: the one in the configuration, or the built-in default.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// TOML file of the gateway.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What `status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    gateway: Where,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `rejections` takes.
#[derive(Debug, clap::Args)]
pub(super) struct RejectionsArgs {
    #[command(flatten)]
    gateway: Where,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Keep printing new refusals until interrupted.
    #[arg(short, long)]
    follow: bool,
}

impl Where {
    fn path(&self) -> Result<PathBuf, ExitCode> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let config = match &self.config {
            Some(file) => Some(load(Some(file))?),
            None => None,
        };
        let configured = config
            .as_ref()
            .and_then(|config| config.gateway.control_socket.as_deref());
        Ok(local::find(configured))
    }

    fn connect(&self) -> Result<Client, ExitCode> {
        Client::connect(&self.path()?).map_err(|error| failed(&error))
    }
}

fn failed(error: &ClientError) -> ExitCode {
    say_error(format_args!("srt-gateway: {error}"));
    ExitCode::FAILURE
}

pub(super) fn status(args: &StatusArgs) -> ExitCode {
    let asked = args.gateway.connect().and_then(|mut client| {
        let answer = client.ask(&Request::Status).map_err(|error| failed(&error))?;
        let Answer::Status(status) = answer else {
            return Err(failed(&client.no_answer()));
        };
        if args.json {
            say_json(&status);
        } else {
            say(format_args!("{}", Shown(&status)));
        }
        Ok(ExitCode::SUCCESS)
    });
    asked.unwrap_or_else(|code| code)
}

pub(super) fn rejections(args: &RejectionsArgs) -> ExitCode {
    let mut client = match args.gateway.connect() {
        Ok(client) => client,
        Err(code) => return code,
    };
    let mut after = 0;
    loop {
        match client.ask(&Request::Rejections { after }) {
            Ok(Answer::Rejections(refusals)) => {
                after = refusals.last().map_or(after, |last| last.number);
                for refusal in &refusals {
                    if args.json {
                        say_json(refusal);
                    } else {
                        say(format_args!("{}", Shown(refusal)));
                    }
                }
                if refusals.is_empty() && !args.follow && !args.json {
                    say_error(format_args!(
                        "no attempt has been refused since the gateway started"
                    ));
                }
            }
            Ok(_) => return failed(&client.no_answer()),
            Err(error) => return failed(&error),
        }
        if !args.follow {
            return ExitCode::SUCCESS;
        }
        thread::sleep(EVERY);
    }
}

pub(super) fn say_json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => say_json_text(&text),
        Err(error) => say_error(format_args!("srt-gateway: {error}")),
    }
}

/// A part of an answer, for display.
struct Shown<'a, T>(&'a T);

impl fmt::Display for Shown<'_, Refusal> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal {
            time,
            code,
            peer,
            listener,
            streamid,
            dialect,
            encryption,
            decision,
            reason,
            ..
        } = self.0;
        let version = self.0.version.as_deref().unwrap_or("unknown");
        writeln!(f, "{time}  {code}  {peer}  {listener}")?;
        writeln!(
            f,
            "    streamid \"{streamid}\" ({dialect}), SRT {version}, encryption {encryption}, refused by {decision}"
        )?;
        write!(f, "    {reason}")
    }
}

impl fmt::Display for Shown<'_, Status> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status {
            version,
            stuck_threads,
            ports,
            streams,
            endpoints,
            sessions,
        } = self.0;
        writeln!(f, "srt-gateway {version}")?;
        if !stuck_threads.is_empty() {
            writeln!(f, "\nSTUCK: no progress for 10 s: {}", stuck_threads.join("; "))?;
        }
        writeln!(f, "\n{}", counted(ports.len(), "port"))?;
        for Port {
            kind,
            address,
            stream,
        } in ports
        {
            let of = stream.as_deref().unwrap_or("all streams");
            writeln!(f, "  {kind:<12} {address:<24} {of}")?;
        }
        writeln!(f, "\n{}", counted(streams.len(), "stream"))?;
        for stream in streams {
            writeln!(f, "  {}", Shown(stream))?;
        }
        writeln!(f, "\ninputs and outputs: {}", endpoints.len())?;
        for endpoint in endpoints {
            writeln!(f, "  {}", Shown(endpoint))?;
        }
        write!(f, "\n{}", counted(sessions.len(), "session"))?;
        for session in sessions {
            write!(f, "\n  {}", Shown(session))?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_, Stream> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream {
            name,
            has_source,
            viewers,
            bytes,
            payload,
            bits_per_second,
            programs,
            failures,
            verdict,
        } = self.0;
        let source = if *has_source { "on air" } else { "no source" };
        let viewers = counted(*viewers as usize, "viewer");
        write!(f, "{name:<24} {source:<10} {viewers}, {bytes} bytes in")?;
        if !has_source {
            return Ok(());
        }
        if let Some(payload) = payload {
            let kilobits = bits_per_second.div_ceil(1000);
            write!(f, "\n      {}, {kilobits} kb/s", payload.describe())?;
        }
        for program in programs {
            write!(f, "\n      {program}")?;
        }
        if !failures.is_empty() {
            write!(f, "\n      {}", failures.join(", "))?;
        }
        write!(f, "\n      {}", verdict.sentence)
    }
}

impl fmt::Display for Shown<'_, Endpoint> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint {
            stream,
            direction,
            name,
            url,
            state,
            failures,
            last_failure,
            streamid,
        } = self.0;
        let failures = counted(usize::try_from(*failures).unwrap_or(usize::MAX), "failure");
        write!(f, "{stream:<24} {direction:<6} ")?;
        match name {
            Some(name) => write!(f, "{name} ({url}), {state}, {failures}")?,
            None => write!(f, "{url}, {state}, {failures}")?,
        }
        if let Some(why) = last_failure {
            write!(f, ", the last: {why}")?;
        }
        match streamid {
            Some(streamid) => write!(f, "\n      sent the streamid {streamid}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Shown<'_, Session> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session {
            id,
            role,
            stream,
            peer,
            port,
            seconds,
            messages,
            bytes,
            skipped,
        } = self.0;
        write!(
            f,
            "{id:<6} {role:<10} {stream:<24} {peer:<24} {port}, {seconds} s, {bytes} bytes in {messages} messages"
        )?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}
