//! The story in a terminal.
mod draw;

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use ratatui::termion::raw::IntoRawMode as _;
use ratatui::termion::screen::IntoAlternateScreen as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use draw::{Looks, draw};

use crate::hub::now;
use crate::story::{StepState, Story};
use crate::{Full, Hub, Update};

/// Why the view has ended before anybody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The terminal cannot be used.
    #[error("failed to use the terminal: {0}")]
    Terminal(#[from] io::Error),
    /// There are too many viewers.
    #[error(transparent)]
    Full(#[from] Full),
}

/// Shows the story on a terminal until `q`, Ctrl-C, SIGINT or SIGTERM; the terminal is then as it was.
///
/// # Errors
/// When `out` is no terminal, or cannot be written to.
pub async fn run(hub: &Arc<Hub>, out: impl Write + AsFd, mut looks: Looks) -> Result<(), Error> {
    let mut quits = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let mut resized = signal(SignalKind::window_change())?;
    let mut view = hub.view(None)?;
    let mut keys = keys();
    // Dropping them takes them back, also when something below panics.
    let screen = out.into_raw_mode()?.into_alternate_screen()?;
    let mut terminal = Terminal::new(TermionBackend::new(screen))?;
    let mut story = Story::of_cards(BTreeMap::new());
    loop {
        terminal.draw(|frame| draw(frame, &story, now(), &looks))?;
        let [terminate, interrupt, hang_up] = &mut quits;
        tokio::select! {
            update = view.next() => apply(&mut story, update),
            () = tick(&story) => {}
            _ = resized.recv() => {}
            key = keys.recv() => match key {
                // In raw mode Ctrl-C is a key.
                Some(b'q' | b'Q' | 3) => break,
                Some(b'e' | b'E') => looks.events = !looks.events,
                // Ctrl-L: something else has written on the screen.
                Some(12) => {
                    let area = terminal.size()?.into();
                    terminal.resize(area)?;
                }
                _ => {}
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => break,
        }
    }
    terminal.show_cursor()?;
    Ok(())
}

fn apply(story: &mut Story, update: Update) {
    match update {
        Update::Whole(cards) => *story = Story::of_cards(cards),
        Update::Changes(changes) => {
            for change in changes {
                story.apply(change);
            }
        }
    }
}

/// What is under way counts on; nothing else changes by itself.
async fn tick(story: &Story) {
    if story.steps().any(|(_, s)| s.state == StepState::Running) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    } else {
        std::future::pending().await
    }
}

/// Bytes from stdin. The thread that reads them cannot be interrupted; it ends with the program.
fn keys() -> mpsc::Receiver<u8> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        for byte in io::stdin().lock().bytes() {
            let Ok(byte) = byte else { return };
            if sender.blocking_send(byte).is_err() {
                return;
            }
        }
        // Without a keyboard there are still signals.
        loop {
            std::thread::park();
        }
    });
    receiver
}
