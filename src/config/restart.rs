//! What a reload cannot change, since it sizes or opens something at start.

use super::{Config, Limits, Listen, Log, RateLimit};

impl Config {
    /// Puts what `started` says in the place of what only a restart can change. Returns the keys
    /// that say something else now.
    ///
    /// Every key of these sections stands here: a new one does not compile until it is decided.
    pub fn keep(&mut self, started: &Self) -> Vec<&'static str> {
        let mut kept = Kept(Vec::new());
        self.listen.keep(&started.listen, &mut kept);
        self.limits.keep(&started.limits, &mut kept);
        self.rate_limit.keep(&started.rate_limit, &mut kept);
        let Log { format, level } = &mut self.log;
        kept.keep("log.format", format, &started.log.format);
        kept.keep("log.level", level, &started.log.level);
        kept.0
    }
}

impl Listen {
    fn keep(&mut self, started: &Self, kept: &mut Kept) {
        let Self {
            https,
            admin,
            // ALPN is part of each certificate's TLS configuration.
            protocols: _,
            workers,
            proxies,
            probe_path: _,
        } = self;
        kept.keep("listen.https", https, &started.https);
        kept.keep("listen.admin", admin, &started.admin);
        kept.keep("listen.workers", workers, &started.workers);
        let key = match proxies.is_some() == started.proxies.is_some() {
            true => "listen.trusted_proxies",
            false => "listen.proxy_protocol",
        };
        kept.keep(key, proxies, &started.proxies);
    }
}

impl Limits {
    fn keep(&mut self, started: &Self, kept: &mut Kept) {
        let Self {
            uri_bytes: _,
            header_field_bytes: _,
            header_fields: _,
            head_bytes: _,
            body_bytes: _,
            buffered_bytes,
            connections,
            connections_per_client: per_client,
        } = self;
        let buffered = &started.buffered_bytes;
        kept.keep("limits.buffered_bytes", buffered_bytes, buffered);
        kept.keep("limits.connections", connections, &started.connections);
        let started = &started.connections_per_client;
        kept.keep("limits.connections_per_client", per_client, started);
    }
}

impl RateLimit {
    fn keep(&mut self, started: &Self, kept: &mut Kept) {
        let Self {
            per_client,
            refused_per_client: refused,
            global,
            networks,
        } = self;
        kept.keep("rate_limit.per_client", per_client, &started.per_client);
        let started_refused = &started.refused_per_client;
        kept.keep("rate_limit.refused_per_client", refused, started_refused);
        kept.keep("rate_limit.global", global, &started.global);
        kept.keep("rate_limit.network", networks, &started.networks);
    }
}

/// The keys whose new value was not taken.
struct Kept(Vec<&'static str>);

impl Kept {
    fn keep<T: Clone + PartialEq>(&mut self, key: &'static str, new: &mut T, started: &T) {
        if new != started {
            self.0.push(key);
            new.clone_from(started);
        }
    }
}
