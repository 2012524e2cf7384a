//! `/docs`: the API, to be read and tried in a browser.
//!
//! The page is ours, the code behind it is Swagger UI, and all of it comes out of this binary: the
//! page loads nothing from anywhere else, and its Content-Security-Policy says so to the browser.
//! Swagger UI arrives as an archive inside a crate, so that nothing is fetched at build time, and
//! its files leave as they lie in the archive: a deflated file with a gzip head before it and a sum
//! behind it is a gzip file, so nothing is ever inflated here.
//!
//! To add a file of Swagger UI: its line in `BORROWED`. The page must name whatever it needs.

mod archive;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data, Path};

use self::archive::Stored;
use super::papers;
use crate::http::anybody::Anybody;
use crate::http::problem::Problem;
use crate::kernel::fault::{Code, Fault};

/// The document and the files of the page, made once.
pub struct Docs {
    openapi: Bytes,
    files: Vec<File>,
}

struct File {
    name: &'static str,
    media: &'static str,
    encoding: Encoding,
    bytes: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    /// Every browser takes it, so what is accepted is not asked.
    Gzip,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("page.html");
const OWN: &[(&str, &str, &str)] = &[
    ("start.js", JAVASCRIPT, include_str!("start.js")),
    ("style.css", CSS, include_str!("style.css")),
];
const BORROWED: &[(&str, &str)] = &[
    ("swagger-ui.css", CSS),
    ("swagger-ui-bundle.js", JAVASCRIPT),
    ("favicon-32x32.png", "image/png"),
];

/// Swagger UI sets styles on its elements and has its icons as data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

impl Docs {
    pub fn new() -> Result<Self, String> {
        let own = OWN.iter().map(|(name, media, text)| File {
            name,
            media,
            encoding: Encoding::Identity,
            bytes: Bytes::from_static(text.as_bytes()),
        });
        let mut files: Vec<File> = own.collect();
        for (name, media) in BORROWED {
            let stored = archive::find(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED, name);
            let (encoding, bytes) = match stored {
                Some(Stored::Plain(bytes)) => (Encoding::Identity, bytes.to_vec()),
                Some(Stored::Deflated(deflated)) => (Encoding::Gzip, deflated.gzip()),
                None => return Err(format!("{name} is not in the archive of Swagger UI")),
            };
            files.push(File { name, media, encoding, bytes: bytes.into() });
        }
        Ok(Self { openapi: papers::openapi().into(), files })
    }

    /// `/openapi.json`.
    pub fn document(&self) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CONTENT_TYPE, "application/json"));
        response.body(self.openapi.clone())
    }
}

pub async fn page(_: Anybody) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, HTML));
    response.insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    response.body(PAGE)
}

pub async fn file(
    _: Anybody,
    docs: Data<Docs>,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let file = docs.files.iter().find(|file| file.name == name.as_str());
    let file = file.ok_or_else(|| Fault::of(Code::NotFound))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, file.media));
    if file.encoding == Encoding::Gzip {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.body(file.bytes.clone()))
}
