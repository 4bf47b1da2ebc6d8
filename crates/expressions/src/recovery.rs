//! How reading goes on after an error: as ANTLR's parsers do (`DefaultErrorStrategy`), so that what is told is the same. One token too
//! much is left out, one too few is made up, and after anything else no more is told until a token fits again.
use crate::{
    issue::Issue,
    lexer::Token,
    parser::{Parsed, Parser},
};

/// What may begin an expression, as ANTLR lists it: with something between the brackets.
pub(crate) const BEGINNINGS: &str =
    "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
pub(crate) const PRIMARY: &str = "{'[', '{', '(', '.', '-', '!', ";
pub(crate) const ARGUMENT: &str = "{'[', '{', '(', ')', '.', '-', '!', ";
pub(crate) const INDEX: &str = "{'[', '{', '(', '.', '-', '!', '?', ";
pub(crate) const ELEMENT: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', ";
pub(crate) const ENTRY: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', ";
pub(crate) const FIELD: &str = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}";

pub(crate) fn begins(token: &Token) -> bool {
    match token {
        Token::Mark(mark) => matches!(*mark, "[" | "{" | "(" | "." | "-" | "!"),
        Token::Ident(name) => name != "in",
        Token::Escaped(_) | Token::End => false,
        _ => true,
    }
}

/// What may come after a whole operand.
pub(crate) fn continues(token: &Token) -> bool {
    match token {
        Token::Mark(mark) => !matches!(*mark, "!" | "(" | ")" | "]" | "}" | "," | ":"),
        Token::Ident(name) => name == "in",
        _ => false,
    }
}

pub(crate) fn is_mark(token: &Token, mark: &str) -> bool {
    matches!(token, Token::Mark(is) if *is == mark)
}

impl Parser<'_> {
    pub(crate) fn peek(&self) -> &Token {
        self.token(0)
    }

    pub(crate) fn token(&self, ahead: usize) -> &Token {
        self.tokens
            .get(self.next + ahead)
            .map_or(&Token::End, |lexed| &lexed.token)
    }

    pub(crate) fn at(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.next.min(last)).map_or(0, |lexed| lexed.at)
    }

    /// A token that fits.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        self.recovering = false;
    }

    pub(crate) fn is(&self, mark: &str) -> bool {
        is_mark(self.peek(), mark)
    }

    pub(crate) fn eat(&mut self, mark: &str) -> bool {
        let is = self.is(mark);
        if is {
            self.advance();
        }
        is
    }

    pub(crate) fn tell(&mut self, at: usize, message: String) {
        if !self.recovering {
            self.issues.push(Issue {
                at: Some(at),
                message,
            });
        }
        self.recovering = true;
    }

    pub(crate) fn shown(&self) -> &str {
        match self.tokens.get(self.next) {
            Some(lexed) if lexed.token != Token::End => &self.source[lexed.at..lexed.end],
            _ => "<EOF>",
        }
    }

    pub(crate) fn complain(&mut self, how: &str, wanted: &str) {
        let message = format!("Syntax error: {how} input '{}' expecting {wanted}", self.shown());
        self.tell(self.at(), message);
    }

    /// This mark; where it is missing, what comes next decides how to go on. False when nothing fits.
    pub(crate) fn want(&mut self, mark: &'static str) -> bool {
        let wanted = format!("'{mark}'");
        self.want_of(mark, &wanted, &[mark])
    }

    /// As `want`, where others might have come as well.
    pub(crate) fn want_of(&mut self, mark: &'static str, wanted: &str, others: &[&str]) -> bool {
        if self.eat(mark) {
            return true;
        }
        let one_too_much = others.iter().any(|other| is_mark(self.token(1), other));
        if one_too_much && *self.peek() != Token::End {
            self.complain("extraneous", wanted);
            self.advance();
            return self.eat(mark);
        }
        let next = self.peek();
        let one_too_few = match mark {
            _ if others.len() > 1 => false,
            ":" => begins(next),
            _ => continues(next) || self.closes(next),
        };
        if one_too_few {
            let message = format!("Syntax error: missing {wanted} at '{}'", self.shown());
            self.tell(self.at(), message);
            return true;
        }
        self.complain("mismatched", wanted);
        self.recover();
        false
    }

    /// Whether the token ends the expression around.
    pub(crate) fn closes(&self, token: &Token) -> bool {
        match self.closers.last() {
            Some(closers) => closers.iter().any(|closer| is_mark(token, closer)),
            None => *token == Token::End,
        }
    }

    /// On to where an expression around could go on.
    pub(crate) fn recover(&mut self) {
        while !matches!(self.peek(), Token::End) {
            let next = self.peek();
            let ends = |closers: &&[&str]| closers.iter().any(|closer| is_mark(next, closer));
            if continues(next) || self.closers.iter().any(ends) {
                return;
            }
            self.next += 1;
        }
    }

    /// An expression within brackets.
    pub(crate) fn within(&mut self, closers: &'static [&'static str]) -> Parsed {
        self.closers.push(closers);
        let inner = self.expression();
        self.closers.pop();
        inner
    }

    /// Nothing comes after the whole.
    pub(crate) fn end(&mut self) {
        if *self.peek() != Token::End {
            // ANTLR leaves out one token when what it wants comes after it.
            let alone = *self.token(1) == Token::End;
            self.complain(if alone { "extraneous" } else { "mismatched" }, "<EOF>");
        }
    }

    /// What stands where one of these may begin: something else is left out when what comes after it fits. False when nothing fits.
    pub(crate) fn first_of(&mut self, wanted: &str, others: &[&str]) -> bool {
        let fits = |token: &Token| begins(token) || others.iter().any(|other| is_mark(token, other));
        if fits(self.peek()) {
            return true;
        }
        let alone = fits(self.token(1)) && *self.peek() != Token::End;
        self.complain(if alone { "extraneous" } else { "mismatched" }, wanted);
        if alone {
            self.next += 1;
            self.recovering = false;
        } else {
            self.recover();
        }
        alone
    }

    /// Whether there is one more after an element; else the closing bracket has been read. A comma may come before it.
    pub(crate) fn another(&mut self, close: &'static str) -> bool {
        if !self.is(",") {
            let wanted = format!("{{'{close}', ','}}");
            if !self.is(close) && is_mark(self.token(1), ",") {
                self.complain("extraneous", &wanted);
                self.advance();
            } else {
                self.want_of(close, &wanted, &[close, ","]);
                return false;
            }
        }
        let after = self.token(1);
        if begins(after) || is_mark(after, "?") || matches!(after, Token::Escaped(_)) {
            self.advance();
            return true;
        }
        self.advance();
        self.want(close);
        false
    }

    /// After a dot there is no name.
    pub(crate) fn no_alternative(&mut self, dot: usize) {
        let upto = self.tokens.get(self.next).map_or(dot, |lexed| lexed.end);
        let read: String = self.source[dot..upto].split_whitespace().collect();
        let message = format!("Syntax error: no viable alternative at input '{read}'");
        self.tell(self.at(), message);
        self.recover();
    }
}
