//! What a buffer is judged by.

/// Delays and concealment of one or more runs.
#[derive(Default, Clone)]
pub struct Score {
    /// Of each packet played: when, less when it was sent and the base path, ms.
    pub added: Vec<f32>,
    pub sent: u64,
    pub lost: u64,
    /// Time in which the listener heard something else than the stream, ms: made up, silent or nothing at all, like
    /// NetEq's `concealedSamples`.
    pub concealed_ms: f64,
    /// Of that, time in which there was nothing, not even something made up, ms.
    pub gap_ms: f64,
    /// Of what was lost, recovered from copies in the packets after, ms.
    pub fec_ms: f64,
    /// Voice that was shortened, and pauses that became longer, ms: NetEq's stretching.
    pub stretched_ms: f64,
    /// Packets that came too late, or went because the buffer was too deep.
    pub discarded: u64,
}

impl Score {
    pub fn add(&mut self, other: &Self) {
        self.added.extend(&other.added);
        self.sent += other.sent;
        self.lost += other.lost;
        self.concealed_ms += other.concealed_ms;
        self.gap_ms += other.gap_ms;
        self.fec_ms += other.fec_ms;
        self.stretched_ms += other.stretched_ms;
        self.discarded += other.discarded;
    }

    pub fn mean(&self) -> f64 {
        self.added.iter().map(|ms| f64::from(*ms)).sum::<f64>() / self.added.len().max(1) as f64
    }

    /// Several quantiles at once.
    pub fn quantiles<const N: usize>(&self, q: [f64; N]) -> [f64; N] {
        let mut sorted = self.added.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        q.map(|q| {
            sorted.get((sorted.len().saturating_sub(1) as f64 * q) as usize).copied().unwrap_or(0.0).into()
        })
    }

    fn share(&self, ms: f64) -> f64 {
        ms / (self.sent.max(1) as f64 * super::PACKET_MS) * 100.0
    }

    /// Of the stream's length, %.
    pub fn concealed(&self) -> f64 {
        self.share(self.concealed_ms)
    }

    pub fn gaps(&self) -> f64 {
        self.share(self.gap_ms)
    }

    pub fn stretched(&self) -> f64 {
        self.share(self.stretched_ms)
    }

    pub fn recovered(&self) -> f64 {
        self.share(self.fec_ms)
    }

    /// Lost on the wire, %.
    pub fn wire(&self) -> f64 {
        self.lost as f64 / self.sent.max(1) as f64 * 100.0
    }
}

/// NetEq's own weighing: a percent of loss is worth 20 ms.
pub fn weighed(added: f64, concealed: f64) -> f64 {
    added + 20.0 * concealed
}

/// What the E-model (ITU-T G.107) takes off for it: `Id` at a path of 60 ms plus `added` less `Id` at 60 ms alone, with
/// `Id = 0.024 d + 0.11 (d − 177.3) H(d − 177.3)`, and `Ie,eff = 95 Ppl / (Ppl + Bpl)` with `Bpl` 25.1, G.711 with
/// concealment (ITU-T G.113).
pub fn impairment(added: f64, concealed: f64) -> f64 {
    let id = |d: f64| 0.024 * d + 0.11 * (d - 177.3).max(0.0);
    id(60.0 + added) - id(60.0) + 95.0 * concealed / (concealed + 25.1)
}
