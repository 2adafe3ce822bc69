//! Whose limit it is that a URI ran into.

use super::ask::Answered;
use super::direct::NoAnswer;
use super::length::DEVICES_NEED;
use super::{Finding, Step};
use crate::base::reason::Reason;
use crate::insight::diagnosis::{Answerer, RequestFacts, of_answer};

/// Between these two lies the limit.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) passes: usize,
    pub(super) fails: usize,
    pub(super) refusal: Refusal,
}

/// How a URI that is too long is answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) anomaly: Reason,
    /// As `404 by Microsoft-IIS/10.0`; none where no answer came.
    pub(super) told: Option<String>,
    answerer: Answerer,
}

/// What a question of so many bytes is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Up to and with the question mark.
    pub(super) before_query: usize,
    /// Request line and fields without the URI; the empty line at the end is in it.
    pub(super) beside_uri: usize,
}

impl Refusal {
    pub(super) fn of(asked: RequestFacts, answer: Result<Answered, NoAnswer>) -> Option<Self> {
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

const DEVICE_BETWEEN: &str = "let the device between proxy and IIS (load balancer, firewall, \
     another proxy) take URIs of 65534 bytes";

impl Shape {
    /// What to try between the two: where a known limit would lie, then the middle.
    pub(super) fn next(self, bound: &Bound) -> Option<usize> {
        let query = |limit: usize| limit + self.before_query;
        // HTTP.sys is not said to count the empty line.
        let head = |limit: usize| limit - self.beside_uri;
        let guesses = match bound.refusal.anomaly {
            Reason::RequestFiltering => &[query(2_048), 4_096, query(4_096), query(8_192)][..],
            Reason::HttpSysLimit => &[
                16_384,
                head(16_384),
                head(16_384) + 2,
                head(65_534),
                head(65_534) + 2,
            ],
            _ => &[],
        };
        let around = guesses.iter().flat_map(|longest| [*longest, longest + 1]);
        let mut open = around.filter(|size| (bound.passes + 1..bound.fails).contains(size));
        let middle = bound.passes.midpoint(bound.fails);
        open.next()
            .or_else(|| (middle > bound.passes).then_some(middle))
    }

    pub(super) fn finding(self, bound: &Bound) -> Finding {
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
        let finding = Finding {
            cure: Some(self.cure(bound)),
            ..Finding::anomaly(Step::UrlLength, refusal.anomaly, what)
        };
        match *passes < DEVICES_NEED {
            true => finding,
            false => finding.mild(),
        }
    }

    fn cure(self, bound: &Bound) -> String {
        let http_sys = Reason::HttpSysLimit.advice();
        match (bound.refusal.anomaly, bound.refusal.answerer) {
            (Reason::HttpSysLimit, Answerer::HttpSys) if self.head_is(bound.passes, 65_534) => {
                "nothing for devices of today (40 KB at most); for all 65534 bytes set \
                 MaxRequestBytes to 131072 and restart the machine, as only that makes HTTP.sys \
                 read it"
                    .to_owned()
            }
            (Reason::HttpSysLimit, Answerer::Other)
            | (Reason::UpstreamClosed | Reason::UpstreamBroken | Reason::UpstreamTimeout, _) => {
                format!("{DEVICE_BETWEEN}; if there is none: {http_sys}")
            }
            (anomaly, _) => anomaly.advice().to_owned(),
        }
    }

    /// The limit that lies there, as far as size, status and answerer tell.
    fn limit(self, bound: &Bound) -> String {
        let longest = bound.passes;
        let is_exact = bound.fails - longest == 1;
        let query = longest.saturating_sub(self.before_query);
        let http_sys = bound.refusal.answerer == Answerer::HttpSys;
        match bound.refusal.anomaly {
            Reason::RequestFiltering if is_exact && query == 2_048 => {
                "maxQueryString of request filtering is 2048, its default".to_owned()
            }
            Reason::RequestFiltering if is_exact && longest == 4_096 => {
                "maxUrl of request filtering is 4096, its default".to_owned()
            }
            Reason::RequestFiltering if is_exact => {
                format!("maxQueryString of request filtering is {query}")
            }
            Reason::RequestFiltering => {
                "maxQueryString or maxUrl of request filtering lies between".to_owned()
            }
            Reason::HttpSysLimit if self.head_is(longest, 16_384) => {
                "MaxRequestBytes of HTTP.sys is 16384, its default".to_owned()
            }
            Reason::HttpSysLimit if is_exact && longest == 16_384 => {
                "MaxFieldLength of HTTP.sys is 16384, its default".to_owned()
            }
            Reason::HttpSysLimit if self.head_is(longest, 65_534) => format!(
                "MaxRequestBytes of HTTP.sys is 65534, and request line and fields count too, \
                 here {} bytes",
                self.beside_uri
            ),
            Reason::HttpSysLimit if (32_000..=32_800).contains(&longest) => {
                "about 32 K characters, which is what HTTP.sys makes of MaxFieldLength for a URL; \
                 this version of Windows may take no more"
                    .to_owned()
            }
            Reason::HttpSysLimit if http_sys => {
                "MaxFieldLength or MaxRequestBytes of HTTP.sys, or UrlSegmentMaxLength".to_owned()
            }
            Reason::HttpSysLimit => {
                "not by HTTP.sys as it seems: perhaps a device between proxy and IIS".to_owned()
            }
            Reason::UpstreamClosed | Reason::UpstreamBroken => {
                "the connection closes, as at a limit of HTTP.sys or of a device between".to_owned()
            }
            Reason::UpstreamTimeout => {
                "left hanging, as by a device between that cannot hold it".to_owned()
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
