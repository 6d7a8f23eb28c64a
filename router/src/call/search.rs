//! The search for a call's ID in its first message.

use super::{Call, Phase};
use crate::{
    error::Error,
    peek::{Peek, Search, glance},
    route::{self, KnownIds},
};

impl Call {
    /// Looks through the next bytes of the request. Where the whole message is there, which is usual, its target is known
    /// afterwards; else [`Search::Under`] says how far it is.
    pub(crate) fn look_for_id(&mut self, data: &[u8], known: &mut KnownIds) -> Result<(), Error> {
        if let Search::Due(limits, encoding) = self.search {
            if data.is_empty() {
                return Ok(());
            }
            if let Some(found) = glance(limits, data) {
                self.search = Search::Over;
                if !found.affinity.is_empty() {
                    self.affinity = found.affinity.into();
                }
                return self.aim(found.id, known);
            }
            self.search = Search::Under(Box::new(Peek::new(limits, encoding)));
        }
        if let Search::Under(peek) = &mut self.search {
            peek.push(data).map_err(Error::bad_message)?;
            if self.phase == Phase::Forwarding && peek.is_done() {
                self.search = Search::Over;
            }
        }
        Ok(())
    }

    /// Sets the call's target by the ID in its message.
    fn aim(&mut self, id: &[u8], known: &mut KnownIds) -> Result<(), Error> {
        let Some(method) = &self.method else { return Ok(()) };
        if self.target_header.is_none()
            && let Some(target) = known.get(method.kind, id)
        {
            self.target = Some(target.clone());
            return Ok(());
        }
        let target = route::decide_by_message(method, self.target_header.as_deref(), id, false)?;
        if self.target_header.is_none() && !id.is_empty() {
            known.insert(method.kind, id, target.clone());
        }
        self.target = Some(target);
        Ok(())
    }
}
