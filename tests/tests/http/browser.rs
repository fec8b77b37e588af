//! A real browser without a screen, steered by the DevTools protocol over two pipes.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lvs_tests::lab::Lab;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::web_lab::PATIENCE;

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: File,
    messages: Receiver<Value>,
    last: u64,
    session: String,
    /// Answers to the challenge of a server.
    credentials: Option<(String, String)>,
    /// Errors of scripts, of the content policy, and of loading.
    pub(crate) errors: Vec<String>,
    /// Addresses that were asked.
    pub(crate) asked: Vec<String>,
    waiting: VecDeque<Value>,
}

impl Browser {
    /// Starts a browser beside the director of a lab.
    pub(crate) fn start(lab: &Lab) -> Self {
        let folder = lab.folder().join("browser");
        fs::create_dir_all(&folder).unwrap();
        let (to, from) = (folder.join("commands"), folder.join("messages"));
        for pipe in [&to, &from] {
            let _ = fs::remove_file(pipe);
            nix::unistd::mkfifo(pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec setsid chromium \"$@\" 3<>commands 4<>messages",
                "sh",
            ])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--remote-debugging-pipe",
                "--force-device-scale-factor=1",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .env("HOME", &folder)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = lab.director.namespace().spawn(&mut command).unwrap();
        // Opened for both ways: neither end waits for the other.
        let open = |path: &PathBuf| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap()
        };
        let commands = open(&to);
        let mut reader = BufReader::new(open(&from));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while reader
                .read_until(0, &mut message)
                .is_ok_and(|length| length > 0)
            {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            commands,
            messages,
            last: 0,
            session: String::new(),
            credentials: None,
            errors: Vec::new(),
            asked: Vec::new(),
            waiting: VecDeque::new(),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        session["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Gives this name and password when a server asks for them.
    pub(crate) fn log_in(&mut self, name: &str, password: &str) {
        self.credentials = Some((name.to_owned(), password.to_owned()));
        self.call("Fetch.enable", json!({ "handleAuthRequests": true }));
    }

    /// The size of the window, and the scheme of colours: `light` or `dark`.
    pub(crate) fn looks(&mut self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// Opens an address.
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of an expression of JavaScript in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let wanted =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", wanted);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true; the test fails if it does not become so.
    #[track_caller]
    pub(crate) fn wait(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression) != json!(true) {
            let text = self.value("document.body?.innerText");
            assert!(
                Instant::now() < deadline,
                "not so: {expression}\n{text}\n{:?}",
                self.errors
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Keeps a picture of the whole page, and returns its file.
    pub(crate) fn picture(&mut self, name: &str) -> PathBuf {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("pictures");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        fs::write(&file, picture).unwrap();
        file
    }

    /// Calls a method of the protocol.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let number = self.send(method, parameters);
        loop {
            let message = self.receive(method);
            if message["id"] == json!(number) {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(message);
            while let Some(event) = self.waiting.pop_front() {
                self.react(&event);
            }
        }
    }

    fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method });
        message["params"] = parameters;
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.commands.write_all(&text).unwrap();
        self.last
    }

    fn receive(&self, method: &str) -> Value {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no answer to {method}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the browser has ended"),
        }
    }

    /// Notes what happened in the page.
    fn note(&mut self, message: Value) {
        let event = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.errors.push(event["exceptionDetails"].to_string());
            }
            Some("Log.entryAdded") if event["entry"]["level"] == "error" => {
                self.errors.push(event["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = event["request"]["url"].as_str().unwrap_or_default();
                self.asked.push(url.to_owned());
            }
            Some("Fetch.requestPaused" | "Fetch.authRequired") => self.waiting.push_back(message),
            _ => {}
        }
    }

    /// Lets a request go on, or answers a challenge.
    fn react(&mut self, message: &Value) {
        let request = message["params"]["requestId"].clone();
        if message["method"] == "Fetch.requestPaused" {
            self.send("Fetch.continueRequest", json!({ "requestId": request }));
            return;
        }
        let (name, password) = self.credentials.clone().unwrap_or_default();
        let answer =
            json!({ "response": "ProvideCredentials", "username": name, "password": password });
        self.send(
            "Fetch.continueWithAuth",
            json!({ "requestId": request, "authChallengeResponse": answer }),
        );
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers are in its session.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
