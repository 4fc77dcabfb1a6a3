//! Networks between the model and the bridge, by name.

use std::time::Duration;

use sim::network::{NetworkConfig, Stall};

/// A network that a run can go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Nothing in between.
    #[default]
    Clean,
    /// 1 ms, up to 0.8 ms of jitter.
    Lan,
    /// Between two data centres: 20 ms, up to 4 ms of jitter, 0.05 % lost.
    Inet,
    /// 15 ms, up to 8 ms of jitter, 0.5 % lost, a stall of 50 ms every three seconds.
    Wifi,
    /// 20 ms, 5 % lost in bursts of three.
    Bursts,
    /// 20 ms, 2 % overtaken by 35 ms.
    Reorder,
    /// 20 ms, a stall of 200 ms every half minute.
    Spikes,
}

/// Stalls are laid out for runs up to this long.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Network {
    /// All, for menus.
    pub const ALL: [Self; 7] =
        [Self::Clean, Self::Lan, Self::Inet, Self::Wifi, Self::Bursts, Self::Reorder, Self::Spikes];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Lan => "lan",
            Self::Inet => "inet",
            Self::Wifi => "wifi",
            Self::Bursts => "bursts",
            Self::Reorder => "reorder",
            Self::Spikes => "spikes",
        }
    }

    pub(crate) fn config(self) -> NetworkConfig {
        let ms = Duration::from_millis;
        let path = |delay, jitter| NetworkConfig {
            delay: ms(delay),
            jitter: ms(jitter),
            ..NetworkConfig::default()
        };
        match self {
            Self::Clean => NetworkConfig::default(),
            Self::Lan => NetworkConfig { jitter: Duration::from_micros(800), ..path(1, 0) },
            Self::Inet => NetworkConfig { loss: 0.000_5, ..path(20, 4) },
            Self::Wifi => NetworkConfig { loss: 0.005, stalls: stalls(ms(3_000), ms(50)), ..path(15, 8) },
            Self::Bursts => NetworkConfig { loss: 0.05, loss_burst: 3.0, ..path(20, 6) },
            Self::Reorder => NetworkConfig { reorder: 0.02, reorder_by: ms(35), ..path(20, 2) },
            Self::Spikes => NetworkConfig { stalls: stalls(ms(30_000), ms(200)), ..path(20, 4) },
        }
    }
}

fn stalls(every: Duration, length: Duration) -> Vec<Stall> {
    (1..=(LONGEST.as_millis() / every.as_millis()) as u32).map(|n| Stall { at: every * n, length }).collect()
}
