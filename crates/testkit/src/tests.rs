//! Worlds without a draw: how much goes up.

mod crowd;
mod outage;
mod rounds;

use yrelay_core::Millis;

use crate::client::Style;
use crate::editor::Edit;
use crate::script::{Person, Script, Step};
use crate::server::Mode;

/// Services on one server, at each of them somebody who has the one document open.
fn quick(server: Mode, services: usize, steps: Vec<(Millis, Step)>, calm_at: Millis) -> Script {
    let person = |service| Person {
        id: 100 + service as u64,
        service,
        document: 0,
        style: Style::Js,
        late: false,
    };
    Script {
        seed: 3,
        server: Some(server),
        services,
        documents: 1,
        people: (0..services).map(person).collect(),
        steps,
        calm_at,
        latency_ms_max: Some(30),
        trap: None,
    }
}

fn edit(at: Millis, client: usize, edit: Edit) -> (Millis, Step) {
    (at, Step::Edit { client, edit })
}
