//! Puts the console (../web) into the gateway: bundles it with npm, or takes a bundle that is there, and writes
//! `console_assets.rs`, which `src/api/console.rs` includes.
//!
//! | `SRT_GATEWAY_WEB` | |
//! |---|---|
//! | not set | release builds bundle it if npm is there, and else warn; others take what `npm run build` left in web/dist |
//! | `off` | no console: the gateway serves its plain page |
//! | `require` | bundle it whatever the profile is; what fails is an error |
//!
//! `SRT_GATEWAY_WEB_BUNDLE=DIRECTORY` hands over a ready bundle (the content of web/dist); then nothing is run.
//!
//! Writes to `OUT_DIR` only. A failure is a warning and never a failed build, unless the console was asked for.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a bundle is made of, in web/.
const SOURCES: [&str; 8] = [
    ".npmrc",
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() {
    for variable in ["SRT_GATEWAY_WEB", "SRT_GATEWAY_WEB_BUNDLE"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let bundle = match bundle() {
        Ok(bundle) => bundle,
        Err(Failure::Tolerable(why)) => {
            println!(
                "cargo::warning=the gateway is built without its console: {why} (SRT_GATEWAY_WEB=off is silent about it)"
            );
            None
        }
        Err(Failure::Fatal(why)) => {
            println!("cargo::error=the console cannot be built: {why}");
            return;
        }
    };
    if let Err(error) = write_assets(bundle.as_deref()) {
        println!("cargo::error=the console cannot be put into the gateway: {error}");
    }
}

enum Failure {
    /// Nobody asked for the console.
    Tolerable(String),
    /// Somebody did.
    Fatal(String),
}

/// The folder of the bundle; None: there is to be none.
fn bundle() -> Result<Option<PathBuf>, Failure> {
    if let Some(folder) = env::var_os("SRT_GATEWAY_WEB_BUNDLE").filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        return if folder.join("index.html").is_file() {
            Ok(Some(folder))
        } else {
            Err(Failure::Fatal(format!(
                "SRT_GATEWAY_WEB_BUNDLE is {}, where no index.html is",
                folder.display()
            )))
        };
    }
    let web = from_env("CARGO_MANIFEST_DIR").join("../web");
    let asked = env::var("SRT_GATEWAY_WEB").unwrap_or_default();
    match asked.as_str() {
        "off" => Ok(None),
        "require" => made(&web).map(Some).map_err(Failure::Fatal),
        "" if !web.join("package.json").is_file() => Ok(None),
        "" if env::var("PROFILE").is_ok_and(|profile| profile == "release") => {
            made(&web).map(Some).map_err(Failure::Tolerable)
        }
        "" => Ok(left(&web)),
        other => Err(Failure::Fatal(format!(
            "SRT_GATEWAY_WEB is {other:?}; it may be \"off\", \"require\" or unset"
        ))),
    }
}

/// What `npm run build` has left in the working copy: whoever builds for tests does not wait for npm each time.
fn left(web: &Path) -> Option<PathBuf> {
    let dist = web.join("dist");
    // A path that is not there would have this script run, and the gateway compiled, in every build.
    if dist.is_dir() {
        println!("cargo::rerun-if-changed={}", dist.display());
    }
    dist.join("index.html").is_file().then_some(dist)
}

/// Bundles a copy of web/ in `OUT_DIR`.
fn made(web: &Path) -> Result<PathBuf, String> {
    let copy = from_env("OUT_DIR").join("web");
    let bundle = from_env("OUT_DIR").join("bundle");
    for source in SOURCES {
        let path = web.join(source);
        if !path.exists() {
            return Err(format!("{} is missing", path.display()));
        }
        println!("cargo::rerun-if-changed={}", path.display());
        // A file that was removed from web/ must not live on in the copy.
        if path.is_dir() {
            remove(&copy.join(source)).map_err(|error| error.to_string())?;
        }
        copied(&path, &copy.join(source)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    install(&copy)?;
    remove(&bundle).map_err(|error| error.to_string())?;
    let vite = copy.join("node_modules/vite/bin/vite.js");
    let mut command = Command::new("node");
    run(command
        .arg(vite)
        .args(["build", "--logLevel", "warn", "--outDir"])
        .arg(&bundle)
        .current_dir(&copy))?;
    if !bundle.join("index.html").is_file() {
        return Err("vite has left no index.html".to_owned());
    }
    Ok(bundle)
}

/// The packages of the lock file, unless they are there from the last time.
fn install(copy: &Path) -> Result<(), String> {
    let lock = fs::read(copy.join("package-lock.json")).map_err(|error| error.to_string())?;
    let stamp = copy.join("installed.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    // Without a network it is to give up in seconds.
    let patience = ["--fetch-retries=1", "--fetch-timeout=20000"];
    run(npm
        .args([
            "ci",
            "--ignore-scripts",
            "--omit=dev",
            "--prefer-offline",
            "--no-audit",
            "--no-fund",
        ])
        .args(patience)
        .current_dir(copy))?;
    fs::write(stamp, lock).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("{program} is not installed (Node.js 18 or newer, with npm)"),
            _ => format!("{program}: {error}"),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let lines: Vec<&str> = told.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join(" / ");
    Err(format!("{program} ended with {}: {last}", output.status))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copied(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copied(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Writes the list of assets: each with its path on the server, its bytes, and the same packed where that is smaller.
fn write_assets(bundle: Option<&Path>) -> io::Result<()> {
    let mut files = Vec::new();
    // include_bytes! wants absolute paths.
    let bundle = bundle.map(fs::canonicalize).transpose()?;
    if let Some(bundle) = &bundle {
        list(bundle, &mut files)?;
        files.sort();
    }
    let mut code = fs::File::create(from_env("OUT_DIR").join("console_assets.rs"))?;
    writeln!(code, "pub(super) static ASSETS: &[Asset] = &[")?;
    for file in &files {
        let Some(bundle) = &bundle else { continue };
        let name = file
            .strip_prefix(bundle)
            .map_err(io::Error::other)?
            .to_string_lossy();
        // What a dot begins is no asset, and a brace would be a parameter of a route.
        if name.starts_with('.') || name.contains(['{', '}']) || name.ends_with(".gz") {
            continue;
        }
        let packed = bundle.join(format!("{name}.gz"));
        let packed = if packed.is_file() {
            format!("Some(include_bytes!({packed:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(
            code,
            "    Asset {{ path: {:?}, bytes: include_bytes!({file:?}), gzip: {packed} }},",
            format!("/{name}")
        )?;
    }
    writeln!(code, "];")
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn from_env(variable: &str) -> PathBuf {
    PathBuf::from(env::var_os(variable).expect("cargo sets it for build scripts"))
}
