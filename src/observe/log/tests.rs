//! Our lines beside those of tracing_subscriber.

use std::fmt;
use std::io::{self, PipeWriter};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tracing::Subscriber;
use tracing::subscriber::with_default;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::{Bare, Cut, Format, Line, Log, Text, put};
use crate::base::client::{ConnectionId, RequestId, escaped};
use crate::config::LogLevel;

const TEXTS: [&[u8]; 10] = [
    b"",
    b"plain ~",
    b"'",
    b"\"",
    b"\\",
    b"a\" status=200 b=\"",
    b"\n\r\t\x08\x0c",
    b"\x1b[31m\x7f",
    "ü\u{202e}".as_bytes(),
    b"\xff",
];

const REQUEST: RequestId = RequestId {
    connection: ConnectionId {
        process: 0x6700_00ff,
        number: u64::MAX,
    },
    number: 10,
};

fn time() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_795_392_000_000_010)
}

fn said_by_us(
    word: &str,
    text: &[u8],
    address: IpAddr,
    took: Duration,
    number: usize,
) -> impl Fn(&mut Line) {
    move |line| {
        put!(
            line,
            "request_id" = REQUEST,
            "absent" = None::<u16>,
            "text" = Cut(text, 20),
            "word" = Some(word),
            "client" = address,
            "port" = 65_535_u16,
            "number" = number,
            "known" = Bare::<u32>::Known("PKCSReq"),
            "other" = Some(Bare::Other(41)),
            "yes" = true,
            "took_ms" = took,
        );
    }
}

/// The same as it was said before lines had a way of their own.
fn said_by_tracing(word: &str, text: &[u8], address: IpAddr, took: Duration, number: usize) {
    tracing::info!(
        target: "access",
        request_id = %REQUEST,
        absent = None::<u16>,
        text = escaped(text, 20),
        word,
        client = %address,
        port = 65_535_u16,
        number,
        known = %"PKCSReq",
        other = %41,
        yes = Some(true),
        took_ms = (took.as_micros() as f64) / 1e3,
    );
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        write!(line, "{}", humantime::format_rfc3339_micros(time()))
    }
}

fn subscriber(format: Format, writer: PipeWriter) -> Box<dyn Subscriber + Send + Sync> {
    let log = tracing_subscriber::fmt()
        .with_timer(Clock)
        .with_ansi(format == Format::Colours)
        .with_writer(Mutex::new(writer));
    match format {
        Format::Text | Format::Colours => Box::new(log.finish()),
        Format::Json => Box::new(log.json().flatten_event(true).finish()),
    }
}

#[track_caller]
fn assert_same(word: &str, text: &[u8], address: IpAddr, took: Duration, number: usize) {
    for format in [Format::Text, Format::Colours, Format::Json] {
        let (reader, writer) = io::pipe().unwrap();
        let subscriber = subscriber(format, writer);
        with_default(subscriber, || {
            said_by_tracing(word, text, address, took, number)
        });
        let theirs = io::read_to_string(reader).unwrap();
        let mut line = Line::begin(format, "access", time());
        said_by_us(word, text, address, took, number)(&mut line);
        let ours = String::from_utf8(line.end()).unwrap();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn lines_are_those_of_tracing_subscriber() {
    let addresses = ["192.0.2.10", "0.0.0.255", "2001:db8::1"].map(|text| text.parse().unwrap());
    for (index, text) in TEXTS.into_iter().enumerate() {
        let took = Duration::from_micros([0, 1, 10, 100, 999, 1_000, 1_257][index % 7]);
        assert_same("GET", text, addresses[index % 3], took, index);
    }
    let all = TEXTS.concat();
    assert_same(
        "it's \"so\"\n\t\\\x1b[1m\u{7f}ü\u{202e}",
        &all,
        addresses[0],
        Duration::from_secs(30),
        usize::MAX,
    );
}

/// The time of an event is the one thing that the other test cannot see.
#[test]
fn times_are_those_of_tracing_subscriber() {
    let (reader, writer) = io::pipe().unwrap();
    let log = tracing_subscriber::fmt().with_ansi(false);
    let log = log.with_writer(Mutex::new(writer)).finish();
    with_default(log, || tracing::info!(target: "access", a = 1));
    let theirs = io::read_to_string(reader).unwrap();
    let (stamp, rest) = theirs.split_once(' ').unwrap();
    let time = humantime::parse_rfc3339(stamp).unwrap();
    let mut line = Line::begin(Format::Text, "access", time);
    put!(&mut line, "a" = 1_usize);
    assert_eq!(String::from_utf8(line.end()).unwrap(), theirs);
    assert!(rest.starts_with(" INFO access: "));
}

#[test]
fn durations_are_rounded_to_the_microsecond() {
    let shown = |nanos| {
        let mut line = Line::begin(Format::Json, "access", time());
        put!(&mut line, "ms" = Duration::from_nanos(nanos));
        let line: serde_json::Value = serde_json::from_slice(&line.end()).unwrap();
        line["ms"].as_f64().unwrap()
    };
    let nanos = [499, 500, 1_499_500, 999_999_500];
    assert_eq!(nanos.map(shown), [0.0, 0.001, 1.5, 1_000.0]);
}

#[test]
fn a_level_above_info_leaves_requests_out() {
    for (level, expected) in [
        (LogLevel::Error, 0),
        (LogLevel::Warn, 0),
        (LogLevel::Info, 1),
        (LogLevel::Debug, 1),
    ] {
        let (reader, writer) = io::pipe().unwrap();
        let (log, rest) = Log::to(writer, Format::Text, level).unwrap();
        log.info("access", |line| put!(line, "a" = true));
        drop(rest);
        let lines = io::read_to_string(reader).unwrap();
        assert_eq!(lines.lines().count(), expected, "{level:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_said(
        word: String,
        text in prop::collection::vec(any::<u8>(), 0..30),
        address: IpAddr,
        micros in 0_u64..1 << 45,
        number: usize,
    ) {
        assert_same(&word, &text, address, Duration::from_micros(micros), number);
    }
}

/// A name of RFC 4514 arrives as it is, and no text breaks the line or passes for another field.
#[test]
fn texts_of_others_are_escaped_once() {
    for (text, decoded) in [
        (r"CN=a\,b,O=Köln", r"CN=a\,b,O=Köln"),
        (
            r#"CN=\"x\" pki_status=SUCCESS"#,
            r#"CN=\"x\" pki_status=SUCCESS"#,
        ),
        ("a\nb", r"a\nb"),
        ("a\u{85}b", r"a\u{85}b"),
        ("a\u{202e}b", r"a\u{202e}b"),
        ("a'b", "a'b"),
        ("öööööö", "ööööö..."),
    ] {
        let most = if text.starts_with('ö') { 11 } else { 200 };
        for format in [Format::Json, Format::Text] {
            let mut line = Line::begin(format, "scep", time());
            put!(&mut line, "signer" = Text(text, most));
            let line = String::from_utf8(line.end()).unwrap();
            assert_eq!(line.trim_end().lines().count(), 1, "{line}");
            if format == Format::Json {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(line["signer"], decoded);
            } else {
                let quoted = decoded.replace('\\', r"\\").replace('"', r#"\""#);
                assert!(line.ends_with(&format!("signer=\"{quoted}\"\n")), "{line}");
            }
        }
    }
}
