//! What is printed: tables for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::Value;

use crate::error::CliError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
}

/// A column: its heading, and what it shows of a row.
pub struct Column {
    heading: &'static str,
    show: Box<dyn Fn(&Value) -> String>,
    alignment: CellAlignment,
}

impl Column {
    /// The member at `pointer` (RFC 6901) as it is.
    pub fn text(heading: &'static str, pointer: &'static str) -> Column {
        Column::of(heading, move |row| plain(row.pointer(pointer)))
    }

    /// The member at `pointer`, a number with its digits in groups.
    pub fn number(heading: &'static str, pointer: &'static str) -> Column {
        Column::right(heading, move |row| {
            match row.pointer(pointer).and_then(Value::as_i64) {
                Some(number) => grouped(number),
                None => plain(row.pointer(pointer)),
            }
        })
    }

    pub fn of(heading: &'static str, show: impl Fn(&Value) -> String + 'static) -> Column {
        Column {
            heading,
            show: Box::new(show),
            alignment: CellAlignment::Left,
        }
    }

    pub fn right(heading: &'static str, show: impl Fn(&Value) -> String + 'static) -> Column {
        Column {
            alignment: CellAlignment::Right,
            ..Column::of(heading, show)
        }
    }
}

/// A table without frames, as scripts and eyes like it.
pub fn table<'a>(columns: &[Column], rows: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        columns
            .iter()
            .map(|column| Cell::new(column.heading).set_alignment(column.alignment)),
    );
    for row in rows {
        table.add_row(
            columns
                .iter()
                .map(|column| Cell::new(printable(&(column.show)(row))).set_alignment(column.alignment)),
        );
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A member as text; `-` for what is not there.
pub fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// What equipment sends must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let as_is = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(as_is)
        })
        .collect()
}

/// JSON, indented.
pub fn print_json(value: &Value) -> Result<(), CliError> {
    print(&format!("{value:#}\n"))
}

pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::NoReader,
        _ => CliError::failed(format!("standard output: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_what_is_missing_is_a_dash() {
        let rows = [
            json!({"name": "wgar", "use": {"bound": 1_234_567}}),
            json!({"name": "b"}),
        ];
        let columns = [
            Column::text("POOL", "/name"),
            Column::number("BOUND", "/use/bound"),
        ];

        assert_eq!(
            table(&columns, &rows),
            " POOL      BOUND\n wgar  1,234,567\n b             -\n"
        );
    }

    #[test]
    fn what_equipment_sends_does_not_steer_the_terminal() {
        assert_eq!(printable("agg\u{1b}[2J|1/1/1"), "agg\\u{1b}[2J|1/1/1");
    }

    #[test]
    fn digits_come_in_groups() {
        assert_eq!(
            [0, 999, 1000, -12_345_678].map(grouped),
            ["0", "999", "1,000", "-12,345,678"]
        );
    }
}
