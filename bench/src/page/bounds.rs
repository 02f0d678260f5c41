//! Each figure beside its floor and its goal: where it lies, how far its starts reach, and the two bounds on the same scale.

use super::svg::{Anchor, Drawing, Scale, WIDTH, escape, tick_label};
use crate::figures::Figure;
use crate::goals::{Better, GOALS, Goal};
use crate::outcome::Outcome;

const HEIGHT: f64 = 40.0;
const MIDDLE: f64 = 10.0;

pub fn section(outcome: &Outcome) -> String {
    let mut panels = String::new();
    for goal in &GOALS {
        for name in goal.names() {
            if let Some(figure) = outcome.figures.get(&name) {
                panels += &bound(&name, goal, figure);
            }
        }
    }
    format!(
        "<h2>Figures beside their bounds</h2><p class=\"quiet\">The dot is the median, the bar reaches from the lowest to the highest \
         start, or round where it is a ratio. Nothing here is judged; a figure is as good as the machine was quiet.</p>\
         <div class=\"grid\">{panels}</div>"
    )
}

fn bound(name: &str, goal: &Goal, figure: &Figure) -> String {
    let unit = match goal.unit {
        "" => String::new(),
        unit => format!(" {unit}"),
    };
    let said = format!("{}{unit}", value(figure.median, goal));
    let range = format!("{} to {}", value(figure.min, goal), value(figure.max, goal));
    format!(
        "<div class=\"panel\"><div class=\"figure\"><code>{}</code><b>{said}</b></div><p class=\"meaning\">{}; {range}</p>{}</div>",
        escape(name),
        escape(goal.meaning),
        plot(name, goal, figure, &said)
    )
}

/// Ratios have two digits, what is counted none or one.
fn value(value: f64, goal: &Goal) -> String {
    match (goal.better, goal.must) {
        (Better::Higher, _) => format!("{value:.2}"),
        (Better::Lower, must) if must >= 100.0 => format!("{value:.0}"),
        (Better::Lower, _) => format!("{value:.1}"),
    }
}

fn plot(name: &str, goal: &Goal, figure: &Figure, said: &str) -> String {
    let (lower, higher) = match goal.better {
        Better::Higher => (("must", goal.must), ("goal", goal.goal)),
        Better::Lower => (("goal", goal.goal), ("must", goal.must)),
    };
    let least = figure.min.min(0.0);
    let most = (figure.max * 1.05).max(higher.1 * 1.3);
    let x = Scale {
        values: (least, most),
        places: (4.0, WIDTH - 4.0),
    };
    let label = format!("{name}: {said}; must {}, goal {}", goal.must, goal.goal);
    let mut drawing = Drawing::new(HEIGHT, &label);
    drawing.rect(
        (x.at(least), MIDDLE - 3.0),
        (x.at(most) - x.at(least), 6.0),
        "grid",
        &label,
    );
    // The labels stand away from each other, so that close bounds do not write over one another.
    for ((word, bound), anchor, away) in [(lower, Anchor::End, -4.0), (higher, Anchor::Start, 4.0)] {
        let place = x.at(bound);
        let class = format!("{word}-tick");
        drawing.line((place, 1.0), (place, HEIGHT - 6.0), &class, None);
        drawing.text(
            (place + away, HEIGHT - 8.0),
            anchor,
            &format!("{word}-label"),
            &format!("{word} {}", tick_label(bound)),
        );
    }
    drawing.line(
        (x.at(figure.min), MIDDLE),
        (x.at(figure.max), MIDDLE),
        "range",
        Some("ours"),
    );
    drawing.mark(
        (x.at(figure.median), MIDDLE),
        super::svg::Shape::Circle,
        "ours",
        said,
    );
    drawing.finish()
}
