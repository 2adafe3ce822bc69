//! The keys that a reload cannot change, because they size or open something at start.

use super::{Config, Limits, Listen, Log, RateLimit};

impl Config {
    /// Takes over the values of `started`, the configuration at start, for all keys that need a
    /// restart. Returns those of them whose new value differs and is therefore pending.
    ///
    /// The functions below list every key of these sections, so that a new key does not compile
    /// until it is decided whether it needs a restart.
    pub fn keep_until_restart(&mut self, started: &Self) -> Vec<&'static str> {
        let mut pending = Pending(Vec::new());
        self.listen.keep(&started.listen, &mut pending);
        self.limits.keep(&started.limits, &mut pending);
        self.rate_limit.keep(&started.rate_limit, &mut pending);
        let Log { format, level } = &mut self.log;
        pending.keep("log.format", format, &started.log.format);
        pending.keep("log.level", level, &started.log.level);
        pending.0
    }
}

impl Listen {
    fn keep(&mut self, started: &Self, pending: &mut Pending) {
        let Self {
            https,
            admin,
            // ALPN is part of each certificate's TLS configuration.
            protocols: _,
            workers,
            proxies,
            probe_path: _,
        } = self;
        pending.keep("listen.https", https, &started.https);
        pending.keep("listen.admin", admin, &started.admin);
        pending.keep("listen.workers", workers, &started.workers);
        let key = match proxies.is_some() == started.proxies.is_some() {
            true => "listen.trusted_proxies",
            false => "listen.proxy_protocol",
        };
        pending.keep(key, proxies, &started.proxies);
    }
}

impl Limits {
    fn keep(&mut self, started: &Self, pending: &mut Pending) {
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
        pending.keep("limits.buffered_bytes", buffered_bytes, buffered);
        pending.keep("limits.connections", connections, &started.connections);
        let started = &started.connections_per_client;
        pending.keep("limits.connections_per_client", per_client, started);
    }
}

impl RateLimit {
    fn keep(&mut self, started: &Self, pending: &mut Pending) {
        let Self {
            per_client,
            refused_per_client: refused,
            global,
            networks,
        } = self;
        pending.keep("rate_limit.per_client", per_client, &started.per_client);
        let started_refused = &started.refused_per_client;
        pending.keep("rate_limit.refused_per_client", refused, started_refused);
        pending.keep("rate_limit.global", global, &started.global);
        pending.keep("rate_limit.network", networks, &started.networks);
    }
}

/// The keys whose new value takes effect only after a restart.
struct Pending(Vec<&'static str>);

impl Pending {
    /// Restores the value at start, and records `key` if the new value differs.
    fn keep<T: Clone + PartialEq>(&mut self, key: &'static str, new: &mut T, started: &T) {
        if new != started {
            self.0.push(key);
            new.clone_from(started);
        }
    }
}
