//! The processes of a world, supervised: what dies is started again on its port, as an orchestrator would.
//!
//! Enters: how many of each, and orders to harm them. Leaves: their addresses, sizes and deaths.
//!
//! **Invariant:** a process that nobody dismissed is started again within a blink, without its planned fault.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{pause, within};
use crate::port::free_address;
use crate::process::{Death, Process, Role, Size};
use crate::tune::SETTINGS;

const BLINK: Duration = Duration::from_millis(15);

/// Where the processes of a role find their engines.
#[derive(Debug, Clone)]
pub(crate) struct Engines {
    pub(crate) database: String,
    pub(crate) amqp: String,
}

/// The processes; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    slots: Arc<Mutex<Vec<Slot>>>,
    deaths: Arc<Mutex<Vec<Death>>>,
    sticky: Arc<Mutex<Vec<(String, String)>>>,
    engines: [Engines; 2],
    folder: PathBuf,
    queue_max_length: usize,
}

#[derive(Debug)]
struct Slot {
    name: String,
    role: Role,
    http: SocketAddr,
    metrics: SocketAddr,
    wanted: bool,
    once: Vec<(String, String)>,
    process: Option<Process>,
    incarnation: u32,
    /// Its incarnation when it was last told to start anew.
    asked_at: u32,
}

/// One process as the scraper sees it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) incarnation: u32,
    pub(crate) metrics: SocketAddr,
    pub(crate) size: Size,
}

impl Fleet {
    /// An empty fleet whose supervisor runs already; `engines` are those of the APIs and of the workers.
    #[expect(clippy::disallowed_methods, reason = "the supervisor ends with the suite's runtime")]
    pub(crate) fn new(engines: [Engines; 2], folder: &Path, queue_max_length: usize) -> Self {
        let (slots, deaths, sticky) = (Arc::default(), Arc::default(), Arc::default());
        let fleet = Self { slots, deaths, sticky, engines, folder: folder.to_owned(), queue_max_length };
        let supervisor = fleet.clone();
        tokio::spawn(async move {
            loop {
                supervisor.look();
                pause(BLINK).await;
            }
        });
        fleet
    }

    /// Adds a process, for once with an environment of its own, and returns its name.
    pub(crate) fn add(&self, role: Role, once: &[(&str, String)]) -> String {
        let mut slots = self.slots.lock().unwrap();
        let number = slots.iter().filter(|slot| slot.role == role).count();
        let name = format!("{}-{number}", role.as_str());
        let once = once.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (http, metrics) = (free_address().unwrap(), free_address().unwrap());
        let mut slot = Slot {
            name: name.clone(),
            role,
            http,
            metrics,
            wanted: true,
            once,
            process: None,
            incarnation: 0,
            asked_at: 0,
        };
        self.start(&mut slot);
        slots.push(slot);
        name
    }

    /// Sends a signal to one process.
    pub(crate) fn signal(&self, name: &str, signal: &str) {
        self.with(name, |slot| slot.process.iter().for_each(|process| process.signal(signal)));
    }

    /// Lets one go for good, cleanly.
    pub(crate) fn dismiss(&self, name: &str) {
        self.with(name, |slot| slot.wanted = false);
        self.signal(name, "TERM");
    }

    /// Takes a dismissed one back.
    pub(crate) fn recall(&self, name: &str) {
        self.with(name, |slot| slot.wanted = true);
    }

    /// Starts one anew, cleanly, for once with an environment of its own.
    pub(crate) fn renew(&self, name: &str, once: &[(&str, String)]) {
        let once = once.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.with(name, |slot| (slot.once, slot.asked_at) = (once, slot.incarnation));
        self.signal(name, "TERM");
    }

    /// An environment for every start from now on, until another is set.
    pub(crate) fn stick(&self, environment: &[(&str, String)]) {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        *self.sticky.lock().unwrap() = environment;
    }

    /// Waits until these have been started anew since they were asked to.
    pub(crate) async fn renewed(&self, names: &[String], patience: Duration) -> Result<(), String> {
        within(patience, || async { self.none_stale(|name| names.contains(name)) }).await
    }

    /// Whether each that was asked to has been started anew.
    pub(crate) fn all_renewed(&self) -> Result<(), String> {
        self.none_stale(|_| true)
    }

    fn none_stale(&self, which: impl Fn(&String) -> bool) -> Result<(), String> {
        let slots = self.slots.lock().unwrap();
        let stale = slots.iter().filter(|slot| which(&slot.name) && slot.wanted && slot.incarnation <= slot.asked_at);
        let stale: Vec<&str> = stale.map(|slot| slot.name.as_str()).collect();
        if stale.is_empty() { Ok(()) } else { Err(format!("{stale:?} were not started anew")) }
    }

    /// Waits until dismissed processes have ended, with whatever they had in their hands.
    pub(crate) async fn gone(&self, names: &[String], patience: Duration) -> Result<(), String> {
        within(patience, || async {
            let slots = self.slots.lock().unwrap();
            let alive = slots.iter().filter(|slot| names.contains(&slot.name) && slot.process.is_some());
            let alive: Vec<&str> = alive.map(|slot| slot.name.as_str()).collect();
            if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?} did not end")) }
        })
        .await
    }

    /// Kills and takes away everything.
    pub(crate) fn end(&self) {
        self.slots.lock().unwrap().clear();
    }

    /// Names of the wanted processes of a role.
    pub(crate) fn names(&self, role: Role) -> Vec<String> {
        let slots = self.slots.lock().unwrap();
        slots.iter().filter(|slot| slot.role == role && slot.wanted).map(|slot| slot.name.clone()).collect()
    }

    /// Where the APIs listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let slots = self.slots.lock().unwrap();
        slots.iter().filter(|slot| slot.role == Role::Api && slot.wanted).map(|slot| slot.http).collect()
    }

    /// Where the wanted processes of a role show their metrics.
    pub(crate) fn metrics(&self, role: Role) -> Vec<SocketAddr> {
        let slots = self.slots.lock().unwrap();
        slots.iter().filter(|slot| slot.role == role && slot.wanted).map(|slot| slot.metrics).collect()
    }

    /// The deaths since the n-th.
    pub(crate) fn deaths(&self, since: usize) -> Vec<Death> {
        self.deaths.lock().unwrap().iter().skip(since).cloned().collect()
    }

    /// All that run.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let slots = self.slots.lock().unwrap();
        let seen = |slot: &Slot| {
            let size = slot.process.as_ref()?.size();
            Some(Seen { name: slot.name.clone(), incarnation: slot.incarnation, metrics: slot.metrics, size })
        };
        slots.iter().filter_map(seen).collect()
    }

    /// Whether one that was seen is still the one on its port.
    pub(crate) fn runs(&self, seen: &Seen) -> bool {
        let slots = self.slots.lock().unwrap();
        slots.iter().any(|slot| slot.name == seen.name && slot.incarnation == seen.incarnation)
    }

    /// Whether every wanted process says that it is ready.
    pub(crate) async fn ready(&self, client: &reqwest::Client) -> Result<(), String> {
        let wanted: Vec<(String, SocketAddr)> = {
            let slots = self.slots.lock().unwrap();
            slots.iter().filter(|slot| slot.wanted).map(|slot| (slot.name.clone(), slot.metrics)).collect()
        };
        for (name, metrics) in wanted {
            let answer = client.get(format!("http://{metrics}/readyz")).send().await;
            if !answer.is_ok_and(|answer| answer.status() == 200) {
                return Err(format!("{name} is not ready"));
            }
        }
        Ok(())
    }

    fn with(&self, name: &str, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.lock().unwrap();
        change(slots.iter_mut().find(|slot| slot.name == name).unwrap_or_else(|| panic!("no process {name}")));
    }

    fn look(&self) {
        for slot in self.slots.lock().unwrap().iter_mut() {
            if let Some(process) = &mut slot.process
                && let Some(status) = process.ended()
            {
                self.deaths.lock().unwrap().push(process.death(&slot.name, status));
                slot.process = None;
            }
            if slot.wanted && slot.process.is_none() {
                self.start(slot);
            }
        }
    }

    fn start(&self, slot: &mut Slot) {
        let engines = &self.engines[usize::from(slot.role == Role::Worker)];
        let mut environment = vec![
            ("DATABASE_URL".to_owned(), engines.database.clone()),
            ("AMQP_URL".to_owned(), engines.amqp.clone()),
            ("LEADLINE__HTTP__LISTEN".to_owned(), slot.http.to_string()),
            ("LEADLINE__HTTP__METRICS_LISTEN".to_owned(), slot.metrics.to_string()),
            ("LEADLINE__BROKER__QUEUE_MAX_LENGTH".to_owned(), self.queue_max_length.to_string()),
        ];
        environment.extend(SETTINGS.iter().map(|(key, value)| (format!("LEADLINE__{key}"), (*value).to_owned())));
        environment.extend(self.sticky.lock().unwrap().iter().cloned());
        environment.append(&mut slot.once);
        slot.incarnation += 1;
        slot.process = Some(Process::start(slot.role, &environment, &self.folder.join(format!("{}.log", slot.name))));
    }
}
