//! Serves the console's page from the bundle that the build script has embedded, or a plain page if there is none.
//!
//! Runs on the API's threads. It serves files only: the page uses the API like any other client, with a token if one is
//! required, and these files contain no secrets.

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

mod bundled {
    use super::Asset;
    include!(concat!(env!("OUT_DIR"), "/console_assets.rs"));
}

/// A file of the page.
#[derive(Debug)]
struct Asset {
    /// Its path.
    path: &'static str,
    bytes: &'static [u8],
    /// The same, gzipped.
    gzip: Option<&'static [u8]>,
}

/// The page's content security policy: it may run its own scripts, contact this gateway, and play what it received (the
/// player's worker and media source are `blob:`). No inline scripts or styles, nothing from other hosts, and no
/// framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      worker-src blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of a gateway that was built without the console.
static PLAIN: &[Asset] = &[
    Asset {
        path: "/index.html",
        bytes: include_bytes!("console/plain.html"),
        gzip: None,
    },
    Asset {
        path: "/plain.css",
        bytes: include_bytes!("console/plain.css"),
        gzip: None,
    },
    Asset {
        path: "/plain.js",
        bytes: include_bytes!("console/plain.js"),
        gzip: None,
    },
];

/// Whether this binary contains the console.
pub(crate) fn is_bundled() -> bool {
    !bundled::ASSETS.is_empty()
}

/// The routes of the page's files, including `/`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let assets = if is_bundled() { bundled::ASSETS } else { PLAIN };
    assets.iter().fold(Router::new(), |router, asset| {
        let serve = move |headers: HeaderMap| async move { answer(asset, &headers) };
        let router = router.route(asset.path, get(serve));
        if asset.path == "/index.html" {
            router.route("/", get(serve))
        } else {
            router
        }
    })
}

fn answer(asset: &'static Asset, asked: &HeaderMap) -> Response {
    let packed = asset.gzip.filter(|_| takes_gzip(asked));
    let mut response = packed.unwrap_or(asset.bytes).into_response();
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, content_type(asset.path));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::VARY, "Accept-Encoding");
    if packed.is_some() {
        set(header::CONTENT_ENCODING, "gzip");
    }
    // The bundler's file names change with their content; other files are revalidated each time.
    if asset.path.starts_with("/assets/") {
        set(header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    }
    response
}

/// Whether the client accepts gzip (RFC 9110, 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.trim().parse::<f32>().ok())
            .is_some_and(|weight| weight <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" | "map" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(encoding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, encoding.parse().unwrap());
        headers
    }

    #[test]
    fn only_who_takes_gzip_gets_gzip() {
        static BOTH: Asset = Asset {
            path: "/assets/a.js",
            bytes: b"plain",
            gzip: Some(b"packed"),
        };
        for (asked, packed) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("deflate", false),
            ("gzip;q=0", false),
            ("xgzip", false),
        ] {
            let response = answer(&BOTH, &asking(asked));
            let encoding = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(encoding.is_some(), packed, "{asked}");
        }
        let response = answer(&BOTH, &HeaderMap::new());
        assert!(response.headers().get(header::CONTENT_ENCODING).is_none());
        assert!(
            response.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
    }

    #[test]
    fn both_pages_hold_to_the_policy() {
        for assets in [PLAIN, bundled::ASSETS] {
            let Some(index) = assets.iter().find(|asset| asset.path == "/index.html") else {
                assert!(assets.is_empty(), "a bundle without index.html");
                continue;
            };
            let page = std::str::from_utf8(index.bytes).unwrap();
            // Every script is a file of ours, none is inline, and nothing comes from elsewhere.
            for script in page.split("<script").skip(1) {
                let (tag, inside) = script.split_once('>').unwrap();
                assert!(tag.contains("src="), "{tag}");
                assert!(inside.trim_start().starts_with("</script>"), "{tag}");
            }
            for inline in ["<style", " style=", " onload=", " onclick="] {
                assert!(!page.contains(inline), "{inline}");
            }
            assert!(!page.contains("https://") && !page.contains("http://"));
            assert_eq!(
                answer(index, &asking("gzip")).headers()[header::CONTENT_SECURITY_POLICY],
                POLICY
            );
        }
    }

    #[test]
    fn files_have_their_types() {
        assert_eq!(content_type("/index.html"), "text/html; charset=utf-8");
        assert_eq!(
            content_type("/assets/index-1.js"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(content_type("/what"), "application/octet-stream");
    }
}
