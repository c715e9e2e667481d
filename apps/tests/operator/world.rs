//! Where a program is tried: a network and a folder of its own, of which nothing may be left.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, panic, thread};

use minitcp_apps::net_ns;

use crate::table::{Needs, PROGRAMS, Program};

/// Tries every program, each in a world of its own. Those that need a network are skipped where
/// none can be made, which is said and counted.
pub(crate) fn try_each(trial: impl Fn(&Program, &World) + Sync) {
    let name = thread::current().name().unwrap_or_default().to_owned();
    for program in &PROGRAMS {
        let outcome = thread::scope(|scope| {
            let inside = || match World::new(program) {
                Ok(world) => {
                    trial(program, &world);
                    world.must_be_empty(program);
                }
                Err(reason) => skip(&format!("{name}: {}: {reason}", program.name)),
            };
            scope.spawn(inside).join()
        });
        if let Err(cause) = outcome {
            eprintln!("this was {}", program.name);
            panic::resume_unwind(cause);
        }
    }
}

/// Says so, and where scripts/test.sh counts: what a test that passes prints is not shown.
pub(crate) fn skip(text: &str) {
    assert!(env::var_os("CI").is_none(), "{text}");
    eprintln!("SKIP: {text}");
    if let Some(path) = env::var_os("MINITCP_SKIPPED") {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "part of the trial {text}").unwrap();
    }
}

/// A folder, and a network namespace that this thread and its children are in.
pub(crate) struct World {
    folder: PathBuf,
    peer: Option<Running>,
}

impl World {
    fn new(program: &Program) -> Result<Self, String> {
        // A process with threads gets no user namespace, so this takes root.
        let is_inside = Path::new("/dev/net/tun").exists() && net_ns::enter().is_ok();
        let needs_network = !matches!(program.needs, Needs::Nothing | Needs::Files(_));
        if needs_network && !is_inside {
            return Err("no network namespace, or no /dev/net/tun".to_owned());
        }
        if is_inside {
            run("ip", &["link", "set", "lo", "up"]);
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("minitcp-world-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut world = Self { folder, peer: None };
        match program.needs {
            Needs::Nothing | Needs::Network => {}
            Needs::Echo => drop(thread::spawn(echo(TcpListener::bind("[::]:7").unwrap()))),
            Needs::BenchServer => {
                let server = world.start("minitcp bench server", "--kernel", Stdio::null());
                wait_for("[::1]:5005");
                world.peer = Some(server);
            }
            Needs::Files(commands) => {
                for words in commands {
                    let made = world.start("minitcp", words, Stdio::null()).end();
                    assert!(made.status.success(), "{words}: {}", made.stderr);
                }
            }
        }
        Ok(world)
    }

    /// Runs `program` in the folder, without input.
    pub(crate) fn start(&self, program: &str, args: &str, stdout: Stdio) -> Running {
        self.start_behind(&[], program, args, stdout)
    }

    /// As [`start`](Self::start), by way of another program.
    pub(crate) fn start_behind(
        &self,
        front: &[&str],
        program: &str,
        args: &str,
        out: Stdio,
    ) -> Running {
        let mut words = program.split(' ');
        let binary = match words.next().unwrap() {
            "chat_server" => env!("CARGO_BIN_EXE_chat_server"),
            "chat_client" => env!("CARGO_BIN_EXE_chat_client"),
            "minitcp" => env!("CARGO_BIN_EXE_minitcp"),
            other => panic!("no program {other}"),
        };
        let args = args.replace("SCRIPTS", SCRIPTS);
        // A short name, since the system takes two megabytes of arguments at most.
        let args = args.replace("MANY", &"s ".repeat(150_000));
        let line: Vec<&str> = front.iter().copied().chain([binary]).chain(words).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).args(args.split_whitespace()).current_dir(&self.folder);
        command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let stdout = child.stdout.take().map(Heard::from).unwrap_or_default();
        let stderr = child.stderr.take().map(Heard::from).unwrap_or_default();
        let what = format!("{program} {}", &args[..args.len().min(120)]);
        Running { child, stdout, stderr, what }
    }

    /// Gives the kernel an address, on `lo`.
    pub(crate) fn give_kernel(&self, address: &str) {
        run("ip", &["address", "add", address, "dev", "lo"]);
    }

    /// Gives a script of `minitcp pkt` the shortest of names.
    pub(crate) fn link_script(&self) {
        std::os::unix::fs::symlink(format!("{SCRIPTS}/{SCRIPT}"), self.folder.join("s")).unwrap();
    }

    /// What a trial has made on purpose.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// Neither files, but for those that were there before, nor devices.
    fn must_be_empty(&self, program: &Program) {
        if let Needs::Files(commands) = program.needs {
            commands.iter().for_each(|words| self.remove(words.rsplit(' ').next().unwrap()));
        }
        let left: Vec<_> = fs::read_dir(&self.folder).unwrap().map(Result::unwrap).collect();
        assert!(left.is_empty(), "{} left {left:?}", program.name);
        if !matches!(program.needs, Needs::Nothing | Needs::Files(_)) {
            let devices = Command::new("ip").args(["-o", "link"]).output().unwrap().stdout;
            let devices = String::from_utf8(devices).unwrap();
            assert!(!devices.contains("tun"), "{} left {devices}", program.name);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.peer.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program that runs in a process group of its own; killed if it is forgotten.
pub(crate) struct Running {
    child: Child,
    stdout: Heard,
    stderr: Heard,
    what: String,
}

/// What has become of one.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    /// Types `text`; the input ends only with [`end`](Self::end).
    pub(crate) fn type_in(&mut self, text: &str) {
        // Who does not read has ended.
        let _ = self.child.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Sends SIGINT; it must be running still.
    pub(crate) fn interrupt(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended by itself, {status}: {}", self.what, self.stderr.so_far());
        }
        run("kill", &["-INT", &self.child.id().to_string()]);
    }

    /// Ends its input and waits for it; it has a minute, and may leave nobody behind.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{} does not end", self.what);
            thread::sleep(Duration::from_millis(10));
        };
        let group = format!("-{}", self.child.id());
        let others = Command::new("kill").args(["-0", "--", &group]).output().unwrap();
        assert!(!others.status.success(), "{} left processes", self.what);
        Ended { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    /// Until it heeds SIGINT and has printed `text`, which takes a while on a busy machine; and a
    /// moment longer.
    pub(crate) fn let_it_begin(&self, text: &str) {
        let began = Instant::now();
        while !(heeds_interrupts(self.child.id()) && self.stdout.so_far().contains(text)) {
            assert!(began.elapsed() < Duration::from_secs(20), "{} does not begin", self.what);
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program says, read as it is said, so that no pipe gets full.
#[derive(Default)]
struct Heard {
    octets: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Heard {
    fn from(mut pipe: impl io::Read + Send + 'static) -> Self {
        let octets = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&octets);
        let reader = thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut some) {
                heard.lock().unwrap().extend_from_slice(&some[..count]);
            }
        });
        Self { octets, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.octets.lock().unwrap()).into_owned()
    }

    fn all(&mut self) -> String {
        self.reader.take().map_or(Ok(()), thread::JoinHandle::join).unwrap();
        self.so_far()
    }
}

/// Standard output that nobody reads.
pub(crate) fn closed_pipe() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Standard output without room.
pub(crate) fn full_device() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Whether a process catches SIGINT, the second signal (proc(5)). One that has ended does not.
pub(crate) fn heeds_interrupts(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    caught.is_some_and(|mask| mask & 0b10 != 0)
}

/// Until somebody serves `address`.
pub(crate) fn wait_for(address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    for _ in 0..200 {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody serves {address}");
}

fn echo(listener: TcpListener) -> impl FnOnce() {
    move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}");
}

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../minitcp-driver-sim/tests/scripts");
const SCRIPT: &str = "rfc9293-close/passive.pkt";
