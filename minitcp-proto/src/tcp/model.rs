//! What a connection with a model of its path (BBR) tells the model: what leaves, what arrives and
//! what is lost. The models are lent; a connection driven by a window alone has none and pays
//! nothing.

use crate::config::Congestion;
use crate::seq::SeqNum;
use crate::store::slab::{MaybeKey, Slab};
use crate::tcp::congestion::bbr::{Ack, Model, Start};
use crate::tcp::congestion::modelled::Modelled;
use crate::tcp::congestion::{AnyController, Signal, initial_window};
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::heed::News;
use crate::tcp::send::rate::{Arrival, Rate};
use crate::time::Instant;

/// The path of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    rate: Rate,
    model: Model,
}

/// The models of all connections. Who finds none free goes on with CUBIC.
#[derive(Debug)]
pub(crate) struct Models<'m>(Slab<'m, Course>);

impl<'m> Models<'m> {
    pub(crate) const fn new(slots: Slab<'m, Course>) -> Self {
        Self(slots)
    }

    fn get_mut(&mut self, of: &Modelled) -> Option<&mut Course> {
        self.0.get_mut(of.key.get()?)
    }

    /// Gives the model of `congestion` back, if it has one.
    pub(crate) fn give_back(&mut self, congestion: &AnyController) {
        let key = congestion.modelled().and_then(|of| of.key.get());
        if let Some(key) = key.filter(|key| self.0.get(*key).is_some()) {
            self.0.remove(key.index);
        }
    }

    /// Models in use.
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }

    /// The rate at which octets are delivered, in octets a second; `None` if that is not measured.
    pub(crate) fn delivery_rate(&self, congestion: &AnyController) -> Option<u64> {
        let course = self.0.get(congestion.modelled()?.key.get()?)?;
        Some(course.model.bw()).filter(|rate| *rate > 0)
    }
}

/// What an acknowledgment says that a model wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Octets that were not known to have arrived.
    pub(crate) delivered: u32,
    /// The end of the last of them that were sent once only.
    pub(crate) once: Option<SeqNum>,
    /// Most octets in flight in the last round trip.
    pub(crate) flight: u32,
    /// Octets marked lost upon it.
    pub(crate) lost: u32,
}

impl Heard {
    pub(crate) fn of(news: &News, delivered: u32, lost: u32) -> Self {
        Self { delivered, once: news.delivered.once, flight: news.flight, lost }
    }
}

/// Does something with the model of `tcb`, and takes over what it decides.
#[inline]
fn with<O>(tcb: &mut Tcb, cx: &mut Context<'_, O>, act: impl FnOnce(&mut Course, &Tcb, Instant)) {
    if tcb.congestion.modelled().is_some() {
        with_course(tcb, cx, act);
    }
}

#[inline(never)] // Not in the way of windows.
fn with_course<O>(
    tcb: &mut Tcb,
    cx: &mut Context<'_, O>,
    act: impl FnOnce(&mut Course, &Tcb, Instant),
) {
    let now = cx.now;
    let Some(mut decided) = tcb.congestion.modelled().copied() else { return };
    if cx.models.get_mut(&decided).is_none() {
        let Some(key) = begin(tcb, cx) else {
            cx.stats.unmodelled += 1;
            tcb.congestion = tcb.congestion.handed_to(Congestion::Cubic);
            return;
        };
        decided.key = key;
    }
    let Some(course) = cx.models.get_mut(&decided) else { return };
    act(course, tcb, now);
    decided.take(&course.model);
    tcb.congestion = AnyController::Bbr(decided);
}

/// A model of which nothing is known yet.
fn begin<O>(tcb: &Tcb, cx: &mut Context<'_, O>) -> Option<MaybeKey> {
    let smss = u32::from(tcb.send.smss);
    let start = Start {
        initial_cwnd: tcb.congestion.cwnd().max(initial_window(smss)),
        smss,
        srtt_micros: tcb.rtt.srtt_micros().unwrap_or(0),
        has_selective_acks: tcb.receive.sack.is_permitted,
        // No two connections probe together for long.
        seed: u64::from(tcb.send.iss.0) << 32 | cx.now.as_nanos() | 1,
    };
    let course = Course { rate: Rate::new(cx.now), model: Model::new(&start, cx.now) };
    cx.models.0.insert(course).ok().map(MaybeKey::from)
}

/// Octets `from .. to` are about to leave, for the first time if they `are_new`.
#[inline]
pub(crate) fn on_transmit<O>(
    tcb: &mut Tcb,
    (from, to): (SeqNum, SeqNum),
    are_new: bool,
    cx: &mut Context<'_, O>,
) {
    with(tcb, cx, |course, tcb, now| {
        let flight = tcb.recovery.pipe(&tcb.send);
        course.model.on_transmit(flight, course.rate.is_app_limited(), now);
        if are_new {
            course.rate.on_transmit(from, to, flight, now);
        } else {
            course.rate.on_retransmit(flight, now);
        }
    });
}

/// The application has written, `unsent` octets being there before: if that was less than a segment
/// and the window takes more, there was a gap. Before the handshake is over there was nothing.
#[inline]
pub(crate) fn on_write<O>(tcb: &mut Tcb, unsent: u32, cx: &mut Context<'_, O>) {
    if !tcb.state().is_synchronized() {
        return;
    }
    with(tcb, cx, |course, tcb, _| {
        let flight = tcb.recovery.pipe(&tcb.send);
        if is_short(tcb, unsent, flight) {
            course.rate.on_app_limited(flight);
        }
    });
}

/// There is less to send than a segment, and the window would take more.
fn is_short(tcb: &Tcb, unsent: u32, flight: u32) -> bool {
    unsent < u32::from(tcb.send.smss)
        && flight < tcb.congestion.cwnd()
        && tcb.recovery.first_is_sent()
}

/// An acknowledgment has come, and what it says of losses and recoveries is told already.
#[inline]
pub(crate) fn on_ack<O>(tcb: &mut Tcb, heard: Heard, cx: &mut Context<'_, O>) {
    with(tcb, cx, |course, tcb, now| {
        let (flight, smss) = (tcb.recovery.pipe(&tcb.send), u32::from(tcb.send.smss));
        let before = flight.saturating_add(heard.delivered).saturating_add(heard.lost);
        if is_short(tcb, tcb.send.unsent(), before) {
            course.rate.on_app_limited(before);
        }
        let arrival = Arrival {
            delivered: heard.delivered,
            once: heard.once,
            lost: heard.lost,
            snd_una: tcb.send.snd_una,
            min_rtt_micros: tcb.rtt.min_micros(),
        };
        let sample = course.rate.on_ack(&arrival, now);
        if heard.lost > 0 {
            let loss = course.rate.loss(heard.lost, 1, Some(tcb.recovery.lost_end()));
            course.model.on_loss(&loss, now);
        }
        let is_cwnd_limited = heard.flight.saturating_add(smss) > tcb.congestion.cwnd();
        course.model.on_ack(&Ack { sample: &sample, flight, smss, is_cwnd_limited }, now);
        if course.model.holds_back() {
            course.rate.on_app_limited(flight);
        }
    });
}

/// Octets are lost, of which no acknowledgment tells.
pub(crate) fn on_lost<O>(tcb: &mut Tcb, lost: u32, cx: &mut Context<'_, O>) {
    with(tcb, cx, |course, tcb, now| {
        if lost > 0 {
            course.rate.on_lost(lost);
            let loss = course.rate.loss(lost, 1, Some(tcb.recovery.lost_end()));
            course.model.on_loss(&loss, now);
        }
    });
}

/// The path is congested, perhaps, with `flight` octets in flight.
#[inline]
pub(crate) fn on_congestion<O>(
    tcb: &mut Tcb,
    signal: Signal,
    flight: u32,
    cx: &mut Context<'_, O>,
) {
    with(tcb, cx, |course, _, now| match signal {
        Signal::Loss => course.model.on_enter_recovery(),
        // RFC 5682 §2.1, step 1: first one segment goes, whatever is still in flight.
        Signal::Timeout | Signal::RepeatedTimeout => course.model.on_timeout(0),
        Signal::Ecn => course.model.on_ecn(flight, now),
    });
}

/// All is repaired.
pub(crate) fn on_recovered<O>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    with(tcb, cx, |course, _, _| course.model.on_exit_recovery());
}

/// Nothing had been lost.
pub(crate) fn on_spurious<O>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    with(tcb, cx, |course, _, _| course.model.on_spurious());
}
