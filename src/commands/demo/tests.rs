//! Tests of the demo's files and commands.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;

async fn demo() -> Demo {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = Options {
        https: free,
        admin: free,
        ndes: ndes::Options::default(),
    };
    Demo::prepare(options).await.unwrap()
}

#[tokio::test]
async fn only_the_owner_can_read_the_files_and_they_are_removed_with_the_demo() {
    let demo = demo().await;
    let dir = demo.dir().to_owned();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("public.key")), 0o600);
    for name in ["demo-ca.pem", "public.pem"] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{name}");
    }
    let text = fs::read_to_string(demo.config_file()).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let application = &config["application"][0];
    assert_eq!(config["listen"]["https"][0].as_str(), Some("127.0.0.1:0"));
    assert_eq!(
        application["certificate"]["key"].as_str(),
        Some("public.key")
    );
    let address = application["upstream"][0]["address"].as_str();
    assert_eq!(address, Some(demo.ndes.address.to_string().as_str()));

    drop(demo);
    assert!(!dir.exists());
}

#[tokio::test]
async fn two_demos_of_one_process_do_not_share_a_directory() {
    let (one, other) = (demo().await, demo().await);
    assert_ne!(one.dir(), other.dir());
}

#[test]
fn a_port_in_use_is_replaced_by_a_free_one() {
    // A loopback address that no other test uses, so that none can take the port once it is free.
    let listener = TcpListener::bind("127.77.0.2:0").unwrap();
    let busy = listener.local_addr().unwrap();
    assert_eq!(or_any_port(busy).unwrap(), SocketAddr::new(busy.ip(), 0));
    drop(listener);
    assert_eq!(or_any_port(busy).unwrap(), busy);
}

#[tokio::test]
async fn the_commands_of_the_guide_use_targets_of_the_stated_lengths() {
    let demo = demo().await;
    let guide = demo.guide(
        "127.0.0.1:8443".parse().unwrap(),
        "127.0.0.1:9464".parse().unwrap(),
    );
    // The shell expands the URLs as an admin's shell does, and a stub of curl prints the last one.
    let targets: Vec<String> = guide
        .lines()
        .filter(|line| line.starts_with("curl --cacert "))
        .map(|line| {
            let script = format!("curl() {{ for url; do :; done; printf %s \"$url\"; }}\n{line}");
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success(), "{line}");
            let url = String::from_utf8(output.stdout).unwrap();
            let target = url.strip_prefix("https://scep.example.test:8443").unwrap();
            target.to_owned()
        })
        .collect();

    let short: Vec<_> = targets.iter().filter(|target| target.len() < 100).collect();
    assert_eq!(
        short,
        [
            "/certsrv/mscep/mscep.dll?operation=GetCACaps",
            "/certsrv/mscep/mscep.dll",
            "/certsrv/mscep_admin/",
            "/certsrv/mscep/mscep.dll?operation=NDESGenerateChallenge",
        ]
    );
    assert_eq!((targets[2].len(), targets[3].len()), (65534, 65535));
    assert!(guide.ends_with("\ncurl -s http://127.0.0.1:9464/metrics\n"));
}

#[tokio::test]
async fn the_guide_reports_an_unhealthy_ndes() {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    for (condition, words) in [
        (Condition::PoolStopped, "\nIt is unhealthy (pool-stopped): "),
        (Condition::Healthy, "\nThe temporary files"),
    ] {
        let options = Options {
            https: free,
            admin: free,
            ndes: ndes::Options {
                condition,
                ..ndes::Options::default()
            },
        };
        let demo = Demo::prepare(options).await.unwrap();
        let guide = demo.guide(free, free);
        let after = guide.split(&demo.ndes.address.to_string()).nth(1).unwrap();
        assert!(after.starts_with(&format!(".{words}")), "{guide}");
    }
}
