//! The live table: looks at every router again and again, obeys keys, and gives the terminal back as it was.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::admin::{Address, Problem};
use super::draw::draw;
use super::look::{self, History, Look};
use super::report;
use super::screen::{Next, Screen};
use crate::failure::Failure;

/// Looks and keys that wait for the drawing; whoever sends more waits.
const QUEUE: usize = 16;

/// Gives the terminal back when it is dropped.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // A panic has restored it before it printed its message; a second time would put the cursor on that.
        if !std::thread::panicking() {
            // Nothing better can be tried if the terminal is gone.
            let _ = ratatui::try_restore();
        }
    }
}

/// Shows until a key or a signal ends it.
pub(super) async fn run(addresses: Vec<Address>, every: Duration) -> Result<(), Failure> {
    let [mut interrupt, mut terminate, mut hangup] =
        [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
    let _restore = Restore;
    // Its panic hook restores the terminal before the message is printed.
    let mut terminal = ratatui::try_init().map_err(Failure::Terminal)?;
    tokio::select! {
        ended = show(&mut terminal, addresses, every) => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(Failure::Signals)
}

async fn show(
    terminal: &mut DefaultTerminal,
    addresses: Vec<Address>,
    every: Duration,
) -> Result<(), Failure> {
    let (looked, mut looks) = mpsc::channel(QUEUE);
    let mut looking = JoinSet::new();
    for (index, address) in addresses.iter().cloned().enumerate() {
        looking.spawn(keep_looking(index, address, every, looked.clone()));
    }
    let mut keys = keys();
    let mut routers: Vec<_> = addresses.into_iter().map(|address| (address, History::default())).collect();
    let mut screen = Screen::default();
    let mut report = report::of(&routers);
    loop {
        terminal.draw(|frame| draw(frame, &report, &mut screen, every)).map_err(Failure::Terminal)?;
        tokio::select! {
            Some((index, outcome)) = looks.recv() => {
                routers[index].1.note(outcome);
                report = report::of(&routers);
            }
            event = keys.recv() => match event {
                Some(Ok(Event::Key(key))) if screen.key(key) == Next::Quit => return Ok(()),
                // A change of size, above all: drawing measures the terminal again.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::Terminal(error)),
                None => return Ok(()),
            },
            Some(Err(error)) = looking.join_next() => {
                // The looks never end but by a panic, whose message has been printed and the terminal restored.
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

type Outcome = (usize, Result<Look, Problem>);

/// Looks until nobody wants to know any more, not more often than asked for however slow the router is.
async fn keep_looking(index: usize, address: Address, every: Duration, looked: mpsc::Sender<Outcome>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if looked.send((index, look::at(&address).await)).await.is_err() {
            return;
        }
    }
}

/// Keys and changes of size. The thread waits in a read that nothing can end but the process does.
fn keys() -> mpsc::Receiver<io::Result<Event>> {
    let (pressed, keys) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let lost = event.is_err();
            if pressed.blocking_send(event).is_err() || lost {
                return;
            }
        }
    });
    keys
}
