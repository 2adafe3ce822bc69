//! Configuration files as admins write them, and what `check`, or `run` if it does not start,
//! reports about them.

mod folder;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use ndes_proxy::commands::demo::pki::{Key, Leaf, Pki};
use ndes_proxy::config::{ClientAddress, Config, LogFormat, LogLevel, Protocol};
use time::OffsetDateTime;

use folder::{Folder, PUBLIC, Ran};

const MINIMAL: &str = include_str!("../../config/minimal.toml");

/// The lines of `config/minimal.toml` in two parts, so that tests can put lines before, between or
/// after them.
const APPLICATION: &str = r#"[[application]]
public_names = ["scep.example.com"]
certificate = { chain = "scep.pem", key = "scep.key" }
"#;
const UPSTREAM: &str = r#"[[application.upstream]]
url = "https://ndes.corp.local"
ca_roots = ["corp-root.pem"]
"#;

fn parse(text: &str) -> Config {
    let (config, warnings) = Config::parse(Path::new("/etc/p/ndes-proxy.toml"), text).unwrap();
    assert!(warnings.0.is_empty(), "{warnings}");
    config
}

#[test]
fn the_minimal_file_is_enough_and_all_other_keys_have_defaults() {
    assert_eq!(MINIMAL.lines().filter(|line| !line.is_empty()).count(), 6);
    let Config {
        file,
        listen,
        limits,
        timeouts,
        rate_limit,
        reload,
        log,
        applications,
    } = parse(MINIMAL);
    assert_eq!(file, Path::new("/etc/p/ndes-proxy.toml"));
    assert_eq!(reload.interval, Some(Duration::from_secs(5)));

    assert_eq!(listen.https, [SocketAddr::from(([0, 0, 0, 0], 443))]);
    assert_eq!(listen.admin, SocketAddr::from(([127, 0, 0, 1], 9464)));
    assert_eq!(listen.protocols, [Protocol::Http1]);
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(listen.workers, cores);

    for (found, default) in [
        (limits.uri_bytes, 65_534),
        (limits.header_field_bytes, 65_534),
        (limits.header_fields, 100),
        (limits.head_bytes, 131_072),
        (limits.body_bytes, 262_144),
        (limits.buffered_bytes, 268_435_456),
        (limits.connections, 8_000),
        (limits.connections_per_client, 1_000),
    ] {
        assert_eq!(found, default);
    }
    for (found, seconds) in [
        (timeouts.tls_handshake, 30),
        (timeouts.request_head, 30),
        (timeouts.request_body, 60),
        (timeouts.keep_alive, 75),
        (timeouts.response_write, 120),
        (timeouts.upstream_connect, 5),
        (timeouts.upstream_response, 20),
        (timeouts.upstream_pki_operation, 180),
        (timeouts.upstream_body, 60),
        (timeouts.shutdown, 30),
    ] {
        assert_eq!(found, Duration::from_secs(seconds));
    }
    for (found, per_second, burst) in [
        (rate_limit.per_client, 100, 1_000),
        (rate_limit.refused_per_client, 5, 100),
        (rate_limit.global, 1_000, 2_000),
    ] {
        assert_eq!(
            (found.per_second.get(), found.burst.get()),
            (per_second, burst)
        );
    }
    assert!(rate_limit.networks.is_empty());
    assert_eq!((log.format, log.level), (LogFormat::Text, LogLevel::Info));

    let [application] = &applications[..] else {
        panic!("not one application");
    };
    assert_eq!(application.name, "scep.example.com");
    let texts = |items: Vec<&'static str>| items.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let names: Vec<_> = application
        .public_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, texts(vec!["scep.example.com"]));
    let paths: Vec<_> = application.paths.iter().map(|path| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/certsrv/mscep/mscep.dll",
            "/certsrv/mscep/mscep.dll/",
            "/certsrv/mscep/mscep.dll/pkiclient.exe",
            "/certsrv/mscep",
            "/certsrv/mscep/",
        ]
    );
    let methods: Vec<_> = application.methods.iter().map(|m| m.as_str()).collect();
    assert_eq!(methods, ["GET", "HEAD", "POST"]);
    let operations: Vec<_> = application.operations.iter().map(|o| o.as_str()).collect();
    assert_eq!(
        operations,
        [
            "GetCACaps",
            "GetCACert",
            "GetCACertChain",
            "GetNextCACert",
            "PKIOperation"
        ]
    );
    assert_eq!(application.client_address, ClientAddress::None);
    let upstream = &application.upstreams[0];
    assert_eq!(upstream.origin.host.as_str(), "ndes.corp.local");
    assert_eq!(upstream.origin.port, 443);
    assert_eq!(upstream.address, None);
    assert_eq!(upstream.server_name.as_str(), "ndes.corp.local");
    assert_eq!(upstream.pin_sha256, None);
    assert_eq!(upstream.max_in_flight, 256);
    assert_eq!(upstream.queue, Duration::from_secs(15));
    assert_eq!(upstream.max_request_head_bytes, None);
}

#[test]
fn relative_paths_are_resolved_against_the_directory_of_the_file() {
    let text = MINIMAL.replace("\"scep.key\"", "\"/keys/scep.key\"");
    let config = parse(&text);
    let application = &config.applications[0];
    let files = &application.certificates[0];
    assert_eq!(files.chain.value, Path::new("/etc/p/scep.pem"));
    assert_eq!(files.key.value, Path::new("/keys/scep.key"));
    let root = &application.upstreams[0].ca_roots[0].value;
    assert_eq!(root, Path::new("/etc/p/corp-root.pem"));
}

#[test]
fn check_prints_what_would_be_published() {
    let folder = Folder::new();
    let ran = folder.check(MINIMAL);
    assert_eq!((ran.code, &ran.stderr[..]), (0, ""));
    assert_eq!(ran.problems(), <[&str; 0]>::default());
    let dir = folder.path().display();
    for line in [
        "listens on 0.0.0.0:443 (HTTPS), 127.0.0.1:9464 (metrics, health)".to_owned(),
        "  publishes    https://scep.example.com/certsrv/mscep/mscep.dll".to_owned(),
        "  methods      GET, HEAD, POST".to_owned(),
        "  operations   GetCACaps, GetCACert, GetCACertChain, GetNextCACert, PKIOperation"
            .to_owned(),
        "  upstream     https://ndes.corp.local:443, at the address of its name".to_owned(),
        format!("  verified by  ndes.corp.local, against {dir}/corp-root.pem"),
        "  expected     the Intune policy module: 403 to a request without operation".to_owned(),
        "  probed       every 30s, its certificates every 1h".to_owned(),
    ] {
        assert!(
            ran.stdout.lines().any(|found| found == line),
            "{line:?} is not in {}",
            ran.stdout
        );
    }
    assert!(!ran.stdout.contains("  refuses "), "{}", ran.stdout);
    let certificate = "  certificate  CN=scep.example.com from CN=public CA, ECDSA P-256, until 20";
    assert!(ran.stdout.contains(certificate), "{}", ran.stdout);
}

#[test]
fn check_prints_what_would_be_refused_and_how_health_is_probed() {
    let folder = Folder::new();
    let policy = "policy_module = \"none\"\nscep = { unreadable = \"refuse\", refuse_messages = \
                  [\"GetCRL\", \"GetCert\"], weakest_digest = \"sha256\", weakest_cipher = \"aes128-cbc\" }";
    let text = MINIMAL
        .replace(
            "[[application]]",
            "[listen]\nprobe_path = \"/healthz\"\n[[application]]",
        )
        .replace("public_names", &format!("{policy}\npublic_names"));
    let ran = folder.check(format!("{text}\nprobe = {{ interval = \"off\" }}\n"));
    assert_eq!((ran.code, &ran.stderr[..]), (0, ""), "{}", ran.stdout);
    for line in [
        "answers /healthz itself, under any host",
        "  refuses      messages that cannot be read; GetCRL, GetCert; digests below sha256; \
         ciphers below aes128-cbc",
        "  expected     no policy module: 200 to a request without operation",
        "  probed       never",
    ] {
        assert!(
            ran.stdout.lines().any(|found| found == line),
            "{line:?} is not in {}",
            ran.stdout
        );
    }
}

#[test]
fn check_opens_no_public_socket() {
    let folder = Folder::new();
    let (https, admin) = (busy(), busy());
    let text = listening(https.local_addr().unwrap(), admin.local_addr().unwrap());
    // Both ports are in use during the check.
    let ran = folder.check(&text);
    assert_eq!((ran.code, ran.problems().len()), (0, 0), "{}", ran.stdout);
}

#[test]
fn run_on_a_port_in_use_names_the_key() {
    let folder = Folder::new();
    let (busy, free) = (busy(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let taken = busy.local_addr().unwrap();
    for (key, text) in [
        ("listen.https", listening(taken, free)),
        ("listen.admin", listening(free, taken)),
    ] {
        let ran = folder.run(&text);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let start = format!("ndes-proxy: {key} = {taken}: Address already in use");
        assert!(ran.stderr.starts_with(&start), "{}", ran.stderr);
    }
}

fn busy() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn listening(https: SocketAddr, admin: SocketAddr) -> String {
    format!("[listen]\nhttps = [\"{https}\"]\nadmin = \"{admin}\"\n{MINIMAL}")
}

#[test]
fn run_with_a_wrong_configuration_exits_with_78_and_the_errors_of_check() {
    let folder = Folder::new();
    // An error in the file itself, and one in a file that it names.
    for text in [
        MINIMAL.replace("url =", "uri ="),
        MINIMAL.replace("scep.key", "gone.key"),
    ] {
        let (checked, ran) = (folder.check(&text), folder.run(&text));
        assert_eq!((checked.code, ran.code), (1, 78));
        assert!(!checked.stdout.is_empty());
        assert_eq!(
            ran.stderr.trim(),
            format!("ndes-proxy: {}", checked.stdout.trim())
        );
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_missing_configuration_file_is_reported_with_the_option() {
    let folder = Folder::new();
    for command in ["check", "run"] {
        let ran = Ran::of(command, &folder.path().join("other.toml"));
        let said = ran.stdout + &ran.stderr;
        assert_eq!(ran.code, if command == "check" { 1 } else { 78 });
        assert!(
            said.contains("other.toml: error: the file cannot be read"),
            "{said}"
        );
        assert!(said.contains("--config FILE"), "{said}");
    }
}

#[test]
fn nine_mistakes_are_nine_problems_in_the_order_of_lines() {
    let text = r#"[listen]
admin = "localhost"
[limits]
uri_bytes = 65535
body_byte = 4096
[timeouts]
keep_alive = 75
[[application]]
public_names = "scep.example.com"
certificate = { chain = "scep.pem" }
methods = ["GET", "post"]
[[application.upstream]]
url = "http://ndes.corp.local"
ca_roots = []
"#;
    let expected = [
        ("2: listen.admin", "127.0.0.1:8443"),
        ("4: limits.uri_bytes", "from 64 to 65534"),
        ("5: limits.body_byte", "write `body_bytes`"),
        ("7: timeouts.keep_alive", "write it as \"30s\""),
        (
            "9: application[0].public_names",
            "write public_names = [\"scep.example.com\"]",
        ),
        (
            "10: application[0].certificate[0].key",
            "write key = \"scep.key\"",
        ),
        (
            "11: application[0].methods",
            "write one of \"GET\", \"HEAD\", \"POST\"",
        ),
        (
            "13: application[0].upstream[0].url",
            "write it as \"https://ndes.corp.local\"",
        ),
        (
            "14: application[0].upstream[0].ca_roots",
            "write ca_roots = [\"corp-root.pem\"]",
        ),
    ];
    let folder = Folder::new();
    let ran = folder.check(text);
    assert_eq!(ran.code, 1);
    let problems: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    let file = folder.config();
    for (problem, (location, cure)) in problems.iter().zip(expected) {
        let start = format!("{}:{location}: error: ", file.display());
        assert!(problem.starts_with(&start), "{start}, not {problem}");
        let (_, said) = problem.split_once("; ").expect("a cure");
        assert!(said.contains(cure), "{cure}, not {said}");
    }
}

/// One mistake each: `(file, location, words)`. `{A}` stands for `APPLICATION` and `{U}` for
/// `UPSTREAM`.
#[test]
fn each_mistake_is_reported_at_its_line_with_its_cure() {
    let folder = Folder::new();
    for (text, location, words) in [
        // Unknown keys, with the most similar known one.
        (
            "{A}path = []\n{U}",
            "4: application[0].path",
            &["this key is unknown; write `paths`"][..],
        ),
        (
            "{A}{U}servername = \"x\"",
            "7: application[0].upstream[0].servername",
            &["write `server_name`"],
        ),
        (
            "{A}{U}verify = false",
            "7: application[0].upstream[0].verify",
            &[
                "unknown; remove it",
                "url, ca_roots, address, server_name, pin_sha256",
            ],
        ),
        ("[limit]\n{A}{U}", "1: limit", &["write `limits`"]),
        (
            "[rate_limit]\nper_client = { per_second = 1, bursts = 2 }\n{A}{U}",
            "2: rate_limit.per_client",
            &["`bursts`", "burst = 1000"],
        ),
        // Wrong types and values.
        (
            "[listen]\nhttps = [\"0.0.0.0\"]\n{A}{U}",
            "2: listen.https",
            &["write it as \"127.0.0.1:8443\""],
        ),
        (
            "[listen]\nhttps = \"0.0.0.0:443\"\n{A}{U}",
            "2: listen.https",
            &["must be a list; write https = ["],
        ),
        (
            "[listen]\nhttps = []\n{A}{U}",
            "2: listen.https",
            &["list is empty"],
        ),
        (
            "[listen]\nhttps = [\"127.0.0.1:9464\"]\n{A}{U}",
            "1: listen.https",
            &["the address 127.0.0.1:9464 is used twice", "each"],
        ),
        (
            "[listen]\nprotocols = [\"http/2\"]\n{A}{U}",
            "2: listen.protocols",
            &[
                "`http/2` is not one of the accepted values",
                "\"http/1.1\" or \"h2\"",
            ],
        ),
        (
            "[listen]\nworkers = 0\n{A}{U}",
            "2: listen.workers",
            &["0 is out of range; write a whole number from 1 to 1024"],
        ),
        (
            "[listen]\nworkers = \"2\"\n{A}{U}",
            "2: listen.workers",
            &["a whole number from 1 to 1024"],
        ),
        (
            "[limits]\nuri_bytes = 65535\n{A}{U}",
            "2: limits.uri_bytes",
            &["65535 is out of range", "to 65534"],
        ),
        (
            "[limits]\nbody_bytes = -1\n{A}{U}",
            "2: limits.body_bytes",
            &["-1 is out of range"],
        ),
        (
            "[limits]\nbody_bytes = 1.5\n{A}{U}",
            "2: limits.body_bytes",
            &["a whole number from"],
        ),
        (
            "[timeouts]\nshutdown = \"0s\"\n{A}{U}",
            "2: timeouts.shutdown",
            &["not a time from 1ms to 24h", "\"30s\""],
        ),
        (
            "[timeouts]\nshutdown = \"30\"\n{A}{U}",
            "2: timeouts.shutdown",
            &["\"30s\""],
        ),
        (
            "[log]\nlevel = \"trace\"\n{A}{U}",
            "2: log.level",
            &["\"error\", \"warn\", \"info\", \"debug\""],
        ),
        (
            "[rate_limit]\nglobal = { per_second = 0, burst = 1 }\n{A}{U}",
            "2: rate_limit.global",
            &["both at least 1"],
        ),
        (
            "[rate_limit]\nglobal = { per_second = 5 }\n{A}{U}",
            "2: rate_limit.global",
            &["`burst` is missing"],
        ),
        (
            "[rate_limit]\nglobal = 5\n{A}{U}",
            "2: rate_limit.global",
            &["per_second = 100"],
        ),
        (
            "[[rate_limit.network]]\ncidr = \"10.0.0.0/33\"\n{A}{U}",
            "2: rate_limit.network[0].cidr",
            &["203.0.113.0/24"],
        ),
        (
            "[[rate_limit.network]]\n{A}{U}",
            "1: rate_limit.network[0].cidr",
            &["missing", "203.0.113.0/24"],
        ),
        (
            "limits = 5\n{A}{U}",
            "1: limits",
            &["must be a table; write [limits]"],
        ),
        (
            "{A}scep = \"refuse\"\n{U}",
            "4: application[0].scep",
            &["must be a table; write [application.scep]"],
        ),
        (
            "{A}{U}probe = \"off\"\n",
            "7: application[0].upstream[0].probe",
            &["must be a table; write [application.upstream.probe]"],
        ),
        (
            "{A}{U}probe = { interval = \"999ms\" }\n",
            "7: application[0].upstream[0].probe.interval",
            &["more than once a second; write \"1s\""],
        ),
        (
            "{A}policy_module = 3\n{U}",
            "4: application[0].policy_module",
            &["this must be a word in double quotes; write it as \"intune\" or \"none\""],
        ),
        (
            "{A}client_address = \"x-real-ip\"\n{U}",
            "4: application[0].client_address",
            &["\"x-forwarded-for\""],
        ),
        (
            "{A}operations = [\"getcacert\"]\n{U}",
            "4: application[0].operations",
            &["`getcacert`", "\"GetCACert\""],
        ),
        (
            "{A}operations = [\n\"GetCACert\",\n\"Other\",\n]\n{U}",
            "6: application[0].operations",
            &["`Other`"],
        ),
        (
            "{A}name = \"a b\"\n{U}",
            "4: application[0].name",
            &["letters, digits"],
        ),
        // Names and addresses.
        (
            "{A}",
            "1: application[0].upstream",
            &["missing", "[[application.upstream]] with url and ca_roots"],
        ),
        (
            "{A}[[application.upstream]]\nca_roots = [\"corp-root.pem\"]",
            "4: application[0].upstream[0].url",
            &["missing; write url = "],
        ),
        (
            "{A}[[application.upstream]]\nurl = \"https://ndes\"",
            "4: application[0].upstream[0].ca_roots",
            &["missing; write ca_roots = "],
        ),
        (
            "{A}[[application.upstream]]\nurl = \"https://10.0.0.5\"\nca_roots = [\"corp-root.pem\"]",
            "5: application[0].upstream[0].url",
            &["address = \"10.0.0.5:443\""],
        ),
        (
            "{A}[[application.upstream]]\nurl = \"https://ndes/certsrv\"\nca_roots = [\"corp-root.pem\"]",
            "5: application[0].upstream[0].url",
            &["has a path"],
        ),
        (
            "{A}[[application.upstream]]\nurl = \"https://ndes:x\"\nca_roots = [\"corp-root.pem\"]",
            "5: application[0].upstream[0].url",
            &["is not a port"],
        ),
        (
            "{A}{U}address = \"ndes:443\"",
            "7: application[0].upstream[0].address",
            &["10.0.0.5:443", "[fd00::5]:443"],
        ),
        (
            "{A}{U}server_name = \"https://ndes\"",
            "7: application[0].upstream[0].server_name",
            &["without scheme"],
        ),
        (
            "{A}{U}pin_sha256 = \"abcd\"",
            "7: application[0].upstream[0].pin_sha256",
            &["openssl dgst -sha256"],
        ),
        // Paths that match more than themselves.
        (
            "{A}paths = [\"/certsrv/mscep/*\"]\n{U}",
            "4: application[0].paths",
            &["not a plain path", "without wildcard"],
        ),
        (
            "{A}paths = [\"/certsrv/%6dscep\"]\n{U}",
            "4: application[0].paths",
            &["not a plain path"],
        ),
        (
            "{A}paths = [\"/certsrv/mscep/../x\"]\n{U}",
            "4: application[0].paths",
            &["not a plain path"],
        ),
        (
            "{A}paths = [\"certsrv\"]\n{U}",
            "4: application[0].paths",
            &["not a plain path"],
        ),
        (
            "{A}paths = []\n{U}",
            "4: application[0].paths",
            &["list is empty"],
        ),
    ] {
        let text = text.replace("{A}", APPLICATION).replace("{U}", UPSTREAM);
        let ran = folder.check(&text);
        println!("{text}\n{}", ran.stdout);
        ran.assert_only("error", location, words);
    }
}

#[test]
fn errors_of_toml_syntax_are_reported_alone() {
    let folder = Folder::new();
    for (text, location, words) in [
        ("{A}{U}address = 10.0.0.5:443", "7", "in \"double quotes\""),
        (
            "{A}{U}address = \"\\\\server\\share\\users\"",
            "7",
            "in 'single quotes'",
        ),
        (
            "{A}{U}url = \"https://twice\"",
            "7",
            "duplicate key; write each key and each [table] only once",
        ),
        ("{A}name = \n{U}", "4", "this is not valid TOML"),
        ("[application]\n{A}{U}", "2", "this is not valid TOML"),
        ("<xml>\n{A}{U}", "1", "this is not valid TOML"),
    ] {
        let text = text.replace("{A}", APPLICATION).replace("{U}", UPSTREAM);
        let ran = folder.check(&text);
        println!("{text}\n{}", ran.stdout);
        ran.assert_only("error", location, &["this is not valid TOML", words]);
    }
    let ran = folder.check("");
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout
            .contains("application: error: this key is missing; write [[application]]")
    );
}

#[test]
fn dangerous_paths_are_refused_unless_the_admin_insists() {
    let folder = Folder::new();
    for path in [
        "/certsrv/mscep_admin",
        "/CertSrv/MSCEP_Admin/",
        "/CertificateRegistrationSvc/Certificate/VerifyRequest",
        "/certsrv/",
        "/certsrv",
        "/certsrv/certfnsh.asp",
        "/CertEnroll/",
        "/",
    ] {
        let refused = format!("{APPLICATION}paths = [\"{path}\"]\n{UPSTREAM}");
        let ran = folder.check(&refused);
        ran.assert_only(
            "error",
            "4: application[0].paths",
            &[
                path,
                "must never be published",
                "allow_dangerous_paths = true",
            ],
        );
        let insisted = refused.replace("paths =", "allow_dangerous_paths = true\npaths =");
        let ran = folder.check(&insisted);
        assert_eq!(ran.code, 0, "{}", ran.stdout);
        let line = format!("  publishes    https://{PUBLIC}{path}\n");
        assert!(ran.stdout.contains(&line), "{}", ran.stdout);
    }
}

#[test]
fn a_name_is_used_only_once() {
    let folder = Folder::new();
    let one = format!("{APPLICATION}{UPSTREAM}");
    let other = one.replace("public_names", "name = \"two\"\npublic_names");
    let ran = folder.check(format!("{one}{other}"));
    let words = ["scep.example.com is published twice", "once"];
    ran.assert_only("error", "7: application[1]", &words);

    let ran = folder.check(one.replace("[\"scep", "[\"SCEP.example.com.\", \"scep"));
    ran.assert_only("error", "1: application[0]", &words);

    let named = |public| other.replace("scep.example.com", public);
    let ran = folder.check(format!("{}{}", named("a.test"), named("b.test")));
    let problems = ran.problems();
    let twice = "application[1]: error: the name \"two\" is used twice; give each";
    assert!(problems[0].contains(twice), "{problems:#?}");
}

#[test]
fn a_second_upstream_is_reported_as_unused() {
    let folder = Folder::new();
    let ran = folder.check(format!("{APPLICATION}{UPSTREAM}{UPSTREAM}"));
    let words = ["a second upstream is not used yet"];
    ran.assert_only("warning", "7: application[0].upstream[1]", &words);
}

#[test]
fn a_limit_that_another_one_hides_is_reported() {
    let folder = Folder::new();
    for (limits, key) in [
        ("head_bytes = 65534\nheader_field_bytes = 100", "uri_bytes"),
        ("head_bytes = 65534\nuri_bytes = 100", "header_field_bytes"),
        (
            "body_bytes = 1048576\nbuffered_bytes = 1048576",
            "body_bytes",
        ),
    ] {
        let ran = folder.check(format!("[limits]\n{limits}\n{MINIMAL}"));
        let location = format!("1: limits.{key}");
        ran.assert_only("warning", &location, &["is never reached"]);
    }
}

#[test]
fn every_encoding_of_windows_is_read() {
    let folder = Folder::new();
    let crlf = MINIMAL.replace('\n', "\r\n");
    let utf16 = |mark: &[u8], unit: fn(u16) -> [u8; 2]| {
        let units = crlf.encode_utf16().flat_map(unit);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    for (name, bytes) in [
        ("CRLF", crlf.clone().into_bytes()),
        (
            "byte order mark",
            [b"\xEF\xBB\xBF", crlf.as_bytes()].concat(),
        ),
        ("UTF-16", utf16(b"\xFF\xFE", u16::to_le_bytes)),
        (
            "UTF-16 of the other order",
            utf16(b"\xFE\xFF", u16::to_be_bytes),
        ),
    ] {
        let ran = folder.check(bytes);
        assert_eq!((ran.code, ran.problems().len()), (0, 0), "{name}");
    }
    // Errors are reported at the right line in each encoding.
    let wrong = crlf.replace("url =", "uri =");
    for bytes in [
        wrong.clone().into_bytes(),
        [b"\xEF\xBB\xBF", wrong.as_bytes()].concat(),
    ] {
        let ran = folder.check(bytes);
        assert!(
            ran.stdout
                .contains(".toml:6: application[0].upstream[0].uri: "),
            "{}",
            ran.stdout
        );
    }
    let ran = folder.check(b"# caf\xE9\n");
    assert!(
        ran.stdout
            .contains("neither UTF-8 nor UTF-16; save the file as UTF-8")
    );
}

const CHAIN: &str = "3: application[0].certificate[0].chain";
const KEY: &str = "3: application[0].certificate[0].key";
const ROOTS: &str = "7: application[0].upstream[0].ca_roots";

#[test]
fn a_certificate_that_devices_would_refuse_is_reported() {
    let folder = Folder::new();
    let now = OffsetDateTime::now_utc();
    let day = time::Duration::DAY;
    for (leaf, severity, words) in [
        (
            Leaf::server(&["other.example.com", "third.example.com"]),
            "error",
            &[
                "does not cover scep.example.com",
                "other.example.com, third.example.com",
            ][..],
        ),
        (
            Leaf {
                common_name: PUBLIC.to_owned(),
                ..Leaf::server(&[])
            },
            "error",
            &["only in its CN", "in the SAN"],
        ),
        (
            Leaf {
                not_before: now - day * 9,
                not_after: now - day,
                ..Leaf::server(&[PUBLIC])
            },
            "error",
            &["expired on", "renew it"],
        ),
        (
            Leaf {
                not_before: now + day,
                ..Leaf::server(&[PUBLIC])
            },
            "error",
            &["valid only from", "clock"],
        ),
        (
            Leaf {
                not_after: now + day * 7,
                ..Leaf::server(&[PUBLIC])
            },
            "warning",
            &["expires soon", "renew it"],
        ),
        (
            Leaf {
                extended_key_usages: vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth],
                ..Leaf::server(&[PUBLIC])
            },
            "error",
            &["not for servers", "1.3.6.1.5.5.7.3.1"],
        ),
    ] {
        folder.put_certificate(&folder.ca.issue(&leaf).unwrap());
        folder.check(MINIMAL).assert_only(severity, CHAIN, words);
    }
}

#[test]
fn files_from_windows_work_or_are_reported_with_the_command_to_run() {
    let folder = Folder::new();
    let other = folder.ca.issue(&Leaf::server(&[PUBLIC])).unwrap();
    let root = Pki::new("corp root", Key::EcdsaP256).unwrap();
    folder.write("root.cer", root.certificate());
    folder.write("other.key", &other.key_pem);
    folder.write(
        "open.key",
        std::fs::read(folder.path().join("scep.key")).unwrap(),
    );
    folder.write("empty.pem", "");
    folder.write("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkq\n-----END ENCRYPTED PRIVATE KEY-----\n");
    folder.write("chain.key", &other.chain_pem);
    for name in ["other.key", "encrypted.pem", "chain.key"] {
        set_mode(&folder.path().join(name), 0o600);
    }
    set_mode(&folder.path().join("open.key"), 0o644);

    for (from, to, location, severity, words) in [
        (
            "\"scep.key\"",
            "\"other.key\"",
            KEY,
            "error",
            &[
                "belongs to no certificate of the chain",
                "openssl pkey -pubout",
            ][..],
        ),
        (
            "\"scep.key\"",
            "\"chain.key\"",
            KEY,
            "error",
            &[
                "holds a certificate where a private key is expected",
                "certutil -exportPFX",
            ],
        ),
        (
            "\"scep.key\"",
            "\"open.key\"",
            KEY,
            "warning",
            &["open.key", "chmod"],
        ),
        (
            "\"scep.key\"",
            "\"encrypted.pem\"",
            KEY,
            "error",
            &["encrypted", "openssl"],
        ),
        (
            "\"scep.pem\"",
            "\"scep.key\"",
            CHAIN,
            "error",
            &["holds a private key where a certificate is expected"],
        ),
        (
            "\"scep.pem\"",
            "\"empty.pem\"",
            CHAIN,
            "error",
            &["is empty"],
        ),
        (
            "\"scep.pem\"",
            "\"gone.pem\"",
            CHAIN,
            "error",
            &["gone.pem is missing", "relative"],
        ),
        (
            "corp-root.pem",
            "gone.pem",
            ROOTS,
            "error",
            &["gone.pem is missing", "relative"],
        ),
        (
            "corp-root.pem",
            "scep.key",
            ROOTS,
            "error",
            &["private key where a certificate"],
        ),
    ] {
        let ran = folder.check(MINIMAL.replace(from, to));
        println!("{from} -> {to}\n{}", ran.stdout);
        ran.assert_only(severity, location, words);
    }
    // DER, as `certutil -ca.cert` writes it, beside PEM.
    let ran =
        folder.check(MINIMAL.replace("[\"corp-root.pem\"]", "[\"root.cer\", \"corp-root.pem\"]"));
    assert_eq!((ran.code, ran.problems().len()), (0, 0), "{}", ran.stdout);
}

#[test]
fn mistakes_in_several_files_are_reported_at_once() {
    let folder = Folder::new();
    let text = MINIMAL
        .replace("scep.pem", "gone.pem")
        .replace("scep.key", "gone.key")
        .replace("corp-root.pem", "gone-root.pem");
    let ran = folder.check(text);
    let locations: Vec<_> = ran
        .problems()
        .iter()
        .map(|line| {
            line.split(": error: ")
                .next()
                .unwrap()
                .rsplit(".toml:")
                .next()
                .unwrap()
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(locations, [CHAIN, KEY, ROOTS]);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
