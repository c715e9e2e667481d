//! `%{ … }%`: what must be true of the connection now, computed as Python would, without floats.

use std::collections::BTreeMap;

use super::failure::Failure;
use super::inbound::World;
use crate::script::ast::Spanned;
use crate::script::constants;
use crate::script::error::Position;
use crate::script::expr::{
    BinaryOperator as Binary, CodeExpr, Comparison, Function, Statement, UnaryOperator,
};

/// What an expression comes to: a fraction in lowest terms, or words for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Numerator, and denominator, which is positive.
    Number(i128, i128),
    Text(String),
}

/// Executes the statements of one snippet.
pub(super) fn run(
    statements: &[Spanned<Statement>],
    world: &mut World,
    names: &mut BTreeMap<String, Value>,
) -> Result<(), Failure> {
    for statement in statements {
        let at = statement.at;
        let refused = |message: String| Failure::refused(at, message);
        let mut scope = Scope { world, names, used: Vec::new() };
        match &statement.value {
            Statement::Assign { name, value } => {
                let value = scope.evaluate(value).map_err(refused)?;
                names.insert(name.clone(), value);
            }
            Statement::Assert { condition, message } => {
                if is_true(&scope.evaluate(condition).map_err(refused)?) {
                    continue;
                }
                let used = std::mem::take(&mut scope.used);
                let message = message.as_ref().and_then(|message| scope.evaluate(message).ok());
                return Err(failed(at, condition, &used, message));
            }
        }
    }
    Ok(())
}

fn failed(
    at: Position,
    condition: &CodeExpr,
    used: &[(String, Value)],
    message: Option<Value>,
) -> Failure {
    let mut failure = Failure::new(at, format!("assertion failed: {condition}"));
    for (name, value) in used {
        failure = failure.with(format!("{name} is {}", print(value)));
    }
    match message {
        Some(message) => failure.with(format!("message: {}", print(&message))),
        None => failure,
    }
}

fn print(value: &Value) -> String {
    match value {
        Value::Number(number, 1) => number.to_string(),
        Value::Number(above, below) => format!("{above}/{below}"),
        Value::Text(text) => text.clone(),
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Number(number, _) => *number != 0,
        Value::Text(text) => !text.is_empty(),
    }
}

const TOO_LARGE: &str = "this number is too large";

fn whole(number: i128) -> Value {
    Value::Number(number, 1)
}

fn fraction(above: i128, below: i128) -> Result<Value, String> {
    if below == 0 {
        return Err("division by zero".to_owned());
    }
    let (mut a, mut b) = (above.unsigned_abs(), below.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let common = i128::try_from(a.max(1)).map_err(|_| TOO_LARGE)? * below.signum();
    let reduce = |number: i128| number.checked_div(common).ok_or(TOO_LARGE);
    Ok(Value::Number(reduce(above)?, reduce(below)?))
}

struct Scope<'a> {
    world: &'a mut World,
    names: &'a BTreeMap<String, Value>,
    /// The names that were looked up, and what they are.
    used: Vec<(String, Value)>,
}

impl Scope<'_> {
    fn evaluate(&mut self, expr: &CodeExpr) -> Result<Value, String> {
        match expr {
            CodeExpr::Integer(number) => Ok(whole(i128::from(*number))),
            CodeExpr::Text(text) => Ok(Value::Text(text.clone())),
            CodeExpr::Name(name) => {
                let value = self.look_up(name)?;
                if constants::code_constant(name).is_none() {
                    self.used.push((name.clone(), value.clone()));
                }
                Ok(value)
            }
            CodeExpr::Unary(operator, operand) => {
                let value = self.evaluate(operand)?;
                match operator {
                    UnaryOperator::Not => Ok(whole(i128::from(!is_true(&value)))),
                    UnaryOperator::Invert => Ok(whole(!integer(&value)?)),
                    UnaryOperator::Negate => {
                        let (above, below) = number(&value)?;
                        fraction(above.checked_neg().ok_or(TOO_LARGE)?, below)
                    }
                }
            }
            CodeExpr::Binary(operator, left, right) => {
                let left = self.evaluate(left)?;
                match operator {
                    Binary::And if !is_true(&left) => Ok(left),
                    Binary::Or if is_true(&left) => Ok(left),
                    Binary::And | Binary::Or => self.evaluate(right),
                    _ => binary(*operator, &left, &self.evaluate(right)?),
                }
            }
            CodeExpr::Compare(first, rest) => {
                let mut left = self.evaluate(first)?;
                for (comparison, operand) in rest {
                    let right = self.evaluate(operand)?;
                    if !compare(*comparison, &left, &right)? {
                        return Ok(whole(0));
                    }
                    left = right;
                }
                Ok(whole(1))
            }
            CodeExpr::Call(function, arguments) => self.apply(*function, arguments),
            CodeExpr::Tuple(items) => {
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| Ok(print(&self.evaluate(item)?))).collect();
                items.map(|items: Vec<String>| Value::Text(items.join(", ")))
            }
        }
    }

    fn apply(&mut self, function: Function, arguments: &[CodeExpr]) -> Result<Value, String> {
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.evaluate(argument)?);
        }
        let better = |left: Value, right: Value, comparison| -> Result<Value, String> {
            Ok(if compare(comparison, &left, &right)? { left } else { right })
        };
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Err("no arguments".to_owned()) };
        match function {
            Function::Abs => {
                let (above, below) = number(&first)?;
                fraction(above.checked_abs().ok_or(TOO_LARGE)?, below)
            }
            Function::Min => values.try_fold(first, |l, r| better(l, r, Comparison::LessOrEqual)),
            Function::Max => {
                values.try_fold(first, |l, r| better(l, r, Comparison::GreaterOrEqual))
            }
        }
    }

    fn look_up(&mut self, name: &str) -> Result<Value, String> {
        if let Some(value) = self.names.get(name) {
            return Ok(value.clone());
        }
        if let Some(constant) = constants::code_constant(name) {
            return Ok(whole(constant.into()));
        }
        if !constants::is_tcp_info_field(name) {
            return Err(format!("{name} is not known"));
        }
        self.world.tcp_info(name).map(whole)
    }
}

fn number(value: &Value) -> Result<(i128, i128), String> {
    match value {
        Value::Number(above, below) => Ok((*above, *below)),
        Value::Text(_) => Err("words cannot be computed with".to_owned()),
    }
}

fn integer(value: &Value) -> Result<i128, String> {
    match number(value)? {
        (number, 1) => Ok(number),
        _ => Err("this operator takes whole numbers".to_owned()),
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        _ => {
            let ((a, b), (c, d)) = (number(left)?, number(right)?);
            let cross = |x: i128, y: i128| x.checked_mul(y).ok_or(TOO_LARGE);
            cross(a, d)?.cmp(&cross(c, b)?)
        }
    };
    Ok(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn binary(operator: Binary, left: &Value, right: &Value) -> Result<Value, String> {
    let product = |x: i128, y: i128| x.checked_mul(y).ok_or_else(|| TOO_LARGE.to_owned());
    let shift = || -> Result<(i128, u32), String> {
        let by = u32::try_from(integer(right)?).ok().filter(|by| *by < 100);
        Ok((integer(left)?, by.ok_or("this shift is too far")?))
    };
    match operator {
        Binary::Or | Binary::And => Err("not a number".to_owned()),
        Binary::BitOr => Ok(whole(integer(left)? | integer(right)?)),
        Binary::BitXor => Ok(whole(integer(left)? ^ integer(right)?)),
        Binary::BitAnd => Ok(whole(integer(left)? & integer(right)?)),
        Binary::ShiftRight => shift().map(|(number, by)| whole(number >> by)),
        Binary::ShiftLeft => {
            let (number, by) = shift()?;
            product(number, 1 << by).map(whole)
        }
        Binary::Add | Binary::Subtract => {
            let ((a, b), (c, d)) = (number(left)?, number(right)?);
            let (a, c) = (product(a, d)?, product(c, b)?);
            let sum = if operator == Binary::Add { a.checked_add(c) } else { a.checked_sub(c) };
            fraction(sum.ok_or(TOO_LARGE)?, product(b, d)?)
        }
        Binary::Multiply => {
            let ((a, b), (c, d)) = (number(left)?, number(right)?);
            fraction(product(a, c)?, product(b, d)?)
        }
        Binary::Divide => {
            let ((a, b), (c, d)) = (number(left)?, number(right)?);
            fraction(product(a, d)?, product(b, c)?)
        }
        Binary::FloorDivide | Binary::Remainder => {
            if let (Value::Text(text), Binary::Remainder) = (left, operator) {
                // A message that is formatted: its parts are enough.
                return Ok(Value::Text(format!("{text} ({})", print(right))));
            }
            let (a, b) = (integer(left)?, integer(right)?);
            if b == 0 {
                return Err("division by zero".to_owned());
            }
            let (quotient, rest) =
                (a.checked_div(b).ok_or(TOO_LARGE)?, a.checked_rem(b).ok_or(TOO_LARGE)?);
            // Python rounds down, so that the remainder has the sign of the divisor.
            let down = i128::from(rest != 0 && (rest < 0) != (b < 0));
            Ok(whole(match operator {
                Binary::FloorDivide => quotient - down,
                _ => rest + down * b,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, run as run_script};
    use crate::script::parse;

    /// Whether `assert condition` holds; an error is what was refused.
    fn holds(condition: &str) -> Result<bool, String> {
        let text = format!("0 < R 0:0(0) win 0\n+0 %{{ assert {condition} }}%\n");
        let script = parse("t.pkt", text.as_bytes()).map_err(|error| error.message)?;
        match run_script("t.pkt", &script, &Settings::default()) {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_refusal => Err(failure.message),
            Err(_) => Ok(false),
        }
    }

    #[test]
    fn arithmetic_is_that_of_python() {
        for (condition, expected) in [
            ("1 + 2 * 3 == 7", true),
            ("7 / 2 == 3", false),
            ("7 / 2 * 2 == 7", true),
            ("7 // 2 == 3 and -7 // 2 == -4", true),
            ("7 % 3 == 1 and -7 % 3 == 2 and 7 % -3 == -2", true),
            ("0x10 | 1 == 17", true),
            ("(6 & 3) == 2 and (6 ^ 3) == 5 and ~0 == -1", true),
            ("1 << 10 == 1024 and 1024 >> 3 == 128", true),
            ("1 < 2 < 3 and not 1 < 3 < 2", true),
            ("min(3, 1, 2) == 1 and max(3, 1, 2) == 3 and abs(-5) == 5", true),
            ("0 or 2", true),
            ("2 and 0", false),
            ("1 / 3 + 1 / 6 == 1 / 2", true),
            ("TCP_CLOSE_WAIT == 8", true),
        ] {
            assert_eq!(holds(condition), Ok(expected), "{condition}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_refused() {
        for condition in
            ["1 % 0", "1 << 100 == 0", "tcpi_snd_cwnd == 1", "nonsense == 1", "\"a\" + 1 == 2"]
        {
            assert!(holds(condition).is_err(), "{condition}");
        }
    }
}
