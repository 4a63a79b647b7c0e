//! `[[rules]]`, and the `password` of a stream: pure functions of the caller's request.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::checks::{CheckResults, PasswordQuestion, is_hash};
use crate::{
    config::{Action, Rule, Secret},
    names::{Role, StreamName},
};

/// The subject of an access decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) role: Role,
    pub(crate) stream: &'a StreamName,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a Secret>,
    pub(crate) peer: IpAddr,
}

/// The result of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleOutcome {
    /// No rule matches this stream and action.
    NoRule,
    /// A matching rule admits the caller.
    Admitted,
    /// No matching rule admits the caller.
    Refused,
    /// It depends on a check whose result is not known yet.
    Pending(PasswordQuestion),
}

/// Evaluates the rules.
pub(crate) fn judge(rules: &[Rule], subject: Subject<'_>, known: &dyn CheckResults) -> RuleOutcome {
    let mut standing = RuleOutcome::NoRule;
    for rule in rules.iter().filter(|rule| is_about(rule, subject)) {
        let user = rule.user.as_deref();
        let peer = subject.peer.to_canonical();
        let fits = (user.is_none() || user == subject.user)
            && (rule.allow.is_empty() || rule.allow.iter().any(|net| net.contains(&peer)));
        let fits = match &rule.password {
            Some(required) if fits => password_fits(required, subject.password, known),
            _ if fits => Ok(true),
            _ => Ok(false),
        };
        match fits {
            Ok(true) => return RuleOutcome::Admitted,
            Ok(false) if standing == RuleOutcome::NoRule => standing = RuleOutcome::Refused,
            Ok(false) => {}
            Err(question) => standing = RuleOutcome::Pending(question),
        }
    }
    standing
}

fn is_about(rule: &Rule, subject: Subject<'_>) -> bool {
    governs(rule, subject.role, subject.stream)
}

fn governs(rule: &Rule, role: Role, stream: &StreamName) -> bool {
    let action = match rule.action {
        Action::Any => true,
        Action::Publish => role == Role::Publisher,
        Action::Play => role == Role::Viewer,
    };
    action && matches(&rule.stream, stream.as_str())
}

/// Whether a rule for this stream and role has a password.
pub(crate) fn ask_for_password(rules: &[Rule], role: Role, stream: &StreamName) -> bool {
    let mut passwords = rules.iter().filter(|rule| rule.password.is_some());
    passwords.any(|rule| governs(rule, role, stream))
}

/// Whether `given` matches `required`, which may be an argon2 hash: then the check takes time, and the error is the
/// question to submit.
pub(crate) fn password_fits(
    required: &Secret,
    given: Option<&Secret>,
    known: &dyn CheckResults,
) -> Result<bool, PasswordQuestion> {
    let Some(given) = given else {
        return Ok(false);
    };
    if !is_hash(required) {
        let equal = verify_slices_are_equal(required.expose().as_bytes(), given.expose().as_bytes());
        return Ok(equal.is_ok());
    }
    known.password(required, given).ok_or_else(|| PasswordQuestion {
        hash: required.clone(),
        password: given.clone(),
    })
}

/// Whether `text` matches `pattern`, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, fits) in [
            ("live/*", "live/cam1", true),
            ("live/*", "live/", true),
            ("live/*", "other/cam1", false),
            ("*", "", true),
            ("*/cam*", "live/cam1", true),
            ("*cam1", "live/cam1", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("live", "live/cam1", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_fits_itself_with_any_part_starred(text in "[ab/]{0,12}", from in 0usize..13, to in 0usize..13) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(matches(&text, &text));
            prop_assert!(matches(&pattern, &text), "{} {}", pattern, text);
        }
    }
}
