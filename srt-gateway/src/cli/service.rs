//! Notifies the service manager: ready, reloading, stopping, and liveness (the watchdog).
//!
//! The protocol of sd_notify(3): datagrams to the socket in `NOTIFY_SOCKET`; without it, all of this does nothing. Runs
//! on its own thread, which exists only with a service manager, so that neither a manager that does not read nor a
//! gateway that does not answer delays signals and commands. If the liveness messages stop, the manager decides what to
//! do.

use std::{env, io, thread, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use sd_notify::NotifyState;
use tracing::{error, warn};

use crate::view::View;

/// Liveness messages per watchdog interval, so that a late one does no harm.
const MESSAGES_PER_INTERVAL: u32 = 3;

/// The limit of queued notifications.
const QUEUE: usize = 16;

/// How long the shutdown waits for its notification.
const STOP_NOTICE_TIMEOUT: Duration = Duration::from_millis(200);

/// A handle to the notifying thread, if there is a service manager.
#[derive(Clone, Debug)]
pub(super) struct Service(Option<Sender<Notification>>);

#[derive(Debug)]
enum Notification {
    Ready,
    Reloading,
    /// The sender is dropped once the manager has been notified.
    Stopping(#[expect(dead_code, reason = "it is there to be dropped")] Sender<()>),
}

impl Service {
    /// # Errors
    /// The thread could not be started.
    pub(super) fn start(view: &View) -> io::Result<Self> {
        if env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self(None));
        }
        // Without a watchdog, liveness messages are not needed.
        let every = sd_notify::watchdog_enabled().map(|time| time / MESSAGES_PER_INTERVAL);
        let (sender, news) = crossbeam_channel::bounded(QUEUE);
        let view = view.clone();
        thread::Builder::new()
            .name("service".to_owned())
            .spawn(move || run(&view, every, &news))?;
        Ok(Self(Some(sender)))
    }

    /// All ports listen, or the new configuration is in force.
    pub(super) fn ready(&self) {
        self.send(Notification::Ready);
    }

    pub(super) fn reloading(&self) {
        self.send(Notification::Reloading);
    }

    pub(super) fn stopping(&self) {
        let (sender, told) = crossbeam_channel::bounded(0);
        self.send(Notification::Stopping(sender));
        told.recv_timeout(STOP_NOTICE_TIMEOUT).unwrap_or_default();
    }

    fn send(&self, news: Notification) {
        if let Some(sender) = &self.0 {
            // A manager that does not read misses it.
            sender.try_send(news).unwrap_or_default();
        }
    }
}

fn run(view: &View, every: Option<Duration>, news: &Receiver<Notification>) {
    let mut answered = true;
    loop {
        let next = match every {
            Some(every) => news.recv_timeout(every),
            None => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(Notification::Ready) => {
                let status = match view.listening().len() {
                    1 => "serving on 1 port".to_owned(),
                    ports => format!("serving on {ports} ports"),
                };
                notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
            }
            Ok(Notification::Reloading) => match NotifyState::monotonic_usec_now() {
                Ok(now) => notify(&[NotifyState::Reloading, now]),
                Err(_) => notify(&[NotifyState::Reloading]),
            },
            Ok(Notification::Stopping(_)) => notify(&[NotifyState::Stopping]),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if every.is_some() {
            answered = is_responsive(view, answered);
        }
    }
}

/// Sends a liveness message if the gateway answers within 4 s; returns whether it does. `answered` is the previous
/// result.
fn is_responsive(view: &View, answered: bool) -> bool {
    let report = view.threads.report();
    let answers = view.answers() && report.is_healthy();
    if answers {
        notify(&[NotifyState::Watchdog]);
    } else if answered {
        error!(
            stuck = report.names(),
            "the gateway does not answer or a thread is stuck: the service manager gets no watchdog \
             notifications until it recovers"
        );
    }
    answers
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot notify the service manager over NOTIFY_SOCKET");
    }
}
