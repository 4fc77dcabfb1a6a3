//! The jitter buffer's shelf: packets by sequence number, a fixed number of places, nothing allocated after it is made.

use crate::cells::{Cells, Chain, cells};
use crate::frame::Packet;
use crate::ring::{Item as _, Load as _};
use crate::units::Ticks;

/// Packets held. With 20 ms packets this is far beyond the delay limit; it bounds memory against shorter ones.
pub const CAPACITY: usize = 64;
/// Payload held, bytes: as many packets of G.711, or the longest delay allowed (300 ms) of Opus at 270 kbit/s, several times what
/// speech is sent at. A packet beyond it is refused, and concealed as if it had been lost.
const PAYLOAD_BYTES: usize = CAPACITY * 160;

/// A packet's place in the stream.
pub(crate) struct Entry {
    head: Packet<()>,
    /// The payload, while it waits.
    payload: Option<Chain>,
    /// Sequence number without wrap.
    pub(crate) seq: i64,
    /// Where it lies in media time.
    pub(crate) pos: Ticks,
    pub(crate) length: Ticks,
    /// The stream starts afresh here: what is missing before is no loss.
    pub(crate) fresh: bool,
}

impl Entry {
    fn waits(&self) -> bool {
        self.payload.is_some()
    }
}

/// Packets whose numbers span less than [`CAPACITY`].
pub(crate) struct Store {
    entries: Box<[Option<Entry>]>,
    payloads: Cells,
    held: usize,
    /// The packet that is looked at.
    current: Packet,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            entries: (0..CAPACITY).map(|_| None).collect(),
            payloads: Cells::new(cells(PAYLOAD_BYTES)),
            held: 0,
            current: Packet::default(),
        }
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
            .find(|at| self.entries[*at].as_ref().is_some_and(|entry| entry.waits() && entry.seq >= from))
    }

    /// What is at a place that [`first`](Self::first) gave, also after it was taken.
    pub(crate) fn at(&self, place: usize) -> &Entry {
        self.entries[place]
            .as_ref()
            .expect("first() gives occupied places, and they are overwritten, not emptied")
    }

    /// The packet at a place that [`first`](Self::first) gave; it goes on waiting.
    pub(crate) fn packet(&mut self, place: usize) -> &Packet {
        if let Some((entry, chain)) =
            self.entries[place].as_ref().and_then(|e| Some((e, e.payload.as_ref()?)))
        {
            self.current.refill(&entry.head, |bytes| self.payloads.read(chain, bytes));
        }
        &self.current
    }

    /// The packet at a place that [`first`](Self::first) gave; it waits no longer.
    pub(crate) fn take(&mut self, place: usize) -> &Packet {
        self.packet(place);
        self.give_up(place);
        &self.current
    }

    fn give_up(&mut self, place: usize) {
        if let Some(chain) = self.entries[place].as_mut().and_then(|entry| entry.payload.take()) {
            self.payloads.give_back(chain);
            self.held -= 1;
        }
    }

    /// Gives up all packets with numbers below `seq`; gives how many there were.
    pub(crate) fn drop_before(&mut self, seq: i64) -> u64 {
        let before = self.held;
        for place in 0..CAPACITY {
            if self.entries[place].as_ref().is_some_and(|entry| entry.seq < seq) {
                self.give_up(place);
            }
        }
        (before - self.held) as u64
    }

    pub(crate) fn clear(&mut self) {
        self.drop_before(i64::MAX);
    }

    /// Puts a packet in its place, if its payload has room; says whether. The caller has made room for its number.
    pub(crate) fn insert(
        &mut self,
        packet: &Packet,
        seq: i64,
        pos: Ticks,
        length: Ticks,
        fresh: bool,
    ) -> bool {
        let place = place(seq);
        if self.entries[place].as_ref().is_some_and(Entry::waits) {
            debug_assert!(false, "no room was made for {seq}");
            return false;
        }
        let Some(payload) = self.payloads.put(packet.payload()) else { return false };
        self.entries[place] =
            Some(Entry { head: packet.head(), payload: Some(payload), seq, pos, length, fresh });
        self.held += 1;
        true
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

    #[test]
    fn payloads_are_bounded_in_bytes_and_come_back_whole() {
        let mut store = Store::new();
        let packet = |seq: i64| {
            Packet::new(Nanos(seq as u64), ModelCodec::Opus, seq as u16, 0, false, &[seq as u8; 1275])
                .unwrap()
        };
        let held = (0..CAPACITY as i64)
            .take_while(|seq| store.insert(&packet(*seq), *seq, Ticks(0), Ticks(1), false));
        assert_eq!(held.count(), PAYLOAD_BYTES / 1280, "the longest packets of Opus");
        assert_eq!(store.len(), PAYLOAD_BYTES / 1280);
        assert_eq!(store.packet(2).payload(), [2; 1275]);
        assert_eq!(store.take(5).payload(), [5; 1275]);
        assert_eq!(store.len(), PAYLOAD_BYTES / 1280 - 1);
        assert!(store.insert(&packet(30), 30, Ticks(0), Ticks(1), false), "there is room again");
        store.clear();
        let small = Packet::new(Nanos(0), ModelCodec::Pcmu, 0, 0, false, &[9; 160]).unwrap();
        assert!(
            (100..164).all(|seq| store.insert(&small, seq, Ticks(0), Ticks(1), false)),
            "every place with G.711"
        );
    }
}
