//! Sends messages about alarms, to a Slack-compatible webhook and by mail.
//!
//! The thread `alarm-notices` sends them, from a bounded queue, and starts with the first one. If a target does not
//! answer, messages are lost, counted and logged, but no other thread is delayed. Alarms of the same second are one
//! message.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::authentication::Credentials,
};
use tracing::{info, warn};

use crate::{
    config::{self, AlarmSeverity, Mail, MailTls, Secret},
    telemetry::alarms::{Alarm, Change, Severity},
};

/// The maximum number of queued messages.
const QUEUE: usize = 64;

/// The maximum number of alarms in a message.
const NAMED: usize = 30;

/// The time-out of an attempt.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The pauses before further attempts.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// The targets, ...
pub(in crate::api) const TARGETS: [&str; 2] = ["slack", "mail"];

/// ... and the outcomes of a message.
pub(in crate::api) const OUTCOMES: [&str; 3] = ["sent", "failed", "dropped"];

/// By target and outcome.
#[derive(Debug, Default)]
pub(in crate::api) struct NoticeCounts([[AtomicU64; OUTCOMES.len()]; TARGETS.len()]);

impl NoticeCounts {
    pub(in crate::api) fn of(&self, target: usize, outcome: usize) -> u64 {
        self.0[target][outcome].load(Relaxed)
    }

    fn add(&self, target: usize, outcome: usize) {
        self.0[target][outcome].fetch_add(1, Relaxed);
    }
}

/// A message and its target.
#[derive(Debug)]
struct Notice {
    subject: String,
    body: String,
    slack: Option<Secret>,
    mail: Option<Mail>,
}

/// The sender to the thread.
#[derive(Debug, Default)]
pub(super) struct Notices {
    queue: Mutex<Option<Sender<Notice>>>,
    counts: Arc<NoticeCounts>,
}

impl Notices {
    pub(super) fn counts(&self) -> &NoticeCounts {
        &self.counts
    }

    /// Queues messages about these changes for the targets of `settings`. Never blocks.
    pub(super) fn send(&self, changes: &[Change], settings: &config::Alarms, gateway: &str) {
        let least = match settings.severity {
            AlarmSeverity::Warning => Severity::Warning,
            AlarmSeverity::Critical => Severity::Critical,
        };
        let told: Vec<_> = changes
            .iter()
            .filter(|change| alarm(change).severity >= least)
            .collect();
        if told.is_empty() || (settings.slack_url.is_none() && settings.mail.is_none()) {
            return;
        }
        let (subject, body) = text(&told, gateway);
        let notice = Notice {
            subject,
            body,
            slack: settings.slack_url.clone(),
            mail: settings.mail.clone(),
        };
        let wanted = [notice.slack.is_some(), notice.mail.is_some()];
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_none() {
            *queue = start(&self.counts);
        }
        let taken = queue.as_ref().is_some_and(|queue| queue.try_send(notice).is_ok());
        if !taken {
            for target in (0..TARGETS.len()).filter(|target| wanted[*target]) {
                self.counts.add(target, 2);
            }
            warn!("a message about alarms was dropped: the targets of [alarms] take them too slowly");
        }
    }
}

fn alarm(change: &Change) -> &Alarm {
    match change {
        Change::Raised(alarm) | Change::Cleared(alarm) => alarm,
    }
}

/// Subject and body.
fn text(changes: &[&Change], gateway: &str) -> (String, String) {
    let line = |change: &Change| {
        let alarm = alarm(change);
        let word = match change {
            Change::Raised(_) => alarm.severity.as_str(),
            Change::Cleared(_) => "cleared",
        };
        let of = alarm
            .stream
            .as_deref()
            .map_or_else(String::new, |stream| format!("{stream}: "));
        format!("[{word}] {of}{}", alarm.text)
    };
    let lines: Vec<_> = changes.iter().take(NAMED).map(|change| line(change)).collect();
    let subject = match changes.len() {
        1 => format!("{gateway}: {}", lines[0]),
        many => format!("{gateway}: {many} alarms, {}", lines[0]),
    };
    let mut body = lines.join("\n");
    if changes.len() > NAMED {
        // Writing to a String cannot fail.
        write!(body, "\nand {} more", changes.len() - NAMED).unwrap_or_default();
    }
    (subject.chars().take(200).collect(), body)
}

fn start(counts: &Arc<NoticeCounts>) -> Option<Sender<Notice>> {
    let (queue, notices) = crossbeam_channel::bounded(QUEUE);
    let counts = Arc::clone(counts);
    let spawned = thread::Builder::new()
        .name("alarm-notices".to_owned())
        .spawn(move || run(&notices, &counts));
    match spawned {
        Ok(_) => Some(queue),
        Err(error) => {
            warn!("there is no thread to send messages about alarms: {error}");
            None
        }
    }
}

fn run(notices: &Receiver<Notice>, counts: &NoticeCounts) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // The URL is a secret and says where alarms may go.
    let http = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let (runtime, http) = match (runtime, http) {
        (Ok(runtime), Ok(http)) => (runtime, http),
        (Err(error), _) => return warn!("messages about alarms cannot be sent: {error}"),
        (_, Err(error)) => return warn!("messages about alarms cannot be sent: {error}"),
    };
    let mut failed = [false; TARGETS.len()];
    for notice in notices {
        let to_slack = async {
            let url = notice.slack.as_ref()?;
            Some(with_retries(|| slack(&http, url, &notice)).await)
        };
        let to_mail = async {
            let settings = notice.mail.as_ref()?;
            Some(with_retries(|| mail(settings, &notice)).await)
        };
        let (slack, mail) = runtime.block_on(async { tokio::join!(to_slack, to_mail) });
        for (target, outcome) in [slack, mail].into_iter().enumerate() {
            let Some(outcome) = outcome else { continue };
            counts.add(target, usize::from(outcome.is_err()));
            match &outcome {
                Ok(()) if failed[target] => {
                    info!("messages about alarms are sent to {} again", TARGETS[target]);
                }
                Err(why) if !failed[target] => {
                    warn!(
                        "a message about alarms could not be sent to {}: {why}",
                        TARGETS[target]
                    );
                }
                _ => {}
            }
            failed[target] = outcome.is_err();
        }
    }
}

async fn with_retries<F: Future<Output = Result<(), String>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<(), String> {
    for pause in PAUSES {
        if attempt().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
    attempt().await
}

async fn slack(http: &reqwest::Client, url: &Secret, notice: &Notice) -> Result<(), String> {
    // These three characters have a meaning in Slack.
    let text = notice.subject_and_body();
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let sent = http
        .post(url.expose())
        .json(&serde_json::json!({ "text": text }))
        .send()
        .await;
    // Errors of the client contain the URL, which is a secret.
    let answer = sent.map_err(|error| error.without_url().to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("it answers {status}")),
    }
}

impl Notice {
    fn subject_and_body(&self) -> String {
        format!("{}\n{}", self.subject, self.body)
    }
}

async fn mail(settings: &Mail, notice: &Notice) -> Result<(), String> {
    let mailbox = |address: &str| {
        address
            .parse::<Mailbox>()
            .map_err(|error| format!("{address}: {error}"))
    };
    let mut message = Message::builder()
        .from(mailbox(&settings.from)?)
        .subject(&notice.subject)
        .header(ContentType::TEXT_PLAIN);
    for to in &settings.to {
        message = message.to(mailbox(to)?);
    }
    let message = message
        .body(notice.body.clone())
        .map_err(|error| error.to_string())?;
    let server = settings.server.as_str();
    type Smtp = AsyncSmtpTransport<Tokio1Executor>;
    let transport = match settings.tls {
        MailTls::StartTls => Smtp::starttls_relay(server),
        MailTls::Tls => Smtp::relay(server),
        MailTls::None => Ok(Smtp::builder_dangerous(server)),
    };
    let mut transport = transport
        .map_err(|error| error.to_string())?
        .timeout(Some(TIMEOUT));
    if let Some(port) = settings.port {
        transport = transport.port(port);
    }
    if let Some(user) = &settings.user {
        let password = settings
            .password
            .as_ref()
            .map(|password| password.expose().to_owned());
        transport = transport.credentials(Credentials::new(user.clone(), password.unwrap_or_default()));
    }
    let sent = tokio::time::timeout(2 * TIMEOUT, transport.build().send(message)).await;
    match sent {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
