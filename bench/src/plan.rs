//! What a run measures, and how: each part adds to the outcome.

use anyhow::Context;

use crate::ground::{Files, Ground};
use crate::memory;
use crate::outcome::{Outcome, Setting};
use crate::program::{Program, short};
use crate::side_by_side::{self, Row};
use crate::start::Manner;
use crate::{features, lcores};

#[derive(Clone, Debug)]
pub struct Plan {
    pub rows: Vec<Row>,
    /// Gardens, table updates, adversarial traffic.
    pub features: bool,
    /// One lcore, two, and two with a hand-over.
    pub lcores: bool,
    pub starts: usize,
    /// Frame length with FCS.
    pub bytes: usize,
    pub manner: Manner,
}

impl Plan {
    pub fn run(&self, tsc_mhz: f64) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        side_by_side::run(self, tsc_mhz, &mut outcome)?;
        if self.features {
            features::run(self, &mut outcome).context("features")?;
        }
        if self.lcores {
            lcores::run(self, &mut outcome).context("lcores")?;
        }
        outcome.put_figure(
            "bytes_per_session".to_owned(),
            &[1, 2, 8, 64].map(memory::bytes_per_session),
        );
        Ok(outcome)
    }

    /// The pass byte by byte.
    pub fn check(
        &self,
        ground: &Ground,
        files: &Files,
        setting: Setting,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let way = short(files.direction);
        let frames = self
            .manner
            .byte_for_byte(ground, files)
            .with_context(|| format!("{setting} {way}: byte for byte"))?;
        eprintln!("{setting} {way}: {frames} frames as expected, byte for byte");
        outcome.put_check(format!("{setting}.{way}"), "compared byte for byte", frames);
        Ok(())
    }

    /// One start; what it counted goes to the outcome, its Mpps are returned.
    pub fn one_start(
        &self,
        ground: &Ground,
        files: &Files,
        (setting, program): (Setting, Program),
        meanwhile: Option<&mut dyn FnMut() -> anyhow::Result<()>>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<f64> {
        let measured = self.manner.start(ground, files, program, meanwhile)?;
        let way = short(files.direction);
        let lost = match measured.lost_between {
            0.0 => String::new(),
            share => format!(", {:.3} % lost between lcores", share * 100.0),
        };
        eprintln!("{setting} {}: {:.2} Mpps{lost}", program.name(), measured.mpps);
        if let Program::Ours(direction) = program {
            outcome.put_latency(setting, direction, &measured.times);
            outcome.put_check(
                format!("{setting}.{way}"),
                "accounted for by reason",
                measured.accounted,
            );
        }
        Ok(measured.mpps)
    }
}
