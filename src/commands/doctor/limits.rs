//! Names the limit of IIS, HTTP.sys or another device that a long URI exceeds.

use super::direct::DirectError;
use super::request::Response;
use super::{Finding, Step};
use crate::base::reason::Reason;
use crate::insight::diagnosis::{Answerer, RequestFacts, of_answer};

/// The longest URI in bytes that a device sends, as Microsoft names it.
pub(super) const DEVICES_NEED: usize = 40 << 10;

/// The two sizes in bytes that enclose the limit.
#[derive(Debug)]
pub(super) struct Bracket {
    pub(super) passes: usize,
    pub(super) fails: usize,
    pub(super) failure: LengthFailure,
}

/// The result of a request whose URI is too long.
#[derive(Debug)]
pub(super) struct LengthFailure {
    pub(super) anomaly: Reason,
    /// The response, for instance `404 by Microsoft-IIS/10.0`. `None` if there was none.
    pub(super) summary: Option<String>,
    answerer: Answerer,
}

/// The sizes of the parts of a request head, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLayout {
    /// The path and the question mark.
    pub(super) before_query: usize,
    /// The request line and the header fields without the URI, including the empty last line.
    pub(super) beside_uri: usize,
}

impl LengthFailure {
    /// Returns `None` if NDES responds as it should.
    pub(super) fn of(facts: RequestFacts, response: Result<Response, DirectError>) -> Option<Self> {
        match response {
            Ok(response) => {
                of_answer(facts, response.status, response.answerer()).map(|anomaly| Self {
                    anomaly,
                    summary: Some(response.summary()),
                    answerer: response.answerer(),
                })
            }
            Err(error) => Some(Self {
                anomaly: error.anomaly(),
                summary: None,
                answerer: Answerer::Other,
            }),
        }
    }
}

const DEVICE_BETWEEN: &str = "set the device between proxy and IIS (load balancer, firewall, \
     another proxy) to accept URIs of 65534 bytes";

impl HeadLayout {
    /// Returns the next size to try: first those at which a known limit would take effect, then the
    /// middle. Returns `None` if the limit is known to the byte.
    pub(super) fn next(self, bracket: &Bracket) -> Option<usize> {
        let query = |limit: usize| limit + self.before_query;
        // It is not documented that HTTP.sys counts the empty line.
        let head = |limit: usize| limit - self.beside_uri;
        let guesses = match bracket.failure.anomaly {
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
        let mut open = around.filter(|size| (bracket.passes + 1..bracket.fails).contains(size));
        let middle = bracket.passes.midpoint(bracket.fails);
        open.next()
            .or_else(|| (middle > bracket.passes).then_some(middle))
    }

    pub(super) fn finding(self, bracket: &Bracket) -> Finding {
        let Bracket {
            passes,
            fails,
            failure,
        } = bracket;
        let result = match &failure.summary {
            Some(summary) => format!("one of {fails} is answered {summary}"),
            None => format!("one of {fails} gets no response"),
        };
        let limit = self.limit(bracket);
        let separator = if limit.is_empty() { "" } else { ": " };
        let what = format!("a URI of {passes} bytes passes, {result}{separator}{limit}");
        let finding = Finding {
            cure: Some(self.cure(bracket)),
            ..Finding::anomaly(Step::UrlLength, failure.anomaly, what)
        };
        match *passes < DEVICES_NEED {
            true => finding,
            false => finding.as_warning(),
        }
    }

    fn cure(self, bracket: &Bracket) -> String {
        let http_sys = Reason::HttpSysLimit.advice();
        match (bracket.failure.anomaly, bracket.failure.answerer) {
            (Reason::HttpSysLimit, Answerer::HttpSys) if self.head_is(bracket.passes, 65_534) => {
                "nothing for today's devices (40 KB at most); for all 65534 bytes set \
                 MaxRequestBytes to 131072 and restart the machine, because HTTP.sys reads it only \
                 at a restart"
                    .to_owned()
            }
            (Reason::HttpSysLimit, Answerer::Other)
            | (Reason::UpstreamClosed | Reason::UpstreamBroken | Reason::UpstreamTimeout, _) => {
                format!("{DEVICE_BETWEEN}; if there is none: {http_sys}")
            }
            (anomaly, _) => anomaly.advice().to_owned(),
        }
    }

    /// Returns the name of the limit, as far as size, status and responding server identify it.
    fn limit(self, bracket: &Bracket) -> String {
        let longest = bracket.passes;
        let is_exact = bracket.fails - longest == 1;
        let query = longest.saturating_sub(self.before_query);
        let http_sys = bracket.failure.answerer == Answerer::HttpSys;
        match bracket.failure.anomaly {
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
                "maxQueryString or maxUrl of request filtering is between the two".to_owned()
            }
            Reason::HttpSysLimit if self.head_is(longest, 16_384) => {
                "MaxRequestBytes of HTTP.sys is 16384, its default".to_owned()
            }
            Reason::HttpSysLimit if is_exact && longest == 16_384 => {
                "MaxFieldLength of HTTP.sys is 16384, its default".to_owned()
            }
            Reason::HttpSysLimit if self.head_is(longest, 65_534) => format!(
                "MaxRequestBytes of HTTP.sys is 65534, and request line and header fields count \
                 too, here {} bytes",
                self.beside_uri
            ),
            Reason::HttpSysLimit if (32_000..=32_800).contains(&longest) => {
                "about 32 K characters, which is how HTTP.sys applies MaxFieldLength to a URL; \
                 this version of Windows may accept no more"
                    .to_owned()
            }
            Reason::HttpSysLimit if http_sys => {
                "MaxFieldLength or MaxRequestBytes of HTTP.sys, or UrlSegmentMaxLength".to_owned()
            }
            Reason::HttpSysLimit => {
                "apparently not by HTTP.sys: perhaps by a device between proxy and IIS".to_owned()
            }
            Reason::UpstreamClosed | Reason::UpstreamBroken => {
                "the connection closes, as at a limit of HTTP.sys or of a device between proxy \
                 and IIS"
                    .to_owned()
            }
            Reason::UpstreamTimeout => {
                "the request is left pending, as by a device between proxy and IIS that cannot \
                 buffer it"
                    .to_owned()
            }
            _ => String::new(),
        }
    }

    /// Whether the request head with a URI of `longest` bytes is as long as `limit` allows.
    fn head_is(self, longest: usize, limit: usize) -> bool {
        let head = longest + self.beside_uri;
        (limit..=limit + 2).contains(&head)
    }
}
