//! The picture of a run: a panel for each spread, clients from left to right, debits a second upwards
//! on a logarithmic scale, a line for each side.

use std::fmt::Write as _;

use super::report::Results;
use super::{Cell, Scale, Side, Spread};

const PANEL: f64 = 300.0;
/// Between two panels: the names at the ends of the lines, and the next scale.
const GAP: f64 = 150.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 96.0;
const HEIGHT: f64 = 320.0;
const BOTTOM: f64 = 52.0;
/// Names are moved apart until they are this far from each other.
const NAME_HEIGHT: f64 = 15.0;

/// In colours that most people can tell apart (Okabe and Ito).
fn colour(side: Side) -> &'static str {
    match side {
        Side::Naive => "#d55e00",
        Side::Pauses => "#e69f00",
        Side::Mutex => "#cc79a7",
        Side::WritePath => "#56b4e9",
        Side::Http => "#0072b2",
    }
}

pub fn draw(results: &Results, scale: &Scale) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are three")]
    let panels = scale.spreads.len() as f64;
    let (width, height) = (LEFT + panels * (PANEL + GAP), TOP + HEIGHT + BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
        viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
        <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
        <text x=\"{LEFT}\" y=\"28\" font-size=\"16\" font-weight=\"600\">Audited debits a second, by \
        clients at one time</text>\n"
    );
    legend(&mut svg, scale);
    let axis = Axis::of(results, scale);
    let mut left = LEFT;
    for spread in &scale.spreads {
        Panel { results, scale, axis: &axis, left }.draw(&mut svg, *spread);
        left += PANEL + GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, scale: &Scale) {
    let mut x = LEFT;
    for side in &scale.sides {
        let (name, colour) = (side.name(), colour(*side));
        let (end, text) = (x + 18.0, x + 24.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"50\" x2=\"{end}\" y2=\"50\" stroke=\"{colour}\" \
            stroke-width=\"2.5\"/><text x=\"{text}\" y=\"54\">{name}</text>"
        );
        x += 150.0;
    }
}

/// Powers of ten around everything that was measured.
struct Axis {
    lowest: i32,
    highest: i32,
}

impl Axis {
    fn of(results: &Results, scale: &Scale) -> Self {
        let rates = scale.cells().flat_map(|cell| {
            scale.sides.iter().filter_map(move |side| results.per_second(cell, *side))
        });
        let powers: Vec<f64> = rates.map(|rate| rate.max(1.0).log10()).collect();
        #[expect(clippy::cast_possible_truncation, reason = "a power of ten of a rate")]
        let power = |power: f64| power as i32;
        let lowest = powers.iter().copied().fold(f64::INFINITY, f64::min).min(8.0);
        let highest = powers.iter().copied().fold(0.0, f64::max);
        let (lowest, highest) = (power(lowest.floor()), power(highest.ceil()));
        Self { lowest, highest: highest.max(lowest + 1) }
    }

    fn y(&self, rate: f64) -> f64 {
        let (lowest, highest) = (f64::from(self.lowest), f64::from(self.highest));
        let share = (rate.max(1.0).log10() - lowest) / (highest - lowest);
        TOP + HEIGHT * (1.0 - share)
    }
}

struct Panel<'a> {
    results: &'a Results,
    scale: &'a Scale,
    axis: &'a Axis,
    left: f64,
}

/// What is written at the end of a line.
struct Name {
    side: Side,
    rate: f64,
    y: f64,
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String, spread: Spread) {
        let (left, right, base) = (self.left, self.left + PANEL, TOP + HEIGHT);
        let title = spread.name();
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\" font-size=\"13\" font-weight=\"600\">{title}</text>",
            TOP - 12.0
        );
        for power in self.axis.lowest..=self.axis.highest {
            let rate = 10_f64.powi(power);
            let (y, text) = (self.axis.y(rate), thousands(rate));
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{text}</text>",
                left - 8.0,
                y + 4.0
            );
        }
        for (at, clients) in self.scale.clients.iter().enumerate() {
            let x = self.x(at);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{base}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#555\"/>\
                <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{clients}</text>",
                base + 4.0,
                base + 18.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">clients</text>",
            left + PANEL / 2.0,
            base + 36.0
        );
        let mut names = Vec::new();
        for side in &self.scale.sides {
            names.extend(self.line(svg, spread, *side));
        }
        self.write(svg, names);
    }

    /// One side's line; what is to be written at its end.
    fn line(&self, svg: &mut String, spread: Spread, side: Side) -> Option<Name> {
        let (mut points, mut last, colour) = (String::new(), None, colour(side));
        for (at, clients) in self.scale.clients.iter().enumerate() {
            let cell = Cell { spread, clients: *clients };
            let Some(rate) = self.results.per_second(cell, side) else { continue };
            let (x, y) = (self.x(at), self.axis.y(rate));
            let _ = write!(points, "{x:.1},{y:.1} ");
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\">\
                <title>{}, {clients} clients: {rate:.0}/s</title></circle>",
                side.name()
            );
            last = Some(Name { side, rate, y });
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
            points.trim_end()
        );
        last
    }

    /// From the top down, none over another.
    fn write(&self, svg: &mut String, mut names: Vec<Name>) {
        names.sort_by(|one, other| one.y.total_cmp(&other.y));
        let mut free = TOP;
        for name in names {
            let y = name.y.max(free);
            free = y + NAME_HEIGHT;
            let (text, rate, colour) = (name.side.name(), thousands(name.rate), colour(name.side));
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{text} {rate}</text>",
                self.left + PANEL + 8.0,
                y + 4.0
            );
        }
    }

    fn x(&self, at: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a handful of numbers of clients")]
        let (at, steps) = (at as f64, self.scale.clients.len().max(2) as f64 - 1.0);
        self.left + PANEL * (0.04 + 0.92 * at / steps)
    }
}

/// `1234.5` is `1,234`.
fn thousands(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0.4, 999.0, 1_000.0, 12_345.6, 1_234_567.0].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "12,346", "1,234,567"]);
    }
}
