//! What a run comes to, for people: a page with its plots inside (no file, script or font from elsewhere), and rows for RESULTS.md.

use std::fmt::Write;

use crate::figures::Figure;
use crate::side_by_side::Outcome;

const BAR: f64 = 520.0;
const ROW: usize = 22;

/// The page: Mpps and tsc a packet of every program and feature, and the ratios.
pub fn html(outcome: &Outcome, tsc_mhz: f64, about: &str) -> String {
    let ratios = outcome.figures.iter().filter(|(name, _)| is_ratio(name));
    let tsc: Vec<(String, Figure)> = outcome
        .mpps
        .iter()
        .map(|(name, rate)| {
            let ticks = Figure {
                median: tsc_mhz / rate.median,
                min: tsc_mhz / rate.max,
                max: tsc_mhz / rate.min,
                starts: rate.starts,
            };
            (name.clone(), ticks)
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sluice: measured</title>\
         <style>body{{font:14px sans-serif;margin:2em}}svg text{{font:12px sans-serif}}</style>\
         <h1>Sluice, measured</h1><p>{}</p><p>Bars are medians over starts, lines reach from the lowest to the highest.</p>\
         <h2>Mpps, by number of sessions, program and feature</h2>{}<h2>TSC ticks a packet</h2>{}<h2>Ratios</h2>{}</html>",
        escape(about),
        bars(outcome.mpps.iter()),
        bars(tsc.iter().map(|(name, figure)| (name, figure))),
        bars(ratios),
    )
}

fn is_ratio(name: &str) -> bool {
    !name.ends_with("delta_tsc") && name != "bytes_per_session"
}

/// Horizontal bars, each with its range.
fn bars<'a>(figures: impl Iterator<Item = (&'a String, &'a Figure)>) -> String {
    let figures: Vec<_> = figures.collect();
    let most = figures
        .iter()
        .map(|(_, figure)| figure.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = format!(
        "<svg width=\"900\" height=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">",
        figures.len() * ROW + 4
    );
    for (number, (name, figure)) in figures.iter().enumerate() {
        let x = |value: f64| 230.0 + BAR * value / most;
        let y = number * ROW + 4;
        let colour = if name.contains("sluice") {
            "#2a6fbb"
        } else {
            "#999"
        };
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{}\">{}</text><rect x=\"230\" y=\"{y}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <path d=\"M{:.1} {mid}H{:.1}\" stroke=\"#000\"/><text x=\"{:.1}\" y=\"{}\">{:.3}</text>",
            y + 12,
            escape(name),
            x(figure.median) - 230.0,
            x(figure.min),
            x(figure.max),
            x(figure.max) + 6.0,
            y + 12,
            figure.median,
            mid = y + 8,
        );
    }
    svg + "</svg>"
}

/// Text that is safe in HTML and SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Rows for bench/RESULTS.md.
pub fn markdown(outcome: &Outcome, tsc_mhz: f64, about: &str) -> String {
    let mut text =
        format!("{about}\n\n| program | Mpps | tsc | min..max Mpps | starts |\n|---|---|---|---|---|\n");
    for (name, f) in &outcome.mpps {
        let _ = writeln!(
            text,
            "| {name} | {:.2} | {:.1} | {:.2}..{:.2} | {} |",
            f.median,
            tsc_mhz / f.median,
            f.min,
            f.max,
            f.starts
        );
    }
    text += "\n| figure | median | min..max | starts |\n|---|---|---|---|\n";
    for (name, f) in &outcome.figures {
        let _ = writeln!(
            text,
            "| {name} | {:.3} | {:.3}..{:.3} | {} |",
            f.median, f.min, f.max, f.starts
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut outcome = Outcome::default();
        outcome
            .mpps
            .extend(Figure::of(&[10.0, 20.0]).map(|f| ("4096.<up>.sluice".to_owned(), f)));
        outcome
            .figures
            .extend(Figure::of(&[0.5]).map(|f| ("up.4096.io".to_owned(), f)));
        outcome
    }

    #[test]
    fn names_are_escaped_and_nothing_is_loaded_from_elsewhere() {
        let page = html(&outcome(), 2400.0, "load 1 & \"quiet\"");
        assert!(page.contains("4096.&lt;up&gt;.sluice") && page.contains("load 1 &amp; &quot;quiet&quot;"));
        assert!(!page.contains("src=") && !page.contains("href="));
    }

    #[test]
    fn the_rows_have_ticks_and_ratios() {
        let rows = markdown(&outcome(), 2400.0, "load 1");
        assert!(rows.contains("| 4096.<up>.sluice | 10.00 | 240.0 | 10.00..20.00 | 2 |"));
        assert!(rows.contains("| up.4096.io | 0.500 | 0.500..0.500 | 1 |"));
    }
}
