//! Ctrl-C in the middle: the first signal ends the story in order, within some seconds; a second one at once.
//!
//! "At once" leaves nothing behind either: the lab's processes die with their parent, and its janitor removes the namespaces.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::error::DemoError;

/// What shells expect of a program that Ctrl-C ended.
pub const EXIT_STATUS: u8 = 130;
/// For an end in order; then it is an end at once.
const ORDER_PATIENCE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub struct Interrupt {
    came: Arc<AtomicBool>,
}

impl Interrupt {
    pub fn install() -> io::Result<Interrupt> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order, so that the first signal does not end the program itself.
            signal_hook::flag::register_conditional_shutdown(signal, i32::from(EXIT_STATUS), came.clone())?;
            signal_hook::flag::register(signal, came.clone())?;
        }
        let watched = came.clone();
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                while !watched.load(Ordering::Relaxed) {
                    std::thread::sleep(WATCH);
                }
                std::thread::sleep(ORDER_PATIENCE);
                std::process::exit(i32::from(EXIT_STATUS));
            })?;
        Ok(Interrupt { came })
    }

    pub fn check(&self) -> Result<(), DemoError> {
        if self.came.load(Ordering::Relaxed) {
            Err(DemoError::Interrupted)
        } else {
            Ok(())
        }
    }

    pub fn sleep(&self, duration: Duration) -> Result<(), DemoError> {
        self.sleep_until(Instant::now() + duration)
    }

    pub fn sleep_until(&self, end: Instant) -> Result<(), DemoError> {
        self.check()?;
        while let Some(left) = end
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            std::thread::sleep(left.min(Duration::from_millis(50)));
            self.check()?;
        }
        Ok(())
    }

    /// Asks until there is an answer, or patience ends (`None`).
    pub fn wait<T>(
        &self,
        patience: Duration,
        mut question: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>, DemoError> {
        let end = Instant::now() + patience;
        loop {
            self.check()?;
            if let Some(answer) = question() {
                return Ok(Some(answer));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}
