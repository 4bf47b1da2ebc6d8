use serde_json::{Value, json};

use crate::list::{FARTHEST, MOST};

/// The OpenAPI document of the server. The run document itself is described by its own published schema.
pub fn document() -> Value {
    let error = json!({"description": "What is wrong, in words", "content": {"application/json": {"schema": {
        "type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}}});
    let object = |what: &str| json!({"description": what, "content": {"application/json": {"schema": {"type": "object"}}}});
    let list = |what: &str| json!({"description": what, "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}});
    let demo = json!({"description": "The demo", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Demo"}}}});
    let page = json!({"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}});
    let id =
        json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
    let parameter =
        |name: &str, schema: Value| json!({"name": name, "in": "query", "required": false, "schema": schema});
    let text = || json!({"type": "string"});
    let number = |least: usize, most: usize| json!({"type": "integer", "minimum": least, "maximum": most});
    // A form sends what was left empty too.
    let date = json!({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 0}]});
    let query = json!([
        parameter("q", text()),
        parameter("provider", text()),
        parameter("version", text()),
        parameter("from", date.clone()),
        parameter("until", date),
        parameter(
            "sort",
            json!({"type": "string", "enum": ["", "started", "throughput", "p50", "p99"]})
        ),
        parameter("reverse", json!({"type": "boolean"})),
        parameter("offset", number(0, FARTHEST)),
        parameter("limit", number(1, MOST)),
    ]);
    let sides = json!([
        {"name": "base", "in": "query", "required": true, "schema": text()},
        {"name": "other", "in": "query", "required": true, "explode": true,
            "schema": {"type": "array", "items": text(), "minItems": 1, "maxItems": 20}},
    ]);
    let body = json!({"required": true, "content": {"application/json": {"schema": {"type": "object"}}}});
    let new_body = json!({"required": true, "content": {"application/json": {"schema": {
        "type": "object", "required": ["id"],
        "properties": {"id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}}}}}});
    let token = json!([{"token": []}]);
    let refusals = |mut responses: Value, codes: &[&str]| {
        for code in codes {
            responses[*code] = error.clone();
        }
        responses
    };
    let writes = ["400", "401", "404", "409", "413", "415", "422", "429"];
    let end = |what: &str| {
        json!({"post": {"summary": what, "security": token, "parameters": [id],
            "responses": refusals(json!({"200": demo}), &writes)}})
    };
    json!({
        "openapi": "3.1.0",
        "info": {"title": "cncfdemo results", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {
            "/": {"get": {"summary": "The list as a page", "parameters": query, "responses": refusals(json!({"200": page}), &["400"])}},
            "/runs/{id}": {"get": {"summary": "A run's page", "parameters": [id], "responses": refusals(json!({"200": page}), &["400", "404"])}},
            "/compare": {"get": {"summary": "Runs compared, as a page", "parameters": sides, "responses": refusals(json!({"200": page}), &["400", "404"])}},
            "/api/v1/runs": {
                "get": {"summary": "The list", "parameters": query, "responses": refusals(json!({"200": object("A part of the list")}), &["400"])},
                "post": {"summary": "Submit a run document (docs/reference/run-v1.schema.json)", "security": token, "requestBody": body,
                    "responses": refusals(json!({"201": object("Kept"), "200": object("The very same was there")}), &writes)},
            },
            "/api/v1/runs/{id}": {"get": {"summary": "A run document", "parameters": [id], "responses": refusals(json!({"200": object("The document")}), &["400", "404"])}},
            "/api/v1/compare": {"get": {"summary": "Runs compared", "parameters": sides, "responses": refusals(json!({"200": list("One comparison for each other run")}), &["400", "404"])}},
            "/demos/{id}": {"get": {"summary": "The page that follows a demo", "parameters": [id], "responses": refusals(json!({"200": page}), &["400", "404"])}},
            "/api/v1/demos": {
                "get": {"summary": "All demos", "responses": {"200": list("Demos")}},
                "post": {"summary": "A new demo", "security": token, "requestBody": new_body, "responses": refusals(json!({"201": demo}), &writes)},
            },
            "/api/v1/demos/{id}": {
                "get": {"summary": "A demo", "parameters": [id], "responses": refusals(json!({"200": demo}), &["400", "404"])},
                "put": {"summary": "News of a demo; makes it if it is not there", "security": token, "parameters": [id], "requestBody": body,
                    "responses": refusals(json!({"200": demo}), &writes)},
            },
            "/api/v1/demos/{id}/stop": end("The demo was taken down before its end"),
            "/api/v1/demos/{id}/finish": end("The demo is done"),
            "/api/v1/events": {"get": {"summary": "Every change of every demo, or of one, from now on (server-sent events)", "parameters": [parameter("demo", text())],
                "responses": {"200": {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}}},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Demo": {"type": "object", "required": ["id", "state", "created", "updated", "data"], "properties": {
                "id": {"type": "string"}, "state": {"type": "string", "enum": ["running", "stopped", "finished"]},
                "created": {"type": "string", "format": "date-time"}, "updated": {"type": "string", "format": "date-time"},
                "data": {"type": "object"}}}},
        },
    })
}
