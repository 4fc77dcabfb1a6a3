//! The jitter buffer's shelf: packets by sequence number, a fixed number of places, nothing allocated after it is made.

use crate::frame::Packet;
use crate::units::Ticks;

/// Packets held. With 20 ms packets this is far beyond the delay limit; it bounds memory against shorter ones.
pub const CAPACITY: usize = 64;

/// A packet with its place in the stream.
pub(crate) struct Entry {
    pub(crate) packet: Packet,
    /// Sequence number without wrap.
    pub(crate) seq: i64,
    /// Where it lies in media time.
    pub(crate) pos: Ticks,
    pub(crate) length: Ticks,
    /// The stream starts afresh here: what is missing before is no loss.
    pub(crate) fresh: bool,
    waiting: bool,
}

/// Packets whose numbers span less than [`CAPACITY`].
pub(crate) struct Store {
    entries: Box<[Option<Entry>]>,
    held: usize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { entries: (0..CAPACITY).map(|_| None).collect(), held: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.held
    }

    /// The place of the oldest packet whose number is `from` or higher.
    pub(crate) fn first(&self, from: i64) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        (from..from + CAPACITY as i64)
            .map(place)
            .find(|at| self.entries[*at].as_ref().is_some_and(|entry| entry.waiting && entry.seq >= from))
    }

    /// What is at a place that [`first`](Self::first) gave, also after it was taken.
    pub(crate) fn at(&self, place: usize) -> &Entry {
        self.entries[place]
            .as_ref()
            .expect("first() gives occupied places, and they are overwritten, not emptied")
    }

    /// The packet no longer waits; it can be looked at until its place is needed.
    pub(crate) fn take(&mut self, place: usize) {
        if let Some(entry) = self.entries[place].as_mut().filter(|entry| entry.waiting) {
            entry.waiting = false;
            self.held -= 1;
        }
    }

    /// Gives up all packets with numbers below `seq`; gives how many there were.
    pub(crate) fn drop_before(&mut self, seq: i64) -> u64 {
        let mut dropped = 0;
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.waiting && entry.seq < seq) {
            entry.waiting = false;
            dropped += 1;
        }
        self.held -= dropped;
        dropped as u64
    }

    pub(crate) fn clear(&mut self) {
        self.drop_before(i64::MAX);
    }

    /// Puts a packet in its place. The caller has made room for its number.
    pub(crate) fn insert(&mut self, packet: &Packet, seq: i64, pos: Ticks, length: Ticks, fresh: bool) {
        let place = &mut self.entries[place(seq)];
        if place.as_ref().is_some_and(|entry| entry.waiting) {
            debug_assert!(false, "no room was made for {seq}");
            return;
        }
        *place = Some(Entry { packet: *packet, seq, pos, length, fresh, waiting: true });
        self.held += 1;
    }
}

fn place(seq: i64) -> usize {
    seq.rem_euclid(CAPACITY as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ModelCodec;
    use crate::units::Nanos;

    #[test]
    fn gives_the_oldest_first_and_forgets_what_was_taken() {
        let mut store = Store::new();
        let packet = Packet::new(Nanos(0), ModelCodec::Pcmu, 0, 0, false, &[0]).unwrap();
        for seq in [65_540, 65_537, 65_538] {
            store.insert(&packet, seq, Ticks(seq), Ticks(1), false);
        }
        let mut order = Vec::new();
        while let Some(at) = store.first(65_530) {
            order.push(store.at(at).seq);
            store.take(at);
        }
        assert_eq!(order, [65_537, 65_538, 65_540]);
        assert_eq!(store.len(), 0);
        store.insert(&packet, 65_541, Ticks(0), Ticks(1), false);
        assert_eq!(store.first(65_542), None);
        assert_eq!((store.drop_before(65_542), store.len()), (1, 0));
    }
}
