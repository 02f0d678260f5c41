//! The table of docs/line-rate.md is what bench/line-rate.json comes to. `SLUICE_BLESS=1 cargo test -p sluice-bench --test line_rate`
//! writes it anew.

use std::fs;
use std::path::Path;

use sluice_bench::cores::Costs;

const BEGIN: &str = "<!-- from bench/line-rate.json -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_table_of_cores_is_what_the_figures_come_to() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read =
        |file: &str| fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let costs = Costs::parse(&read("bench/line-rate.json")).expect("bench/line-rate.json");
    let page = read("docs/line-rate.md");
    let (before, rest) = page.split_once(BEGIN).expect("the table begins somewhere");
    let (_, after) = rest.split_once(END).expect("and ends");

    let wanted = format!("{before}{BEGIN}{}{END}{after}", costs.section());

    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::write(root.join("docs/line-rate.md"), &wanted).expect("room for the page");
    } else {
        assert!(
            page == wanted,
            "docs/line-rate.md is not what bench/line-rate.json comes to; SLUICE_BLESS=1 writes it anew:\n{}",
            costs.section()
        );
    }
}
