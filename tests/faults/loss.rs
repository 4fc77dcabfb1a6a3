//! A bad network between the model and the bridge: what the caller hears stays recognisable.

use std::time::Duration;

use futures_util::future::join_all;
use sim::model::ModelConfig;
use sim::network::NetworkConfig;

use crate::support::house::{Blueprint, House};
use crate::support::lines::{self, ONE_TURN};
use crate::support::sound::{clip, likeness};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_over_a_bad_network_is_recognisable() {
    let clean = NetworkConfig::default;
    let ms = Duration::from_millis;
    let cases = [
        ("clean", 0.85, clean()),
        ("jitter of 40 ms", 0.8, NetworkConfig { delay: ms(20), jitter: ms(40), ..clean() }),
        ("3 % overtaken", 0.8, NetworkConfig { reorder: 0.03, ..clean() }),
        ("5 % doubled", 0.8, NetworkConfig { duplicate: 0.05, ..clean() }),
        ("2 % lost", 0.75, NetworkConfig { loss: 0.02, ..clean() }),
        (
            "5 % lost in pairs, jitter, overtaken",
            0.6,
            NetworkConfig { loss: 0.05, loss_burst: 2.0, jitter: ms(30), reorder: 0.02, ..clean() },
        ),
    ];
    for codec in ["opus", "pcmu"] {
        let calls = cases.iter().map(|(what, at_least, network)| async move {
            let model = ModelConfig { network: network.clone(), ..lines::model() };
            let house = House::build(Blueprint { models: vec![model], codec, ..Blueprint::default() }).await;
            (what, at_least, house.call(0, ONE_TURN).await)
        });
        for (what, at_least, held) in join_all(calls).await {
            held.assert_orderly();
            let (like, lost) = (likeness(&held.report.heard, &clip("all-busy")), held.session().rtp_out.lost);
            println!(
                "{codec}, {what}: likeness {like:.3}, {lost} of {} lost",
                held.session().rtp_out.packets
            );
            assert!(like >= *at_least, "{codec}, {what}: {like:.3}");
        }
    }
}
