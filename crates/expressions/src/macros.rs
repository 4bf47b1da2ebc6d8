//! Calls that are no calls (cel-go `parser/macro.go`, `ext/comprehensions.go`, `ext/lists.go`, `cel/library.go`).
use crate::{
    ast::{Form, Kind, Loop, Node, Selection},
    issue::Issue,
    parser::{call, node},
};

type Parsed = Result<Node, Issue>;

fn refused(at: usize, message: &str) -> Issue {
    Issue {
        at: Some(at),
        message: message.to_owned(),
    }
}

/// `name(args)`: `open` is where its bracket stands.
pub fn global(open: usize, name: &str, mut args: Vec<Node>) -> Parsed {
    if name != "has" || args.len() != 1 {
        return call(open, name, None, args);
    }
    match args.pop() {
        Some(Node {
            kind:
                Kind::Select {
                    operand,
                    field,
                    how: Selection::Plain,
                },
            ..
        }) => node(
            open,
            Kind::Select {
                operand,
                field,
                how: Selection::Test,
            },
        ),
        Some(other) => Err(refused(other.at, "invalid argument to has() macro")),
        None => Err(refused(open, "invalid argument to has() macro")),
    }
}

/// A name that a loop gives to its elements.
fn variable(node: &Node) -> Result<String, Issue> {
    match &node.kind {
        Kind::Ident(name) if name == "__result__" => Err(refused(
            node.at,
            "iteration variable overwrites accumulator variable",
        )),
        Kind::Ident(name) => Ok(name.clone()),
        _ => Err(refused(node.at, "argument must be a simple name")),
    }
}

/// `target.name(args)`.
pub fn member(at: usize, target: Node, name: &str, mut args: Vec<Node>) -> Parsed {
    let one = |form, args: Vec<Node>, target| looped(at, form, target, args, false);
    let two = |form, args: Vec<Node>, target| looped(at, form, target, args, true);
    match (name, args.len()) {
        ("all", 2) => one(Form::All, args, target),
        ("exists", 2) => one(Form::Exists, args, target),
        ("exists_one" | "existsOne", 2) => one(Form::ExistsOne, args, target),
        ("map", 2 | 3) => one(Form::Map, args, target),
        ("filter", 2) => one(Form::Filter, args, target),
        ("all", 3) => two(Form::All, args, target),
        ("exists", 3) => two(Form::Exists, args, target),
        ("existsOne" | "exists_one", 3) => two(Form::ExistsOne, args, target),
        ("transformList", 3 | 4) => two(Form::Map, args, target),
        ("transformMap", 3 | 4) => two(Form::TransformMap, args, target),
        ("transformMapEntry", 3 | 4) => two(Form::TransformEntry, args, target),
        ("sortBy", 2) => one(Form::SortBy, args, target),
        ("optMap" | "optFlatMap", 2) => {
            let flat = name == "optFlatMap";
            let (Some(body), Some(first)) = (args.pop(), args.pop()) else {
                return Err(refused(at, "wrong number of arguments"));
            };
            let within = Kind::Within {
                target: Box::new(target),
                name: variable(&first)?,
                body: Box::new(body),
                flat,
            };
            node(at, within)
        }
        _ => call(at, name, Some(target), args),
    }
}

fn looped(at: usize, form: Form, range: Node, args: Vec<Node>, pairs: bool) -> Parsed {
    let mut args = args.into_iter();
    let mut next = || {
        args.next()
            .ok_or_else(|| refused(at, "wrong number of arguments"))
    };
    let first = variable(&next()?)?;
    let second = if pairs {
        let name = next()?;
        let second = variable(&name)?;
        if second == first {
            return Err(refused(name.at, "duplicate variable name"));
        }
        Some(second)
    } else {
        None
    };
    let body = next()?;
    // With one more, the first of both is a condition.
    let (filter, body) = match args.next() {
        Some(last) => (Some(body), last),
        None => (None, body),
    };
    let inner = Loop {
        form,
        range,
        first,
        second,
        filter,
        body,
    };
    node(at, Kind::Loop(Box::new(inner)))
}
