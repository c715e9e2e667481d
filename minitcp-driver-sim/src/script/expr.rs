//! What does `%{ … }%` ask? Assertions in the notation of Python about one connection's `tcp_info`.
//!
//! Only what can be checked is read: `assert condition, message` and `NAME = value`. Everything
//! else that Python could say is refused.

/// One statement of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `assert condition, message`
    Assert {
        /// What must be true, that is, not zero.
        condition: CodeExpr,
        /// What to show when it is not.
        message: Option<CodeExpr>,
    },
    /// `NAME = value`: a name for the snippets that follow.
    Assign {
        /// The name.
        name: String,
        /// Its value.
        value: CodeExpr,
    },
}

/// An expression of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeExpr {
    /// A number.
    Integer(i64),
    /// A string, for messages.
    Text(String),
    /// A field of `tcp_info`, a constant, or a name that an earlier statement made.
    Name(String),
    /// `-a`, `~a`, `not a`.
    Unary(UnaryOperator, Box<CodeExpr>),
    /// Arithmetic on two values, or `and` and `or`.
    Binary(BinaryOperator, Box<CodeExpr>, Box<CodeExpr>),
    /// `a < b <= c`: every neighbouring pair must compare so; at least one comparison.
    Compare(Box<CodeExpr>, Vec<(Comparison, CodeExpr)>),
    /// `abs(a)`, `min(a, b)`, `max(a, b)`.
    Call(Function, Vec<CodeExpr>),
    /// `(a, b)`, for messages; empty or two values or more, or one with a comma after it.
    Tuple(Vec<CodeExpr>),
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `-`
    Negate,
    /// `~`
    Invert,
    /// `not`
    Not,
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$item_doc:meta])* $item:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$item_doc])* $item,)* }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$item),*];

            /// How it is written.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$item => $name,)* }
            }

            pub(super) fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.name() == name)
            }
        }
    };
}

named! {
    /// Operators with two operands, as Python understands them.
    BinaryOperator {
        /// Either.
        Or = "or",
        /// Both.
        And = "and",
        /// Bitwise or.
        BitOr = "|",
        /// Bitwise exclusive or.
        BitXor = "^",
        /// Bitwise and.
        BitAnd = "&",
        /// Shift left.
        ShiftLeft = "<<",
        /// Shift right.
        ShiftRight = ">>",
        /// Sum.
        Add = "+",
        /// Difference.
        Subtract = "-",
        /// Product.
        Multiply = "*",
        /// Quotient, which need not be whole.
        Divide = "/",
        /// Quotient, rounded down.
        FloorDivide = "//",
        /// Remainder; for a string, formatting.
        Remainder = "%",
    }
}

named! {
    /// Comparisons.
    Comparison {
        /// Equal.
        Equal = "==",
        /// Different.
        NotEqual = "!=",
        /// Less.
        Less = "<",
        /// Less or equal.
        LessOrEqual = "<=",
        /// Greater.
        Greater = ">",
        /// Greater or equal.
        GreaterOrEqual = ">=",
    }
}

named! {
    /// Functions that a snippet may call.
    Function {
        /// Absolute value; one argument.
        Abs = "abs",
        /// The least argument; two or more.
        Min = "min",
        /// The greatest argument; two or more.
        Max = "max",
    }
}
