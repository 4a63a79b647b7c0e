//! Ending sessions and banning addresses and networks over the HTTP API of a running gateway.

mod http;

use http::{Running, wait_until};
use serde_json::json;

#[test]
fn a_session_is_kicked_and_its_address_banned() {
    let gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    let sessions = || gateway.ask("GET", "/api/v1/sessions").value();
    let id = wait_until("the session", || sessions()["items"][0]["id"].as_u64());
    gateway
        .ask("DELETE", &format!("/api/v1/sessions/{id}?ban_seconds=600"))
        .is(204);
    wait_until("its end", || publisher.send(&[0x47; 1316]).is_err().then_some(()));
    let refused = gateway.call("#!::r=a,m=publish").unwrap_err();
    assert_eq!(refused.reject_reason().unwrap().value(), 1403);
    assert_eq!(
        gateway.ask("GET", "/api/v1/bans").value()[0]["address"],
        "127.0.0.1"
    );
    let rejections = wait_until("the rejection", || {
        let all = gateway.ask("GET", "/api/v1/rejections").value();
        (!all.as_array().unwrap().is_empty()).then_some(all)
    });
    assert_eq!(rejections[0]["by"], "limits");
    gateway.ask("DELETE", "/api/v1/bans/127.0.0.1").is(204);
    gateway.ask("DELETE", "/api/v1/bans/127.0.0.1").is_problem(404);
    gateway.call("#!::r=a,m=publish").unwrap();
    gateway
        .ask("DELETE", &format!("/api/v1/sessions/{id}"))
        .is_problem(404);
}

#[test]
fn a_network_is_banned_and_who_is_there_ended() {
    let gateway = Running::start("", "[streams.a]");
    let publisher = gateway.call("#!::r=a,m=publish").unwrap();
    wait_until("the session", || {
        gateway.ask("GET", "/api/v1/sessions").value()["items"][0]["id"].as_u64()
    });
    for (body, key) in [
        (r#"{"address": "nobody", "seconds": 60}"#, "address"),
        (r#"{"address": "::/0", "seconds": 60}"#, "address"),
        (r#"{"address": "127.0.0.1", "seconds": 0}"#, "seconds"),
    ] {
        let refused = gateway.json("POST", "/api/v1/bans", body);
        refused.is_problem(422);
        assert_eq!(refused.value()["errors"][0]["key"], key);
    }
    let body = r#"{"address": "127.3.0.0/8", "seconds": 600, "end_sessions": true}"#;
    let banned = gateway.json("POST", "/api/v1/bans", body).is(201).value();
    assert_eq!(
        (&banned["address"], &banned["ended"]),
        (&json!("127.0.0.0/8"), &json!(1))
    );
    wait_until("its end", || publisher.send(&[0x47; 1316]).is_err().then_some(()));
    assert!(gateway.call("#!::r=a,m=publish").is_err());
    let bans = gateway.ask("GET", "/api/v1/bans").value();
    assert_eq!(
        (&bans[0]["address"], &bans[0]["by"]),
        (&json!("127.0.0.0/8"), &json!("operator"))
    );
    assert!(gateway.ctl(&["unban", "127.0.0.0/8"]).status.success());
    assert_eq!(gateway.ask("GET", "/api/v1/bans").value(), json!([]));
    gateway.call("#!::r=a,m=publish").unwrap();
}

#[test]
fn a_ban_says_who_made_it_and_why_and_survives_a_restart() {
    let tokens = "tokens = [{ token = \"fedcba9876543210\", scope = \"operate\", name = \"night shift\" }]";
    let gateway = Running::start(tokens, "[streams.a]");
    let headers = [
        ("Authorization", "Bearer fedcba9876543210"),
        ("Content-Type", "application/json"),
    ];
    let ask =
        |gateway: &Running, method: &str, path: &str, body: &str| gateway.send(method, path, &headers, body);
    for reason in ["two\\nlines".to_owned(), "x".repeat(201)] {
        let body = format!(r#"{{"address": "127.0.0.1", "seconds": 600, "reason": "{reason}"}}"#);
        let refused = ask(&gateway, "POST", "/api/v1/bans", &body);
        refused.is_problem(422);
        assert_eq!(refused.value()["errors"][0]["key"], "reason");
    }
    let body = r#"{"address": "127.0.0.1", "seconds": 600, "reason": "password guessing"}"#;
    ask(&gateway, "POST", "/api/v1/bans", body).is(201);
    let gateway = gateway.restarted();
    let bans = ask(&gateway, "GET", "/api/v1/bans", "").value();
    assert_eq!(
        (&bans[0]["by"], &bans[0]["token"], &bans[0]["reason"]),
        (
            &json!("operator"),
            &json!("night shift"),
            &json!("password guessing")
        )
    );
    let refused = gateway.call("#!::r=a,m=publish").unwrap_err();
    assert_eq!(refused.reject_reason().unwrap().value(), 1403);
    let reason = wait_until("the rejection", || {
        let all = ask(&gateway, "GET", "/api/v1/rejections", "").value();
        all[0]["reason"].as_str().map(str::to_owned)
    });
    let since = bans[0]["since"].as_str().unwrap();
    let told = format!("the address was banned by night shift at {since}: password guessing, until ");
    assert!(reason.starts_with(&told), "{reason}");
    ask(&gateway, "DELETE", "/api/v1/bans/127.0.0.1", "").is(204);
    let gateway = gateway.restarted();
    gateway.call("#!::r=a,m=publish").unwrap();
}
