//! libcontainer's errors say little ("failed to prepare rootfs"); the reasons go to `tracing`. In a worker they are kept in a memory
//! file that its clones share, so that the failure can name them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// What was said so far.
pub struct Captured {
    file: Option<Arc<File>>,
    _guard: tracing::subscriber::DefaultGuard,
}

/// Starts to capture, in this process and those that it clones.
pub fn start() -> Captured {
    let file = memfd_create("errors", MemfdFlags::CLOEXEC)
        .ok()
        .map(|fd| Arc::new(File::from(fd)));
    let guard = tracing::subscriber::set_default(Capture { file: file.clone() });
    Captured { file, _guard: guard }
}

impl Captured {
    /// The first error: libcontainer reports an error again on every level, and the deepest knows most.
    pub fn reason(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        let len = usize::try_from(file.metadata().ok()?.len()).ok()?.min(16 * 1024);
        let mut text = vec![0; len];
        file.read_exact_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(&text);
        text.lines().next().filter(|l| !l.is_empty()).map(str::to_owned)
    }
}

struct Capture {
    file: Option<Arc<File>>,
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut text = line.message + &line.fields;
        text = text.replace('\n', " ");
        text.truncate(text.floor_char_boundary(2000));
        text.push('\n');
        if let Some(file) = &self.file {
            // One offset is shared by all clones: lines follow each other.
            let _ = (&**file).write_all(text.as_bytes());
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_error_is_the_reason() {
        let captured = super::start();
        assert_eq!(captured.reason(), None);
        tracing::warn!("not an error");
        tracing::error!(path = "/x", "cannot mount");
        tracing::error!("failed to prepare rootfs");
        assert_eq!(captured.reason().as_deref(), Some("cannot mount path=\"/x\""));
    }
}
