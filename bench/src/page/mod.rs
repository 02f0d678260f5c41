//! What a run comes to, for people: one page with its plots inside (no file, script or font from elsewhere), and rows for RESULTS.md.
//!
//! ```text
//!   bounds       each figure beside its floor and goal
//!   sessions     by number of sessions, beside the peers
//!   bars         by feature, by lcores
//!   percentiles  latencies
//! ```

mod bars;
mod bounds;
mod percentiles;
mod series;
mod sessions;
mod svg;

use std::fmt::Write;

use self::svg::escape;
use crate::figures::Figure;
use crate::outcome::Outcome;

/// Where and when a run was made: name and value, for the head of the page.
pub type Facts = [(&'static str, String)];

/// The whole page.
pub fn html(outcome: &Outcome, tsc_mhz: f64, facts: &Facts) -> String {
    let mut head = String::new();
    for (name, value) in facts {
        let _ = write!(head, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Sluice: measured</title>\
         <style>{}</style></head><body><main><h1>Sluice, measured</h1>\
         <p class=\"quiet\">The whole pipeline beside programs that do less, on the same frames and core, in turn. What a shared machine \
         shows are the ratios; an absolute rate from one run says little.</p><dl class=\"facts\">{head}</dl>{}{}{}{}{}{}</main></body></html>",
        include_str!("style.css"),
        bounds::section(outcome),
        sessions::section(outcome, tsc_mhz),
        bars::features(outcome, tsc_mhz),
        bars::lcores(outcome, tsc_mhz),
        percentiles::section(outcome),
        tables(outcome, tsc_mhz),
    )
}

/// A plot with its name.
fn panel(name: &str, plot: &str) -> String {
    format!("<div class=\"panel\"><h3>{}</h3>{plot}</div>", escape(name))
}

/// Everything as numbers, and what was checked.
fn tables(outcome: &Outcome, tsc_mhz: f64) -> String {
    let mut rates = String::new();
    for speed in &outcome.speeds {
        let (rate, ticks) = (&speed.mpps, speed.tsc(tsc_mhz));
        let _ = write!(
            rates,
            "<tr><td>{}</td><td>{:.2}</td><td>{:.2} to {:.2}</td><td>{:.1}</td><td>{}</td></tr>",
            escape(&speed.name()),
            rate.median,
            rate.min,
            rate.max,
            ticks.median,
            rate.starts
        );
    }
    let mut figures = String::new();
    for (name, figure) in &outcome.figures {
        let Figure {
            median,
            min,
            max,
            starts,
        } = figure;
        let _ = write!(
            figures,
            "<tr><td>{}</td><td>{median:.3}</td><td>{min:.3} to {max:.3}</td><td>{starts}</td></tr>",
            escape(name)
        );
    }
    let mut checks = String::new();
    for check in &outcome.checks {
        let _ = write!(
            checks,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&check.setting),
            escape(check.what),
            check.packets
        );
    }
    format!(
        "<h2>Numbers</h2><details><summary>Rates</summary><div class=\"scroll\"><table><tr><th>program</th><th>Mpps</th><th>range</th>\
         <th>tsc</th><th>starts</th></tr>{rates}</table></div></details>\
         <details><summary>Figures</summary><div class=\"scroll\"><table><tr><th>figure</th><th>median</th><th>range</th><th>starts</th></tr>\
         {figures}</table></div></details>\
         <details><summary>What was checked</summary><div class=\"scroll\"><table><tr><th>run</th><th>packets were</th><th>packets</th></tr>\
         {checks}</table></div></details>"
    )
}

/// Rows for bench/RESULTS.md.
pub fn markdown(outcome: &Outcome, tsc_mhz: f64, facts: &Facts) -> String {
    let mut text = String::new();
    for (name, value) in facts {
        let _ = writeln!(text, "{name}: {value}");
    }
    text += "\n| program | Mpps | tsc | min..max Mpps | starts |\n|---|---|---|---|---|\n";
    for speed in &outcome.speeds {
        let rate = &speed.mpps;
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.1} | {:.2}..{:.2} | {} |",
            speed.name(),
            rate.median,
            speed.tsc(tsc_mhz).median,
            rate.min,
            rate.max,
            rate.starts
        );
    }
    text += "\n| figure | median | min..max | starts | must | goal |\n|---|---|---|---|---|---|\n";
    for (name, f) in &outcome.figures {
        let (must, goal) = crate::goals::of(name).map_or_else(Default::default, |goal| {
            (goal.must.to_string(), goal.goal.to_string())
        });
        let _ = writeln!(
            text,
            "| {name} | {:.3} | {:.3}..{:.3} | {} | {must} | {goal} |",
            f.median, f.min, f.max, f.starts
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Distribution;
    use crate::outcome::Setting;
    use crate::program::Program;
    use shm_bridge::Direction;

    fn outcome() -> Outcome {
        let (up, setting) = (Program::Ours(Direction::Upstream), Setting::Sessions(4096));
        let mut outcome = Outcome::default();
        outcome.put_speed(setting, up, &[10.0, 20.0]);
        outcome.put_speed(Setting::Feature("<garden>"), up, &[10.0]);
        outcome.put_speed(Setting::Lcores("2-lcores"), up, &[10.0]);
        outcome.put_figure("up.4096.io".to_owned(), &[0.5]);
        outcome.put_latency(setting, Direction::Upstream, &Distribution::of(&[(900, 3)]));
        outcome
    }

    #[test]
    fn a_page_holds_every_plot_and_loads_nothing_from_elsewhere() {
        let page = html(&outcome(), 2400.0, &[("load", "1 & \"quiet\"".to_owned())]);

        for text in [
            "Figures beside their bounds",
            "By number of sessions",
            "By feature",
            "By lcores",
            "Latency in the worker",
            "must 0.5",
            "goal 0.7",
            "&lt;garden&gt;",
            "1 &amp; &quot;quiet&quot;",
        ] {
            assert!(page.contains(text), "{text}");
        }
        for foreign in ["src=", "href=", "url(", "@import", "<script", "NaN"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_run_of_nothing_has_a_page_too() {
        let page = html(&Outcome::default(), 2400.0, &[]);
        assert!(!page.contains("By feature") && !page.contains("NaN"));
    }

    #[test]
    fn the_rows_have_ticks_ratios_and_bounds() {
        let rows = markdown(&outcome(), 2400.0, &[("load", "1".to_owned())]);
        assert!(rows.contains("| 4096.up.sluice | 10.00 | 240.0 | 10.00..20.00 | 2 |"));
        assert!(rows.contains("| up.4096.io | 0.500 | 0.500..0.500 | 1 | 0.5 | 0.7 |"));
    }
}
