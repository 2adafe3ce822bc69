//! Request rates: token buckets of governor, keyed by client, in memory that does not grow.

mod store;

use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};
use ipnet::IpNet;

use crate::base::client::ClientKey;
use crate::base::rejection::Rejection;
use crate::config::RateLimit;
use crate::config::types::Quota;
use store::ClientStore;

/// All buckets of one process. `C` is the clock, which tests advance by hand.
pub struct Rates<C: Clock = MonotonicClock> {
    everyone: Class<C>,
    /// The narrowest network first.
    networks: Vec<(IpNet, Class<C>)>,
    global: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

/// Two buckets per client: a scanner behind the address of an office uses up only the second one.
struct Class<C: Clock> {
    admitted: ByClient<C>,
    refused: ByClient<C>,
}

type ByClient<C> = RateLimiter<ClientKey, ClientStore, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Clients that a bucket store remembers: 65536 of 32 bytes, which is 2 MB per store.
const CLIENTS: usize = 1 << 16;
/// The same for a configured network, which has fewer clients.
const NETWORK_CLIENTS: usize = 1 << 12;

impl Rates {
    pub fn new(config: &RateLimit) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<C: Clock + Clone> Rates<C> {
    pub fn with_clock(config: &RateLimit, clock: C) -> Self {
        let class = |admitted, refused, clients| Class {
            admitted: ByClient::new(quota(admitted), ClientStore::new(clients), clock.clone()),
            refused: ByClient::new(quota(refused), ClientStore::new(clients), clock.clone()),
        };
        let networks = config.networks.iter();
        Self {
            everyone: class(config.per_client, config.refused_per_client, CLIENTS),
            networks: networks
                .map(|n| {
                    (
                        n.cidr,
                        class(n.per_client, n.refused_per_client, NETWORK_CLIENTS),
                    )
                })
                .collect(),
            global: RateLimiter::new(
                quota(config.global),
                InMemoryState::default(),
                clock.clone(),
            ),
        }
    }

    /// Charges a request that the gate admits.
    pub fn admitted(&self, key: ClientKey) -> Result<(), Rejection> {
        let bucket = &self.class(key).admitted;
        bucket
            .check_key(&key)
            .map_err(|until| Rejection::RateClient {
                retry_after: wait(&until, bucket.clock()),
            })
    }

    /// Charges a request that is refused as `rejection`. Returns `RateRefused` instead if the
    /// client has used up its rate.
    pub fn refused(&self, key: ClientKey, rejection: Rejection) -> Rejection {
        let bucket = &self.class(key).refused;
        match bucket.check_key(&key) {
            Ok(()) => rejection,
            Err(until) => Rejection::RateRefused {
                retry_after: wait(&until, bucket.clock()),
            },
        }
    }

    /// Charges a request that is forwarded to an upstream.
    pub fn forwarded(&self) -> Result<(), Rejection> {
        let clock = self.global.clock();
        self.global.check().map_err(|until| Rejection::RateGlobal {
            retry_after: wait(&until, clock),
        })
    }

    fn class(&self, key: ClientKey) -> &Class<C> {
        let holds = |network: &&(IpNet, Class<C>)| match (key, network.0) {
            (ClientKey::V4(address), IpNet::V4(network)) => network.contains(&address),
            (ClientKey::V6(prefix), IpNet::V6(network)) => {
                network.contains(&Ipv6Addr::from(u128::from(prefix) << 64))
            }
            _ => false,
        };
        self.networks
            .iter()
            .find(holds)
            .map_or(&self.everyone, |(_, class)| class)
    }
}

fn quota(quota: Quota) -> governor::Quota {
    governor::Quota::per_second(quota.per_second).allow_burst(quota.burst)
}

/// Returns whole seconds, rounded up: a client that waits that long is admitted.
fn wait<C: Clock>(until: &NotUntil<C::Instant>, clock: &C) -> u64 {
    let wait = until.wait_time_from(clock.now());
    let rounded = wait + Duration::from_nanos(999_999_999);
    rounded.as_secs().max(u64::from(NonZeroU32::MIN.get()))
}

#[cfg(test)]
mod tests;
