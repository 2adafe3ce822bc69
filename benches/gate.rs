//! The cost of admitting a request: finding the end of its head, parsing it, and the checks of the
//! gate. Without TLS and sockets, which `throughput` measures.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use ndes_proxy::base::client::ClientKey;
use ndes_proxy::config::Config;
use ndes_proxy::config::types::DnsName;
use ndes_proxy::edge::head::{HeadScanner, parse};
use ndes_proxy::proxy::gate;
use ndes_proxy::proxy::gate::rate::Rates;
use ndes_proxy::proxy::rules::Rules;
use ndes_proxy::proxy::site::Site;

fn admission(criterion: &mut Criterion) {
    let minimal = include_str!("../config/minimal.toml");
    let (config, _) = Config::parse("minimal.toml".as_ref(), minimal).expect("it loads");
    let application = &config.applications[0];
    let names = application.public_names.iter().map(DnsName::as_str);
    let site = Site::new([(Arc::new(Rules::new(application)), names)]);
    let sni = site.sni("scep.example.com".into());

    let mut group = criterion.benchmark_group("admission");
    for (name, target) in [("100 B", 100), ("4 KB", 4 << 10), ("64 KB", 65_534)] {
        let head = head(target);
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &head, |bencher, head| {
            bencher.iter(|| {
                let range = HeadScanner::default().advance(black_box(head), &config.limits);
                let range = range.expect("well-formed").expect("complete");
                let head = parse(&head.slice(range)).expect("well-formed");
                gate::admit(&head, Some(&sni), &site, &config.limits).expect("published")
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("rate limiter, clients");
    for clients in [1, 1000, 100_000, 1_000_000] {
        let rates = Rates::new(&config.rate_limit);
        let mut next = 0_u64;
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % clients;
                rates.admitted(black_box(ClientKey::V6(next)))
            });
        });
    }
    group.finish();
}

/// Returns a PKIOperation by GET as a device sends it, with a target of this many bytes.
fn head(bytes: usize) -> Bytes {
    let path = "/certsrv/mscep/mscep.dll?operation=PKIOperation&message=";
    let message = "M".repeat(bytes - path.len());
    let fields = "Host: scep.example.com\r\nUser-Agent: Mozilla/4.0 (compatible; Win32; NDES client)\r\n\
                  Accept: */*\r\nConnection: Keep-Alive\r\n";
    Bytes::from(format!("GET {path}{message} HTTP/1.1\r\n{fields}\r\n"))
}

criterion_group!(benches, admission);
criterion_main!(benches);
