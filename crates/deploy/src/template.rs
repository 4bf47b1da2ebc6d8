use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value as Jinja};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use crate::Error;

/// What templates may use: a tree of values, later sources winning over earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Values(Value);

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self(Value::Object(serde_json::Map::new()))
    }

    /// Merges a TOML document over what is there.
    pub fn merge_toml(&mut self, origin: &str, text: &str) -> Result<(), Error> {
        let table: toml::Table = toml::from_str(text).map_err(|e| Error::Values {
            origin: origin.to_owned(),
            reason: e.to_string().trim_end().to_owned(),
        })?;
        let value = serde_json::to_value(table).map_err(|e| Error::Values {
            origin: origin.to_owned(),
            reason: e.to_string(),
        })?;
        merge(&mut self.0, value);
        Ok(())
    }

    /// Sets one value from `a.b.c=VALUE`; VALUE is JSON if it parses as such (numbers, booleans, lists), else a string.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        let Some((path, text)) = assignment.split_once('=').filter(|(path, _)| !path.is_empty()) else {
            return Err(Error::Values {
                origin: format!("--set {assignment}"),
                reason: "expected KEY=VALUE".to_owned(),
            });
        };
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        self.insert(path, value);
        Ok(())
    }

    /// Puts a value at a dotted path.
    pub fn insert(&mut self, path: &str, value: Value) {
        let nested = path
            .rsplit('.')
            .fold(value, |inner, key| serde_json::json!({ key: inner }));
        merge(&mut self.0, nested);
    }

    /// The value at a dotted path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0, |value, key| value.get(key))
    }

    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect_names(&self.0, &mut names);
        names
    }
}

fn collect_names<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        names.push(key);
        collect_names(inner, names);
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Renders Jinja templates; a name that is not defined is an error, never an empty string.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let mut syntax = SyntaxConfig::builder();
        syntax
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true);
        // Only delimiters can be refused, and none is changed here.
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        environment.add_filter("indent_by", |text: String, width: usize| {
            let pad = " ".repeat(width);
            text.lines()
                .map(|l| {
                    if l.is_empty() {
                        String::new()
                    } else {
                        format!("{pad}{l}")
                    }
                })
                .collect::<Vec<_>>()
                .join("\n")
        });
        Self { environment }
    }
}

impl Templates {
    /// Renders one template. `name` is the file as it should appear in errors.
    pub fn render(&self, name: &str, source: &str, values: &Values) -> Result<String, Error> {
        let context = Jinja::from(Serde(&values.0));
        self.environment
            .render_named_str(name, source, context)
            .map_err(|e| describe(name, source, values, &e))
    }
}

/// Puts the file, the line and a mark under the culprit into the message, and guesses the name that was meant.
fn describe(name: &str, source: &str, values: &Values, error: &minijinja::Error) -> Error {
    let line_number = error.line().unwrap_or(1);
    let line = source
        .lines()
        .nth(line_number.saturating_sub(1))
        .unwrap_or_default();
    let line_start: usize = source
        .split_inclusive('\n')
        .take(line_number.saturating_sub(1))
        .map(str::len)
        .sum();
    let culprit = error
        .range()
        .and_then(|r| {
            source
                .get(r.clone())
                .map(|text| (r.start.saturating_sub(line_start), text))
        })
        .filter(|(_, text)| !text.contains('\n'));
    let what = match (error.kind(), culprit) {
        (ErrorKind::UndefinedError, Some((_, text))) => format!("`{}` is not defined", text.trim()),
        _ => error
            .detail()
            .map_or_else(|| error.kind().to_string(), |d| format!("{}: {d}", error.kind())),
    };
    let mut message = format!("{name}:{line_number}: {what}\n  {line_number} | {line}");
    if let Some((column, text)) = culprit {
        let margin = " ".repeat(line_number.to_string().len() + 2);
        message += &format!(
            "\n{margin} | {}{}",
            " ".repeat(column),
            "^".repeat(text.trim_end().len().max(1))
        );
    }
    let hint = culprit
        .filter(|_| error.kind() == ErrorKind::UndefinedError)
        .and_then(|(_, text)| {
            nearest(
                text.trim().rsplit('.').next().unwrap_or_default(),
                &values.names(),
            )
        })
        .map(|meant| format!("did you mean `{meant}`?"));
    Error::Template { message, hint }
}

/// The known name with the smallest edit distance, if it is close enough to be a typing error.
fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, name) = known
        .iter()
        .map(|name| (strsim::levenshtein(wrong, name), *name))
        .min()?;
    (distance <= wrong.len().div_ceil(3)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::new();
        values
            .merge_toml("values.toml", "replicas = 2\n[redis]\nmasters = 3\n")
            .unwrap();
        values
    }

    #[test]
    fn values_are_merged_and_rendered() {
        let mut values = values();
        values.set("redis.image=\"a:b\"").unwrap();
        values.set("redis.masters=5").unwrap();
        let text = Templates::default().render(
            "t",
            "{{ redis.masters }} {{ redis.image }} {{ replicas }}\n",
            &values,
        );
        assert_eq!(text.unwrap(), "5 a:b 2\n");
        assert!(values.set("novalue").is_err());
    }

    #[test]
    fn an_undefined_name_is_shown_in_its_line_with_a_guess() {
        let source = "kind: Deployment\nspec:\n  replicas: {{ replica }}\n";
        let error = Templates::default()
            .render("demo.yaml.j2", source, &values())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "demo.yaml.j2:3: `replica` is not defined\n  3 |   replicas: {{ replica }}\n    |                ^^^^^^^"
        );
        assert_eq!(error.hint(), Some("did you mean `replicas`?"));
    }
}
