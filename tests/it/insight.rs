//! How the proxy evaluates SCEP messages that it forwards: counters, audit events, refusals.

mod audit;
mod certificates;
mod diagnosis;
mod policy;
mod stream;

use crate::corpus::Exchange;
use crate::support::{MSCEP, PUBLIC, Proxy, Response};

const ANSWERS: &str = "ndes_proxy_scep_answers_total";
const ANOMALIES: &str = "ndes_proxy_anomalies_total";

/// An enrolment request of micromdm's scepclient for an NDES with RA certificates.
pub const PKCS_REQ: &str = "019-micromdm-scepclient-ndes-sim-post-pkioperation";
/// An enrolment request of certmonger: by GET, signed by a certificate with a serial number of 32
/// bytes.
const PKCS_REQ_BY_GET: &str = "044-certmonger-ndes-sim-get-pkioperation";

fn exchange(id: &str) -> Exchange {
    let mut all = Exchange::all().into_iter();
    all.find(|exchange| exchange.id() == id)
        .unwrap_or_else(|| panic!("no exchange {id}"))
}

/// Returns the CMS bytes of a PKIOperation.
pub fn message(id: &str) -> Vec<u8> {
    exchange(id).request().unwrap()
}

fn pki_operation() -> String {
    format!("{MSCEP}?operation=PKIOperation")
}

fn target_of_operation(operation: &str) -> String {
    format!("{MSCEP}?operation={operation}")
}

pub fn enrol(proxy: &Proxy, message: &[u8]) -> Response {
    proxy.post(&pki_operation(), message)
}

fn request(target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
