//! Expressions of admission: what they may name, and what that is (apiserver `pkg/admission/plugin/cel/{compile,condition}.go`).
use std::{cell::RefCell, collections::BTreeMap};

use expressions::{
    Authorizer, Decision, Environment, Failure, PER_CALL, Program, Question, Scope, Type, Value as Cel,
    authorizer, authorizer_type, display, resource_check, resource_check_type,
};
use serde_json::Value;

use crate::{api::Api, auth::rbac::Attributes, json::text, user::User};

/// What one policy, or the conditions of one webhook, may cost altogether (`k8s.io/apiserver/pkg/apis/cel/config.go`).
pub const BUDGET: u64 = 10_000_000;
pub const CONDITIONS_BUDGET: u64 = 2_500_000;

fn object(name: &str, fields: &[(&str, Type)]) -> Type {
    Type::object(
        name,
        fields
            .iter()
            .map(|(field, kind)| ((*field).to_owned(), kind.clone())),
    )
}

fn request_type() -> Type {
    let text = || Type::String;
    let kind = object(
        "kubernetes.GroupVersionKind",
        &[("group", text()), ("version", text()), ("kind", text())],
    );
    let resource = object(
        "kubernetes.GroupVersionResource",
        &[("group", text()), ("version", text()), ("resource", text())],
    );
    let user = object(
        "kubernetes.UserInfo",
        &[
            ("username", text()),
            ("uid", text()),
            ("groups", Type::list(text())),
            ("extra", Type::map(text(), Type::list(text()))),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        &[
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
}

fn namespace_type() -> Type {
    let text = || Type::String;
    let texts = || Type::map(text(), text());
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        &[
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", texts()),
            ("annotations", texts()),
            ("UID", text()),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", text()),
            ("finalizers", Type::list(text())),
        ],
    );
    let condition = object(
        "kubernetes.NamespaceCondition",
        &[
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", Type::Timestamp),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let spec = object("kubernetes.NamespaceSpec", &[("finalizers", Type::list(text()))]);
    let status = object(
        "kubernetes.NamespaceStatus",
        &[("conditions", Type::list(condition)), ("phase", text())],
    );
    object(
        "kubernetes.Namespace",
        &[("metadata", metadata), ("spec", spec), ("status", status)],
    )
}

/// What expressions of admission may name.
pub fn environment(params: bool, with_authorizer: bool) -> Environment {
    let mut environment = Environment::default()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with("namespaceObject", namespace_type())
        .with("request", request_type());
    if params {
        environment = environment.with("params", Type::Dyn);
    }
    if with_authorizer {
        environment = environment
            .with("authorizer", authorizer_type())
            .with("authorizer.requestResource", resource_check_type());
    }
    environment
}

/// A program whose result has one of these types, or why there is none, as upstream words it.
pub fn compile(environment: &Environment, source: &str, wanted: &[Type]) -> Result<Program, String> {
    let program = environment
        .compile(source)
        .map_err(|issues| format!("compilation failed: {}", display(source, &issues)))?;
    if wanted.is_empty() || wanted.iter().any(|kind| kind == program.kind()) {
        return Ok(program);
    }
    // cel-go has another name for it here than in its other messages.
    let got = match program.kind() {
        Type::Null => "null_type".to_owned(),
        kind => kind.to_string(),
    };
    Err(match wanted {
        [one] => format!("must evaluate to {one} but got {got}"),
        many => {
            let all: Vec<String> = many.iter().map(ToString::to_string).collect();
            format!("must evaluate to one of [{}] but got {got}", all.join(" "))
        }
    })
}

/// Who answers `authorizer`: RBAC, for the user of the request or a service account.
pub struct Rbac<'r> {
    pub api: &'r Api,
    pub user: &'r User,
}

impl Authorizer for Rbac<'_> {
    fn decide(&self, question: &Question) -> Decision {
        let wanted = Attributes {
            verb: question.verb.clone(),
            group: question.group.clone(),
            resource: question.resource.clone(),
            subresource: question.subresource.clone(),
            namespace: question.namespace.clone(),
            name: question.name.clone(),
            path: question.path.clone().unwrap_or_default(),
            ..Attributes::default()
        };
        let account = question.account.as_ref().map(|(namespace, name)| {
            let groups = [
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
            ];
            User::new(format!("system:serviceaccount:{namespace}:{name}"), groups)
        });
        let user = account.as_ref().unwrap_or(self.user);
        Decision {
            allowed: self.api.may(user, &wanted),
            ..Decision::default()
        }
    }
}

/// Variables of a policy: each is worked out when it is first named, and once.
pub struct Variables<'v> {
    programs: &'v BTreeMap<String, Result<Program, String>>,
    known: RefCell<BTreeMap<String, Result<Cel<'v>, Failure>>>,
}

impl<'v> Variables<'v> {
    pub fn of(programs: &'v BTreeMap<String, Result<Program, String>>) -> Self {
        Self {
            programs,
            known: RefCell::default(),
        }
    }
}

static NOTHING: Value = Value::Null;

/// What an expression sees.
pub struct Seen<'v> {
    pub object: &'v Value,
    pub old: &'v Value,
    pub request: &'v Value,
    pub namespace: &'v Value,
    pub params: &'v Value,
    pub variables: Option<Variables<'v>>,
    pub question: Question,
    pub rbac: Rbac<'v>,
    request_type: Type,
    namespace_type: Type,
    left: RefCell<u64>,
}

impl<'v> Seen<'v> {
    pub fn new(
        object: &'v Value,
        old: &'v Value,
        request: &'v Value,
        question: Question,
        rbac: Rbac<'v>,
    ) -> Self {
        Self {
            object,
            old,
            request,
            namespace: &NOTHING,
            params: &NOTHING,
            variables: None,
            question,
            rbac,
            request_type: request_type(),
            namespace_type: namespace_type(),
            left: RefCell::new(0),
        }
    }

    /// Begins with a new budget.
    pub fn grant(&self, budget: u64) {
        *self.left.borrow_mut() = budget;
    }

    fn pay(&self, cost: u64) -> bool {
        let mut left = self.left.borrow_mut();
        let enough = *left >= cost;
        *left = left.saturating_sub(cost);
        enough
    }

    /// The value of an expression, or what is said of its failure.
    pub fn evaluate(&self, source: &str, program: &Result<Program, String>) -> Result<Cel<'v>, String> {
        let program = program
            .as_ref()
            .map_err(|error| format!("compilation error: {error}"))?;
        let out_of_budget = || {
            "validation failed due to running out of cost budget, no further validation rules will be run"
                .to_owned()
        };
        if *self.left.borrow() == 0 {
            return Err(out_of_budget());
        }
        let (result, cost) = program.run(self, PER_CALL);
        if !self.pay(cost) {
            return Err(out_of_budget());
        }
        result.map_err(|failure| format!("expression '{source}' resulted in error: {}", failure.message()))
    }

    fn named(&self, name: &str) -> Option<Result<Cel<'v>, Failure>> {
        let variables = self.variables.as_ref()?;
        if let Some(known) = variables.known.borrow().get(name) {
            return Some(known.clone());
        }
        let program = variables.programs.get(name)?;
        // Of two by one name the second may name the first, and means itself.
        let circular = format!("composited variable {name:?} refers to itself");
        let known = |value| variables.known.borrow_mut().insert(name.to_owned(), value);
        known(Err(Failure::Error(circular)));
        let value = match program {
            Err(error) => Err(Failure::Error(format!(
                "composited variable {name:?} fails to compile: {error}"
            ))),
            Ok(program) => {
                let (result, cost) = program.run(self, PER_CALL);
                match result {
                    _ if !self.pay(cost) => Err(Failure::Limit),
                    Err(Failure::Error(error)) => Err(Failure::Error(format!(
                        "composited variable {name:?} fails to evaluate: {error}"
                    ))),
                    other => other,
                }
            }
        };
        known(value.clone());
        Some(value)
    }
}

impl<'v> Scope<'v> for Seen<'v> {
    fn variable(&self, name: &str) -> Option<Result<Cel<'v>, Failure>> {
        let any = |json: &'v Value| Some(Ok(Cel::of(json, &Type::Dyn)));
        match name {
            "object" => any(self.object),
            "oldObject" => any(self.old),
            "params" => any(self.params),
            "request" => Some(Ok(Cel::of(self.request, &self.request_type))),
            "namespaceObject" => Some(Ok(Cel::of(self.namespace, &self.namespace_type))),
            "authorizer" => Some(Ok(authorizer())),
            "authorizer.requestResource" => Some(Ok(resource_check(self.question.clone()))),
            other => self.named(other.strip_prefix("variables.")?),
        }
    }

    fn authorizer(&self) -> Option<&dyn Authorizer> {
        Some(&self.rbac)
    }
}

/// `matchConditions`.
#[derive(Debug)]
pub struct Conditions(Vec<(String, String, Result<Program, String>)>);

impl Conditions {
    /// Compiles all of them.
    pub fn of(environment: &Environment, conditions: &[Value]) -> Self {
        let one = |condition: &Value| {
            let source = text(condition, "/expression").to_owned();
            let program = compile(environment, &source, &[Type::Bool]);
            (text(condition, "/name").to_owned(), source, program)
        };
        Self(conditions.iter().map(one).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold; one that does not decides over those that fail (`webhook/matchconditions/matcher.go`).
    pub fn hold(&self, seen: &Seen<'_>) -> Result<bool, String> {
        seen.grant(CONDITIONS_BUDGET);
        let mut errors = Vec::new();
        for (_, source, program) in &self.0 {
            match seen.evaluate(source, program) {
                Ok(Cel::Bool(false)) => return Ok(false),
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}
