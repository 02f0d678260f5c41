//! The whole life: connect, walled garden, activation, traffic, suspension.

use super::activation::{activate, expect_moved};
use super::cast::{Cast, GARDEN_POOL, SERVICE};
use super::closing::Expected;
use super::connect::connect;
use super::error::DemoError;
use super::gateway::Bounce;
use super::probing::{Access, expect_reach};
use super::suspension::suspend;
use super::traffic::run_traffic;

/// Who does not pay; one of the activated.
const SUSPENDED: usize = 0;

pub fn play(cast: &mut Cast) -> Result<Expected, DemoError> {
    let plan = cast.plan;
    let all: Vec<usize> = (0..plan.subscribers).collect();
    let (activated, stay) = all.split_at(plan.activated);

    connect(cast)?;

    cast.story
        .step("each reaches the portal and the permitted resolver, and nothing else");
    expect_reach(cast, &all, Access::ActivationGarden)?;

    cast.story.step(format!(
        "{} are activated; the access node bounces their lines, and the clients ask again",
        activated.len()
    ));
    let mut moving = Vec::new();
    for index in activated {
        moving.push(activate(cast, *index, Bounce::Yes)?);
        cast.interrupt.sleep(plan.activation_gap)?;
    }
    for one in &moving {
        expect_moved(cast, one)?;
    }

    cast.story.step(format!(
        "the {} reach the internet host; {} stay in the garden",
        activated.len(),
        stay.len()
    ));
    expect_reach(cast, activated, Access::Everything)?;
    expect_reach(cast, stay, Access::ActivationGarden)?;

    cast.until(plan.traffic_at)?;
    run_traffic(cast, activated)?;

    cast.until(plan.suspension_at)?;
    suspend(cast, SUSPENDED)?;

    cast.story.end_step();
    cast.until(plan.end_at)?;
    let active = activated.len() - 1;
    Ok(Expected {
        by_state: vec![(GARDEN_POOL, stay.len()), ("suspended", 1), ("active", active)],
        by_pool: vec![(GARDEN_POOL, stay.len() + 1), (SERVICE.pool, active)],
    })
}
