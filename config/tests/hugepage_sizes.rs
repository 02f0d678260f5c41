//! What hugepage-setup.sh works out for the segment is what the segment takes.

use std::path::Path;
use std::process::Command;

use shm_bridge::layout::{Geometry, segment_bytes};
use sluice_config::Limits;

#[test]
fn the_script_reserves_what_the_segment_takes() {
    for (sessions, lcores) in [(64, 1), (65_536, 8), (131_072, 3), (1_048_576, 64)] {
        let geometry = Geometry {
            sessions,
            lcores,
            tbl8_groups: Limits::tbl8_groups_for(sessions),
            ..Geometry::DEFAULT
        };
        let pages = segment_bytes(&geometry) / (2 << 20);

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hugepage-setup.sh");
        let (sessions, lcores) = (sessions.to_string(), lcores.to_string());
        let said = Command::new(script)
            .args(["sizes", "--sessions", &sessions, "--lcores", &lcores])
            .output()
            .unwrap();

        let text = String::from_utf8_lossy(&said.stdout);
        assert!(
            text.contains(&format!("in whole 2 MiB: {pages} pages")),
            "{pages}: {text}"
        );
    }
}
