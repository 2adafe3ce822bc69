//! The text that the demo prints: its addresses, and commands to copy with the expected results.

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;

use super::condition::Condition;
use super::{Demo, PUBLIC_NAME};

impl Demo {
    /// Returns the text for a proxy that listens on these addresses: commands to copy, each with
    /// the expected result.
    pub fn guide(&self, public: SocketAddr, admin: SocketAddr) -> String {
        let port = public.port();
        let host = match public.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let dir = self.dir().display();
        let curl =
            format!("curl --cacert '{dir}/demo-ca.pem' --resolve {PUBLIC_NAME}:{port}:{host}");
        let site = format!("https://{PUBLIC_NAME}:{port}");
        let status = r"-s -o /dev/null -w '%{http_code}\n'";
        let padded = format!("{MSCEP}?operation=GetCACaps&message=");
        let fill = |target: usize| {
            format!(
                "$(head -c {} /dev/zero | tr '\\0' A)",
                target - padded.len()
            )
        };
        let most = fill(LONGEST_TARGET);
        let one_more = fill(LONGEST_TARGET + 1);
        let ndes = self.ndes.address;
        let unhealthy = match self.condition.to_possible_value() {
            Some(word) if self.condition != Condition::Healthy => format!(
                "\nIt is unhealthy ({}): the results below are those of a healthy NDES.",
                word.get_name()
            ),
            _ => String::new(),
        };
        format!(
            "\
The proxy publishes {site}{MSCEP}
in front of a simulated NDES on {ndes}.{unhealthy}
The temporary files are removed when the demo ends.

  public:  {site}{MSCEP}
  status:  http://{admin}/
  metrics: http://{admin}/metrics
  CA:      {dir}/demo-ca.pem
  config:  {dir}/ndes-proxy.toml

# The capabilities of NDES: one word per line, POSTPKIOperation among them.
{curl} '{site}{MSCEP}?operation=GetCACaps'

# The usual check of an NDES with the Intune policy module: its own 403 page.
{curl} -i '{site}{MSCEP}'

# The longest request target that passes, {LONGEST_TARGET} bytes: 200
{curl} {status} \"{site}{padded}{most}\"

# One byte more is refused: 414
{curl} {status} \"{site}{padded}{one_more}\"

# The page with the challenge passwords is not published: 404
{curl} {status} '{site}/certsrv/mscep_admin/'

# An operation for internal use only is refused: 400
{curl} {status} '{site}{MSCEP}?operation=NDESGenerateChallenge'

# The metrics of the proxy about these requests
curl -s http://{admin}/metrics
"
        )
    }
}

const MSCEP: &str = "/certsrv/mscep/mscep.dll";

/// The proxy's default `uri_bytes`.
const LONGEST_TARGET: usize = 65534;
