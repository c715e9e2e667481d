//! What the signs mean, beside the sign.

use super::panel::{LEFT, Short, WIDTH, put};

/// How a sign looks.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// A bar with ticks.
    Bar,
    /// A bar with ticks and a letter.
    Letter(&'static str),
    Cross,
    /// A line with a tick below.
    Tick,
    Line,
}

/// A sign, the class that colours it, and what it means.
pub(super) type Entry<'t> = (Look, &'t str, &'t str);

/// One line of signs with its middle at `y`, ending at the right edge.
pub(super) fn row(out: &mut String, y: f64, entries: &[Entry<'_>]) {
    let total: f64 = entries.iter().map(|(_, _, text)| width(text)).sum();
    let mut x = LEFT + WIDTH - total;
    for (look, class, text) in entries {
        let (left, middle) = (Short(x), Short(x + 8.0));
        let [up, down] = [y - 5.0, y + 5.0].map(Short);
        let path = match look {
            Look::Bar | Look::Letter(_) => {
                let left = Short(x + 6.5);
                format!("M{left} {up}h3M{middle} {up}V{down}M{left} {down}h3")
            }
            Look::Cross => {
                let (left, [up, down]) = (Short(x + 5.0), [y - 3.0, y + 3.0].map(Short));
                format!("M{left} {up}l6 6M{left} {down}l6-6")
            }
            Look::Tick => format!("M{left} {0}h16M{middle} {0}v4", Short(y)),
            Look::Line => format!("M{left} {}h16", Short(y)),
        };
        put(out, format_args!("<path class=\"{class}\" d=\"{path}\"/>\n"));
        if let Look::Letter(letter) = look {
            let (x, y) = (Short(x + 13.0), Short(y - 1.0));
            put(
                out,
                format_args!("<text class=\"{class} m l\" x=\"{x}\" y=\"{y}\">{letter}</text>\n"),
            );
        }
        let (text_x, text_y) = (Short(x + 21.0), Short(y + 4.0));
        put(out, format_args!("<text x=\"{text_x}\" y=\"{text_y}\">{text}</text>\n"));
        x += width(text);
    }
}

/// About what a sign with its text takes.
fn width(text: &str) -> f64 {
    let count = u32::try_from(text.chars().count()).unwrap_or(0);
    f64::from(count) * 5.9 + 36.0
}
