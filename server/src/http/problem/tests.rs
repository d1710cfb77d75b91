//! The table's own tests; that each problem is what a client gets is tested where requests are.

use std::collections::BTreeSet;

use axum::http::header;
use axum::response::IntoResponse as _;

use super::*;

/// One problem of every kind.
fn every() -> Vec<Problem> {
    let text = || "x".to_owned();
    let sentence = || "It does not fit.".to_owned();
    let image = |source| Problem::Image { index: 0, source };
    let retry_after = Duration::ZERO;
    vec![
        Problem::EmptyBody,
        Problem::NoImage { what: "part" },
        Problem::TooManyImages { limit: 1 },
        Problem::BodyTooLarge { limit: 1 },
        Problem::BodyIncomplete,
        image(ImageError::Empty),
        image(ImageError::UnknownFormat),
        image(ImageError::OtherFormat { name: "HEIC" }),
        image(ImageError::TooManyBytes { bytes: 2, limit: 1 }),
        Problem::NotFetched {
            index: 0,
            reason: FetchError::Address,
        },
        Problem::MissingContentType,
        Problem::UnsupportedMediaType {
            content_type: text(),
        },
        Problem::UnsupportedEncoding { encoding: text() },
        Problem::NotAcceptable {
            accept: text(),
            offers: text(),
        },
        Problem::Mask { detail: sentence() },
        Problem::Segmentation { detail: sentence() },
        Problem::Models(ModelsError::Lacks {
            name: text(),
            what: "x",
        }),
        Problem::Models(ModelsError::Unknown { name: text() }),
        Problem::UnknownVersion { version: text() },
        Problem::UnknownRevision {
            name: text(),
            revision: text(),
        },
        Problem::Models(ModelsError::NotNamed),
        Problem::Models(ModelsError::NothingServed),
        Problem::Models(ModelsError::Loading { name: text() }),
        Problem::Models(ModelsError::Refused {
            name: text(),
            reason: text(),
        }),
        Problem::UnknownField {
            field: text(),
            known: text(),
        },
        Problem::InvalidField {
            field: text(),
            detail: text(),
        },
        Problem::MalformedJson { detail: text() },
        Problem::MalformedMultipart { detail: text() },
        Problem::NotFound { path: text() },
        Problem::MethodNotAllowed { method: text() },
        Problem::Models(ModelsError::StoreUnreachable),
        Problem::Models(ModelsError::UploadsOff),
        Problem::Models(ModelsError::UploadTooLarge { limit: 1 }),
        Problem::Models(ModelsError::DigestMismatch {
            expected: text(),
            found: text(),
        }),
        Problem::Models(ModelsError::Invalid { reason: text() }),
        Problem::Models(ModelsError::Exists { name: text() }),
        Problem::Models(ModelsError::PreconditionFailed { name: text() }),
        Problem::Models(ModelsError::StorageFull),
        Problem::Models(ModelsError::UnknownImport { id: text() }),
        Problem::Models(ModelsError::UnknownFile { path: text() }),
        Problem::RangeNotSatisfiable { bytes: 1 },
        Problem::RequestTimeout { seconds: 1 },
        Problem::KeyMissing,
        Problem::KeyUnknown,
        Problem::KeyNotAllowed { needed: "x" },
        Problem::InputTooLarge {
            pixels: 2,
            limit: 1,
        },
        Problem::AnswerTooLarge { bytes: 2, limit: 1 },
        Problem::WorkTooLarge { bytes: 2, limit: 1 },
        Problem::CrossSite,
        Problem::Overloaded { retry_after },
        Problem::Expired {
            allowed: Duration::from_millis(250),
        },
        Problem::Timeout {
            allowed: Duration::from_millis(250),
        },
        Problem::ShuttingDown,
        Problem::Engine,
        Problem::Internal,
    ]
}

#[test]
fn every_kind_of_problem_has_a_type_and_a_title_of_its_own() {
    let problems = every();
    let kinds: BTreeSet<_> = problems.iter().map(Problem::slug).collect();
    let titles: BTreeSet<_> = problems.iter().map(|problem| problem.row().2).collect();
    assert_eq!(
        (kinds.len(), titles.len()),
        (problems.len(), problems.len())
    );
}

#[test]
fn every_problem_is_a_client_or_a_server_error_that_says_what_to_do() {
    for problem in every() {
        let status = problem.status();
        assert!(
            status.is_client_error() || status.is_server_error(),
            "{problem:?}"
        );
        let detail = problem.to_string();
        assert!(detail.ends_with('.'), "{detail}");
        let response = problem.into_response();
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}

#[test]
fn a_client_is_never_told_to_come_back_too_early() {
    for (wait, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (2900, "3")] {
        let retry_after = Duration::from_millis(wait);
        let full = Problem::Overloaded { retry_after };
        assert!(
            full.to_string().contains(&format!(" {seconds} s")),
            "{full}"
        );
        assert_eq!(full.into_response().headers()[header::RETRY_AFTER], seconds);
    }
}

#[test]
fn every_status_of_a_problem_is_documented() {
    let document = serde_json::to_value(crate::document()).unwrap();
    let paths = &document["paths"];
    let operations = [
        &paths["/v1/embeddings"]["post"],
        &paths["/v1/models/{name}"]["put"],
        &paths["/v1/models/{name}/files/{path}"]["get"],
    ];
    let documented = |row: u16| {
        let mut operations = operations.iter();
        operations.any(|operation| operation["responses"].get(row.to_string()).is_some())
    };
    for problem in every() {
        let row = problem.row().0;
        // A path that is there for another method has no place in the document.
        let known = row == 405 || documented(row);
        assert!(known, "{row} of {}", problem.slug());
    }
}
