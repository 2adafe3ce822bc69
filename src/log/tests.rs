//! Our lines beside those of tracing_subscriber.

use std::error::Error;
use std::io::{self, PipeWriter};
use std::sync::Mutex;

use tracing::Subscriber;
use tracing::subscriber::with_default;
use tracing_subscriber::fmt;

use super::{Text, json::Json};

fn events() {
    let texts = [
        "",
        "plain ~",
        "'",
        "\"",
        "\\",
        "\n\r\t\x08\x0c",
        "\x1b[31m",
        "\x7f",
        "ü",
        "\u{202e}",
    ];
    for text in texts {
        tracing::info!(first = text, shown = %text, debug = ?text, last = text);
        tracing::warn!(target: "other", text, absent = None::<&str>, "of {text} and\x1b[0m");
        tracing::error!("{text}");
    }
    let error: &(dyn Error + 'static) = &io::Error::other("of a test");
    tracing::warn!(before = 1, error, after = 2);
    tracing::info!(
        message = "a string",
        bytes = 17_usize,
        least = i64::MIN,
        most = u64::MAX
    );
    tracing::info!(
        yes = true,
        ms = 1.257,
        zero = 0.0,
        whole = 30_000.0,
        huge = 1e300,
        none = f64::NAN
    );
    tracing::info!(
        wide = u128::MAX,
        some = Some(4_u16),
        status = tracing::field::Empty
    );
    let span = tracing::info_span!("of a library", peer = "client", text = texts.concat());
    span.in_scope(|| tracing::info!(text = "within", "a span"));
    tracing::info!(parent: &span, text = "below a span");
}

fn lines<S: Subscriber + Send + Sync>(log: impl FnOnce(Mutex<PipeWriter>) -> S) -> String {
    let (reader, writer) = io::pipe().unwrap();
    with_default(log(Mutex::new(writer)), events);
    io::read_to_string(reader).unwrap()
}

#[test]
fn text_is_that_of_tracing_subscriber() {
    let log = |writer| fmt().without_time().with_ansi(false).with_writer(writer);
    let ours = lines(|writer| log(writer).fmt_fields(Text).finish());
    let theirs = lines(|writer| log(writer).finish());
    assert!(theirs.len() > 1_000);
    assert_eq!(ours, theirs);
}

#[test]
fn json_is_that_of_tracing_subscriber() {
    struct Clock;
    impl fmt::time::FormatTime for Clock {
        fn format_time(&self, line: &mut fmt::format::Writer<'_>) -> std::fmt::Result {
            line.write_str("2026-11-22T12:00:00.000001Z")
        }
    }
    let log = |writer| {
        let json = fmt().json().flatten_event(true);
        json.with_timer(Clock).with_writer(writer)
    };
    let ours = lines(|writer| {
        let ours = |default| Json {
            time: Clock,
            default,
        };
        log(writer).map_event_format(ours).finish()
    });
    let theirs = lines(|writer| log(writer).finish());
    assert!(theirs.len() > 1_000);
    assert_eq!(ours, theirs);
}
