//! What does a network do about its journal?

use minitcp_proto::{Instant, Observer, Stack};

use super::host::App;
use crate::ids::NodeId;
use crate::journal::text::follow::Cursor;
use crate::journal::text::log::{Log, Place};

/// It writes one, or does what one says.
pub(crate) enum Chronicle {
    Record(Log),
    Replay(Cursor),
}

impl Chronicle {
    /// A host whose clock says `now` has its turn. Returns when its app wants to be called again.
    pub(crate) fn attend<O: Observer>(
        &self,
        node: NodeId,
        place: Place,
        (stack, now): (&mut Stack<'static, O>, Instant),
        app: Option<&mut App<O>>,
    ) -> Option<Instant> {
        match self {
            Self::Record(log) => {
                log.lock().enter_app(node, place);
                let wake = app.and_then(|app| app(stack, now));
                log.lock().leave_app(node, wake);
                wake
            }
            // The calls have the time that the host's clock said.
            Self::Replay(cursor) => cursor.lock().attend(node, place, stack),
        }
    }
}
