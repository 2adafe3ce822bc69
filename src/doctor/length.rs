//! The longest URI that NDES takes, and whose limit it is.

use crate::diagnosis::{Anomaly, Answerer, Asked, of_answer};
use crate::scep::Operation;

use super::ask::Answered;
use super::direct::{Direct, NoAnswer};
use super::{Finding, Notes, Step, Subject};

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
const MOST_BETWEEN: usize = 12;

/// Between these two lies the limit.
#[derive(Debug)]
struct Bound {
    passes: usize,
    fails: usize,
    refusal: Refusal,
}

/// How a URI that is too long is answered.
#[derive(Debug)]
struct Refusal {
    anomaly: Anomaly,
    /// As `404 by Microsoft-IIS/10.0`; none where no answer came.
    told: Option<String>,
    answerer: Answerer,
}

/// What a question of so many bytes is made of.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Up to and with the question mark.
    before_query: usize,
    /// Request line and fields without the URI; the empty line at the end is in it.
    beside_uri: usize,
}

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
    let mut passes = 0;
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
        // A server that only stays silent costs a deadline each time.
        if bound.refusal.told.is_none() {
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
    Some(bound.passes).filter(|passes| *passes > 0)
}

/// None where a URI of `size` bytes passes.
async fn try_one(
    subject: &Subject<'_>,
    direct: &Direct,
    size: usize,
    notes: &mut Notes<'_>,
) -> Option<Refusal> {
    notes.begin(Step::UrlLength, &format!("a URI of {size} bytes"));
    let asked = Asked {
        operation: Some(Operation::GetCACaps),
        uri_bytes: size,
        policy_module: subject.application.policy_module,
    };
    let answer = direct
        .get(asked.operation, &query(&direct.path, size))
        .await;
    Refusal::of(asked, answer)
}

impl Refusal {
    fn of(asked: Asked, answer: Result<Answered, NoAnswer>) -> Option<Self> {
        match answer {
            Ok(answer) => of_answer(asked, answer.status, answer.answerer()).map(|anomaly| Self {
                anomaly,
                told: Some(answer.told()),
                answerer: answer.answerer(),
            }),
            Err(none) => Some(Self {
                anomaly: none.anomaly(),
                told: None,
                answerer: Answerer::Other,
            }),
        }
    }
}

/// Makes the whole URI behind `path` `size` bytes long. Harmless: GetCACaps does not read its
/// message.
pub(super) fn query(path: &str, size: usize) -> String {
    let start = "operation=GetCACaps&message=";
    let rest = size.saturating_sub(path.len() + 1 + start.len());
    format!("{start}{}", "A".repeat(rest))
}

impl Shape {
    /// What to try between the two: where a known limit would lie, then the middle.
    fn next(self, bound: &Bound) -> Option<usize> {
        // HTTP.sys is not said to count the empty line.
        let head = |limit: usize| [limit - self.beside_uri, limit - self.beside_uri + 2];
        let guesses = [
            2_048 + self.before_query,
            4_096,
            4_096 + self.before_query,
            8_192 + self.before_query,
            16_384,
        ];
        let guesses = guesses.into_iter().chain(head(16_384)).chain(head(65_534));
        let around = guesses.flat_map(|longest| [longest, longest + 1]);
        let mut open = around.filter(|size| (bound.passes + 1..bound.fails).contains(size));
        let middle = bound.passes.midpoint(bound.fails);
        open.next().or_else(|| (middle > bound.passes).then_some(middle))
    }

    fn finding(self, bound: &Bound) -> Finding {
        let Bound {
            passes,
            fails,
            refusal,
        } = bound;
        let told = match &refusal.told {
            Some(told) => format!("one of {fails} is answered {told}"),
            None => format!("one of {fails} gets no answer"),
        };
        let limit = self.limit(bound);
        let separator = if limit.is_empty() { "" } else { ": " };
        let what = format!("a URI of {passes} bytes passes, {told}{separator}{limit}");
        let finding = Finding::anomaly(Step::UrlLength, refusal.anomaly, what);
        if *passes < DEVICES_NEED {
            finding
        } else if self.head_is(*passes, 65_534) {
            Finding {
                cure: Some(
                    "nothing for devices of today (40 KB at most); for all 65534 bytes set \
                     MaxRequestBytes to 131072 and restart the machine, as only that makes \
                     HTTP.sys read it"
                        .to_owned(),
                ),
                ..finding.mild()
            }
        } else {
            finding.mild()
        }
    }

    /// The limit that lies there, as far as size, status and answerer tell.
    fn limit(self, bound: &Bound) -> String {
        let longest = bound.passes;
        let is_exact = bound.fails - longest == 1;
        let query = longest.saturating_sub(self.before_query);
        let http_sys = bound.refusal.answerer == Answerer::HttpSys;
        match bound.refusal.anomaly {
            Anomaly::RequestFiltering if is_exact && query == 2_048 => {
                "maxQueryString of request filtering is 2048, its default".to_owned()
            }
            Anomaly::RequestFiltering if is_exact && [longest, query].contains(&4_096) => {
                "maxUrl of request filtering is 4096, its default".to_owned()
            }
            Anomaly::RequestFiltering if is_exact => {
                format!("maxQueryString of request filtering is {query}")
            }
            Anomaly::RequestFiltering => {
                "maxQueryString or maxUrl of request filtering lies between".to_owned()
            }
            Anomaly::HttpSysLimit if self.head_is(longest, 16_384) => {
                "MaxRequestBytes of HTTP.sys is 16384, its default".to_owned()
            }
            Anomaly::HttpSysLimit if is_exact && longest == 16_384 => {
                "MaxFieldLength of HTTP.sys is 16384, its default".to_owned()
            }
            Anomaly::HttpSysLimit if self.head_is(longest, 65_534) => format!(
                "MaxRequestBytes of HTTP.sys is 65534, and request line and fields count too, \
                 here {} bytes",
                self.beside_uri
            ),
            Anomaly::HttpSysLimit if (32_000..=32_800).contains(&longest) => {
                "about 32 K characters, which is what HTTP.sys makes of MaxFieldLength for a URL; \
                 this version of Windows may take no more"
                    .to_owned()
            }
            Anomaly::HttpSysLimit if http_sys => {
                "MaxFieldLength or MaxRequestBytes of HTTP.sys, or UrlSegmentMaxLength".to_owned()
            }
            Anomaly::HttpSysLimit => {
                "not by HTTP.sys as it seems: perhaps a device between proxy and IIS".to_owned()
            }
            Anomaly::HttpSysInvalid => {
                "UrlSegmentMaxLength of HTTP.sys, as even a short URI fails".to_owned()
            }
            _ => String::new(),
        }
    }

    /// Whether the head around a URI of `longest` bytes is as long as `limit` allows.
    fn head_is(self, longest: usize, limit: usize) -> bool {
        let head = longest + self.beside_uri;
        (limit..=limit + 2).contains(&head)
    }
}
