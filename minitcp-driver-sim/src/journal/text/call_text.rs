//! How is a call written on a line, read again, and made again?
//!
//! `listen 10.0.0.1:80 4`, `connect 1500ms 10.0.0.2:80 none`, `send 0.0 5 x68656c6c6f`: the
//! method, its arguments, and options only where they differ from those of the host's settings.
//! An id is the index of its slot and the slot's generation. `send` says how many octets were
//! offered; those for which there was no room are not written. So does `send_urgent`.

use minitcp_proto::{BindOptions, Call, Config, ConnectionId, ListenerId, Observer, Stack, UdpId};

use super::octets::{MAX_SENT, Reader, Writer};
use super::settings::{Settings as _, Word};

/// Reads and writes every call but those that send. A call that is new does not compile until it
/// is here.
macro_rules! calls {
    ($($variant:ident $name:literal { $($field:ident),+ } $($options:ident: $base:path)?;)+) => {
        /// Appends `call`, made on a host with these settings, as a line without its end.
        pub(crate) fn write(
            call: &Call<'_>,
            config: &Config,
            octets: &mut Writer,
            to: &mut String,
        ) {
            match call {
                $(Call::$variant { $($field,)+ $($options)? } => {
                    *to += $name;
                    $(add(to, $field);)+
                    $(*to += &$options.words(Some(&$base(config)));)?
                })+
                Call::Send { id, data, room } | Call::SendUrgent { id, data, room } => {
                    let is_urgent = matches!(call, Call::SendUrgent { .. });
                    *to += if is_urgent { "send_urgent" } else { "send" };
                    add(to, id);
                    add(to, &data.len());
                    octets.write(data.get(..*room).unwrap_or(data), to);
                }
                Call::UdpSend { id, to: peer, payload } => {
                    *to += "udp_send";
                    add(to, id);
                    add(to, peer);
                    octets.write(payload, to);
                }
            }
        }

        /// Reads what [`write`] wrote, and does something with it.
        pub(crate) fn read<'w, R>(
            mut words: impl Iterator<Item = &'w str> + Clone,
            config: &Config,
            octets: Source<'_>,
            act: impl FnOnce(&Call<'_>) -> R,
        ) -> Result<R, &'static str> {
            match words.next().ok_or("a call is missing")? {
                $($name => {
                    $(let $field = argument(&mut words)?;)+
                    $(let $options = $base(config).set_all(words.by_ref())?;)?
                    nothing_more(words)?;
                    Ok(act(&Call::$variant { $($field,)+ $($options: &$options)? }))
                })+
                name @ ("send" | "send_urgent") => {
                    let id = argument(&mut words)?;
                    let offered = argument(&mut words)?;
                    let mut data = octets.take(words)?;
                    let room = data.len();
                    if room > offered || offered > MAX_SENT {
                        return Err("another number of octets than were offered");
                    }
                    data.resize(offered, 0);
                    Ok(act(&match name {
                        "send" => Call::Send { id, data: &data, room },
                        _ => Call::SendUrgent { id, data: &data, room },
                    }))
                }
                "udp_send" => {
                    let id = argument(&mut words)?;
                    let to = argument(&mut words)?;
                    Ok(act(&Call::UdpSend { id, to, payload: &octets.take(words)? }))
                }
                _ => Err("no such call"),
            }
        }
    };
}

calls! {
    Listen "listen" { local, backlog };
    TcpBind "tcp_bind" { local } options: shared_with_nobody;
    StartListening "start_listening" { id, backlog } options: Config::listen_options;
    Accept "accept" { id };
    SetListenerOptions "set_listener_options" { id } options: Config::listen_options;
    CloseListener "close_listener" { id };
    Connect "connect" { now, remote, local } options: Config::tcp_options;
    ConnectFrom "connect_from" { now, reservation, remote } options: Config::tcp_options;
    Recv "recv" { id, len };
    RecvUrgent "recv_urgent" { id, peek };
    Consume "consume" { id, count };
    Shutdown "shutdown" { id };
    Close "close" { id };
    Abort "abort" { id };
    SetNoDelay "set_no_delay" { id, no_delay };
    SetCongestion "set_congestion" { id, congestion };
    SetOptions "set_options" { id } options: Config::tcp_options;
    UdpBind "udp_bind" { local };
    UdpBindWith "udp_bind_with" { local } options: shared_with_nobody;
    UdpSetOptions "udp_set_options" { id } options: Config::udp_options;
    UdpConnect "udp_connect" { id, remote };
    UdpTakeError "udp_take_error" { id };
    UdpRecv "udp_recv" { id };
    UdpClose "udp_close" { id };
}

/// Where the octets of a call come from.
pub(crate) enum Source<'r> {
    /// The first reading, from the first line to the last: none are given, all are remembered.
    Learn(&'r mut Reader),
    /// A later one.
    Recall(&'r Reader),
}

impl Source<'_> {
    fn take<'w>(
        self,
        words: impl Iterator<Item = &'w str> + Clone,
    ) -> Result<Vec<u8>, &'static str> {
        match self {
            Self::Learn(reader) => {
                reader.learn(words)?;
                Ok(Vec::new())
            }
            Self::Recall(reader) => reader.octets(words),
        }
    }
}

/// Makes `call` again. Its result is what it was, or the packets will show that it is not.
///
/// # Errors
/// If it is about a connection that does not exist: then it was never made so.
pub(crate) fn make<O: Observer>(
    call: &Call<'_>,
    stack: &mut Stack<'_, O>,
) -> Result<(), &'static str> {
    macro_rules! connection {
        ($id:expr) => {
            stack.connection($id).ok_or("there is no such connection")?
        };
    }
    match *call {
        Call::Listen { local, backlog } => ignore(stack.listen(local, backlog)),
        Call::TcpBind { local, options } => ignore(stack.tcp_bind(local, *options)),
        Call::StartListening { id, backlog, options } => {
            ignore(stack.start_listening(id, backlog, options));
        }
        Call::Accept { id } => ignore(stack.accept(id).ok_or("nobody waits to be accepted")?),
        Call::SetListenerOptions { id, options } => {
            stack.set_listener_options(id, options);
        }
        Call::CloseListener { id } => stack.close_listener(id),
        Call::Connect { now, remote, local, options } => {
            ignore(stack.connect_with(now, remote, local, options));
        }
        Call::ConnectFrom { now, reservation, remote, options } => {
            ignore(stack.connect_from(now, reservation, remote, options));
        }
        Call::Send { id, data, .. } => ignore(connection!(id).send(data)),
        Call::SendUrgent { id, data, .. } => ignore(connection!(id).send_urgent(data)),
        Call::RecvUrgent { id, peek } => ignore(connection!(id).recv_urgent(peek)),
        Call::Recv { id, len } => {
            let mut connection = connection!(id);
            let readable = connection.peek().map_or(0, |(a, b)| a.len() + b.len());
            ignore(connection.recv(&mut vec![0; len.min(readable)]));
        }
        Call::Consume { id, count } => connection!(id).consume(count),
        Call::Shutdown { id } => connection!(id).shutdown(),
        Call::Close { id } => connection!(id).close(),
        Call::Abort { id } => connection!(id).abort(),
        Call::SetNoDelay { id, no_delay } => connection!(id).set_no_delay(no_delay),
        Call::SetCongestion { id, congestion } => connection!(id).set_congestion(congestion),
        Call::SetOptions { id, options } => ignore(connection!(id).set_options(options)),
        Call::UdpBind { local } => ignore(stack.udp_bind(local)),
        Call::UdpBindWith { local, options } => ignore(stack.udp_bind_with(local, *options)),
        Call::UdpSetOptions { id, options } => {
            stack.udp_set_options(id, options);
        }
        Call::UdpConnect { id, remote } => ignore(stack.udp_connect(id, remote)),
        Call::UdpTakeError { id } => ignore(stack.udp_take_error(id)),
        Call::UdpRecv { id } => ignore(stack.udp_recv(id, &mut []).ok_or("no datagram waits")?),
        Call::UdpSend { id, to, payload } => ignore(stack.udp_send(id, to, payload)),
        Call::UdpClose { id } => stack.udp_close(id),
    }
    Ok(())
}

macro_rules! id_words {
    ($($type:ident),+) => {$(
        impl Word for $type {
            fn text(&self) -> String {
                format!("{}.{}", self.to_bits() & 0xffff_ffff, self.to_bits() >> 32)
            }
            fn read(text: &str) -> Option<Self> {
                let (index, generation) = text.split_once('.')?;
                let (index, generation) = (index.parse::<u32>(), generation.parse::<u32>());
                Some(Self::from_bits(u64::from(generation.ok()?) << 32 | u64::from(index.ok()?)))
            }
        }
    )+};
}

id_words!(ConnectionId, ListenerId, UdpId);

/// The result of a call is what it was: nobody asks for it again.
fn ignore<T>(_result: T) {}

fn shared_with_nobody(_: &Config) -> BindOptions {
    BindOptions::default()
}

fn add(to: &mut String, word: &impl Word) {
    to.push(' ');
    *to += &word.text();
}

/// The next word.
pub(crate) fn argument<'w, T: Word>(
    words: &mut impl Iterator<Item = &'w str>,
) -> Result<T, &'static str> {
    T::read(words.next().ok_or("a word is missing")?).ok_or("a word that cannot stand here")
}

pub(crate) fn nothing_more<'w>(
    mut words: impl Iterator<Item = &'w str>,
) -> Result<(), &'static str> {
    if words.next().is_some() { Err("too many words") } else { Ok(()) }
}
