//! What every operation of the OpenAPI document has in common: which problems it can answer.
//!
//! They follow from its shape (a key, a path parameter, a body, a precondition), so no handler lists
//! them and none can forget one.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, Required, Response};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{PROBLEM_JSON, ProblemBody, ProblemField, status};
use crate::kernel::fault::{Class, Code};

/// Adds the problems to each operation, and their schemas to the components.
pub fn describe_problems(document: &mut OpenApi) {
    let schemas = &mut document.components.get_or_insert_default().schemas;
    schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    schemas.insert(ProblemField::name().into_owned(), ProblemField::schema());
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            complete(method, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let changes = [put, post, delete, patch].into_iter().flatten();
    let reads = get.iter_mut().map(|operation| (Method::Read, operation));
    changes.map(|operation| (Method::Change, operation)).chain(reads)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Read,
    Change,
}

fn complete(method: Method, operation: &mut Operation) {
    let classes = classes(method, operation);
    let summary = operation.summary.clone().unwrap_or_default();
    let responses = &mut operation.responses.responses;
    for response in responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description.clone_from(&summary);
        }
    }
    for class in classes {
        responses.entry(status(class).as_str().to_owned()).or_insert_with(|| problem(class).into());
    }
}

/// What can go wrong with an operation of this shape.
fn classes(method: Method, operation: &Operation) -> Vec<Class> {
    let parameters = || operation.parameters.iter().flatten().filter_map(own);
    let is_in = |place: ParameterIn| parameters().any(|one| one.parameter_in == place);
    let if_match = parameters().find(|one| one.name == "If-Match");
    let must_match = if_match.is_some_and(|one| one.required == Required::True);
    let body = operation.request_body.is_some();
    // An operation that overrides the document's security takes no key.
    let keyed = operation.security.is_none();
    let possible = [
        (Class::Malformed, keyed),
        (Class::Unauthenticated, keyed),
        (Class::Forbidden, keyed),
        (Class::NotFound, is_in(ParameterIn::Path)),
        (Class::Conflict, method == Method::Change),
        (Class::StalePrecondition, if_match.is_some()),
        (Class::MissingPrecondition, must_match),
        (Class::TooSlow, body),
        (Class::TooLarge, body),
        (Class::WrongMediaType, body),
        (Class::Invalid, keyed),
        (Class::Broken, keyed),
        (Class::TooMany, true),
        (Class::Unavailable, true),
    ];
    possible.into_iter().filter(|(_, can)| *can).map(|(class, _)| class).collect()
}

fn own(parameter: &RefOr<Parameter>) -> Option<&Parameter> {
    match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }
}

fn problem(class: Class) -> Response {
    let codes = Code::ALL.iter().filter(|code| code.class() == class);
    let codes: Vec<_> = codes.map(|code| format!("`{}`", code.name())).collect();
    let mut response = Response::new(codes.join(", "));
    let body = Ref::from_schema_name(ProblemBody::name());
    let content = Content::new(Some(RefOr::Ref::<utoipa::openapi::Schema>(body)));
    response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(content));
    response
}
