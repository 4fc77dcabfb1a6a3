//! Connections that have not proved who they are. They have a pool of their own, so that however many of them there are, they take
//! nothing from calls; and when it is full the oldest of them makes room for the next, so that Twilio always gets in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

/// Connections without proof at once. Each costs about 20 kB and a file descriptor.
const CAPACITY: usize = 1024;
/// Of the process's file descriptors they get this part; a call needs two, and the rest of the house some.
const DESCRIPTOR_SHARE: usize = 4;

/// How many connections without proof this process can afford.
pub fn capacity() -> usize {
    // Linux says so there; elsewhere the limits are generous or the accept loop finds out.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files(&limits) {
        Some(limit) => CAPACITY.min(limit / DESCRIPTOR_SHARE).max(1),
        None => CAPACITY,
    }
}

/// The soft limit of open files in the text of `/proc/self/limits`; `None` if there is none.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    held: usize,
    /// Those that may be put out, the oldest first.
    unproven: BTreeMap<u64, Arc<Notify>>,
    /// Connections with proof, and how they are held.
    places: BTreeMap<u64, Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unproven,
    Proven,
}

/// A connection's place. Dropping it leaves the pool.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Pool>,
    id: u64,
    out: Arc<Notify>,
}

impl Pool {
    /// An empty pool.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, inner: Mutex::default() })
    }

    /// A place for a new connection, at the cost of the oldest one without proof if need be. `None`: all that are here have proved
    /// themselves and are being served.
    pub fn enter(self: &Arc<Self>) -> Option<Slot> {
        let mut inner = self.lock();
        if inner.held >= self.capacity {
            inner.put_out_oldest().then_some(())?;
        }
        inner.held += 1;
        inner.next += 1;
        let (id, out) = (inner.next, Arc::new(Notify::new()));
        inner.unproven.insert(id, out.clone());
        inner.places.insert(id, Place::Unproven);
        drop(inner);
        Some(Slot { pool: self.clone(), id, out })
    }

    /// Puts the oldest connection without proof out: the process has run out of descriptors.
    pub fn make_room(&self) -> bool {
        self.lock().put_out_oldest()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Inner {
    fn put_out_oldest(&mut self) -> bool {
        let Some((id, out)) = self.unproven.pop_first() else { return false };
        self.leave(id);
        out.notify_one();
        metrics::counter!("aria_connections_total", "outcome" => "put_out").increment(1);
        true
    }

    fn leave(&mut self, id: u64) {
        self.unproven.remove(&id);
        if self.places.remove(&id).is_some() {
            self.held -= 1;
        }
    }
}

impl Slot {
    /// The request now being served carries a proof: it will not be put out.
    pub fn prove(&self) {
        let mut inner = self.pool.lock();
        if let Some(place) = inner.places.get_mut(&self.id) {
            *place = Place::Proven;
            inner.unproven.remove(&self.id);
        }
    }

    /// Another request began: proof is needed anew.
    pub fn doubt(&self) {
        let mut inner = self.pool.lock();
        if inner.places.get(&self.id) == Some(&Place::Proven) {
            inner.places.insert(self.id, Place::Unproven);
            inner.unproven.insert(self.id, self.out.clone());
        }
    }

    /// It is a call's from now on, and counts no longer here.
    pub fn leave(&self) {
        self.pool.lock().leave(self.id);
    }

    /// Resolves when it must go.
    pub async fn put_out(&self) {
        self.out.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_out(slot: &Slot) -> bool {
        slot.put_out().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_without_proof_makes_room() {
        let pool = Pool::new(3);
        let slots: Vec<_> = (0..3).map(|_| pool.enter().unwrap()).collect();
        slots[0].prove();
        let fourth = pool.enter().unwrap();
        assert!(!is_out(&slots[0]) && is_out(&slots[1]) && !is_out(&slots[2]));
        slots[2].prove();
        fourth.prove();
        assert!(pool.enter().is_none(), "all are being served");
        slots[0].doubt();
        assert!(pool.enter().is_some());
        assert!(is_out(&slots[0]));
    }

    #[test]
    fn the_limit_of_open_files_is_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95000                95000                processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(text), Some(1024));
        assert_eq!(
            open_files("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(open_files(""), None);
        assert!((1..=CAPACITY).contains(&capacity()));
    }

    #[test]
    fn leaving_counts_once() {
        let pool = Pool::new(2);
        let (a, b) = (pool.enter().unwrap(), pool.enter().unwrap());
        a.leave();
        drop(a);
        assert_eq!(pool.lock().held, 1);
        let _c = pool.enter().unwrap();
        assert!(!is_out(&b));
        let _d = pool.enter().unwrap();
        assert!(is_out(&b));
        drop(b);
        assert_eq!(pool.lock().held, 2);
    }
}
