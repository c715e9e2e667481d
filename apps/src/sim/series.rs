//! A run as it is watched: after each event, what has changed goes to the CSV and to the plot.

use std::sync::{Arc, Mutex, PoisonError};

use minitcp_driver_sim::{LinkId, Network, NodeId, Recorder, Running};

use super::csv::Csv;
use super::plot::Plot;
use super::seen::{News, Wire};

/// Watches all flows of one sender over one link.
pub(super) struct Series {
    pub(super) csv: Option<Csv>,
    pub(super) plot: Option<Plot>,
    pub(super) sender: NodeId,
    pub(super) link: LinkId,
    pub(super) wire: Arc<Mutex<Wire>>,
    pub(super) news: Vec<News>,
}

impl Series {
    /// Somebody wants to know.
    pub(super) const fn is_wanted(&self) -> bool {
        self.csv.is_some() || self.plot.is_some()
    }

    /// Something has happened.
    pub(super) fn look(&mut self, network: &mut Network<Recorder>, flows: &[Running]) {
        if !self.is_wanted() {
            return;
        }
        let wire = Arc::clone(&self.wire);
        let mut wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
        wire.fetch(&mut self.news);
        let now = network.now();
        let [queue, _] = network.queued(self.link);
        let [queue_ends, _] = network.queue_ends(self.link);
        if let Some(plot) = &mut self.plot
            && !self.news.is_empty()
        {
            plot.queue(now, queue, queue_ends);
        }
        let mut previous = None;
        for News { flow, sign } in &self.news {
            if let Some(plot) = &mut self.plot {
                plot.sign(now, *flow, sign);
            }
            if previous.replace(*flow) == Some(*flow) {
                continue;
            }
            let id = flows.get(*flow).and_then(Running::connection);
            let info = id.and_then(|id| network.info(self.sender, id));
            let Some(sample) = info.and_then(|info| wire.sample(*flow, &info, queue)) else {
                continue;
            };
            if let Some(csv) = &mut self.csv {
                csv.sample(now, *flow, &sample);
            }
            if let Some(plot) = &mut self.plot {
                plot.sample(now, *flow, &sample);
            }
        }
    }
}
