//! Completes the API description: adds what is common to all handlers.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, OpenApi as Description, Ref, RefOr, Response, ResponseBuilder,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{
    model,
    problem::{PROBLEM_JSON, Problem},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "srt-gateway",
        description = "The HTTP API of srt-gateway (docs/api.md). Percent-encode stream names in paths."
    ),
    modifiers(&Bearer),
    security(("bearer" = [])),
    components(schemas(model::LiveEvent, model::Step, Problem))
)]
pub(super) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut Description) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", scheme);
    }
}

/// The schema of errors.
const PROBLEM: &str = "#/components/schemas/Problem";

/// Adds to every operation the errors that any of them may return (401, 403, 413, 421, 429, 503 and so on), with their
/// media type.
pub(super) fn finish(openapi: &mut Description) {
    for item in openapi.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            give_errors(operation);
        }
    }
}

fn give_errors(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            name_media_type(response);
        }
    }
    let any = ResponseBuilder::new()
        .description("any error (RFC 9457), with its status and what to do")
        .content(PROBLEM_JSON, Content::new(Some(Ref::new(PROBLEM))))
        .build();
    operation
        .responses
        .responses
        .entry("default".to_owned())
        .or_insert_with(|| any.into());
}

/// A handler's attribute names a type that stands for any JSON.
fn name_media_type(response: &mut Response) {
    let is_problem =
        |content: &Content| matches!(&content.schema, Some(RefOr::Ref(to)) if to.ref_location == PROBLEM);
    if response.content.get("application/json").is_some_and(is_problem)
        && let Some(content) = response.content.swap_remove("application/json")
    {
        response.content.insert(PROBLEM_JSON.to_owned(), content);
    }
}
