//! Print an OpenAPI document, to compare it with upstream's in `api/openapi-spec`: of a group version the one of version 3,
//! `cargo run -p schema --example openapi apis/apps/v1`, or with `v2` and `v2.pb` the one of version 2.

use std::io::Write;

use schema::OpenApiForm;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "api/v1".to_owned());
    let document = match path.as_str() {
        "v2" => schema::openapi_v2(OpenApiForm::Json, &[]),
        "v2.pb" => schema::openapi_v2(OpenApiForm::Protobuf, &[]),
        path => schema::openapi_v3(path).unwrap_or_default(),
    };
    std::io::stdout().write_all(&document)
}
