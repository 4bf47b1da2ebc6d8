//! CEL as Kubernetes speaks it; pure.
//!
//! [`Environment::compile`] parses and checks an expression against the types of its variables, and answers what is wrong with it in
//! cel-go's words; [`Program::run`] evaluates it. After cel-go 0.26 (`parser`, `checker`, `interpreter`) and the libraries that
//! Kubernetes 1.36 adds (`k8s.io/apiserver/pkg/cel/{environment/base.go,library}`).
//!
//! Expressions come from strangers, so nothing here grows or runs without bound: source text, nesting and number of nodes have limits
//! ([`parse`]), every step of an evaluation has upstream's cost and a run ends at its limit, and what an operation is about
//! to make is paid for before it is made. JSON is read where it lies and only what an expression touches becomes a value.

mod ast;
mod check;
mod cost;
mod declarations;
mod estimate;
mod evaluate;
mod functions;
mod issue;
mod lexer;
mod macros;
mod parser;
mod pattern;
mod recovery;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

pub use estimate::{Cost, Sizes};
pub use evaluate::{Authorizer, Decision, Failure, Question, Scope};
pub use functions::{authorizer, resource_check};
pub use issue::{Issue, display};
pub use parser::parse;
pub use pattern::{WRITTEN as LARGEST_PATTERN, pattern};
pub use types::{Field, Identity, ListType, MapType, ObjectType, Type, escape};
pub use value::{Key, List, Map, Struct, Text, Value};

/// What one evaluation may cost (`k8s.io/apiserver/pkg/apis/cel/config.go` PerCallLimit).
pub const PER_CALL: u64 = 1_000_000;

/// The type of `authorizer`.
pub fn authorizer_type() -> Type {
    Type::Opaque(declarations::AUTHORIZER)
}

/// The type of the object that is patched.
pub fn patched_type() -> Type {
    types::patch_type("Object").map_or(Type::Dyn, Type::Object)
}

/// The type of a step of a JSON patch.
pub fn json_patch_type() -> Type {
    types::patch_type("JSONPatch").map_or(Type::Dyn, Type::Object)
}

/// The type of `authorizer.requestResource`.
pub fn resource_check_type() -> Type {
    Type::Opaque(declarations::RESOURCE_CHECK)
}

/// The variables that an expression may name.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Type>,
    /// Whether expressions may make what patches consist of.
    patches: bool,
}

impl Environment {
    /// With another variable. A name may be qualified: `variables.x`.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Type) -> Self {
        self.variables.insert(name.to_owned(), kind);
        self
    }

    /// With `Object{}`, its parts and `JSONPatch{}`.
    #[must_use]
    pub fn with_patches(mut self) -> Self {
        self.patches = true;
        self
    }

    /// The type of an object that an expression makes by its name.
    fn structure(&self, name: &str) -> Option<Arc<ObjectType>> {
        types::patch_type(name).filter(|_| self.patches)
    }

    fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// Parse and check.
    pub fn compile(&self, source: &str) -> Result<Program, Vec<Issue>> {
        let mut root = parse(source)?;
        let kind = check::check(self, &mut root)?;
        let mut names = Vec::new();
        root.visit(&mut |node| {
            if let ast::Kind::Ident(name) = &node.kind {
                names.push(name.clone());
            }
        });
        Ok(Program {
            root: Arc::new(root),
            kind,
            names,
        })
    }
}

/// A checked expression.
#[derive(Debug, Clone)]
pub struct Program {
    root: Arc<ast::Node>,
    kind: Type,
    names: Vec<String>,
}

impl Program {
    /// The type of its result.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// Whether it names this variable.
    pub fn names(&self, variable: &str) -> bool {
        self.names.iter().any(|name| name == variable)
    }

    /// Evaluate; also what it cost.
    pub fn run<'a>(&self, scope: &dyn Scope<'a>, limit: u64) -> (Result<Value<'a>, Failure>, u64) {
        evaluate::run(&self.root, scope, limit)
    }

    /// The least and the most that it may cost, by the sizes of what the variables hold.
    pub fn estimate(&self, sizes: &dyn Sizes) -> Cost {
        estimate::estimate(&self.root, sizes)
    }
}
