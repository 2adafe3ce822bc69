//! The body of a response of NDES, parsed as each type of SCEP response: memory is bounded, texts
//! and lists are not longer than their limits, and bytes after the message do not change the
//! result.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndes_proxy::scep::{
    Capabilities, CertRep, Certificate, MAX_CERTIFICATES, MAX_EXT_KEY_USAGES, MAX_FAIL_INFO_TEXT,
    MAX_KEY_ID, MAX_NAME, MAX_NONCE, MAX_RECIPIENTS, MAX_SERIAL, MAX_TRANSACTION_ID, Message, Name,
    Serial, ca_certificates,
};
use ndes_proxy_fuzz::within_bounds;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = within_bounds(bytes, || Message::read(bytes)) {
        check_message(&message);
        let cert_rep = within_bounds(bytes, || CertRep::read(bytes));
        assert_eq!(
            cert_rep
                .ok()
                .map(|found| (Some(found.pki_status), found.transaction_id)),
            message
                .pki_status
                .map(|status| (Some(status), message.transaction_id))
        );
    }
    if let Ok(certificates) = within_bounds(bytes, || ca_certificates(bytes)) {
        assert!((1..=MAX_CERTIFICATES).contains(&certificates.len()));
        certificates.iter().for_each(check_certificate);
        let followed = [bytes, b"\r\n\0\0"].concat();
        let again = ca_certificates(&followed).expect("trailing bytes do not matter");
        assert_eq!(again.len(), certificates.len());
    }

    let words = Capabilities::read(bytes);
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    for word in words.iter() {
        assert!(text.contains(&word.as_str().to_ascii_lowercase()));
    }
});

fn check_message(message: &Message) {
    let most = |value: Option<&[u8]>, most: usize| {
        assert!(value.is_none_or(|value| value.len() <= most));
    };
    most(message.transaction_id.as_deref(), MAX_TRANSACTION_ID);
    most(message.sender_nonce.as_deref(), MAX_NONCE);
    most(message.recipient_nonce.as_deref(), MAX_NONCE);
    let text = message.fail_info_text.as_ref();
    assert!(text.is_none_or(|text| text.len() <= MAX_FAIL_INFO_TEXT));
    assert!(message.recipients.len() <= MAX_RECIPIENTS);
    if let Some(signer) = &message.signer {
        check_names(
            [&signer.subject].into_iter().chain(&signer.issuer),
            &signer.serial,
        );
    }
}

fn check_names<'a>(names: impl IntoIterator<Item = &'a Name>, serial: &Serial) {
    for name in names {
        assert!(name.text().is_none_or(|text| text.len() <= MAX_NAME));
    }
    // Two digits per byte, and a sign.
    assert!((1..=2 * MAX_SERIAL + 1).contains(&serial.text().len()));
}

fn check_certificate(certificate: &Certificate) {
    check_names(
        [&certificate.subject, &certificate.issuer],
        &certificate.serial,
    );
    assert!(certificate.ext_key_usage.len() <= MAX_EXT_KEY_USAGES);
    for id in [&certificate.subject_key_id, &certificate.authority_key_id] {
        assert!(id.as_ref().is_none_or(|id| id.len() <= MAX_KEY_ID));
    }
    _ = (certificate.role(), certificate.is_issued_by(certificate));
}
