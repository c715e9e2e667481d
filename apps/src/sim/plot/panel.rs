//! One rectangle with its axes, and what is drawn in it.

use std::fmt::Write as _;

use super::axis::{self, Unit};
use super::marks::{Grain, Marks, Track};

/// A rectangle over a span of time and of values, both from 0.
pub(super) struct Panel {
    pub(super) name: &'static str,
    pub(super) top: f64,
    pub(super) height: f64,
    /// Nanoseconds.
    pub(super) span: u64,
    pub(super) most: u64,
    pub(super) units: &'static [Unit],
}

impl Panel {
    fn x(&self, at: u64) -> f64 {
        LEFT + float(at) / float(self.span.max(1)) * WIDTH
    }

    fn y(&self, value: u64) -> f64 {
        self.top + self.height - float(value) / float(self.most.max(1)) * self.height
    }

    /// What is closer than half of a point. For the time, or more of it if others have to be
    /// drawn as well.
    fn grain(&self, share: u64) -> Grain {
        let points = |length: f64| 2 * integer(length);
        Grain {
            time: self.span / points(WIDTH) * share.max(1),
            value: self.most / points(self.height),
        }
    }

    /// Axes, grid and numbers; those of the time only if this panel is the last.
    pub(super) fn frame(&self, out: &mut String, is_last: bool) {
        let (top, bottom, right) = (self.top, self.top + self.height, LEFT + WIDTH);
        let unit = axis::suits(self.units, self.most);
        let time_unit = axis::suits(axis::TIME, self.span);
        let mut grid = String::new();
        let mut texts = String::new();
        for (value, text) in axis::ticks(self.most, lines(self.height), unit) {
            let y = self.y(value);
            put(&mut grid, format_args!("M{LEFT} {}H{right}", Short(y)));
            let (x, y) = (LEFT - 6.0, Short(y + 4.0));
            put(&mut texts, format_args!("<text x=\"{x}\" y=\"{y}\" class=\"e\">{text}</text>\n"));
        }
        for (at, text) in axis::ticks(self.span, 10, time_unit) {
            let x = Short(self.x(at));
            put(&mut grid, format_args!("M{x} {}V{}", Short(top), Short(bottom)));
            if is_last {
                let y = Short(bottom + 16.0);
                put(
                    &mut texts,
                    format_args!("<text x=\"{x}\" y=\"{y}\" class=\"m\">{text}</text>\n"),
                );
            }
        }
        put(out, format_args!("<path class=\"grid\" d=\"{grid}\"/>\n{texts}"));
        let (x, y) = (LEFT, Short(top - 6.0));
        put(out, format_args!("<text x=\"{x}\" y=\"{y}\">{}, {}</text>\n", self.name, unit.name));
        if is_last {
            let (x, y) = (Short(LEFT + WIDTH / 2.0), Short(bottom + 32.0));
            let name = time_unit.name;
            put(out, format_args!("<text x=\"{x}\" y=\"{y}\" class=\"m\">time, {name}</text>\n"));
        }
    }

    /// Opens a group that is cut off at the edges; the caller closes it.
    pub(super) fn open(&self, out: &mut String, id: &str) {
        let (top, height) = (Short(self.top), Short(self.height));
        put(
            out,
            format_args!(
                "<clipPath id=\"{id}\"><rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" \
                 height=\"{height}\"/></clipPath>\n<g clip-path=\"url(#{id})\">\n"
            ),
        );
    }

    /// Bars, each with ticks at its ends if there is room for them, and a letter if they are few.
    pub(super) fn bars(&self, out: &mut String, class: &str, marks: &Marks, letter: &str) {
        let has_ticks = marks.list().len() <= MOST_TICKS;
        let marks = if has_ticks { marks } else { &marks.thinned(self.grain(1)) };
        let mut path = String::new();
        for mark in marks.list() {
            let (x, low, high) = (self.x(mark.at), self.y(mark.low), self.y(mark.high));
            let (left, x) = (Short(x - 1.5), Short(x));
            let (low, high) = (Short(low), Short(high));
            match has_ticks {
                true => {
                    put(&mut path, format_args!("M{left} {low}h3M{x} {low}V{high}M{left} {high}h3"))
                }
                false => put(&mut path, format_args!("M{x} {low}V{high}")),
            }
        }
        put_path(out, class, &path);
        if letter.is_empty() || marks.list().len() > MOST_LETTERS {
            return;
        }
        let mut last = (0.0, 0.0);
        for mark in marks.list() {
            let place = (self.x(mark.at), self.y(mark.high) - 3.0);
            if !is_clear(place, last) {
                continue;
            }
            last = place;
            let (x, y) = (Short(place.0), Short(place.1));
            put(
                out,
                format_args!("<text class=\"{class} m l\" x=\"{x}\" y=\"{y}\">{letter}</text>\n"),
            );
        }
    }

    /// A cross in the middle of each.
    pub(super) fn crosses(&self, out: &mut String, class: &str, marks: &Marks) {
        let mut path = String::new();
        for mark in marks.thinned(self.grain(2)).list() {
            let (x, y) = (self.x(mark.at), f64::midpoint(self.y(mark.low), self.y(mark.high)));
            let ([left, up], down) = ([x, y].map(|at| Short(at - 3.0)), Short(y + 3.0));
            put(&mut path, format_args!("M{left} {up}l6 6M{left} {down}l6-6"));
        }
        put_path(out, class, &path);
    }

    /// A short line downwards at each.
    pub(super) fn ticks(&self, out: &mut String, class: &str, marks: &Marks) {
        let mut path = String::new();
        for mark in marks.thinned(self.grain(1)).list() {
            let (x, y) = (Short(self.x(mark.at)), Short(self.y(mark.low)));
            put(&mut path, format_args!("M{x} {y}v4"));
        }
        put_path(out, class, &path);
    }

    /// A value with straight lines between where it is known.
    pub(super) fn slopes(&self, out: &mut String, class: &str, track: &Track) {
        let mut path = String::new();
        for step in track.thinned(self.grain(1).time).list() {
            let x = Short(self.x(step.at));
            let [low, high, last] = [step.low, step.high, step.last].map(|value| self.y(value));
            let command = if path.is_empty() { "M" } else { "L" };
            put(&mut path, format_args!("{command}{x} {}", Short(low)));
            if step.high != step.low {
                put(&mut path, format_args!("V{}", Short(high)));
            }
            if step.last != step.high {
                put(&mut path, format_args!("V{}", Short(last)));
            }
        }
        put_path(out, class, &path);
    }

    /// A value that changes in steps, up to the end of the time; `share` tracks have to share what
    /// room there is.
    pub(super) fn steps(&self, out: &mut String, class: &str, track: &Track, share: u64) {
        let track = track.thinned(self.grain(share).time);
        let mut path = String::new();
        for step in track.list() {
            let x = Short(self.x(step.at));
            let [low, high, last] = [step.low, step.high, step.last].map(|value| self.y(value));
            match path.is_empty() {
                true => put(&mut path, format_args!("M{x} {}", Short(last))),
                false => put(&mut path, format_args!("H{x}")),
            }
            if step.low != step.last {
                put(&mut path, format_args!("V{}", Short(low)));
            }
            if step.high != step.last {
                put(&mut path, format_args!("V{}", Short(high)));
            }
            put(&mut path, format_args!("V{}", Short(last)));
        }
        if !path.is_empty() {
            put(&mut path, format_args!("H{}", Short(self.x(self.span))));
        }
        put_path(out, class, &path);
    }
}

/// Not on the letter before.
fn is_clear((x, y): (f64, f64), (last_x, last_y): (f64, f64)) -> bool {
    (x - last_x).abs() > 7.0 || (y - last_y).abs() > 9.0
}

fn put_path(out: &mut String, class: &str, path: &str) {
    if !path.is_empty() {
        put(out, format_args!("<path class=\"{class}\" d=\"{path}\"/>\n"));
    }
}

/// A number with at most one digit behind the point.
#[derive(Clone, Copy)]
pub(super) struct Short(pub(super) f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.1}", self.0);
        let text = text.strip_suffix(".0").unwrap_or(&text);
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

pub(super) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _never_fails = out.write_fmt(text);
}

/// How many lines of a grid are clear.
fn lines(height: f64) -> u64 {
    (integer(height) / 36).max(2)
}

#[expect(clippy::cast_precision_loss, reason = "to be drawn")]
const fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "points of a picture")]
const fn integer(value: f64) -> u64 {
    value.max(1.0) as u64
}

/// Where panels begin.
pub(super) const LEFT: f64 = 64.0;
/// How wide they are.
pub(super) const WIDTH: f64 = 916.0;
/// With more bars, ticks at their ends hide what they are.
const MOST_TICKS: usize = 2_000;
/// With more, letters hide what they name.
const MOST_LETTERS: usize = 200;
