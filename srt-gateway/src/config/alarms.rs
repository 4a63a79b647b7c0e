//! Reads `[alarms]`. Pure.

use std::time::Duration;

use super::{
    keys::Section,
    model::{AlarmSeverity, Alarms, Mail, MailTls},
    reader::{Field, Table},
    secret::Secret,
    validate::{duration_of, http_url},
};

/// Addresses that get each mail, at most.
const RECIPIENTS: usize = 20;

/// Reads the table; the faults are in its session.
pub(crate) fn alarms(root: &Table<'_>) -> Alarms {
    let standard = Alarms::default();
    let Some(table) = root.get("alarms").and_then(|item| item.table(Section::Alarms)) else {
        return standard;
    };
    let severities = [
        ("warning", AlarmSeverity::Warning),
        ("critical", AlarmSeverity::Critical),
    ];
    Alarms {
        raise_after: duration_of(&table, "raise_after", Duration::ZERO, standard.raise_after),
        clear_after: duration_of(&table, "clear_after", Duration::ZERO, standard.clear_after),
        severity: table
            .get("severity")
            .and_then(|item| item.choice(&severities))
            .unwrap_or_default(),
        slack_url: table.get("slack_url").and_then(|item| slack_url(&item)),
        mail: table
            .get("mail")
            .and_then(|item| item.table(Section::Mail))
            .and_then(|table| mail(&table)),
    }
}

fn slack_url(item: &Field<'_>) -> Option<Secret> {
    item.context().hide(item.node().span.clone());
    let url = http_url(item)??;
    Some(Secret::new(url.expose()))
}

fn mail(table: &Table<'_>) -> Option<Mail> {
    let modes = [
        ("starttls", MailTls::StartTls),
        ("tls", MailTls::Tls),
        ("none", MailTls::None),
    ];
    let tls = table
        .get("tls")
        .and_then(|item| item.choice(&modes))
        .unwrap_or_default();
    let user = table.get("user").and_then(|item| item.line()).map(str::to_owned);
    let password = table.get("password").and_then(|item| item.secret()).flatten();
    let server = table.need("server").and_then(|item| server(&item));
    let from = table.need("from").and_then(|item| address(&item));
    let to = table.need("to").map(|item| recipients(&item));
    if let (Some(item), MailTls::None) = (table.get("password"), tls)
        && password.is_some()
    {
        let fault = item.wrong("would be sent without encryption");
        table.fault(fault.help("set tls to \"starttls\" or \"tls\""));
    }
    let (server, port) = server?;
    Some(Mail {
        server,
        port,
        tls,
        user,
        password,
        from: from?,
        to: to?,
    })
}

/// `HOST` or `HOST:PORT`.
fn server(item: &Field<'_>) -> Option<(String, Option<u16>)> {
    let text = item.line()?;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port != 0))),
        None => (text, None),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(is_host) || port == Some(None) {
        item.must_be("a host name or IPv4 address, optionally with a port, such as \"mail.example:587\"");
        return None;
    }
    Some((host.to_owned(), port.flatten()))
}

/// An address, or a name with an address in angle brackets.
fn address(item: &Field<'_>) -> Option<String> {
    let text = item.line()?;
    let bare = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let is_address = bare
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !is_address || bare.contains(char::is_whitespace) || !bare.is_ascii() {
        item.must_be("a mail address, such as \"noc@example.org\"");
        return None;
    }
    Some(text.to_owned())
}

fn recipients(item: &Field<'_>) -> Vec<String> {
    let elements = item.elements();
    if elements.is_empty() || elements.len() > RECIPIENTS {
        item.context()
            .fault(item.wrong(format!("must have 1 to {RECIPIENTS} addresses")));
    }
    elements.iter().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn targets_and_times_are_read() {
        let text = r#"
            [alarms]
            raise_after = "5s"
            clear_after = 60
            severity = "critical"
            slack_url = "https://hooks.example/services/x"
            mail = { server = "mail.example:2525", tls = "tls", user = "gw", password = "letter box", from = "Gateway <gw@example.org>", to = "noc@example.org" }
            [streams.a]
            expected_off = true
        "#;
        let config = Config::parse(text).unwrap();
        let alarms = &config.alarms;
        assert_eq!(alarms.raise_after, Duration::from_secs(5));
        assert_eq!(alarms.clear_after, Duration::from_secs(60));
        assert_eq!(alarms.severity, AlarmSeverity::Critical);
        let mail = alarms.mail.as_ref().unwrap();
        assert_eq!(
            (mail.server.as_str(), mail.port, mail.tls),
            ("mail.example", Some(2525), MailTls::Tls)
        );
        assert_eq!(mail.password, Some(Secret::new("letter box")));
        assert_eq!(mail.to, ["noc@example.org"]);
        assert!(config.streams["a"].expected_off);
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("letter box") && !shown.contains("services/x"),
            "{shown}"
        );
        assert_eq!(Config::default().alarms, Alarms::default());
    }

    #[test]
    fn mail_that_could_not_be_sent_is_a_fault() {
        let faults = |mail: &str| {
            let errors = Config::parse(&format!("[alarms]\nmail = {mail}")).unwrap_err();
            let first = errors.faults()[0].clone();
            (first.key().to_owned(), first.message().to_owned())
        };
        for (mail, key) in [
            (r#"{ from = "a@b.c", to = "a@b.c" }"#, "alarms.mail"),
            (
                r#"{ server = "mail example", from = "a@b.c", to = "a@b.c" }"#,
                "alarms.mail.server",
            ),
            (
                r#"{ server = "h:0", from = "a@b.c", to = "a@b.c" }"#,
                "alarms.mail.server",
            ),
            (
                r#"{ server = "h", from = "nobody", to = "a@b.c" }"#,
                "alarms.mail.from",
            ),
            (r#"{ server = "h", from = "a@b.c", to = [] }"#, "alarms.mail.to"),
            (
                r#"{ server = "h", from = "a@b.c", to = ["a@b.c", "x"] }"#,
                "alarms.mail.to[1]",
            ),
            (
                r#"{ server = "h", tls = "none", user = "u", password = "letter box", from = "a@b.c", to = "a@b.c" }"#,
                "alarms.mail.password",
            ),
        ] {
            let (found, message) = faults(mail);
            assert_eq!(found, key, "{mail}: {message}");
            assert!(!message.contains("letter box"));
        }
    }
}
