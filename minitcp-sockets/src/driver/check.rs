//! Does a driver do what `Driver` and `Park` ask? A mistake there rarely fails: it makes everything
//! late, or a processor busy.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant as Clock};

use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Park, Seed, Stack};

/// What a driver does that it must not.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriverFault {
    /// A call failed.
    Failed(io::Error),
    /// `park` went on although its unparker had been called before it.
    UnparkedBefore,
    /// `park` went on although its unparker was called meanwhile.
    UnparkedMeanwhile,
    /// `park` went on beyond its deadline, or waited for one that had passed.
    Late,
    /// `park` ends again and again while nothing happens: it will keep a processor busy.
    Restless,
    /// `exchange` waited, or `turn` did for a time that had passed.
    Waits,
    /// `turn` did not wait, or went on beyond the time it was given.
    TurnLate,
    /// `now` or the clock goes back, stands still while time passes, or they differ.
    Clock,
    /// A packet was sent at one end and did not come out at the other one.
    Lost,
    /// A packet came, and `park` did not end.
    Deaf,
}

impl fmt::Display for DriverFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(error) => return write!(f, "the driver failed: {error}"),
            Self::UnparkedBefore => "the unparker, called before park, does not end it",
            Self::UnparkedMeanwhile => "the unparker does not end park",
            Self::Late => "park goes on beyond its deadline",
            Self::Restless => "park does not wait though nothing happens",
            Self::Waits => "exchange waits, or turn does for a time in the past",
            Self::TurnLate => "turn does not wait for the time that it is given, or for longer",
            Self::Clock => "now and the clock differ, or do not go on",
            Self::Lost => "a packet did not come through",
            Self::Deaf => "a packet does not end park",
        })
    }
}

impl std::error::Error for DriverFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// Holds a driver to its contract, as far as that goes without a peer: its clocks, the ends of its
/// waits, and above all its unparker, without which everything works and is late. It takes about
/// half a second if all is well. Nothing should come while it runs; what it sends is lost.
///
/// For the tests of whoever writes a driver:
///
/// ```
/// use minitcp_sockets::driver::{PacketDriver, check_driver};
///
/// let (mut driver, _channel) = PacketDriver::channel(16);
/// check_driver(&mut driver)?;
/// # Ok::<(), minitcp_sockets::driver::DriverFault>(())
/// ```
///
/// # Errors
/// The first fault that shows three times: a busy machine may be late once.
pub fn check_driver<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    let mut stack = stack(1);
    for check in [unparked_before, unparked_meanwhile, deadline, rest, clocks] {
        thrice(|| check(driver))?;
    }
    thrice(|| no_wait(driver, &mut stack))?;
    thrice(|| turn(driver, &mut stack))
}

/// As [`check_driver`], for two drivers at the two ends of one way that loses nothing: each on its
/// own, and whether packets come through and end waits.
///
/// # Errors
/// The first fault that shows three times.
pub fn check_drivers<A, B>(a: &mut A, b: &mut B) -> Result<(), DriverFault>
where
    A: Park<Error: Into<io::Error>>,
    B: Park<Error: Into<io::Error>>,
{
    check_driver(a)?;
    check_driver(b)?;
    thrice(|| packet_comes(a, b))?;
    thrice(|| packet_comes(b, a))
}

/// Long enough that a machine that is busy is not taken for a driver that is late.
const LATE: Duration = Duration::from_millis(150);
const SHORT: Duration = Duration::from_millis(20);

fn thrice(mut check: impl FnMut() -> Result<(), DriverFault>) -> Result<(), DriverFault> {
    check().or_else(|_| check()).or_else(|_| check())
}

fn failed(error: impl Into<io::Error>) -> DriverFault {
    DriverFault::Failed(error.into())
}

fn stack(last: u8) -> Stack<'static> {
    let limits = Limits { buffer_bytes: 1 << 16, connections: 4, ..Limits::default() };
    let config = Config::new([192, 0, 2, last], 24); // RFC 5737 §3: nobody's.
    Stack::new(config, Memory::allocate(&limits), Seed::from_u64(last.into()))
}

/// How long a `park` with a deadline in `span` takes.
fn parked<D: Park<Error: Into<io::Error>>>(
    driver: &mut D,
    span: Duration,
) -> Result<Duration, DriverFault> {
    let start = Clock::now();
    let deadline = driver.now() + span;
    driver.park(Some(deadline)).map_err(failed)?;
    Ok(start.elapsed())
}

/// Takes away what may have ended a wait: an unparker's call, a packet.
fn settle<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    let mut stack = stack(1);
    driver.exchange(&mut stack).map_err(failed)?;
    parked(driver, Duration::from_millis(1)).map(|_| ())
}

fn unparked_before<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    settle(driver)?;
    driver.unparker()();
    if parked(driver, 2 * LATE)? < LATE { Ok(()) } else { Err(DriverFault::UnparkedBefore) }
}

fn unparked_meanwhile<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    settle(driver)?;
    let unpark = driver.unparker();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let thread = thread::spawn(move || {
        thread::sleep(SHORT);
        unpark();
        over.store(true, Ordering::Release);
    });
    // A park that ends early, which it may, has to be waited for again until then.
    let start = Clock::now();
    while !is_over.load(Ordering::Acquire) && start.elapsed() < 2 * LATE {
        parked(driver, 2 * LATE)?;
    }
    let took = start.elapsed();
    let _ = thread.join();
    if took < SHORT + LATE { Ok(()) } else { Err(DriverFault::UnparkedMeanwhile) }
}

fn deadline<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    settle(driver)?;
    let is_late = parked(driver, SHORT)? > SHORT + LATE || parked(driver, Duration::ZERO)? > LATE;
    let start = Clock::now();
    driver.park(Some(Instant::ZERO)).map_err(failed)?;
    if is_late || start.elapsed() > LATE { Err(DriverFault::Late) } else { Ok(()) }
}

fn rest<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    settle(driver)?;
    let until = driver.now() + SHORT;
    let mut waits = 0;
    while driver.now() < until && waits < MOST_WAITS {
        driver.park(Some(until)).map_err(failed)?;
        waits += 1;
    }
    if waits < MOST_WAITS { Ok(()) } else { Err(DriverFault::Restless) }
}

/// How often a `park` of 20 ms may end early.
const MOST_WAITS: u32 = 100;

fn clocks<D: Park<Error: Into<io::Error>>>(driver: &mut D) -> Result<(), DriverFault> {
    let clock = driver.clock();
    let times = [driver.now(), clock(), driver.now()];
    thread::sleep(SHORT);
    let later = [driver.now(), clock(), driver.now()];
    let in_order = [times, later].concat().is_sorted();
    let goes_on = later[0].max(times[2]) - times[2] >= SHORT / 2;
    if in_order && goes_on { Ok(()) } else { Err(DriverFault::Clock) }
}

fn no_wait<D: Park<Error: Into<io::Error>>>(
    driver: &mut D,
    stack: &mut Stack<'_>,
) -> Result<(), DriverFault> {
    let start = Clock::now();
    driver.exchange(stack).map_err(failed)?;
    driver.turn(stack, Some(Instant::ZERO)).map_err(failed)?;
    if start.elapsed() < LATE { Ok(()) } else { Err(DriverFault::Waits) }
}

fn turn<D: Driver<Error: Into<io::Error>>>(
    driver: &mut D,
    stack: &mut Stack<'_>,
) -> Result<(), DriverFault> {
    let (start, until) = (Clock::now(), driver.now() + SHORT);
    let mut turns = 0;
    while driver.now() < until && turns < MOST_WAITS {
        driver.turn(stack, Some(until)).map_err(failed)?;
        turns += 1;
    }
    let is_good = turns < MOST_WAITS && start.elapsed() < SHORT + LATE;
    if is_good { Ok(()) } else { Err(DriverFault::TurnLate) }
}

/// A datagram from `a`'s stack is there when `b` parks, and ends that.
fn packet_comes<A, B>(a: &mut A, b: &mut B) -> Result<(), DriverFault>
where
    A: Park<Error: Into<io::Error>>,
    B: Park<Error: Into<io::Error>>,
{
    settle(b)?;
    let (mut from, mut to) = (stack(1), stack(2));
    let port = |last: u8| ([192, 0, 2, last], 9).into();
    let sender = from.udp_bind(port(1)).map_err(|_| DriverFault::Lost)?;
    from.udp_send(sender, port(2), b"check").map_err(|_| DriverFault::Lost)?;
    a.exchange(&mut from).map_err(failed)?;
    let start = Clock::now();
    while to.stats().packets_in == 0 {
        if start.elapsed() > 2 * LATE {
            return Err(DriverFault::Lost);
        }
        if parked(b, 2 * LATE)? > LATE {
            return Err(DriverFault::Deaf);
        }
        b.exchange(&mut to).map_err(failed)?;
    }
    Ok(())
}
