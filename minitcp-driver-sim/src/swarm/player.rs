//! The programs of one host: they begin their talks, accept those of others, and keep count.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use minitcp_proto::{ConnectError, ConnectionId, Drop, Instant, ListenerId, SocketId, UdpId};

use crate::journal::text::log::RecordedStack;
use crate::swarm::client::Client;
use crate::swarm::guest::Guest;
use crate::swarm::judge::{Break, Judge, Waiting, lock};
use crate::swarm::pattern::Stream;
use crate::swarm::plan::Plan;
use crate::swarm::report::Wrong;
use crate::swarm::side::{Life, Side};
use crate::swarm::strangers::{PUBLIC_PORT, UNREAD_PORT};
use crate::swarm::talk::Content;

/// All programs of one host.
pub(super) struct Player {
    plan: Arc<Plan>,
    judge: Arc<Mutex<Judge>>,
    host: usize,
    /// The talks that need not come to their end any more, as bits.
    forgiven: u64,
    clients: Vec<Client>,
    servers: Vec<Server>,
    sides: BTreeMap<ConnectionId, (Side, Option<Instant>)>,
    /// Where strangers knock, if any do, and who has come in.
    public: Option<(ListenerId, UdpId)>,
    guests: BTreeMap<ConnectionId, (Guest, Option<Instant>)>,
    /// The run is over: let go of everything.
    pub(super) is_closing: bool,
    pub(super) wrong: Option<Wrong>,
    /// Changes whenever anything moves on.
    pub(super) progress: u64,
    pub(super) connections: u64,
}

#[derive(Debug)]
struct Server {
    talk: usize,
    socket: SocketId,
    /// Connections that ended.
    finished: u32,
    /// Datagrams that came.
    datagrams: u64,
}

impl Player {
    /// Opens the listeners of `host`, and prepares its clients.
    pub(super) fn new(
        plan: &Arc<Plan>,
        judge: &Arc<Mutex<Judge>>,
        host: usize,
        stack: &mut RecordedStack,
    ) -> Self {
        let (mut clients, mut servers) = (Vec::new(), Vec::new());
        for (talk, described) in plan.talks.iter().enumerate() {
            if described.client == host {
                let left = match &described.content {
                    Content::Tcp(tcp) => tcp.connections,
                    Content::Udp(udp) => udp.datagrams.into(),
                };
                let next_try = Instant::ZERO;
                clients.push(Client { talk, left, id: None, udp: None, next_try });
            }
            if described.server == host {
                let here = SocketAddr::new(plan.address(host), plan.port(talk));
                let socket = match described.content {
                    Content::Tcp(_) => {
                        stack.listen(here, plan.hosts[host].backlog).map(SocketId::Listener)
                    }
                    Content::Udp(_) => stack.udp_bind(here).map(SocketId::Udp),
                };
                let socket = socket.unwrap_or_else(|error| panic!("{here}: {error}"));
                servers.push(Server { talk, socket, finished: 0, datagrams: 0 });
            }
        }
        let public = plan.is_besieged(host).then(|| open_doors(plan, host, stack));
        Self {
            plan: Arc::clone(plan),
            judge: Arc::clone(judge),
            host,
            forgiven: 0,
            clients,
            servers,
            sides: BTreeMap::new(),
            public,
            guests: BTreeMap::new(),
            is_closing: false,
            wrong: None,
            progress: 0,
            connections: 0,
        }
    }

    /// All its talks have come to their end, as far as this host can tell.
    pub(super) fn is_done(&self) -> bool {
        self.clients.iter().all(|client| client.left == 0 && client.id.is_none())
            && self.sides.is_empty()
            && self.expected().next().is_none()
    }

    /// The talks of which a connection is still to come, or to end.
    pub(super) fn expected(&self) -> impl Iterator<Item = usize> {
        let is_served = |server: &Server| match &self.plan.talks[server.talk].content {
            Content::Tcp(tcp) if tcp.is_clean() && !self.plan.is_lenient => {
                server.finished >= tcp.connections || self.forgiven >> server.talk & 1 != 0
            }
            Content::Tcp(_) | Content::Udp(_) => true,
        };
        let servers = self.servers.iter();
        servers.filter(move |server| !is_served(server)).map(|server| server.talk)
    }

    /// Some program waits of its own will.
    pub(super) fn is_pausing(&self, now: Instant) -> bool {
        self.clients.iter().any(|client| client.left > 0 && client.next_try > now)
            || self.sides.values().any(|(side, _)| side.is_pausing(now))
    }

    /// How many datagrams it has received for each of its talks.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (usize, u64)> {
        let servers = self.servers.iter();
        let udp = servers.filter(|server| matches!(server.socket, SocketId::Udp(_)));
        udp.map(|server| (server.talk, server.datagrams))
    }

    /// Its ends that can only end as their peers want.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Waiting> {
        let sides = self.sides.values().map(|(side, _)| side);
        sides.filter(|side| side.must_finish()).map(|side| (side.talk, side.ends))
    }

    /// Something has happened: acts, and says when it wants to act again.
    pub(super) fn act(&mut self, stack: &mut RecordedStack, now: Instant) -> Option<Instant> {
        if self.wrong.is_some() {
            return None;
        }
        if self.is_closing {
            self.let_go(stack);
            return None;
        }
        let result = self.hear_of_mercy(stack, now).and_then(|()| {
            self.act_on_events(stack, now)?;
            self.act_on_time(stack, now)?;
            let next = self.begin(stack, now);
            if stack.stats().dropped(Drop::OrphanEvicted) > 0 {
                lock(&self.judge).on_eviction(self.host);
            }
            next
        });
        match result {
            Ok(next_try) => {
                let sides = self.sides.values().filter_map(|(_, next)| *next);
                let guests = self.guests.values().filter_map(|(_, next)| *next);
                sides.chain(guests).chain(next_try).min()
            }
            Err(wrong) => {
                self.wrong = Some(wrong);
                None
            }
        }
    }

    /// Whose peer may be gone goes on as if it had never been promised an end.
    fn hear_of_mercy(&mut self, stack: &mut RecordedStack, now: Instant) -> Result<(), Wrong> {
        let forgiven = lock(&self.judge).forgiven();
        if core::mem::replace(&mut self.forgiven, forgiven) == forgiven {
            return Ok(());
        }
        let is_forgiven = |side: &Side| forgiven >> side.talk & 1 != 0;
        let sides = self.sides.iter_mut().filter(|(_, (side, _))| is_forgiven(side));
        let ids: Vec<_> = sides.filter_map(|(id, (s, _))| s.forgive().then_some(*id)).collect();
        ids.into_iter().try_for_each(|id| self.act_on_side(stack, now, id))
    }

    fn act_on_events(&mut self, stack: &mut RecordedStack, now: Instant) -> Result<(), Wrong> {
        while let Some(event) = stack.poll_event() {
            match event.socket {
                SocketId::Connection(id) if self.guests.contains_key(&id) => {
                    self.serve_guest(stack, now, id);
                }
                SocketId::Connection(id) => self.act_on_side(stack, now, id)?,
                SocketId::Listener(id) => self.accept(stack, now, id)?,
                SocketId::Udp(id) => self.receive_datagrams(stack, id)?,
            }
        }
        Ok(())
    }

    fn act_on_time(&mut self, stack: &mut RecordedStack, now: Instant) -> Result<(), Wrong> {
        let is_due = |next: &Option<Instant>| next.is_some_and(|at| at <= now);
        while let Some(id) =
            self.sides.iter().find(|(_, (_, next))| is_due(next)).map(|(id, _)| *id)
        {
            self.act_on_side(stack, now, id)?;
        }
        let is_due = |(id, (_, next)): (&ConnectionId, &(Guest, _))| is_due(next).then_some(*id);
        let due: Vec<_> = self.guests.iter().filter_map(is_due).collect();
        due.into_iter().for_each(|id| self.serve_guest(stack, now, id));
        Ok(())
    }

    fn serve_guest(&mut self, stack: &mut RecordedStack, now: Instant, id: ConnectionId) {
        let Some((guest, next)) = self.guests.get_mut(&id) else { return };
        match guest.act(stack, now) {
            Some(at) => *next = at,
            None => drop(self.guests.remove(&id)),
        }
    }

    fn act_on_side(
        &mut self,
        stack: &mut RecordedStack,
        now: Instant,
        id: ConnectionId,
    ) -> Result<(), Wrong> {
        let Some((side, next)) = self.sides.get_mut(&id) else { return Ok(()) };
        let before = side.octets();
        let life = match side.act(stack, now) {
            Err(Wrong::Ended(reason)) => {
                let (host, talk, ends) = (self.host, side.talk, side.ends);
                let broken = Break { host, talk, ends, reason, at: now };
                let mut judge = lock(&self.judge);
                if !judge.forgives(&self.plan, &broken) {
                    return Err(judge.charge(&broken));
                }
                Life::Over
            }
            result => result?,
        };
        self.progress += side.octets() - before;
        match life {
            Life::Waits(at) => *next = at,
            Life::Over => {
                let talk = side.talk;
                lock(&self.judge).on_held(side.ends, false);
                self.progress += 1;
                self.sides.remove(&id);
                match self.clients.iter_mut().find(|client| client.id == Some(id)) {
                    Some(client) => client.id = None,
                    None => self.servers.iter_mut().filter(|s| s.talk == talk).for_each(|server| {
                        server.finished += 1;
                    }),
                }
            }
        }
        Ok(())
    }

    fn accept(
        &mut self,
        stack: &mut RecordedStack,
        now: Instant,
        listener: ListenerId,
    ) -> Result<(), Wrong> {
        let server = self.servers.iter().find(|s| s.socket == SocketId::Listener(listener));
        let talk = server.map(|server| server.talk);
        while let Some(id) = stack.accept(listener) {
            let ends = ends(stack, id).ok_or(Wrong::Broken("accepted nobody"))?;
            if let Some(welcome) = self.plan.welcome(ends.1.ip()) {
                let guest = Guest::new(id, welcome, stack, now);
                self.guests.insert(id, (guest, None));
                self.serve_guest(stack, now, id);
                continue;
            }
            let talk = talk.ok_or(Wrong::Broken("somebody came through the wrong door"))?;
            self.add_side(stack, now, (talk, id), (ends, false))?;
        }
        Ok(())
    }

    fn add_side(
        &mut self,
        stack: &mut RecordedStack,
        now: Instant,
        (talk, id): (usize, ConnectionId),
        ends: ((SocketAddr, SocketAddr), bool),
    ) -> Result<(), Wrong> {
        let plan = Arc::clone(&self.plan);
        let Content::Tcp(tcp) = &plan.talks[talk].content else { return Ok(()) };
        let is_lenient = plan.is_lenient || self.forgiven >> talk & 1 != 0;
        let side = Side::new(id, talk, tcp, ends, is_lenient, now);
        lock(&self.judge).on_held(side.ends, true);
        self.sides.insert(id, (side, None));
        self.connections += 1;
        self.act_on_side(stack, now, id)
    }

    /// Begins the connections and sends the datagrams that are due; when the next is.
    fn begin(&mut self, stack: &mut RecordedStack, now: Instant) -> Result<Option<Instant>, Wrong> {
        let plan = Arc::clone(&self.plan);
        let mut next = None;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            let described = &plan.talks[client.talk];
            let remote = SocketAddr::new(plan.address(described.server), plan.port(client.talk));
            match &described.content {
                Content::Tcp(tcp) => {
                    let same_port = tcp.same_port.then(|| plan.port(client.talk) + 1_000);
                    while self.clients[index].wants_connection(now) {
                        self.connect(stack, now, index, remote, same_port)?;
                    }
                }
                Content::Udp(udp) => {
                    let before = client.left;
                    client.send_datagrams(stack, now, remote, udp)?;
                    self.progress += u64::from(before - client.left);
                }
            }
            let client = &self.clients[index];
            if client.left > 0 && client.id.is_none() && client.next_try > now {
                next = Some(next.map_or(client.next_try, |at: Instant| at.min(client.next_try)));
            }
        }
        Ok(next)
    }

    fn connect(
        &mut self,
        stack: &mut RecordedStack,
        now: Instant,
        index: usize,
        remote: SocketAddr,
        same_port: Option<u16>,
    ) -> Result<(), Wrong> {
        let client = &mut self.clients[index];
        let own = if remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let local = same_port.map(|port| SocketAddr::new(own, port));
        let id = match stack.connect(now, remote, local) {
            Ok(id) => id,
            // The last connection has not left yet, or waits in TIME-WAIT.
            Err(ConnectError::NoSlot | ConnectError::InUse) => {
                client.next_try = now + TRY_AGAIN;
                return Ok(());
            }
            Err(_) => return Err(Wrong::Broken("connect refused")),
        };
        (client.id, client.left) = (Some(id), client.left - 1);
        let talk = client.talk;
        let ends = ends(stack, id).ok_or(Wrong::Broken("connected nobody"))?;
        self.add_side(stack, now, (talk, id), (ends, true))
    }

    fn receive_datagrams(&mut self, stack: &mut RecordedStack, id: UdpId) -> Result<(), Wrong> {
        if self.public.is_some_and(|(_, unread)| unread == id) {
            return Ok(());
        }
        let mut buffer = [0; 2_048];
        while let Some(received) = stack.udp_recv(id, &mut buffer) {
            let mut servers = self.servers.iter_mut();
            let server = servers.find(|server| server.socket == SocketId::Udp(id));
            let Some(server) = server else { continue };
            server.datagrams += 1;
            let Content::Udp(udp) = &self.plan.talks[server.talk].content else { continue };
            let octets = &buffer[..received.len];
            if received.full_len != udp.size {
                let expected = u64::try_from(udp.size).unwrap_or(0);
                let received = u64::try_from(received.full_len).unwrap_or(0);
                return Err(Wrong::Count { expected, received });
            }
            let (number, rest) = octets.split_at(4);
            let number = u32::from_le_bytes([number[0], number[1], number[2], number[3]]);
            if number == 0 || number > u32::from(udp.datagrams) {
                return Err(Wrong::Octets { at: 0 });
            }
            Stream::new(server.talk, 0, true).compare(u64::from(number), rest)?;
        }
        Ok(())
    }

    /// Aborts and closes everything.
    fn let_go(&mut self, stack: &mut RecordedStack) {
        for server in core::mem::take(&mut self.servers) {
            match server.socket {
                SocketId::Listener(id) => {
                    while let Some(id) = stack.accept(id) {
                        if let Some(connection) = stack.connection(id) {
                            connection.abort();
                        }
                    }
                    stack.close_listener(id);
                }
                SocketId::Udp(id) => stack.udp_close(id),
                SocketId::Connection(_) => {}
            }
        }
        if let Some((listener, unread)) = self.public.take() {
            while let Some(id) = stack.accept(listener) {
                if let Some(connection) = stack.connection(id) {
                    connection.close();
                }
            }
            stack.close_listener(listener);
            stack.udp_close(unread);
        }
        core::mem::take(&mut self.guests).values().for_each(|(guest, _)| guest.let_go(stack));
        for client in &mut self.clients {
            client.left = 0;
            if let Some(id) = client.udp.take() {
                stack.udp_close(id);
            }
        }
        for (id, _) in core::mem::take(&mut self.sides) {
            if let Some(connection) = stack.connection(id) {
                connection.abort();
            }
        }
        while stack.poll_event().is_some() {}
    }
}

/// Listens for strangers, and binds a socket that nobody will read.
fn open_doors(plan: &Plan, host: usize, stack: &mut RecordedStack) -> (ListenerId, UdpId) {
    let [public, unread] =
        [PUBLIC_PORT, UNREAD_PORT].map(|port| SocketAddr::new(plan.address(host), port));
    let listener = stack.listen(public, 16).unwrap_or_else(|error| panic!("{public}: {error}"));
    let socket = stack.udp_bind(unread).unwrap_or_else(|error| panic!("{unread}: {error}"));
    (listener, socket)
}

/// The own address of a connection, and the peer's.
fn ends(stack: &mut RecordedStack, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
    let connection = stack.connection(id)?;
    Some((connection.local_addr()?, connection.peer_addr()?))
}

const TRY_AGAIN: Duration = Duration::from_millis(500);
