use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::time::{ClockId, clock_gettime};

use crate::connection::{Connection, Read};
use crate::recording::LONGEST;
use crate::{Mode, Plan, PlanError, Recording};

/// Carries the plan out; blocks until it is over or `stop` becomes true. Requests in flight at the end get a second (or
/// the timeout, if that is shorter) to finish.
pub fn run(plan: &Plan, stop: &AtomicBool) -> Result<Recording, PlanError> {
    plan.check()?;
    let threads = plan.threads.min(plan.connections);
    let start = Instant::now() + Duration::from_millis(5);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let share = plan.connections / threads + u32::from(index < plan.connections % threads);
                scope.spawn(move || Worker::new(plan, index, threads, share, start)?.run(stop))
            })
            .collect();
        let mut total = Recording::empty();
        for worker in workers {
            let recording = worker
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("a worker panicked")))?;
            total.merge(&recording);
        }
        Ok(total)
    })
}

/// A request under way: when it was meant to be sent and when it really was.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    intended: Instant,
    sent: Instant,
}

struct Slot {
    connection: Option<Connection>,
    in_flight: Option<InFlight>,
    /// Not before this time after a failed attempt to connect.
    retry_at: Instant,
    wants_write: bool,
}

struct Worker<'a> {
    plan: &'a Plan,
    epoll: std::os::fd::OwnedFd,
    slots: Vec<Slot>,
    idle: Vec<usize>,
    /// Slots with a request in flight.
    waiting: usize,
    /// What is read goes here first.
    buffer: Vec<u8>,
    start: Instant,
    end: Instant,
    /// Open loop: time between two requests of this thread, and the number of the next one.
    interval: Option<f64>,
    offset: f64,
    next: u64,
    request: usize,
    recording: Recording,
}

/// A server that refuses connections is tried again this often.
const RECONNECT: Duration = Duration::from_millis(20);
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

impl<'a> Worker<'a> {
    fn new(
        plan: &'a Plan,
        index: u32,
        threads: u32,
        connections: u32,
        start: Instant,
    ) -> std::io::Result<Self> {
        let interval = match plan.mode {
            Mode::Open { rate } => Some(f64::from(threads) / rate),
            Mode::Closed => None,
        };
        let slot = || Slot {
            connection: None,
            in_flight: None,
            retry_at: start,
            wants_write: false,
        };
        Ok(Self {
            plan,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: (0..connections).map(|_| slot()).collect(),
            idle: Vec::new(),
            waiting: 0,
            buffer: vec![0; BUFFER],
            start,
            end: start + plan.duration,
            interval,
            // Threads take turns within one interval.
            offset: interval.map_or(0.0, |i| i * f64::from(index) / f64::from(threads)),
            next: 0,
            request: index as usize * 7919 % plan.requests.len(),
            recording: Recording::empty(),
        })
    }

    fn run(mut self, stop: &AtomicBool) -> std::io::Result<Recording> {
        let cpu_before = thread_cpu();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(self.slots.len().clamp(16, 1024));
        let grace = self.plan.timeout.min(Duration::from_secs(1));
        let mut next_sweep = self.start;
        loop {
            let now = Instant::now();
            if now >= next_sweep {
                self.sweep(now)?;
                next_sweep = now + RECONNECT;
            }
            let sending = now < self.end && !stop.load(Ordering::Relaxed);
            if sending && now >= self.start {
                self.send_due(now)?;
            }
            if !sending && (self.waiting == 0 || now >= self.end + grace || stop.load(Ordering::Relaxed)) {
                break;
            }
            let wake = self
                .next_due()
                .filter(|_| sending && !self.idle.is_empty())
                .unwrap_or(next_sweep)
                .min(next_sweep);
            let timeout = wake.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: timeout.as_secs() as i64,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            };
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            for event in &events {
                // The struct is packed: its field has to be copied out.
                let data = event.data;
                self.ready(data.u64() as usize)?;
            }
        }
        self.finish(cpu_before);
        Ok(self.recording)
    }

    fn finish(&mut self, cpu_before: Duration) {
        let now = Instant::now();
        let at = self.at(now);
        for _ in self.slots.iter().filter(|s| s.in_flight.is_some()) {
            self.recording.fail(at, "unanswered");
        }
        if let Some(interval) = self.interval {
            let until = now
                .min(self.end)
                .saturating_duration_since(self.start)
                .as_secs_f64();
            self.recording.scheduled = self
                .next
                .max(((until - self.offset) / interval).max(0.0).ceil() as u64);
            for _ in self.recording.sent..self.recording.scheduled {
                self.recording.fail(at, "not sent");
            }
        } else {
            self.recording.scheduled = self.recording.sent;
        }
        self.recording.wall = now.min(self.end).saturating_duration_since(self.start);
        self.recording.cpu = thread_cpu().saturating_sub(cpu_before);
        self.recording.threads = 1;
    }

    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// When the next request is to be sent; `None` in closed loop.
    fn next_due(&self) -> Option<Instant> {
        self.interval
            .map(|i| self.start + Duration::from_secs_f64(self.offset + i * self.next as f64))
    }

    /// Sends on free connections what is due. Where none is free, requests stay due and their time runs.
    fn send_due(&mut self, now: Instant) -> std::io::Result<()> {
        while let Some(&slot) = self.idle.last() {
            let due = self.next_due();
            if due.is_some_and(|due| due > now || due >= self.end) {
                return Ok(());
            }
            self.idle.pop();
            let request = &self.plan.requests[self.request];
            let Some(connection) = self.slots[slot].connection.as_mut() else {
                continue;
            };
            let sent = Instant::now();
            if connection.send(request).is_err() {
                // The server closed an idle connection: the request is still due and goes out on another one.
                self.drop_connection(slot);
                continue;
            }
            // In closed loop a request is meant to be sent when it is.
            let intended = due.unwrap_or(sent);
            if due.is_some() {
                let lag = sent.saturating_duration_since(intended).as_nanos() as u64;
                // With all connections busy before, the wait is the server's and counts as latency, not as lag.
                if self.idle.len() + 1 == self.slots.len() || lag < 1_000_000 {
                    self.recording.lag.saturating_record(lag.min(LONGEST));
                }
            }
            self.request = (self.request + 1) % self.plan.requests.len();
            self.next += 1;
            self.recording.sent += 1;
            self.slots[slot].in_flight = Some(InFlight { intended, sent });
            self.waiting += 1;
            self.register(slot)?;
        }
        Ok(())
    }

    /// A socket is readable, writable or broken.
    fn ready(&mut self, slot: usize) -> std::io::Result<()> {
        let Some(connection) = self.slots[slot].connection.as_mut() else {
            return Ok(());
        };
        if connection.connecting {
            if connection.finish_connect().is_err() {
                self.drop_connection(slot);
                return Ok(());
            }
            self.idle.push(slot);
            return self.register(slot);
        }
        if connection.wants_write() {
            if connection.flush().is_err() {
                self.fail(slot, "reset");
                return Ok(());
            }
            self.register(slot)?;
        }
        let Some(connection) = self.slots[slot].connection.as_mut() else {
            return Ok(());
        };
        match connection.read(&mut self.buffer) {
            Read::Waiting => {}
            Read::Broken(kind) => self.fail(slot, kind),
            Read::Answer { status, close } => {
                let now = Instant::now();
                let at = self.at(now);
                if let Some(in_flight) = self.slots[slot].in_flight.take() {
                    self.waiting -= 1;
                    if (200..300).contains(&status) {
                        self.recording
                            .complete(at, now.saturating_duration_since(in_flight.intended));
                    } else {
                        self.recording.fail(at, &format!("status {status}"));
                    }
                }
                if close {
                    self.drop_connection(slot);
                } else {
                    self.idle.push(slot);
                }
            }
        }
        Ok(())
    }

    /// The request in flight, if any, has failed, and the connection is of no more use.
    fn fail(&mut self, slot: usize, kind: &str) {
        if self.slots[slot].in_flight.take().is_some() {
            self.waiting -= 1;
            let at = self.at(Instant::now());
            self.recording.fail(at, kind);
        }
        self.drop_connection(slot);
    }

    fn drop_connection(&mut self, slot: usize) {
        self.idle.retain(|&s| s != slot);
        // Closing the socket takes it out of the epoll set.
        self.slots[slot].connection = None;
        self.slots[slot].retry_at = Instant::now() + RECONNECT;
    }

    /// Every 20 ms: connects what is not connected, and gives up on requests that take too long.
    fn sweep(&mut self, now: Instant) -> std::io::Result<()> {
        for slot in 0..self.slots.len() {
            let state = &self.slots[slot];
            if state
                .in_flight
                .is_some_and(|f| now.saturating_duration_since(f.sent) > self.plan.timeout)
            {
                self.fail(slot, "timeout");
            }
            let state = &mut self.slots[slot];
            if state.connection.is_some() || state.retry_at > now {
                continue;
            }
            match Connection::open(self.plan.address) {
                Ok(connection) => {
                    state.wants_write = true;
                    let data = epoll::EventData::new_u64(slot as u64);
                    epoll::add(
                        &self.epoll,
                        &connection,
                        data,
                        epoll::EventFlags::IN | epoll::EventFlags::OUT,
                    )?;
                    state.connection = Some(connection);
                }
                Err(_) => state.retry_at = now + RECONNECT,
            }
        }
        Ok(())
    }

    /// Tells epoll whether the socket's writability matters, if that has changed.
    fn register(&mut self, slot: usize) -> std::io::Result<()> {
        let state = &mut self.slots[slot];
        let Some(connection) = &state.connection else {
            return Ok(());
        };
        let wants = connection.wants_write();
        if wants != state.wants_write {
            state.wants_write = wants;
            let flags = if wants {
                epoll::EventFlags::IN | epoll::EventFlags::OUT
            } else {
                epoll::EventFlags::IN
            };
            epoll::modify(
                &self.epoll,
                connection,
                epoll::EventData::new_u64(slot as u64),
                flags,
            )?;
        }
        Ok(())
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
