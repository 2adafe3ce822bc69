//! Measures the longest URI that NDES accepts.

use crate::base::reason::Reason;
use crate::insight::diagnosis::RequestFacts;
use crate::scep::Operation;

use super::direct::Direct;
use super::limits::{Bracket, DEVICES_NEED, HeadLayout, LengthFailure};
use super::questions::GET_CA_CAPS;
use super::{Collector, Context, Step};

/// The sizes of the request target to try first, in bytes.
const SIZES: [usize; 13] = [
    1 << 10,
    2 << 10,
    4 << 10,
    8 << 10,
    12 << 10,
    16 << 10,
    20 << 10,
    24 << 10,
    32 << 10,
    DEVICES_NEED,
    48 << 10,
    56 << 10,
    LONGEST,
];
/// The largest target that the proxy accepts, and the largest value of `MaxFieldLength`. In bytes.
const LONGEST: usize = 65_534;
/// The maximum number of requests between the last size that passes and the first that fails.
const MAX_BISECTIONS: usize = 14;

/// Tries [`SIZES`] until one fails, then narrows down the limit. Returns the longest URI that
/// passed, in bytes.
pub(super) async fn measure(
    context: &Context<'_>,
    direct: &Direct,
    collector: &mut Collector<'_>,
) -> Option<usize> {
    let layout = HeadLayout {
        before_query: direct.path.len() + 1,
        beside_uri: direct.head_beside_uri(),
    };
    let mut bracket = None;
    // GetCACaps itself passed with this size.
    let mut passes = layout.before_query + GET_CA_CAPS.len();
    for size in SIZES {
        match try_one(context, direct, size, collector).await {
            None => passes = size,
            Some(failure) => {
                bracket = Some(Bracket {
                    passes,
                    fails: size,
                    failure,
                });
                break;
            }
        }
    }
    let Some(mut bracket) = bracket else {
        let what = format!("a URI of {LONGEST} bytes passes, the longest possible");
        collector.ok(Step::UrlLength, what);
        return Some(LONGEST);
    };
    for _ in 0..MAX_BISECTIONS {
        // A server that does not respond costs a whole timeout per request.
        if bracket.failure.anomaly == Reason::UpstreamTimeout {
            break;
        }
        let Some(size) = layout.next(&bracket) else {
            break;
        };
        match try_one(context, direct, size, collector).await {
            None => bracket.passes = size,
            Some(failure) => {
                bracket.fails = size;
                bracket.failure = failure;
            }
        }
    }
    collector.add(layout.finding(&bracket));
    Some(bracket.passes)
}

/// Returns `None` if a URI of `size` bytes passes.
async fn try_one(
    context: &Context<'_>,
    direct: &Direct,
    size: usize,
    collector: &mut Collector<'_>,
) -> Option<LengthFailure> {
    collector.begin(Step::UrlLength, &format!("a URI of {size} bytes"));
    let facts = RequestFacts {
        operation: Some(Operation::GetCACaps),
        // The same path with a shorter query passed, so any anomaly is due to the length.
        uri_bytes: usize::MAX,
        policy_module: context.application.policy_module,
    };
    let response = direct
        .get(facts.operation, &query(&direct.path, size))
        .await;
    LengthFailure::of(facts, response)
}

/// Returns a query that makes the whole URI with `path` `size` bytes long. The padding is harmless,
/// because GetCACaps does not read its message.
pub(super) fn query(path: &str, size: usize) -> String {
    let start = "operation=GetCACaps&message=";
    let rest = size.saturating_sub(path.len() + 1 + start.len());
    format!("{start}{}", "A".repeat(rest))
}
