//! `[rate_limit]`: how many requests per second.

use std::num::NonZeroU32;

use ipnet::IpNet;

use super::read::Section;
use super::types::Quota;

#[derive(Clone, Debug)]
pub struct RateLimit {
    pub per_client: Quota,
    pub refused_per_client: Quota,
    pub global: Quota,
    /// Networks with quotas of their own, the narrowest first: the first one that contains a client
    /// applies.
    pub networks: Vec<NetworkRate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRate {
    pub cidr: IpNet,
    pub per_client: Quota,
    pub refused_per_client: Quota,
}

pub(super) fn rate_limit(mut section: Section<'_, '_>) -> RateLimit {
    let per_client = section.value_or("per_client", quota(100, 1_000));
    let refused_per_client = section.value_or("refused_per_client", quota(5, 100));
    let global = section.value_or("global", quota(1_000, 2_000));
    let mut networks = Vec::new();
    for mut network in section.sections("network", "write [[rate_limit.network]]") {
        let cidr = network.required(
            "cidr",
            "write cidr = \"203.0.113.0/24\", the network to which these rates apply",
        );
        let per_client = network.value_or("per_client", per_client);
        let refused_per_client = network.value_or("refused_per_client", refused_per_client);
        if let Some(cidr) = cidr {
            networks.push(NetworkRate {
                cidr: cidr.value,
                per_client,
                refused_per_client,
            });
        }
        network.finish();
    }
    networks.sort_by_key(|network| std::cmp::Reverse(network.cidr.prefix_len()));
    section.finish();
    RateLimit {
        per_client,
        refused_per_client,
        global,
        networks,
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let positive = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota {
        per_second: positive(per_second),
        burst: positive(burst),
    }
}
