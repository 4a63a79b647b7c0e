//! Ends sessions and bans addresses and networks on behalf of operators.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Extension, Json, extract::State, http::StatusCode};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    audit::{Change, note},
    auth::Actor,
    model::LIMIT,
    problem::{Answer, Body, Params, Part, Problem},
    read,
};
use crate::{
    access::{self, BannedBy},
    control::{Command, SessionStatus},
    names::SessionId,
};

type Ctx = State<Arc<App>>;

/// The longest ban: longer ones belong in the network's firewall.
pub(super) const BAN_MAX: u64 = 30 * 86_400;

/// The length limit of a reason, in bytes.
const REASON_MAX: usize = 200;

/// How to end a session.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct KickParams {
    /// Also ban the address for this many seconds, at most 30 days; 0: no ban.
    #[serde(default)]
    ban_seconds: u64,
    /// Reason for the ban.
    #[serde(default)]
    reason: String,
}

/// Ends a session; with `ban_seconds`, also bans its address (1403).
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = u64, Path), KickParams),
    responses((status = 204), (status = 404, body = Problem), (status = 507, body = Problem)))]
pub(super) async fn kick(
    State(app): Ctx,
    Extension(actor): Extension<Actor>,
    Part(id): Part<u64>,
    Params(params): Params<KickParams>,
) -> Answer<StatusCode> {
    let context = app.context().await?;
    let session = context.sessions.iter().find(|session| session.id.0 == id);
    let session = session.ok_or_else(|| read::no_session(id))?;
    let peer = session.peer;
    if params.ban_seconds > 0 {
        let ban = new_ban(peer.ip().into(), &actor, &params.reason, params.ban_seconds)?;
        apply_ban(&app, ban)?;
    }
    let ended = end(&app, SessionId(id)).await?;
    if params.ban_seconds > 0 {
        keep(&app).await?;
    }
    if !ended {
        return Err(read::no_session(id));
    }
    note_ended(session);
    info!(session = id, %peer, by = %actor.0, "session ended by the API");
    Ok(StatusCode::NO_CONTENT)
}

fn note_ended(session: &SessionStatus) {
    let who = format!("{} of {} at {}", session.role, session.stream, session.peer);
    note(Change::new(&format!("session {}", session.id.0), Some(who), None));
}

/// Returns whether there was such a session.
async fn end(app: &App, id: SessionId) -> Answer<bool> {
    let kicked = app
        .ask(move |view| view.ask(|reply| Command::Kick(id, reply)))
        .await?;
    Ok(kicked == Some(true))
}

/// A banned address or network.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Ban {
    /// An address, or a network such as `203.0.113.0/24`.
    address: String,
    /// RFC 3339, UTC.
    since: String,
    /// RFC 3339, UTC.
    until: String,
    /// `operator`: through this API; `limits`: automatically, by `[limits]`.
    by: &'static str,
    /// The name of the operator's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The key of the limit in `[limits]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    /// May be empty.
    reason: String,
}

/// An address or network to ban.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBan {
    /// An address, or a network such as `203.0.113.0/24`.
    #[schema(example = "192.0.2.7")]
    address: String,
    /// At most 30 days.
    #[schema(minimum = 1, maximum = 2_592_000)]
    seconds: u64,
    /// Reason, at most 200 bytes; shown with the ban and with each attempt that it refuses.
    #[serde(default)]
    #[schema(max_length = 200)]
    reason: String,
    /// Also end open sessions from there.
    #[serde(default)]
    end_sessions: bool,
}

/// The result of a ban.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Banned {
    #[serde(flatten)]
    ban: Ban,
    /// Number of ended sessions.
    ended: usize,
}

/// Lists the banned addresses and networks: first all bans by operators, then those by `[limits]` (at most 1000).
#[utoipa::path(get, path = "/api/v1/bans", tag = "sessions", responses((status = 200, body = Vec<Ban>)))]
pub(super) async fn bans(State(app): Ctx) -> Json<Vec<Ban>> {
    let (limiter, now) = (&app.view.limiter, Instant::now());
    let by_operators = limiter.bans_by_operators(now).into_iter();
    let by_limits = limiter.bans_by_limits(now).into_iter().take(LIMIT);
    Json(by_operators.chain(by_limits).map(|ban| shown(&ban)).collect())
}

fn shown(ban: &access::Ban) -> Ban {
    let (by, token, limit) = match &ban.by {
        BannedBy::Operator(token) => ("operator", Some(token.to_string()), None),
        BannedBy::Limit(key) => ("limits", None, Some(*key)),
    };
    Ban {
        address: text_of(ban.network),
        since: humantime::format_rfc3339_seconds(ban.since).to_string(),
        until: humantime::format_rfc3339_seconds(ban.until).to_string(),
        by,
        token,
        limit,
        reason: ban.reason.to_string(),
    }
}

/// A network as text; a single address without its prefix length.
fn text_of(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// Bans an address or a network (1403). Open sessions continue unless `end_sessions` is true. The ban is saved beside the
/// state file and survives a restart.
#[utoipa::path(post, path = "/api/v1/bans", tag = "sessions", request_body = NewBan,
    responses((status = 201, body = Banned), (status = 422, body = Problem), (status = 507, body = Problem)))]
pub(super) async fn add_ban(
    State(app): Ctx,
    Extension(actor): Extension<Actor>,
    Body(new): Body<NewBan>,
) -> Answer<(StatusCode, Json<Banned>)> {
    let network = network(&new.address).map_err(|problem| problem.at("address"))?;
    let ban = new_ban(network, &actor, &new.reason, new.seconds)?;
    apply_ban(&app, ban.clone())?;
    let mut ended = 0;
    if new.end_sessions {
        for session in app.context().await?.sessions {
            if network.contains(&session.peer.ip().to_canonical()) && end(&app, session.id).await? {
                note_ended(&session);
                info!(session = session.id.0, peer = %session.peer, by = %actor.0, "session ended by the API");
                ended += 1;
            }
        }
    }
    keep(&app).await?;
    let ban = shown(&ban);
    Ok((StatusCode::CREATED, Json(Banned { ban, ended })))
}

fn network(text: &str) -> Answer<IpNet> {
    let text = text.trim();
    let address = |_| {
        text.parse::<IpAddr>()
            .map(|address| address.to_canonical().into())
    };
    let network = text.parse::<IpNet>().or_else(address);
    let network = network.map_err(|_| {
        Problem::invalid("address must be an IP address or a network such as 203.0.113.0/24 or 2001:db8::/32")
    })?;
    let network = access::canonical(network);
    if network.prefix_len() == 0 {
        return Err(Problem::invalid(
            "this would ban everybody: use POST /drain to refuse all new callers",
        ));
    }
    Ok(network)
}

fn new_ban(network: IpNet, actor: &Actor, reason: &str, seconds: u64) -> Answer<access::Ban> {
    if !(1..=BAN_MAX).contains(&seconds) {
        return Err(Problem::invalid(format!("a ban lasts 1 to {BAN_MAX} seconds")).at("seconds"));
    }
    let reason = reason.trim();
    if reason.len() > REASON_MAX || reason.contains(char::is_control) {
        let told = format!("a reason is one line of at most {REASON_MAX} bytes");
        return Err(Problem::invalid(told).at("reason"));
    }
    let by = BannedBy::Operator(actor.0.as_ref().into());
    Ok(access::Ban::new(
        network,
        by,
        reason,
        Duration::from_secs(seconds),
    ))
}

fn apply_ban(app: &App, ban: access::Ban) -> Answer<()> {
    info!(address = %text_of(ban.network), "{ban}");
    let (before, network) = (standing(app, ban.network), ban.network);
    let after = sentence(&ban);
    if app.view.limiter.ban(ban) {
        note(Change::new(
            &format!("ban of {}", text_of(network)),
            before,
            Some(after),
        ));
        return Ok(());
    }
    Err(Problem::busy(
        "too many addresses are banned: use the network's firewall",
    ))
}

/// The ban in force of exactly this network.
fn standing(app: &App, network: IpNet) -> Option<String> {
    let (limiter, now) = (&app.view.limiter, Instant::now());
    let all = limiter
        .bans_by_operators(now)
        .into_iter()
        .chain(limiter.bans_by_limits(now));
    let mut same = all.filter(|ban| ban.network == network);
    same.next().map(|ban| sentence(&ban))
}

fn sentence(ban: &access::Ban) -> String {
    let until = humantime::format_rfc3339_seconds(ban.until);
    match &*ban.reason {
        "" => format!("until {until}"),
        reason => format!("until {until}: {reason}"),
    }
}

/// Stores the bans in force.
async fn keep(app: &Arc<App>) -> Answer<()> {
    let store = Arc::clone(&app.store);
    let kept = app.ask(move |view| store.bans.write(&view.limiter)).await?;
    kept.map_err(|error| {
        Problem::not_kept(format!(
            "the change of the bans is in force, but will be lost at the next restart: {error}"
        ))
    })
}

/// Lifts a ban, whoever made it. Percent-encode a network: `203.0.113.0%2F24`.
#[utoipa::path(delete, path = "/api/v1/bans/{address}", tag = "sessions", params(("address" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 507, body = Problem)))]
pub(super) async fn delete_ban(
    State(app): Ctx,
    Extension(actor): Extension<Actor>,
    Part(address): Part<String>,
) -> Answer<StatusCode> {
    let network = network(&address)?;
    let before = standing(&app, network);
    if !app.view.limiter.lift(network) {
        return Err(Problem::not_found(format!("{} is not banned", text_of(network))));
    }
    note(Change::new(&format!("ban of {}", text_of(network)), before, None));
    info!(address = %text_of(network), by = %actor.0, "ban lifted");
    keep(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_banned_is_an_address_or_a_network_and_not_everybody() {
        for (written, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 203.0.113.9/24 ", "203.0.113.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(text_of(network(written).unwrap()), shown);
        }
        for wrong in [
            "",
            "example.org",
            "192.0.2.1:5000",
            "192.0.2.0/33",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0:0/96",
        ] {
            assert_eq!(network(wrong).unwrap_err().status, 422, "{wrong}");
        }
    }
}
