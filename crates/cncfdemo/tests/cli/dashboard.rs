//! The dashboard from outside, before there is a cluster: the page's address, and the terminal view in a real terminal.
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use testkit::{State, Test, eventually};

/// The program in a terminal of 80 columns and 24 rows.
struct Terminal {
    child: Child,
    controller: File,
    tty: OwnedFd,
    before: Termios,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    fn open(state: &State) -> Terminal {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let before = tcgetattr(&terminal).unwrap();
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        let child = Command::new(testkit::program())
            .arg("--state-dir")
            .arg(state.path())
            .args(["--name", "t-absent", "dashboard", "--terminal"])
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        let controller = File::from(controller);
        let mut reader = controller.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal {
            child,
            controller,
            tty: terminal,
            before,
            output,
            screen: vt100::Parser::new(
                NonZero::new(size.ws_row).unwrap(),
                NonZero::new(size.ws_col).unwrap(),
                0,
            ),
        }
    }

    /// The screen as it is now: the view sends only what differs from the frame before.
    fn screen(&mut self) -> &vt100::Screen {
        while let Ok(bytes) = self.output.try_recv() {
            self.screen.process(&bytes);
        }
        self.screen.screen()
    }

    fn shows(&mut self, part: &str) {
        eventually(part, || {
            let text = self.screen().contents();
            text.contains(part)
                .then_some(())
                .ok_or_else(|| format!("the terminal has {text:?}"))
        });
    }

    /// It has ended well, and the terminal is as it was.
    fn leaves_well(mut self) {
        let status = eventually("its end", || {
            self.child
                .try_wait()
                .unwrap()
                .ok_or_else(|| "it goes on".to_owned())
        });
        assert!(status.success(), "{status}");
        eventually("the screen is given back", || {
            let taken = self.screen().alternate_screen();
            (!taken).then_some(()).ok_or_else(|| "it is not".to_owned())
        });
        let now = tcgetattr(&self.tty).unwrap();
        assert_eq!(
            (now.local_modes, now.input_modes),
            (self.before.local_modes, self.before.input_modes)
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has usually ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_terminal_view_ends_at_q_at_ctrl_c_and_at_sigterm_and_leaves_the_terminal_as_it_was() {
    let state = State::new();
    for end in ["q", "\x03", "SIGTERM"] {
        let mut terminal = Terminal::open(&state);
        terminal.shows("no cluster yet");
        assert!(terminal.screen().alternate_screen());
        if end == "SIGTERM" {
            let pid = Pid::from_raw(terminal.child.id().try_into().unwrap()).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
        } else {
            terminal.controller.write_all(end.as_bytes()).unwrap();
        }
        terminal.leaves_well();
    }
}

#[test]
fn without_a_terminal_the_terminal_view_says_so() {
    Test::new()
        .args(["dashboard", "--terminal"])
        .stdout("")
        .stderr_has("needs a terminal")
        .status(2);
}

#[test]
fn a_port_that_is_taken_has_a_hint() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for arguments in [
        &["dashboard", "--port", &port][..],
        &["start", "--dashboard", &port],
    ] {
        Test::new()
            .args(arguments)
            .stdout("")
            .stderr_has("--port 0 for a free one")
            .status(1);
    }
}
