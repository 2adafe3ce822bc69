//! What a reload cannot change, since it sizes or opens something at start.

use super::{Config, Limits, Listen};

impl Config {
    /// Puts what `started` says in the place of what only a restart can change. Returns the keys
    /// that say something else now.
    ///
    /// Every key of these sections stands here: a new one does not compile until it is decided.
    pub fn keep(&mut self, started: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        let Listen {
            https,
            admin,
            // ALPN is part of each certificate's TLS configuration.
            protocols: _,
            workers,
            proxies,
            probe_path: _,
        } = &mut self.listen;
        keep(https, &started.listen.https, "listen.https", &mut changed);
        keep(admin, &started.listen.admin, "listen.admin", &mut changed);
        keep(
            workers,
            &started.listen.workers,
            "listen.workers",
            &mut changed,
        );
        let key = "listen.proxy_protocol";
        keep(proxies, &started.listen.proxies, key, &mut changed);
        let Limits {
            uri_bytes: _,
            header_field_bytes: _,
            header_fields: _,
            head_bytes: _,
            body_bytes: _,
            buffered_bytes,
            connections,
            connections_per_client,
        } = &mut self.limits;
        let limits = &started.limits;
        let key = "limits.buffered_bytes";
        keep(buffered_bytes, &limits.buffered_bytes, key, &mut changed);
        keep(
            connections,
            &limits.connections,
            "limits.connections",
            &mut changed,
        );
        let key = "limits.connections_per_client";
        let per_client = &limits.connections_per_client;
        keep(connections_per_client, per_client, key, &mut changed);
        keep(
            &mut self.rate_limit,
            &started.rate_limit,
            "rate_limit",
            &mut changed,
        );
        keep(&mut self.log, &started.log, "log", &mut changed);
        changed
    }
}

fn keep<T: Clone + PartialEq>(
    new: &mut T,
    started: &T,
    key: &'static str,
    changed: &mut Vec<&'static str>,
) {
    if new != started {
        changed.push(key);
        new.clone_from(started);
    }
}
