use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::connection::{Connection, Read};
use crate::lane::LaneState;
use crate::processor::Usage;
use crate::recording::LONGEST;
use crate::{Arrivals, Mode, Plan, Recording, Second};

/// Hears of every second that is over: its number, and what one thread recorded in it.
pub type OnSecond<'a> = &'a (dyn Fn(usize, &Second) + Sync);

/// A request under way: when it was meant to be sent and when it really was.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    intended: Instant,
    sent: Instant,
}

struct Slot {
    lane: usize,
    connection: Option<Connection>,
    in_flight: Option<InFlight>,
    /// Not before this time after a failed attempt to connect.
    retry_at: Instant,
    wants_write: bool,
}

/// One thread's event loop.
pub(crate) struct Worker<'a> {
    plan: &'a Plan,
    arrivals: Option<Arrivals>,
    epoll: std::os::fd::OwnedFd,
    slots: Vec<Slot>,
    lanes: Vec<LaneState<'a>>,
    /// Slots with a request in flight.
    waiting: usize,
    /// What is read goes here first.
    buffer: Vec<u8>,
    /// When the warm-up begins.
    begin: Instant,
    /// When things begin to count.
    start: Instant,
    end: Instant,
    recording: Recording,
    /// What the thread had used when things began to count.
    usage: Option<Usage>,
    on_second: OnSecond<'a>,
    /// Seconds that were told of.
    told: usize,
}

/// A server that refuses connections is tried again this often.
const RECONNECT: Duration = Duration::from_millis(20);
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

impl<'a> Worker<'a> {
    /// The worker of this number out of `threads`.
    pub(crate) fn new(
        plan: &'a Plan,
        index: u32,
        begin: Instant,
        on_second: OnSecond<'a>,
    ) -> std::io::Result<Self> {
        let arrivals = match &plan.mode {
            Mode::Open(arrivals) => Some(arrivals.after(plan.warm_up)),
            Mode::Closed(_) => None,
        };
        let (mut slots, mut lanes) = (Vec::new(), Vec::new());
        for (number, lane) in plan.lanes.iter().enumerate() {
            let connections = plan.connections_of(lane);
            // A lane with fewer connections than there are threads is served by some of them.
            let threads = plan.threads.min(connections);
            if index >= threads {
                continue;
            }
            let share = connections / threads + u32::from(index < connections % threads);
            let slot = |_| Slot {
                lane: lanes.len(),
                connection: None,
                in_flight: None,
                retry_at: begin,
                wants_write: false,
            };
            slots.extend((0..share).map(slot));
            // Lanes take turns as threads do.
            let phase = number as f64 / plan.lanes.len() as f64;
            lanes.push(LaneState::new(
                lane,
                plan.share(lane),
                index,
                threads,
                share,
                phase,
            ));
        }
        let start = begin + plan.warm_up;
        Ok(Self {
            plan,
            arrivals,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots,
            lanes,
            waiting: 0,
            buffer: vec![0; BUFFER],
            begin,
            start,
            end: start + plan.time(),
            recording: Recording::empty(),
            usage: None,
            on_second,
            told: 0,
        })
    }

    /// Sends until the end, or until `stop` says so; then waits a moment for what is in flight.
    pub(crate) fn run(mut self, stop: &dyn Fn() -> bool) -> std::io::Result<Recording> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(self.slots.len().clamp(16, 1024));
        let grace = self.plan.timeout.min(Duration::from_secs(1));
        let mut next_sweep = self.begin;
        loop {
            let now = Instant::now();
            if now >= next_sweep {
                self.sweep(now)?;
                next_sweep = now + RECONNECT;
            }
            let sending = now < self.end && !stop();
            if sending && now >= self.begin {
                self.send_due(now)?;
            }
            if !sending && (self.waiting == 0 || now >= self.end + grace || stop()) {
                break;
            }
            let next_due = self
                .lanes
                .iter()
                .filter(|lane| sending && !lane.idle.is_empty())
                .filter_map(|lane| self.due(lane))
                .min();
            let wake = next_due.unwrap_or(next_sweep).min(next_sweep);
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
        self.finish();
        Ok(self.recording)
    }

    fn finish(&mut self) {
        let now = Instant::now();
        let at = self.at(now);
        let unanswered = self.slots.iter().filter_map(|s| s.in_flight);
        for _ in unanswered.filter(|f| f.intended >= self.start) {
            self.recording.fail(at, "unanswered");
        }
        self.recording.scheduled = self.recording.sent;
        if let Some(arrivals) = &self.arrivals {
            let until = now.min(self.end).saturating_duration_since(self.begin);
            let scheduled = self
                .lanes
                .iter()
                .map(|lane| lane.scheduled(arrivals, self.plan.warm_up, until))
                .sum();
            self.recording.scheduled = self.recording.sent.max(scheduled);
            for _ in self.recording.sent..self.recording.scheduled {
                self.recording.fail(at, "not sent");
            }
        }
        for second in self.told..self.recording.series.len() {
            (self.on_second)(second, &self.recording.series[second]);
        }
        self.recording.wall = now.min(self.end).saturating_duration_since(self.start);
        let (before, after) = (self.usage.unwrap_or_else(Usage::of_thread), Usage::of_thread());
        self.recording.cpu = after.cpu.saturating_sub(before.cpu);
        self.recording.waited = after.waited.saturating_sub(before.waited);
        self.recording.threads = 1;
    }

    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// When a lane's next request is to be sent; `None` in closed loop, and when there is no other.
    fn due(&self, lane: &LaneState<'_>) -> Option<Instant> {
        let seconds = self.arrivals.as_ref()?.due(lane.number())?;
        Some(self.begin + Duration::from_secs_f64(seconds))
    }

    /// Sends on free connections what is due. Where none is free, requests stay due and their time runs.
    fn send_due(&mut self, now: Instant) -> std::io::Result<()> {
        for lane in 0..self.lanes.len() {
            while let Some(&slot) = self.lanes[lane].idle.last() {
                let due = if self.arrivals.is_some() {
                    match self.due(&self.lanes[lane]) {
                        Some(due) if due <= now => Some(due),
                        _ => break,
                    }
                } else {
                    None
                };
                self.lanes[lane].idle.pop();
                self.send(lane, slot, due)?;
            }
        }
        Ok(())
    }

    /// Sends a lane's next request.
    fn send(&mut self, lane: usize, slot: usize, due: Option<Instant>) -> std::io::Result<()> {
        let Some(connection) = self.slots[slot].connection.as_mut() else {
            return Ok(());
        };
        let sent = Instant::now();
        if connection.send(self.lanes[lane].request()).is_err() {
            // The server closed an idle connection: the request is still due and goes out on another one.
            self.drop_connection(slot);
            return Ok(());
        }
        // In closed loop a request is meant to be sent when it is.
        let intended = due.unwrap_or(sent);
        if intended >= self.start {
            let state = &self.lanes[lane];
            let lag = sent.saturating_duration_since(intended).as_nanos() as u64;
            // With all connections busy before, the wait is the server's and counts as latency, not as lag.
            if due.is_some() && (state.idle.len() + 1 == state.connections || lag < 1_000_000) {
                self.recording.lag.saturating_record(lag.min(LONGEST));
            }
            self.recording.sent += 1;
        }
        self.lanes[lane].advance();
        self.slots[slot].in_flight = Some(InFlight { intended, sent });
        self.waiting += 1;
        self.register(slot)
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
            self.free(slot);
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
                if let Some(in_flight) = self.slots[slot].in_flight.take() {
                    self.waiting -= 1;
                    self.answered(now, in_flight, status);
                }
                if close {
                    self.drop_connection(slot);
                } else {
                    self.free(slot);
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, now: Instant, in_flight: InFlight, status: u16) {
        if in_flight.intended < self.start {
            self.recording.warm_up += 1;
            return;
        }
        let at = self.at(now);
        if (200..300).contains(&status) {
            self.recording
                .complete(at, now.saturating_duration_since(in_flight.intended));
        } else {
            self.recording.fail(at, &format!("status {status}"));
        }
    }

    /// The request in flight, if any, has failed, and the connection is of no more use.
    fn fail(&mut self, slot: usize, kind: &str) {
        if let Some(in_flight) = self.slots[slot].in_flight.take() {
            self.waiting -= 1;
            if in_flight.intended >= self.start {
                let at = self.at(Instant::now());
                self.recording.fail(at, kind);
            }
        }
        self.drop_connection(slot);
    }

    fn free(&mut self, slot: usize) {
        let lane = self.slots[slot].lane;
        self.lanes[lane].idle.push(slot);
    }

    fn drop_connection(&mut self, slot: usize) {
        let lane = self.slots[slot].lane;
        self.lanes[lane].idle.retain(|&s| s != slot);
        // Closing the socket takes it out of the epoll set.
        self.slots[slot].connection = None;
        self.slots[slot].retry_at = Instant::now() + RECONNECT;
    }

    /// Every 20 ms: connects what is not connected, gives up on requests that take too long, and tells of what is over.
    fn sweep(&mut self, now: Instant) -> std::io::Result<()> {
        if self.usage.is_none() && now >= self.start {
            self.usage = Some(Usage::of_thread());
        }
        while self.told < self.recording.series.len().min(self.at(now).as_secs() as usize) {
            (self.on_second)(self.told, &self.recording.series[self.told]);
            self.told += 1;
        }
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
            match Connection::open(self.lanes[state.lane].address()) {
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
