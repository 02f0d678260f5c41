//! Address pools.

use serde_json::Value;

use super::items;
use crate::output::{Column, table};

pub fn list(answer: &Value) -> String {
    let columns = [
        Column::text("POOL", "/name"),
        Column::text("NETWORK", "/network"),
        Column::text("GATEWAY", "/gateway"),
        Column::number("SIZE", "/size"),
        Column::number("BOUND", "/bound"),
        Column::number("OFFERED", "/offered"),
        Column::number("STICKY", "/sticky"),
        Column::number("QUARANTINED", "/quarantined"),
        Column::number("AVAILABLE", "/available"),
        Column::right("USE", |row| {
            let share = row.get("utilization").and_then(Value::as_f64).unwrap_or(0.0);
            format!("{:.2} %", share * 100.0)
        }),
    ];
    table(&columns, items(answer, "pools"))
}
