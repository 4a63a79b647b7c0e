//! The alarm conditions of the gateway itself.

use std::time::SystemTime;

use super::AlarmService;
use crate::telemetry::{
    Shortage,
    alarms::{Condition, GatewayKind},
};

impl AlarmService {
    /// Reads the findings of other parts; does nothing slow itself.
    pub(super) fn of_gateway(&self, time: SystemTime) -> Vec<Condition> {
        let mut found = Vec::new();
        let mut tell = |kind, text: &str| found.push(Condition::of_gateway(kind, text));
        let report = self.view.threads.report();
        if !report.stuck.is_empty() {
            let names: Vec<_> = report.stuck.iter().map(|thread| thread.name.as_str()).collect();
            let told = format!("threads make no progress: {}", names.join(", "));
            tell(GatewayKind::ThreadsStuck, &told);
        }
        if let Some(why) = self.store.last_reload.load().refused() {
            let told = format!("the configuration file was not put in force: {why}");
            tell(GatewayKind::ReloadRefused, &told);
        }
        if let Some(shortage) = self.view.resources.shortage() {
            let kind = match shortage {
                Shortage::Descriptors => GatewayKind::DescriptorsShort,
                Shortage::Memory => GatewayKind::MemoryShort,
            };
            tell(kind, &format!("new callers are refused: {shortage}"));
        }
        if self.view.poster.is_failing() {
            let told =
                "events cannot be posted to the url of [events]: check its receiver; the log has the reason";
            tell(GatewayKind::EventsFailing, told);
        }
        if self.view.hook().is_some_and(|hook| hook.breaker != "closed") {
            let told = "the hook of [auth] does not answer: fail of [auth] decides about callers; the log has the reason";
            tell(GatewayKind::HookDown, told);
        }
        if self.store.audit.is_failing() {
            let told = "the audit log cannot be written to audit_file of [api]: the log has the reason";
            tell(GatewayKind::AuditFileFailing, told);
        }
        if let Some(expiry) = self
            .certificate
            .as_ref()
            .and_then(|certificate| certificate.expiry())
            && expiry.is_near(time)
        {
            let end = humantime::format_rfc3339_seconds(expiry.end);
            let told = match expiry.end > time {
                true => format!("the certificate of the API ends at {end}: renew cert of [api.tls]"),
                false => format!("the certificate of the API ended at {end}: renew cert of [api.tls]"),
            };
            tell(GatewayKind::CertificateExpires, &told);
        }
        found
    }
}
