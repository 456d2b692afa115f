//! Counts requests to stores and APIs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Numbers of requests, by kinds that are priced differently.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// GET and HEAD.
    pub get: u64,
    /// PUT, COPY, and each part of an upload.
    pub put: u64,
    pub list: u64,
    pub delete: u64,
    /// Events put on a bus.
    pub events: u64,
    /// Requests to a source API, every attempt counted.
    #[serde(default)]
    pub api: u64,
}

impl std::ops::Sub for Requests {
    type Output = Requests;

    fn sub(self, earlier: Requests) -> Requests {
        Requests {
            get: self.get.saturating_sub(earlier.get),
            put: self.put.saturating_sub(earlier.put),
            list: self.list.saturating_sub(earlier.list),
            delete: self.delete.saturating_sub(earlier.delete),
            events: self.events.saturating_sub(earlier.events),
            api: self.api.saturating_sub(earlier.api),
        }
    }
}

/// Counts requests. Clones share their counters.
#[derive(Debug, Default, Clone)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    get: AtomicU64,
    put: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    events: AtomicU64,
    api: AtomicU64,
}

impl Meter {
    pub fn requests(&self) -> Requests {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { get, put, list, delete, events, api } = &*self.0;
        Requests {
            get: load(get),
            put: load(put),
            list: load(list),
            delete: load(delete),
            events: load(events),
            api: load(api),
        }
    }

    pub fn count(&self, more: Requests) {
        let add = |counter: &AtomicU64, more| counter.fetch_add(more, Ordering::Relaxed);
        add(&self.0.get, more.get);
        add(&self.0.put, more.put);
        add(&self.0.list, more.list);
        add(&self.0.delete, more.delete);
        add(&self.0.events, more.events);
        add(&self.0.api, more.api);
    }
}
