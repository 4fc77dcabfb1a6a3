//! The sound of one item of a reply: what has come of it, and what of that has been played. Pure.

use std::collections::VecDeque;

/// 20 ms of mu-law.
pub const FRAME_BYTES: usize = 160;
/// Bytes of mu-law in a millisecond.
pub const BYTES_PER_MS: usize = 8;
/// Mu-law's zero.
const SILENCE: u8 = 0xff;

/// One item's sound.
#[derive(Debug)]
pub struct Held {
    /// `resp_…`.
    pub response_id: String,
    /// The item.
    pub item_id: String,
    /// It is in the conversation: it can be truncated.
    pub in_conversation: bool,
    /// No more of it comes.
    pub complete: bool,
    /// The pieces that came, consumed from the front: what has been played is freed at once.
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that are gone.
    offset: usize,
    received: usize,
    played: usize,
    waiting: usize,
}

impl Held {
    /// An item of which nothing has come yet.
    pub fn new(response_id: String, item_id: String, in_conversation: bool) -> Self {
        Self {
            response_id,
            item_id,
            in_conversation,
            complete: false,
            pieces: VecDeque::new(),
            offset: 0,
            received: 0,
            played: 0,
            waiting: 0,
        }
    }

    /// Adds what has come.
    pub fn push(&mut self, piece: Vec<u8>) {
        self.received += piece.len();
        self.waiting += piece.len();
        self.pieces.push_back(piece);
    }

    /// Bytes that came.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Bytes that have not been played.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes that have been played.
    pub fn played(&self) -> usize {
        self.played
    }

    /// Whether a frame can be taken. The last one may be short.
    pub fn has_frame(&self) -> bool {
        self.waiting >= FRAME_BYTES || (self.complete && self.waiting > 0)
    }

    /// The next frame, the last one filled up with silence.
    pub fn take_frame(&mut self) -> Option<[u8; FRAME_BYTES]> {
        if !self.has_frame() {
            return None;
        }
        let mut frame = [SILENCE; FRAME_BYTES];
        let mut filled = 0;
        while let Some(piece) = self.pieces.front()
            && filled < FRAME_BYTES
        {
            let rest = &piece[self.offset..];
            let n = rest.len().min(FRAME_BYTES - filled);
            frame[filled..filled + n].copy_from_slice(&rest[..n]);
            filled += n;
            self.offset += n;
            if self.offset == piece.len() {
                self.pieces.pop_front();
                self.offset = 0;
            }
        }
        self.waiting -= filled;
        self.played += filled;
        Some(frame)
    }

    /// Drops what has not been played; how much came is still known. Gives the bytes that were dropped.
    pub fn drop_waiting(&mut self) -> usize {
        self.pieces.clear();
        self.offset = 0;
        self.complete = true;
        std::mem::take(&mut self.waiting)
    }
}
