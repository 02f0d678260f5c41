//! What a subscriber reaches and what not: real pings, DNS and HTTP from his namespace, and what the far end saw of them.

use std::fmt::{self, Display};
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use olt_sim::lab::core_side::CoreConfig;
use olt_sim::lab::namespace::wait_until;
use olt_sim::lab::probes::Reach;
use olt_sim::lab::world::Subscriber;

use super::cast::Cast;
use super::error::{DemoError, While};

/// For what is allowed; it comes in a millisecond, or with a repeated ARP request in a second or two.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);
/// The far end's watch may be a moment behind the answer.
const SEEN_PATIENCE: Duration = Duration::from_secs(1);
/// Homes probed at once; each takes a thread for every attempt.
const HOMES_AT_ONCE: usize = 10;

/// Which part of the world a subscriber should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The activation portal and the permitted resolvers.
    ActivationGarden,
    /// The payment portal and the permitted resolvers.
    SuspendedGarden,
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Ping,
    Dns,
    Http,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    what: What,
    to: Ipv4Addr,
    allowed: bool,
    /// Answered by the gateway itself.
    local: bool,
}

impl Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.what {
            What::Ping => "pings",
            What::Dns => "asks the resolver",
            What::Http => "opens http://",
        };
        match self.what {
            What::Http => write!(f, "{verb}{}", self.to),
            What::Ping | What::Dns => write!(f, "{verb} {}", self.to),
        }
    }
}

impl Access {
    fn attempts(self, core: &CoreConfig, gateway: Option<Ipv4Addr>) -> Vec<Attempt> {
        use What::{Dns, Http, Ping};
        let everywhere = self == Access::Everything;
        let activation = self == Access::ActivationGarden || everywhere;
        let payment = self == Access::SuspendedGarden || everywhere;
        let attempt = |what, to, allowed| Attempt {
            what,
            to,
            allowed,
            local: false,
        };
        let mut attempts = vec![
            attempt(Http, core.portal, activation),
            attempt(Ping, core.portal, activation),
            attempt(Http, core.payment_portal, payment),
            attempt(Dns, core.foreign_resolver, everywhere),
            attempt(Ping, core.internet, everywhere),
            attempt(Http, core.internet, everywhere),
        ];
        attempts.extend(core.resolvers.first().map(|to| attempt(Dns, *to, true)));
        attempts.extend(gateway.map(|to| Attempt {
            local: true,
            ..attempt(Ping, to, true)
        }));
        attempts
    }
}

/// Has the subscribers try everything, and checks what they and the far end saw.
pub fn expect_reach(cast: &Cast, subscribers: &[usize], access: Access) -> Result<(), DemoError> {
    let reading = "reading the garden's drops";
    let before = cast.gateway.dropped("garden_destination").during(reading)?;
    let mut refused = 0;
    for homes in subscribers.chunks(HOMES_AT_ONCE) {
        cast.interrupt.check()?;
        let counts = thread::scope(|scope| {
            let probing: Vec<_> = homes
                .iter()
                .map(|index| scope.spawn(|| expect_home(cast, cast.subscriber(*index), access)))
                .collect();
            probing
                .into_iter()
                .map(|home| {
                    home.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect::<Vec<_>>()
        });
        refused += counts.into_iter().sum::<u64>();
    }
    let dropped = cast
        .gateway
        .dropped("garden_destination")
        .during(reading)?
        .wrapping_sub(before);
    if refused > 0 {
        cast.story.expect(
            "drops for the reason garden_destination",
            dropped >= refused,
            format!("at least one for each of {refused} refused attempts"),
            || dropped,
        );
        cast.story.line(format!(
            "{refused} attempts were refused; the garden dropped {dropped} packets of them"
        ));
    }
    Ok(())
}

/// The number of attempts that were to be refused.
fn expect_home(cast: &Cast, subscriber: &Subscriber, access: Access) -> u64 {
    let core = &cast.world.ground().core;
    let Some(lease) = subscriber.lease() else {
        cast.story.expect(
            format!("{} tries what he may", subscriber.serial()),
            false,
            "an address",
            || "none",
        );
        return 0;
    };
    let arrived = |attempt: &Attempt| {
        core.watch()
            .matching(|seen| seen.source == lease.address && seen.destination == attempt.to)
    };
    let attempts = access.attempts(core.config(), lease.router);
    let before: Vec<u64> = attempts.iter().map(arrived).collect();
    let answers: Vec<Reach<()>> = thread::scope(|scope| {
        let trying: Vec<_> = attempts
            .iter()
            .map(|attempt| scope.spawn(move || attempt.make(subscriber, cast.plan.silence)))
            .collect();
        trying
            .into_iter()
            .map(|attempt| {
                attempt
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });

    let mut refused = 0;
    for ((attempt, answer), before) in attempts.iter().zip(&answers).zip(before) {
        let what = format!("{} {attempt}", subscriber.serial());
        if attempt.allowed {
            cast.story
                .expect(&what, answer.is_reached(), "an answer", || tell(answer));
            if !attempt.local {
                let seen = wait_until(SEEN_PATIENCE, || (arrived(attempt) > before).then_some(()));
                cast.story.expect(
                    format!("{what}, at the far end"),
                    seen.is_some(),
                    "his packets",
                    || "none",
                );
            }
        } else {
            refused += 1;
            let far_end = arrived(attempt) - before;
            cast.story
                .expect(&what, !answer.is_reached(), "no answer", || tell(answer));
            cast.story.expect(
                format!("{what}, at the far end"),
                far_end == 0,
                "no packet of his",
                || far_end,
            );
        }
    }
    refused
}

impl Attempt {
    fn make(&self, subscriber: &Subscriber, silence: Duration) -> Reach<()> {
        let patience = if self.allowed { ANSWER_PATIENCE } else { silence };
        let name = "portal.example";
        match self.what {
            What::Ping => unit(subscriber.ping(self.to, patience)),
            What::Dns => unit(subscriber.resolve(self.to, name, patience)),
            What::Http => {
                let server = std::net::SocketAddrV4::new(self.to, olt_sim::lab::core_side::HTTP_PORT);
                unit(subscriber.http_get(server, "/", patience))
            }
        }
    }
}

fn unit<T>(reach: Reach<T>) -> Reach<()> {
    match reach {
        Reach::Reached(_) => Reach::Reached(()),
        Reach::Refused(why) => Reach::Refused(why),
        Reach::Silent => Reach::Silent,
    }
}

fn tell(answer: &Reach<()>) -> String {
    match answer {
        Reach::Reached(()) => "an answer".into(),
        Reach::Refused(why) => why.clone(),
        Reach::Silent => "silence".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_garden_has_one_portal_and_no_foreign_resolver() {
        let core = CoreConfig::default();
        let allowed = |access: Access| -> Vec<Ipv4Addr> {
            access
                .attempts(&core, None)
                .iter()
                .filter(|attempt| attempt.allowed)
                .map(|attempt| attempt.to)
                .collect()
        };

        assert_eq!(
            allowed(Access::ActivationGarden),
            [core.portal, core.portal, core.resolvers[0]]
        );
        assert_eq!(
            allowed(Access::SuspendedGarden),
            [core.payment_portal, core.resolvers[0]]
        );
        assert_eq!(allowed(Access::Everything).len(), 7);
    }
}
