//! The terminal as a screen, and as it was before.

use std::io;

use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{getppid, getsid};
use ratatui::DefaultTerminal;

use crate::app::App;
use crate::draw::draw;

/// The terminal while it is a screen. Dropped, it is as it was before; a panic leads there, too, before it is reported.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| drop(ratatui::try_restore()))?;
        Ok(Self { terminal })
    }

    /// Lines of the terminal.
    pub(crate) fn height(&self) -> io::Result<u16> {
        Ok(self.terminal.size()?.height)
    }

    pub(crate) fn draw(&mut self, app: &App) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, app))?;
        Ok(())
    }

    /// Stops this process, until the shell has it go on. Without a shell in the same session nobody could.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        let parent = getppid();
        if parent.as_raw() == 0 || getsid(Some(parent)) != getsid(None) {
            return self.repaint();
        }
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        // Not SIGTSTP: it is handled here.
        raise(Signal::SIGSTOP)?;
        // In the background this stops the process anew (SIGTTOU).
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.repaint()
    }

    /// Draws all of the next picture, over what other programs wrote. `Terminal::clear` would ask the terminal for its
    /// cursor, whose answer the thread that waits for keys takes.
    pub(crate) fn repaint(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone (SIGHUP). Its cursor comes back as the field is dropped.
        drop(ratatui::try_restore());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::tcgetattr;

    use super::*;
    use crate::options::Tab;
    use crate::sample;

    /// Set where the test runs on a terminal of its own, and is to panic.
    const PANIC: &str = "LVS_TOP_PANIC";

    #[test]
    fn a_panic_leaves_the_terminal_as_it_was_and_is_readable() {
        if std::env::var_os(PANIC).is_some() {
            let mut screen = Screen::open().expect("a terminal");
            let height = screen.height().expect("its size");
            let options = sample::options(Tab::Services);
            let app = App::new(&options, height, Instant::now()).expect("an app");
            screen.draw(&app).expect("it is drawn");
            panic!("on purpose");
        }
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a terminal");
        let before = tcgetattr(&pty.slave).expect("its modes");
        let end = || Stdio::from(pty.slave.try_clone().expect("another descriptor"));
        let status = {
            let mut child = Command::new(std::env::current_exe().expect("this program"));
            child.args([
                "--exact",
                "screen::tests::a_panic_leaves_the_terminal_as_it_was_and_is_readable",
            ]);
            child
                .arg("--nocapture")
                .env("TERM", "xterm")
                .env(PANIC, "yes");
            let child = child.stdin(end()).stdout(end()).stderr(end());
            child.status().expect("it runs")
        };
        assert!(!status.success());
        assert_eq!(tcgetattr(&pty.slave).expect("its modes"), before);
        drop(pty.slave);
        let mut shown = Vec::new();
        // A terminal without another end has an error (EIO) after its last byte.
        drop(File::from(pty.master).read_to_end(&mut shown));
        let shown = String::from_utf8_lossy(&shown);
        let (_, after) = shown.split_once("\x1b[?1049h").expect("a screen");
        let (_, after) = after.split_once("\x1b[?1049l").expect("the end of it");
        assert!(after.contains("on purpose"), "{shown:?}");
        assert!(
            after.contains("\x1b[?25h"),
            "the cursor is shown: {shown:?}"
        );
    }
}
