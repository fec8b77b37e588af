//! Keys, signals and lvsd's answers, in the order in which they come.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossterm::event::{Event as Input, EventStream};
use futures_util::StreamExt as _;
use lvs_api::client::{Client, ClientError};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, sleep, timeout};

use crate::app::{Action, App, Event};
use crate::fetch::snapshot;
use crate::options::{Options, Tab};
use crate::plain;
use crate::screen::Screen;
use crate::signals::{Caught, Signals};

/// Way to lvsd.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Its control socket.
    pub socket: PathBuf,
    /// Time that it has for each answer.
    pub limit: Duration,
}

impl Connector {
    async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect_within(&self.socket, self.limit).await
    }
}

/// The end of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a key.
    Quit,
    /// By this signal.
    Signal(i32),
}

/// A screen that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// lvsd did not answer for the first time.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// No terminal, none that can show a screen, or a column that there is not.
    #[error("{0}")]
    Usage(String),
    /// The terminal or the output fails.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Writes a page once, all its rows, as plain text.
pub async fn once(
    client: &mut Client,
    options: &Options,
    out: &mut impl Write,
) -> Result<(), TopError> {
    let mut app = App::new(options, 0, Instant::now()).map_err(TopError::Usage)?;
    app.open_all();
    let answer = snapshot(client, options.tab).await?;
    app.update(Event::Answer(Box::new(answer)), Instant::now());
    if options.tab == Tab::Verdicts {
        // lvsd counts packets by verdict, and knows no rate.
        sleep(options.interval).await;
        let answer = snapshot(client, options.tab).await?;
        app.update(Event::Answer(Box::new(answer)), Instant::now());
    }
    plain::write(out, &app)?;
    Ok(())
}

/// Shows the screen until a key or a signal ends it. lvsd may go away and come back meanwhile.
pub async fn run(
    mut client: Client,
    connector: Connector,
    options: &Options,
) -> Result<Ended, TopError> {
    check_terminal()?;
    let first = snapshot(&mut client, options.tab).await?;
    // Before the terminal is changed: a signal that came in between would end the process and leave it changed.
    let mut signals = Signals::new()?;
    let mut app = App::new(options, 0, Instant::now()).map_err(TopError::Usage)?;
    let mut screen = Screen::open()?;
    app.update(Event::Height(screen.height()?), Instant::now());
    app.update(Event::Answer(Box::new(first)), Instant::now());

    let (tab, wanted) = watch::channel(options.tab);
    let (sender, mut answers) = mpsc::channel(1);
    let interval = options.interval;
    let poller = tokio::spawn(async move {
        poll(&connector, client, interval, wanted, &sender).await;
    });
    let mut keys = EventStream::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    // Not one for each second in which the process was stopped.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        if let Err(error) = screen.draw(&app) {
            break terminal_failed(&mut signals, error).await;
        }
        let action = tokio::select! {
            input = keys.next() => match input {
                Some(Ok(Input::Key(key))) => app.update(Event::Key(key), Instant::now()),
                Some(Ok(Input::Resize(_, height))) => app.update(Event::Height(height), Instant::now()),
                Some(Ok(_)) => Action::None,
                Some(Err(error)) => break terminal_failed(&mut signals, error).await,
                None => break terminal_failed(&mut signals, ErrorKind::UnexpectedEof.into()).await,
            },
            _ = clock.tick() => app.update(Event::Second, Instant::now()),
            event = answers.recv() => match event {
                Some(event) => app.update(event, Instant::now()),
                // Whoever asks lvsd has failed.
                None => break Err(io::Error::other("lvsd is not asked any more").into()),
            },
            caught = signals.next() => match caught {
                Caught::End(number) => break Ok(Ended::Signal(number)),
                Caught::Stop => Action::Suspend,
            },
        };
        match action {
            Action::None => {}
            Action::Ask => drop(tab.send(app.tab)),
            Action::Repaint => screen.repaint()?,
            Action::Suspend => {
                screen.suspend()?;
                // The window may have another size now.
                app.update(Event::Height(screen.height()?), Instant::now());
            }
            Action::Quit => break Ok(Ended::Quit),
        }
    };
    poller.abort();
    ended
}

/// Asks lvsd again and again, and at once for another page. One that went away is connected to again.
async fn poll(
    connector: &Connector,
    client: Client,
    interval: Duration,
    mut wanted: watch::Receiver<Tab>,
    events: &mpsc::Sender<Event>,
) {
    let mut client = Some(client);
    loop {
        // An error says that the screen has ended.
        if let Ok(Err(_)) = timeout(interval, wanted.changed()).await {
            return;
        }
        let tab = *wanted.borrow_and_update();
        let answer = async {
            let mut connected = match client.take() {
                Some(client) => client,
                None => connector.connect().await?,
            };
            let answer = snapshot(&mut connected, tab).await?;
            client = Some(connected);
            Ok::<_, ClientError>(answer)
        };
        let event = match answer.await {
            Ok(answer) => Event::Answer(Box::new(answer)),
            Err(error) => Event::Away(error.to_string()),
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Refuses what is no terminal, or one that has no screen.
fn check_terminal() -> Result<(), TopError> {
    let usage = |text: &str| Err(TopError::Usage(text.to_owned()));
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return usage(
            "top shows a screen, and this is no terminal: `lvsadm top --once` prints plain text",
        );
    }
    let (columns, lines) = crossterm::terminal::size()?;
    if columns == 0 || lines == 0 {
        return usage(
            "the terminal does not say its size: `stty rows 24 cols 80` tells it, and `lvsadm top --once` prints \
             plain text",
        );
    }
    match std::env::var("TERM").unwrap_or_default().as_str() {
        "" | "dumb" | "unknown" => usage(
            "top shows a screen, and this terminal has none (TERM): `lvsadm top --once` prints plain text",
        ),
        _ => Ok(()),
    }
}

/// The end of a screen whose terminal fails: by the signal that says so, if one comes.
async fn terminal_failed(signals: &mut Signals, error: io::Error) -> Result<Ended, TopError> {
    match timeout(Duration::from_millis(100), signals.next()).await {
        Ok(Caught::End(number)) => Ok(Ended::Signal(number)),
        _ => Err(error.into()),
    }
}
