//! How is a `%{ … }%` snippet read? By operator precedence, bounded in length and in depth.

use std::collections::BTreeSet;

use super::atoms::Spanned;
use super::code_lexer::{self, Word};
use super::constants;
use super::error::{ParseError, Source};
use super::expr::{BinaryOperator, CodeExpr, Comparison, Function, Statement, UnaryOperator};
use super::lexer::Token;

/// The statements of the snippet `token`; `assigned` holds the names that earlier ones made.
pub(super) fn parse(
    source: &Source<'_>,
    token: Token<'_>,
    assigned: &mut BTreeSet<String>,
) -> Result<Vec<Spanned<Statement>>, ParseError> {
    let start = token.at + "%{".len();
    let words = code_lexer::tokenize(source, token.text, start)?;
    let end = start + token.text.len();
    let mut parser = CodeParser { source, words, next: 0, end, assigned, nodes: 0, depth: 0 };
    let mut statements = Vec::new();
    loop {
        while parser.take("\n") || parser.take(";") {}
        let at = parser.offset();
        if at == end && parser.peek().is_none() {
            break;
        }
        let value = parser.statement()?;
        statements.push(Spanned { value, at: source.position(at) });
        if parser.peek().is_some() && !matches!(parser.peek(), Some(Word::Symbol("\n" | ";"))) {
            return Err(parser.error("expected the end of the statement"));
        }
    }
    if statements.is_empty() {
        return Err(source.error(token.at, "this code asserts nothing"));
    }
    Ok(statements)
}

struct CodeParser<'a, 's> {
    source: &'a Source<'a>,
    /// Words and their offsets in the script.
    words: Vec<(Word<'s>, usize)>,
    next: usize,
    end: usize,
    assigned: &'a mut BTreeSet<String>,
    nodes: usize,
    depth: usize,
}

impl<'s> CodeParser<'_, 's> {
    fn statement(&mut self) -> Result<Statement, ParseError> {
        self.nodes = 0;
        let at = self.offset();
        let Some(Word::Name(name)) = self.peek().cloned() else {
            return Err(self.error("expected `assert`"));
        };
        self.next += 1;
        if name == "assert" {
            let condition = self.expr(0)?;
            // Python takes a tuple for true whatever is in it: a mistake that would check nothing.
            if matches!(condition, CodeExpr::Tuple(_) | CodeExpr::Text(_)) {
                return Err(self.source.error(at, "this assertion is always true"));
            }
            let message = if self.take(",") { Some(self.expr(0)?) } else { None };
            return Ok(Statement::Assert { condition, message });
        }
        if !self.take("=") {
            let message = "only `assert` and `NAME = value` are supported in code";
            return Err(self.source.error(at, message));
        }
        if is_reserved(name) || is_known(name) {
            return Err(self.source.error(at, format!("`{name}` cannot be given a value")));
        }
        let value = self.expr(0)?;
        self.assigned.insert(name.to_owned());
        Ok(Statement::Assign { name: name.to_owned(), value })
    }

    /// An expression of operators that bind at least as tightly as `level`.
    fn expr(&mut self, level: u8) -> Result<CodeExpr, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.error("this expression nests too deep"));
        }
        let mut left = self.unary(level)?;
        loop {
            if level <= COMPARISON_LEVEL && self.comparison().is_some() {
                left = self.comparisons(left)?;
                continue;
            }
            let Some(operator) = self.operator().filter(|operator| level_of(*operator) >= level)
            else {
                break;
            };
            self.next += 1;
            self.count()?;
            let right = self.expr(level_of(operator) + 1)?;
            left = CodeExpr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn comparisons(&mut self, first: CodeExpr) -> Result<CodeExpr, ParseError> {
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            self.next += 1;
            self.count()?;
            rest.push((comparison, self.expr(COMPARISON_LEVEL + 1)?));
        }
        Ok(CodeExpr::Compare(Box::new(first), rest))
    }

    fn unary(&mut self, level: u8) -> Result<CodeExpr, ParseError> {
        if self.peek() == Some(&Word::Name("not")) {
            if level > NOT_LEVEL {
                return Err(self.error("`not` needs parentheses here"));
            }
            self.next += 1;
            self.count()?;
            let operand = self.expr(NOT_LEVEL)?;
            return Ok(CodeExpr::Unary(UnaryOperator::Not, Box::new(operand)));
        }
        let operator = match self.peek() {
            Some(Word::Symbol("-")) => UnaryOperator::Negate,
            Some(Word::Symbol("~")) => UnaryOperator::Invert,
            _ => return self.primary(),
        };
        self.next += 1;
        self.count()?;
        // Tighter than every operator with two operands.
        let operand = self.expr(u8::MAX)?;
        Ok(CodeExpr::Unary(operator, Box::new(operand)))
    }

    fn primary(&mut self) -> Result<CodeExpr, ParseError> {
        let at = self.offset();
        let Some(word) = self.peek().cloned() else {
            return Err(self.error("expected a value"));
        };
        // A pair of parentheses is no part of what they hold, so it does not count.
        if word != Word::Symbol("(") {
            self.count()?;
        }
        self.next += 1;
        match word {
            Word::Integer(number) => Ok(CodeExpr::Integer(number)),
            Word::Text(text) => Ok(CodeExpr::Text(text)),
            Word::Symbol("(") => self.parentheses(),
            Word::Name(name) => {
                if let Some(function) = Function::from_name(name)
                    && self.take("(")
                {
                    return self.call(function, at);
                }
                if is_known(name) || self.assigned.contains(name) {
                    return Ok(CodeExpr::Name(name.to_owned()));
                }
                Err(self.source.error(at, format!("unknown name `{name}` in code")))
            }
            Word::Symbol(_) => Err(self.source.error(at, "expected a value")),
        }
    }

    /// After `(`: a value, or a tuple.
    fn parentheses(&mut self) -> Result<CodeExpr, ParseError> {
        if self.take(")") {
            self.count()?;
            return Ok(CodeExpr::Tuple(Vec::new()));
        }
        let first = self.expr(0)?;
        if self.take(")") {
            return Ok(first);
        }
        self.count()?;
        let mut items = vec![first];
        while self.take(",") {
            if self.take(")") {
                return Ok(CodeExpr::Tuple(items));
            }
            items.push(self.expr(0)?);
        }
        if self.take(")") { Ok(CodeExpr::Tuple(items)) } else { Err(self.error("expected `)`")) }
    }

    fn call(&mut self, function: Function, at: usize) -> Result<CodeExpr, ParseError> {
        let mut arguments = vec![self.expr(0)?];
        while self.take(",") {
            arguments.push(self.expr(0)?);
        }
        if !self.take(")") {
            return Err(self.error("expected `)`"));
        }
        let fits = match function {
            Function::Abs => arguments.len() == 1,
            Function::Min | Function::Max => arguments.len() > 1,
        };
        if !fits {
            let message = format!("wrong number of arguments for `{}`", function.name());
            return Err(self.source.error(at, message));
        }
        Ok(CodeExpr::Call(function, arguments))
    }

    fn operator(&self) -> Option<BinaryOperator> {
        match self.peek()? {
            Word::Symbol(name) | Word::Name(name) => BinaryOperator::from_name(name),
            Word::Integer(_) | Word::Text(_) => None,
        }
    }

    fn comparison(&self) -> Option<Comparison> {
        match self.peek()? {
            Word::Symbol(name) => Comparison::from_name(name),
            Word::Name(_) | Word::Integer(_) | Word::Text(_) => None,
        }
    }

    fn count(&mut self) -> Result<(), ParseError> {
        self.nodes += 1;
        if self.nodes > NODE_LIMIT { Err(self.error("this statement is too long")) } else { Ok(()) }
    }

    fn peek(&self) -> Option<&Word<'s>> {
        self.words.get(self.next).map(|(word, _)| word)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Symbol(next)) if *next == symbol);
        self.next += usize::from(found);
        found
    }

    fn offset(&self) -> usize {
        self.words.get(self.next).map_or(self.end, |(_, at)| *at)
    }

    fn error(&self, message: &str) -> ParseError {
        self.source.error(self.offset(), message)
    }
}

fn is_known(name: &str) -> bool {
    constants::is_tcp_info_field(name) || constants::code_constant(name).is_some()
}

fn is_reserved(name: &str) -> bool {
    const KEYWORDS: [&str; 9] = ["and", "or", "not", "in", "is", "if", "else", "lambda", "assert"];
    KEYWORDS.contains(&name) || Function::from_name(name).is_some()
}

/// How tightly an operator binds: `or` 0 … `*` 9; comparisons stand between `and` and `|`.
fn level_of(operator: BinaryOperator) -> u8 {
    match operator {
        BinaryOperator::Or => 0,
        BinaryOperator::And => 1,
        BinaryOperator::BitOr => COMPARISON_LEVEL + 1,
        BinaryOperator::BitXor => COMPARISON_LEVEL + 2,
        BinaryOperator::BitAnd => COMPARISON_LEVEL + 3,
        BinaryOperator::ShiftLeft | BinaryOperator::ShiftRight => COMPARISON_LEVEL + 4,
        BinaryOperator::Add | BinaryOperator::Subtract => COMPARISON_LEVEL + 5,
        BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::FloorDivide
        | BinaryOperator::Remainder => COMPARISON_LEVEL + 6,
    }
}

const NOT_LEVEL: u8 = 2;
const COMPARISON_LEVEL: u8 = 3;
/// How many values and operators one statement may have, which also bounds how deep they nest.
const NODE_LIMIT: usize = 100;
/// How deep expressions may nest: more than twice `NODE_LIMIT`, as a printed statement has a pair
/// of parentheses for every operator.
const DEPTH_LIMIT: usize = 250;
