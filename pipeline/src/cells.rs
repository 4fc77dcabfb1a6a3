//! Payloads of any length in one block of memory of fixed size: cut into cells, chained, given back in any order.
//!
//! A place for each payload at its largest would be eight times what speech needs; a circle of bytes could not be emptied
//! out of order. Cells waste half of one a payload, cannot be fragmented, and take and give in a bounded number of steps.

/// Bytes of a cell: 20 ms of G.711 are five, of Opus two or three. Larger wastes more of the last one; smaller takes more steps.
pub(crate) const CELL_BYTES: usize = 32;
/// Ends a chain.
const NONE: u16 = u16::MAX;

/// The cells of a block.
pub(crate) struct Cells {
    bytes: Box<[[u8; CELL_BYTES]]>,
    /// The cell that follows each one in its chain, that of the free ones included.
    next: Box<[u16]>,
    free: u16,
    left: usize,
}

/// Where a payload lies. Not to be copied: it is given back once.
#[derive(Debug)]
pub(crate) struct Chain {
    first: u16,
    len: u16,
}

/// Cells that `bytes` take.
pub(crate) const fn cells(bytes: usize) -> usize {
    bytes.div_ceil(CELL_BYTES)
}

impl Cells {
    /// A block of `count` cells, 65 535 at most.
    pub(crate) fn new(count: usize) -> Self {
        let count = count.min(usize::from(NONE));
        let next = (1..=count).map(|i| if i == count { NONE } else { i as u16 }).collect();
        Self {
            bytes: vec![[0; CELL_BYTES]; count].into_boxed_slice(),
            next,
            free: if count == 0 { NONE } else { 0 },
            left: count,
        }
    }

    /// Keeps a copy of `payload`; `None` if too few cells are left.
    pub(crate) fn put(&mut self, payload: &[u8]) -> Option<Chain> {
        let (count, len) = (cells(payload.len()), u16::try_from(payload.len()).ok()?);
        if count > self.left {
            return None;
        }
        let (first, mut last) = (self.free, NONE);
        for piece in payload.chunks(CELL_BYTES) {
            last = self.free;
            self.bytes[usize::from(last)][..piece.len()].copy_from_slice(piece);
            self.free = self.next[usize::from(last)];
        }
        if last == NONE {
            return Some(Chain { first: NONE, len });
        }
        self.next[usize::from(last)] = NONE;
        self.left -= count;
        Some(Chain { first, len })
    }

    /// Copies a payload to the beginning of `out`, which is at least as long.
    pub(crate) fn read(&self, chain: &Chain, out: &mut [u8]) {
        let mut cell = chain.first;
        for piece in out[..usize::from(chain.len)].chunks_mut(CELL_BYTES) {
            piece.copy_from_slice(&self.bytes[usize::from(cell)][..piece.len()]);
            cell = self.next[usize::from(cell)];
        }
    }

    /// Takes a payload's cells back.
    pub(crate) fn give_back(&mut self, chain: Chain) {
        let mut cell = chain.first;
        while cell != NONE {
            let next = std::mem::replace(&mut self.next[usize::from(cell)], self.free);
            self.free = cell;
            self.left += 1;
            cell = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back_whole_in_any_order_and_leave_nothing_behind() {
        let mut cells = Cells::new(20);
        let payload = |len: usize, seed: usize| (0..len).map(|i| (i * 31 + seed) as u8).collect::<Vec<_>>();
        let mut held: Vec<(Vec<u8>, Chain)> = Vec::new();
        for round in 0..2_000 {
            let len = [0, 1, 31, 32, 33, 80, 250][round * 5 % 7];
            let bytes = payload(len, round);
            match cells.put(&bytes) {
                Some(chain) => held.push((bytes, chain)),
                None => assert!(held.iter().map(|(b, _)| super::cells(b.len())).sum::<usize>() + 8 > 20),
            }
            if round % 3 > 0 && !held.is_empty() {
                let (bytes, chain) = held.remove(round * 7 % held.len());
                let mut out = vec![0; bytes.len() + 3];
                cells.read(&chain, &mut out);
                assert_eq!((&out[..bytes.len()], &out[bytes.len()..]), (&bytes[..], &[0; 3][..]));
                cells.give_back(chain);
            }
        }
        held.drain(..).for_each(|(_, chain)| cells.give_back(chain));
        assert_eq!(cells.left, 20);
        assert!(cells.put(&payload(20 * CELL_BYTES, 1)).is_some(), "every cell is in the free chain once");
        assert!(cells.put(&[1]).is_none());
        assert!(cells.put(&[]).is_some(), "nothing needs no cell");
    }
}
