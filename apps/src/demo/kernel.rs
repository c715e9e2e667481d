//! The conversation over TUN: the kernel and the system's programs on one side, the stack on the
//! other, both in a network that exists only for this.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use minitcp_driver_tun::{TunConfig, TunDriver, TunError, TunOffloads};
use minitcp_proto::{Config, Limits, Memory, Stack};
use minitcp_sockets::{Net, TcpStream};

use crate::demo::narrate::Narrator;
use crate::demo::obstacle;
use crate::demo::ping::PATIENCE;
use crate::demo::server::{SERVER, ServerThread};
use crate::demo::tools::{Tool, Typist, fetch, ping};
use crate::net_ns::{self, Privilege};
use crate::seed::random_seed;
use crate::trace::Channel;

/// A network namespace, and a TUN device in it that the kernel can already send to.
pub(crate) struct World {
    privilege: Privilege,
    driver: TunDriver,
}

impl World {
    /// Call it before there are threads.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let privilege = net_ns::enter().map_err(no_namespace)?;
        let _only_noise_in_the_trace = net_ns::disable_ipv6();
        let driver = TunDriver::open(&device("tun0", KERNEL, *SERVER.ip())).map_err(no_device)?;
        Ok(Self { privilege, driver })
    }
}

fn no_namespace(error: io::Error) -> anyhow::Error {
    match obstacle::of_namespaces() {
        Some(obstacle) => anyhow::anyhow!("no network namespace: {obstacle} ({error})"),
        None => anyhow::Error::new(error).context("no network namespace"),
    }
}

fn no_device(error: TunError) -> anyhow::Error {
    match obstacle::of_device() {
        Some(obstacle) => anyhow::anyhow!("{obstacle}"),
        None => error.into(),
    }
}

/// Tells the whole story.
///
/// # Errors
/// When it cannot even begin.
pub(crate) fn converse(
    narrator: &mut Narrator,
    world: World,
    trace: Channel,
) -> anyhow::Result<()> {
    narrator.say(match world.privilege {
        Privilege::Administrator => "A network namespace of its own, which ends with the demo:",
        Privilege::UserNamespace => "A user and a network namespace, which end with the demo:",
    });
    narrator.say(&format!("  the kernel at {KERNEL} -- tun0 -- a MiniTCP chat server at {SERVER}"));
    let waker = world.driver.waker();
    let wake = move || waker.wake().unwrap_or_default();
    let server = ServerThread::start(world.driver, wake, trace)?;
    ask_kernel_tools(narrator);
    cross_two_devices(narrator);
    server.end(narrator)
}

fn ask_kernel_tools(narrator: &mut Narrator) {
    let address = *SERVER.ip();
    let tool = Tool::find("ping");
    for (claim, count, size) in
        [("echo requests are answered", 4, 56), ("so are large ones", 2, 1400)]
    {
        let label = tool.label(&format!("ping -c {count} -s {size} {address}"), "raw ICMP socket");
        narrator.step(claim, &label, || ping(tool, address, count, size));
    }

    let tool = Tool::find("nc");
    let port = UDP_PORT;
    let label = tool.label(&format!("nc -u {address} {port}"), "kernel UDP socket");
    narrator.step("a datagram comes back", &label, || {
        let mut typist = Typist::over_udp(tool, SocketAddr::from((address, port)))?;
        typist.say("is anybody there?")?;
        typist.hear("is anybody there?")
    });

    let label = tool.label(&format!("nc {address} {}", SERVER.port()), "kernel TCP socket");
    narrator.step("a line of chat comes back", &label, || {
        let mut alice = Typist::over_tcp(tool, SERVER.into())?;
        alice.say("good morning")?;
        alice.hear("good morning")
    });
    narrator.step("and is told to the other client", &format!("{label}, twice"), || {
        let mut alice = Typist::over_tcp(tool, SERVER.into())?;
        alice.say("hello, I am Alice")?;
        alice.hear("hello, I am Alice")?; // So she is in the room when Bob speaks.
        let mut bob = Typist::over_tcp(tool, SERVER.into())?;
        bob.say("hello, I am Bob")?;
        bob.hear("hello, I am Bob")?;
        alice.hear("hello, I am Bob")
    });

    let tool = Tool::find("curl");
    let label = tool.label(&format!("curl http://{SERVER}/"), "kernel TCP socket");
    narrator.step("a web page is served", &label, || fetch(tool, SERVER.into())?.verdict());
}

/// MiniTCP to MiniTCP, through the kernel's router.
fn cross_two_devices(narrator: &mut Narrator) {
    if let Err(error) = net_ns::forward_ipv4() {
        narrator.say(&format!("\nNo conversation across two devices: forwarding is off: {error}"));
        return;
    }
    let by = format!("MiniTCP at {CLIENT} on tun1, through the kernel's router");
    narrator.step("two stacks talk across two devices", &by, || {
        chat_from_second_device().map_err(|error| format!("{error:#}"))
    });
}

fn chat_from_second_device() -> anyhow::Result<String> {
    let driver = TunDriver::open(&device("tun1", ROUTER, CLIENT))?;
    let mut config = Config::new(CLIENT, 24);
    config.mtu = driver.mtu();
    let memory = Memory::allocate(&Limits::default());
    let net = Net::new(Stack::new(config, memory, random_seed()?), driver);
    let mut stream = TcpStream::connect_timeout_on(&net, &SERVER.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"good evening from the other side\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    drop(stream);
    net.drain(PATIENCE)?;
    anyhow::ensure!(line.contains("good evening"), "heard only {line:?}");
    Ok(line.trim_end().to_owned())
}

fn device(name: &str, kernel: Ipv4Addr, peer: Ipv4Addr) -> TunConfig {
    // The demo shows packets as they would be on a wire.
    TunConfig::new(name).kernel_addr(kernel).peer_addr(peer).offloads(TunOffloads::empty())
}

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
/// Nothing is bound there: the server's stack sends back what comes.
const UDP_PORT: u16 = 9999;
