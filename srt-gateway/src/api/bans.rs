//! Whom nobody wants: sessions are ended, and addresses and networks banned for a while.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{Json, extract::State, http::StatusCode};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    model::LIMIT,
    problem::{Answer, Body, Params, Part, Problem},
    read,
};
use crate::{control::Command, names::SessionId};

type Ctx = State<Arc<App>>;

/// The longest ban: beyond it, the network's firewall is the place.
const BAN_MAX: u64 = 30 * 86_400;

/// How a session is ended.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct KickParams {
    /// Bans its address for so long, at most 30 days; 0: not.
    #[serde(default)]
    ban_seconds: u64,
}

/// Ends a session; with `ban_seconds` its address is refused (1403) for a while.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = u64, Path), KickParams),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn kick(
    State(app): Ctx,
    Part(id): Part<u64>,
    Params(params): Params<KickParams>,
) -> Answer<StatusCode> {
    let look = app.look().await?;
    let session = look.sessions.iter().find(|session| session.id.0 == id);
    let peer = session.ok_or_else(|| read::no_session(id))?.peer;
    if params.ban_seconds > 0 {
        ban(&app, peer.ip().into(), params.ban_seconds)?;
    }
    if !end(&app, SessionId(id)).await? {
        return Err(read::no_session(id));
    }
    info!(session = id, %peer, "ended by the API");
    Ok(StatusCode::NO_CONTENT)
}

/// Whether it was there.
async fn end(app: &App, id: SessionId) -> Answer<bool> {
    let kicked = app
        .ask(move |view| view.ask(|reply| Command::Kick(id, reply)))
        .await?;
    Ok(kicked == Some(true))
}

/// A banned address or network.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Ban {
    /// An address, or a network as in `203.0.113.0/24`.
    address: String,
    /// RFC 3339, UTC.
    until: String,
    /// `operator`: by this API; `limits`: by `[limits]`, after too many refusals.
    by: &'static str,
}

/// An address or network to ban.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBan {
    /// An address, or a network as in `203.0.113.0/24`.
    #[schema(example = "192.0.2.7")]
    address: String,
    /// At most 30 days.
    #[schema(minimum = 1, maximum = 2_592_000)]
    seconds: u64,
    /// Ends the open sessions from there too.
    #[serde(default)]
    end_sessions: bool,
}

/// What came of a ban.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Banned {
    #[serde(flatten)]
    ban: Ban,
    /// Sessions that were ended.
    ended: usize,
}

/// The banned addresses and networks: all that operators have banned, then those of `[limits]` (1000 at most).
#[utoipa::path(get, path = "/api/v1/bans", tag = "sessions", responses((status = 200, body = Vec<Ban>)))]
pub(super) async fn bans(State(app): Ctx) -> Json<Vec<Ban>> {
    let now = Instant::now();
    let shown = |by| move |(network, until): (IpNet, Instant)| shown(network, until, now, by);
    let doorman = &app.view.doorman;
    let by_operator = doorman.bans(now).into_iter().map(shown("operator"));
    let by_limits = doorman.bans_by_limits(now).into_iter().take(LIMIT);
    Json(by_operator.chain(by_limits.map(shown("limits"))).collect())
}

fn shown(network: IpNet, until: Instant, now: Instant, by: &'static str) -> Ban {
    let until = SystemTime::now() + until.saturating_duration_since(now);
    Ban {
        address: text_of(network),
        until: humantime::format_rfc3339_seconds(until).to_string(),
        by,
    }
}

/// An address without a prefix where it is one address.
fn text_of(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// Refuses an address or a network for a while (1403). Sessions that are open stay, unless `end_sessions` is true. Bans end
/// with the gateway.
#[utoipa::path(post, path = "/api/v1/bans", tag = "sessions", request_body = NewBan,
    responses((status = 201, body = Banned), (status = 422, body = Problem)))]
pub(super) async fn add_ban(State(app): Ctx, Body(new): Body<NewBan>) -> Answer<(StatusCode, Json<Banned>)> {
    let network = network(&new.address).map_err(|problem| problem.at("address"))?;
    let until = ban(&app, network, new.seconds).map_err(|problem| problem.at("seconds"))?;
    let mut ended = 0;
    if new.end_sessions {
        for session in app.look().await?.sessions {
            if network.contains(&session.peer.ip().to_canonical()) && end(&app, session.id).await? {
                info!(session = session.id.0, peer = %session.peer, "ended by the API");
                ended += 1;
            }
        }
    }
    let ban = shown(network, until, Instant::now(), "operator");
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
    if network.prefix_len() == 0 {
        return Err(Problem::invalid(
            "this would ban everybody: POST /drain takes in nobody any more",
        ));
    }
    Ok(network.trunc())
}

fn ban(app: &App, network: IpNet, seconds: u64) -> Answer<Instant> {
    if !(1..=BAN_MAX).contains(&seconds) {
        return Err(Problem::invalid(format!("a ban lasts 1 to {BAN_MAX} seconds")));
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    if !app.view.doorman.ban(network, until) {
        return Err(Problem::busy(
            "too many addresses are banned: use the network's firewall",
        ));
    }
    info!(address = %text_of(network), seconds, "banned by the API");
    Ok(until)
}

/// Ends a ban, whoever made it. A network is percent-encoded: `203.0.113.0%2F24`.
#[utoipa::path(delete, path = "/api/v1/bans/{address}", tag = "sessions", params(("address" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn delete_ban(State(app): Ctx, Part(address): Part<String>) -> Answer<StatusCode> {
    let network = network(&address)?;
    if !app.view.doorman.unban(network) {
        return Err(Problem::not_found(format!("{} is not banned", text_of(network))));
    }
    info!(address = %text_of(network), "not banned any more, by the API");
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
        ] {
            assert_eq!(network(wrong).unwrap_err().status, 422, "{wrong}");
        }
    }
}
