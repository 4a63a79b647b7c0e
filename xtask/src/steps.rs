//! Runs a list of steps to its end and reports all failures, not only the first.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// The steps run so far, and the failed ones.
#[derive(Debug)]
pub(crate) struct Steps {
    failures: Vec<String>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { failures: Vec::new() }
    }

    /// Runs one step; its failure is kept for [`Steps::finish`].
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let result = step();
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => eprintln!("=== {name}: passed ({seconds:.1} s)"),
            Err(error) => {
                eprintln!("=== {name}: FAILED ({seconds:.1} s): {error:#}");
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// Fails with all failures. Prints nothing if there are none.
    pub(crate) fn finish(self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        bail!(
            "{} failed:\n  - {}",
            self.failures.len(),
            self.failures.join("\n  - ")
        )
    }
}

/// Prints and runs a command; any exit code but 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// The command as it would be typed, with the variables it sets.
fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}={:?}",
            name.to_string_lossy(),
            value?.to_string_lossy()
        ))
    });
    // Programs are shown by name, because cargo passes its own path to its subcommands.
    let program = std::path::Path::new(command.get_program())
        .file_name()
        .unwrap_or_else(|| command.get_program());
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    variables
        .chain([program.to_string_lossy().into_owned()])
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Steps, run};
    use anyhow::bail;
    use std::process::Command;

    #[test]
    fn every_failure_is_reported() {
        let mut steps = Steps::new();
        steps.run("first", || bail!("broken"));
        steps.run("second", || Ok(()));
        steps.run("third", || run(Command::new("sh").args(["-c", "exit 3"])));
        let report = steps.finish().unwrap_err().to_string();
        assert!(
            report.contains("2 failed") && report.contains("first: broken"),
            "{report}"
        );
        assert!(
            report.contains("third: `sh -c exit 3` ended with exit status: 3"),
            "{report}"
        );
    }

    #[test]
    fn no_failure_is_good() {
        let mut steps = Steps::new();
        steps.run("only", || Ok(()));
        steps.finish().unwrap();
    }
}
