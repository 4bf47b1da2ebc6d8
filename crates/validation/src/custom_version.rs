//! The versions of a CustomResourceDefinition: subresources, columns and selectable fields.
use crate::{
    custom_schema,
    field::{Errors, Node, show},
};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

const SELECTABLE: usize = 8;
/// Which parts a version has, and what the internal type calls them.
const PARTS: [(&str, &str); 4] = [
    ("schema", "Schema"),
    ("subresources", "Subresources"),
    ("additionalPrinterColumns", "AdditionalPrinterColumns"),
    ("selectableFields", "SelectableFields"),
];

/// The parts that all versions have in common: in the internal type they are the definition's own, and are checked last
/// (`pkg/apis/apiextensions/v1/conversion.go`).
pub(crate) struct Common(Vec<&'static str>);

impl Common {
    pub(crate) fn of(versions: &[Node<'_>]) -> Self {
        let same = |part: &str| {
            versions
                .windows(2)
                .all(|pair| pair[0].get(part).value() == pair[1].get(part).value())
        };
        Self(
            PARTS
                .map(|(part, _)| part)
                .into_iter()
                .filter(|part| same(part))
                .collect(),
        )
    }

    fn has(&self, part: &str) -> bool {
        self.0.contains(&part)
    }

    /// The versions as a message shows them: Go's struct, from which the common parts are gone.
    pub(crate) fn show(&self, list: &Node<'_>) -> String {
        let versions = list.items();
        if !list.present() {
            return "null".to_owned();
        }
        let version = |v: &Node<'_>| {
            let mut fields: Vec<String> = vec![format!("\"Name\":{}", show(&v.get("name").text().into()))];
            for (name, field) in [
                ("Served", "served"),
                ("Storage", "storage"),
                ("Deprecated", "deprecated"),
            ] {
                fields.push(format!("{name:?}:{}", v.get(field).is_true()));
            }
            let warning = v.get("deprecationWarning");
            fields.push(format!("\"DeprecationWarning\":{}", show(warning.value())));
            for (part, name) in PARTS {
                let value = if self.has(part) {
                    "null".to_owned()
                } else {
                    show(v.get(part).value())
                };
                fields.push(format!("{name:?}:{value}"));
            }
            format!("{{{}}}", fields.join(","))
        };
        let shown: Vec<String> = versions.iter().map(version).collect();
        format!("[{}]", shown.join(","))
    }
}

/// What a version says for itself.
pub(crate) fn version(e: &mut Errors, version: &Node<'_>, common: &Common) {
    let warning = version.get("deprecationWarning");
    if warning.present() {
        if !version.get("deprecated").is_true() {
            e.invalid(&warning, "can only be set for deprecated versions");
        } else if warning.is_empty() {
            e.invalid_text(&warning, "", "must not be an empty string");
        } else if warning.len() > 256 {
            e.invalid(&warning, "must be <= 256 characters long");
        }
    }
    let status = version.at(&["subresources", "status"]).present();
    let schema = version.at(&["schema", "openAPIV3Schema"]);
    if !common.has("schema") {
        custom_schema::check(e, &schema, status);
    }
    if !common.has("subresources") {
        scale(e, &version.at(&["subresources", "scale"]));
    }
    if !common.has("additionalPrinterColumns") {
        columns(e, &version.get("additionalPrinterColumns"));
    }
    let fields = version.get("selectableFields");
    if !common.has("selectableFields") && !fields.is_empty() {
        if common.has("schema") || !schema.present() {
            let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
            e.invalid_text(&fields, "", detail);
        } else {
            selectable(e, &fields, &schema);
        }
    }
}

/// What the versions have in common.
pub(crate) fn shared(e: &mut Errors, versions: &[Node<'_>], common: &Common) {
    let Some(first) = versions.first() else { return };
    let status = versions
        .iter()
        .any(|v| v.at(&["subresources", "status"]).present());
    let schema = first
        .at(&["schema", "openAPIV3Schema"])
        .renamed("spec.validation.openAPIV3Schema");
    if common.has("schema") {
        custom_schema::check(e, &schema, status);
    }
    if common.has("subresources") {
        scale(
            e,
            &first
                .at(&["subresources", "scale"])
                .renamed("spec.subresources.scale"),
        );
    }
    if common.has("additionalPrinterColumns") {
        let path = "spec.additionalPrinterColumns";
        columns(e, &first.get("additionalPrinterColumns").renamed(path));
    }
    let fields = first.get("selectableFields").renamed("spec.selectableFields");
    if common.has("selectableFields") && !fields.is_empty() {
        if common.has("schema") && first.get("schema").present() {
            selectable(e, &fields, &schema);
        } else {
            let detail = "may only be set when validations.schema is included";
            e.invalid_text(&fields, "", detail);
        }
    }
}

fn scale(e: &mut Errors, scale: &Node<'_>) {
    if !scale.present() {
        return;
    }
    for (field, root) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let path = scale.get(field);
        if path.is_empty() {
            e.required(&path, "");
        } else if simple_path(e, &path) && !path.text().starts_with(root) {
            e.invalid(
                &path,
                &format!("should be a json path under {}", root.trim_end_matches('.')),
            );
        }
    }
    let path = scale.get("labelSelectorPath");
    let inside = [".spec.", ".status."]
        .iter()
        .any(|root| path.text().starts_with(root));
    if !path.is_empty() && simple_path(e, &path) && !inside {
        e.invalid(&path, "should be a json path under either .spec or .status");
    }
}

/// Whether it is one.
fn simple_path(e: &mut Errors, path: &Node<'_>) -> bool {
    let simple = path.text().starts_with('.');
    if !simple {
        e.invalid(path, "must be a simple json path starting with .");
    }
    simple
}

fn columns(e: &mut Errors, columns: &Node<'_>) {
    for column in columns.items() {
        if column.get("name").is_empty() {
            e.required(&column.get("name"), "");
        }
        let kind = column.get("type");
        if kind.is_empty() {
            e.required(&kind, &format!("must be one of {}", COLUMN_TYPES.join(",")));
        } else if !COLUMN_TYPES.contains(&kind.text()) {
            e.invalid(&kind, &format!("must be one of {}", COLUMN_TYPES.join(",")));
        }
        let format = column.get("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format.text()) {
            e.invalid(&format, &format!("must be one of {}", COLUMN_FORMATS.join(",")));
        }
        // Upstream's path is the internal type's.
        let path = column.get("jsonPath");
        let path = path.renamed(format!("{}.JSONPath", column.path()));
        if path.is_empty() {
            e.required(&path, "");
        } else {
            simple_path(e, &path);
        }
    }
}

/// Fields that lists may be selected by: each is there once, and is a simple value of the schema.
fn selectable(e: &mut Errors, fields: &Node<'_>, schema: &Node<'_>) {
    let mut seen: Vec<Vec<&str>> = Vec::new();
    for field in fields.items() {
        let path = field.get("jsonPath");
        if path.is_empty() {
            e.required(&path, "");
            continue;
        }
        let (names, kind) = match follow(path.text(), schema) {
            Ok(found) => found,
            Err(why) => {
                e.invalid(&path, &format!("is an invalid path: {why}"));
                continue;
            }
        };
        if names.first() == Some(&"metadata") {
            e.invalid(&path, "must not point to fields in metadata");
        }
        if !matches!(kind, "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                          are allowed.";
            e.invalid(&path, detail);
        }
        if seen.contains(&names) {
            e.duplicate(&path);
        } else {
            seen.push(names);
        }
    }
    if seen.len() > SELECTABLE {
        e.too_many_of(fields, seen.len(), SELECTABLE);
    }
}

/// The names of a path, and the type of what it leads to (apiserver `pkg/cel` ValidFieldPath).
fn follow<'a>(path: &'a str, schema: &Node<'a>) -> Result<(Vec<&'a str>, &'a str), String> {
    let (mut names, mut here, mut rest) = (Vec::new(), schema.clone(), path);
    while !rest.is_empty() {
        let end = |text: &str| text.find(['.', '[', ']']).unwrap_or(text.len());
        match rest.as_bytes()[0] {
            b'.' => rest = &rest[1..],
            b'[' => return Err("array notation is not allowed".to_owned()),
            // A delimiter is a word of its own.
            _ => return Err(format!("expected [ or . but got: {}", &rest[..end(rest).max(1)])),
        }
        if rest.is_empty() {
            return Err("unexpected end of JSON path".to_owned());
        }
        let name = &rest[..end(rest).max(1)];
        let (properties, more) = (here.get("properties"), here.get("additionalProperties"));
        let below = if properties.present() {
            properties.get(name)
        } else {
            more
        };
        if !below.value().is_object() {
            return Err("does not refer to a valid field".to_owned());
        }
        names.push(name);
        here = below;
        rest = &rest[name.len()..];
    }
    let kind = here.get("type").text();
    Ok((names, kind))
}
