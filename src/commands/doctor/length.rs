//! The longest URI that NDES takes, and whose limit it is.

use crate::base::reason::Reason;
use crate::insight::diagnosis::RequestFacts;
use crate::scep::Operation;

use super::direct::Direct;
use super::ladder::GET_CA_CAPS;
use super::limits::{Bound, Refusal, Shape};
use super::{Notes, Step, Subject};

/// Bytes of the target. Microsoft names 40 KB as the longest that a device sends.
const RUNGS: [usize; 13] = [
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
pub(super) const DEVICES_NEED: usize = 40 << 10;
/// The most that the proxy lets in, and that HTTP.sys takes for a field.
const LONGEST: usize = 65_534;
/// Questions between the last rung that passes and the first that does not.
const MOST_BETWEEN: usize = 14;

/// Climbs until a rung fails, then narrows it down. The longest URI that passed.
pub(super) async fn measure(
    subject: &Subject<'_>,
    direct: &Direct,
    notes: &mut Notes<'_>,
) -> Option<usize> {
    let shape = Shape {
        before_query: direct.path.len() + 1,
        beside_uri: direct.head_beside_uri(),
    };
    let mut bound = None;
    // What GetCACaps itself took.
    let mut passes = shape.before_query + GET_CA_CAPS.len();
    for rung in RUNGS {
        match try_one(subject, direct, rung, notes).await {
            None => passes = rung,
            Some(refusal) => {
                bound = Some(Bound {
                    passes,
                    fails: rung,
                    refusal,
                });
                break;
            }
        }
    }
    let Some(mut bound) = bound else {
        let what = format!("{LONGEST} bytes pass, as long as a URI can be");
        notes.ok(Step::UrlLength, what);
        return Some(LONGEST);
    };
    for _ in 0..MOST_BETWEEN {
        // A server that stays silent costs a deadline each time.
        if bound.refusal.anomaly == Reason::UpstreamTimeout {
            break;
        }
        let Some(size) = shape.next(&bound) else {
            break;
        };
        match try_one(subject, direct, size, notes).await {
            None => bound.passes = size,
            Some(refusal) => {
                bound.fails = size;
                bound.refusal = refusal;
            }
        }
    }
    notes.add(shape.finding(&bound));
    Some(bound.passes)
}

/// None where a URI of `size` bytes passes.
async fn try_one(
    subject: &Subject<'_>,
    direct: &Direct,
    size: usize,
    notes: &mut Notes<'_>,
) -> Option<Refusal> {
    notes.begin(Step::UrlLength, &format!("a URI of {size} bytes"));
    let asked = RequestFacts {
        operation: Some(Operation::GetCACaps),
        // The same path with less of a query passed: whatever comes now is for the length.
        uri_bytes: usize::MAX,
        policy_module: subject.application.policy_module,
    };
    let answer = direct
        .get(asked.operation, &query(&direct.path, size))
        .await;
    Refusal::of(asked, answer)
}

/// Makes the whole URI behind `path` `size` bytes long. Harmless: GetCACaps does not read its
/// message.
pub(super) fn query(path: &str, size: usize) -> String {
    let start = "operation=GetCACaps&message=";
    let rest = size.saturating_sub(path.len() + 1 + start.len());
    format!("{start}{}", "A".repeat(rest))
}
