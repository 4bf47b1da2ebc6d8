//! Print the OpenAPI v3 document of a group version, to compare it with upstream's `api/openapi-spec/v3`:
//! `cargo run -p schema --example openapi apis/apps/v1`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "api/v1".to_owned());
    std::io::stdout().write_all(&schema::openapi_v3(&path).unwrap_or_default())
}
