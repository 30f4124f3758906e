//! Which documents go to which server.

use yrelay_core::id::DocumentId;

use crate::config::{Config, Patterns};

/// The first pattern that a document meets decides; what meets none goes the default way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    routes: Vec<(Patterns, Option<usize>)>,
    default: Option<usize>,
}

impl Routes {
    /// The servers are numbered in the order of [`Config::upstreams`].
    pub(crate) fn new(config: &Config) -> Self {
        let mut numbers = 0..;
        let mut next = |is_server: bool| if is_server { numbers.next() } else { None };
        let default = next(config.upstream.is_some());
        let routes = config.routes.iter();
        let routes = routes.map(|it| (it.patterns.clone(), next(it.upstream.is_some()))).collect();
        Self { routes, default }
    }

    /// Where those go that no route is for.
    pub(crate) fn default_way(&self) -> Option<usize> {
        self.default
    }

    /// The server of a document; none if it stays on this machine.
    pub(crate) fn of(&self, id: &DocumentId) -> Option<usize> {
        let route = self.routes.iter().find(|(patterns, _)| patterns.matches(id));
        route.map_or(self.default, |(_, server)| *server)
    }
}
