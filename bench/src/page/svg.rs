//! The little of SVG that the plots want: scales, escaped text, marks with their values as tooltips.

use std::fmt::Write;

/// Width of every plot, in its own units: a panel is about as many pixels wide, so text keeps its size on any screen.
pub const WIDTH: f64 = 340.0;

/// A drawing under way.
#[derive(Debug)]
pub struct Drawing {
    body: String,
    height: f64,
    label: String,
}

/// Where text stands to its point.
#[derive(Clone, Copy, Debug)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn word(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

// Writing to a String cannot fail: its results are passed over throughout.
impl Drawing {
    /// `label` says to a screen reader what is shown.
    pub fn new(height: f64, label: &str) -> Drawing {
        Drawing {
            body: String::new(),
            height,
            label: label.to_owned(),
        }
    }

    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{}\" class=\"{class}\">{}</text>",
            anchor.word(),
            escape(text)
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str, colour: Option<&str>) {
        let stroke = colour.map(|colour| format!(" style=\"stroke:var(--{colour})\""));
        let _ = write!(
            self.body,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" class=\"{class}\"{}/>",
            from.0,
            from.1,
            to.0,
            to.1,
            stroke.unwrap_or_default()
        );
    }

    pub fn path(&mut self, points: &[(f64, f64)], colour: &str) {
        let mut way = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let _ = write!(way, "{}{x:.1} {y:.1}", if number == 0 { 'M' } else { 'L' });
        }
        let _ = write!(
            self.body,
            "<path d=\"{way}\" class=\"path\" style=\"stroke:var(--{colour})\"/>"
        );
    }

    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str, title: &str) {
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"2\" style=\"fill:var(--{fill})\"><title>{}</title></rect>",
            width.max(0.0),
            escape(title)
        );
    }

    /// A point; `title` is shown where the pointer rests.
    pub fn mark(&mut self, (x, y): (f64, f64), shape: Shape, colour: &str, title: &str) {
        let _ = write!(
            self.body,
            "<path d=\"{}\" class=\"mark\" style=\"fill:var(--{colour})\"><title>{}</title></path>",
            shape.outline(x, y),
            escape(title)
        );
    }

    pub fn finish(self) -> String {
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            self.height,
            escape(&self.label),
            self.body
        )
    }
}

/// Marks differ in shape as well as in colour.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Circle,
    Square,
    Diamond,
    Triangle,
    Down,
}

impl Shape {
    /// A path around the point.
    pub fn outline(self, x: f64, y: f64) -> String {
        match self {
            Shape::Circle => format!("M{:.1} {y:.1}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z", x - 4.5),
            Shape::Square => format!("M{:.1} {:.1}h8v8h-8Z", x - 4.0, y - 4.0),
            Shape::Diamond => format!("M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5Z", y - 5.5),
            Shape::Triangle => format!("M{x:.1} {:.1}l5.2 9h-10.4Z", y - 5.5),
            Shape::Down => format!("M{x:.1} {:.1}l-5.2 -9h10.4Z", y + 5.5),
        }
    }
}

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub values: (f64, f64),
    pub places: (f64, f64),
}

impl Scale {
    pub fn at(&self, value: f64) -> f64 {
        let ((low, high), (from, to)) = (self.values, self.places);
        from + (to - from) * (value - low) / (high - low).max(f64::MIN_POSITIVE)
    }
}

/// Round values from 0 up to at least `most`, about five of them.
pub fn ticks(most: f64) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let rough = most / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    let count = (most / step).ceil() as usize;
    (0..=count).map(|number| number as f64 * step).collect()
}

/// A value with about three digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A tick's value, without zeros that say nothing.
pub fn tick_label(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// 1,048,576.
pub fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text that is safe in HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_highest_value() {
        assert_eq!(ticks(65.4), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(ticks(0.9), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(f64::NAN), ticks(1.0));
        for most in [0.003, 1.0, 7.7, 123.0, 9e6] {
            let ticks = ticks(most);
            assert!(
                (3..=7).contains(&ticks.len()) && ticks[ticks.len() - 1] >= most,
                "{most}"
            );
        }
    }

    #[test]
    fn labels_say_no_more_than_they_know() {
        assert_eq!([0.5, 17.0, 2.25].map(tick_label), ["0.5", "17", "2.25"]);
        assert_eq!([0.4567, 17.27, 224.4].map(short), ["0.46", "17.3", "224"]);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([7, 4096, 1_048_576].map(grouped), ["7", "4,096", "1,048,576"]);
    }

    #[test]
    fn a_drawing_escapes_what_it_is_told() {
        let mut drawing = Drawing::new(10.0, "a \"plot\"");
        drawing.text((0.0, 0.0), Anchor::Start, "", "<up> & down");
        let svg = drawing.finish();
        assert!(svg.contains("&lt;up&gt; &amp; down") && svg.contains("a &quot;plot&quot;"));
    }
}
