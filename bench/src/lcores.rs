//! Rows by lcores: one; two with a file each, as a NIC spreads; two of which one receives and hands over. Ours alone, 4,096 sessions.
//!
//! A rate is that of one lcore: packets of all of them by the on-CPU time of all of them. On two cores that other programs share
//! it shows what the hand-over and the sharing of tables cost, and not how many lcores a machine can feed.

use anyhow::Context;
use shm_bridge::Direction;

use crate::figures::ratios;
use crate::ground::{Files, Ground};
use crate::layout::Layout;
use crate::outcome::{Outcome, Setting};
use crate::plan::Plan;
use crate::program::{Program, short};
use crate::traffic::{Spec, Traffic};

const SESSIONS: u32 = 4096;
const LAYOUTS: [Layout; 3] = [Layout::One, Layout::Spread, Layout::HandedOver];

pub fn run(plan: &Plan, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut rates: Vec<(Layout, Direction, Vec<f64>)> = Vec::new();
    for layout in LAYOUTS {
        rates.extend(Direction::ALL.map(|direction| (layout, direction, Vec::new())));
    }
    for start in 0..plan.starts {
        for (layout, direction, rates) in &mut rates {
            let (setting, program) = (Setting::Lcores(layout.name()), Program::Ours(*direction));
            // A ground for each: a worker of several lcores closes the counts of the one before it lcore by lcore, and takes
            // what was handed over for lost.
            let mpps = (|| {
                if start == 0 {
                    let (ground, files) = stand(plan, *layout, *direction)?;
                    plan.check(&ground, &files, setting, outcome)?;
                }
                let (ground, files) = stand(plan, *layout, *direction)?;
                plan.one_start(&ground, &files, (setting, program), None, outcome)
            })()
            .with_context(|| format!("{} {} start {start}", layout.name(), short(*direction)))?;
            rates.push(mpps);
        }
    }
    for (layout, direction, of) in &rates {
        outcome.put_speed(Setting::Lcores(layout.name()), Program::Ours(*direction), of);
        let one = rates
            .iter()
            .find(|(one, way, _)| *one == Layout::One && way == direction);
        if let Some((.., one)) = one.filter(|_| *layout != Layout::One) {
            let name = format!("{}.{}", short(*direction), layout.name());
            outcome.put_figure(name, &ratios(of, one));
        }
    }
    Ok(())
}

fn stand(plan: &Plan, layout: Layout, direction: Direction) -> anyhow::Result<(Ground, Files)> {
    let (ground, _filled) = Ground::new(layout, SESSIONS, SESSIONS)?;
    let traffic = Traffic::new(Spec {
        sizes: vec![plan.bytes],
        ..Spec::plain(direction, SESSIONS)
    })?;
    let files = ground.files("plain", &traffic)?;
    Ok((ground, files))
}
